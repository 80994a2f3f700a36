"""How long ``penin --help`` and ``penin --version`` take, against a click program that says hello,
and ``import penin_core`` against nothing at all.

    python bench/startup.py [--runs 15] [--plugins 0 10 50 100]

CPU time (user and system) of whole processes, with compiled bytecode and a warm cache of what is
installed; the programs take turns, so that noise meets all of them. Prints medians, the ratio to
the click program of the same run, and the milliseconds over the first number of plugins.

Goals: both ratios at most 1.8; at most 20 ms more with 100 plugins; the import at most 60 ms.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from penin_core.testing.fakes import write_distribution

ROOT = Path(__file__).parent.parent
HELLO = """
import click

@click.command()
@click.option("--name", default="world", help="Whom to greet.")
def hello(name):
    "Say hello."
    click.echo(f"hello {name}")

hello()
"""
PENIN = "from penin_core.cli import main; main()"


def main() -> None:
    """Measure and print one line for each number of installed plugins."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="runs of each program")
    parser.add_argument("--plugins", type=int, nargs="+", default=[0], help="dummy plugins")
    chosen = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, CPU ms, median of {chosen.runs}")
    print("plugins  python  click  --version  ratio  --help  ratio  --help over first  import")
    first = None
    for count in chosen.plugins:
        bare, hello, version, shown, imported = measure(count, chosen.runs)
        first = shown if first is None else first
        print(
            f"{count:7}  {bare:6.1f}  {hello:5.1f}  {version:9.1f}  {version / hello:5.2f}"
            f"  {shown:6.1f}  {shown / hello:5.2f}  {shown - first:+17.1f}  {imported - bare:+6.1f}"
        )


def measure(plugins: int, runs: int) -> tuple[float, ...]:
    """Return the median CPU milliseconds of python, click, --version, --help and the import."""
    with tempfile.TemporaryDirectory() as folder:
        site, program = Path(folder, "site"), Path(folder, "hello.py")
        site.mkdir()
        program.write_text(HELLO)
        for number in range(plugins):
            name = f"dummy{number}"
            commands = {name: f"{name}:command"} if number < 5 else {}
            write_distribution(site, f"penin-{name}", plugins={name: name}, commands=commands)
        long_ago = time.time_ns() - 3_600_000_000_000
        os.utime(site, ns=(long_ago, long_ago))
        env = environment(folder, site)
        programs = [
            ["-c", "pass"],
            [str(program), "--help"],
            ["-c", PENIN, "--version"],
            ["-c", PENIN, "--help"],
            ["-c", "import penin_core"],
        ]
        warm_up(programs, env, Path(folder, "cache"))
        samples = [[cpu_ms(program, env) for program in programs] for _ in range(runs)]
    return tuple(statistics.median(column) for column in zip(*samples, strict=True))


def environment(folder: str, site: Path) -> dict[str, str]:
    """Return an environment with bytecode, a cache of its own, and the plugins in ``site``."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    paths = os.pathsep.join([str(ROOT), str(site)])
    return kept | {
        "PYTHONPATH": paths,
        "PYTHONSAFEPATH": "1",
        "XDG_CACHE_HOME": f"{folder}/cache",
    }


def warm_up(programs: list[list[str]], env: dict[str, str], cache: Path) -> None:
    """Run everything until bytecode and cache are there; a folder that just changed delays it."""
    for _ in range(60):
        for program in programs:
            cpu_ms(program, env)
        if list(cache.glob("penin/installed-*.json")):
            return
    raise SystemExit("the cache stays cold: something on sys.path keeps changing")


def cpu_ms(arguments: list[str], env: dict[str, str]) -> float:
    """Return the CPU milliseconds of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
