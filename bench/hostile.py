"""Twelve hostile plugins: does every command still exit as it does without them?

    python bench/hostile.py

Each command runs in an empty project, once with nothing of third parties and once with twelve
plugins that raise, hang, print, exit, spawn threads, replace parts of penin, take names, return
the wrong type, bring terminal escapes and enormous names, or have no module. Prints both exit
codes, whether what a machine reads on stdout is the same, and the seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from penin_core.testing.fakes import write_distribution

ROOT = Path(__file__).parent.parent
PENIN = "from penin_core.cli import main; main()"
LIMIT = "2"
HEAD = "from penin_core import Guard, GuardResult, hookimpl\npenin_api = 1\n"
TAKEN = (
    "class G(Guard):\n    'Takes a name.'\n    name = 'sigma'\n"
    "    def check(self, evidence):\n        return None\n"
    "@hookimpl\ndef penin_register_guards():\n    return [G]\n"
)
HOSTILE = {
    "raises": "raise RuntimeError('\\x1b[31mboom')",
    "hangs": "import time\nwhile True:\n    try:\n        time.sleep(1)\n"
    "    except BaseException:\n        pass",
    "prints": "import os\nprint('{')\nos.write(1, b'[')\nos.system('echo noise')",
    "exits": "import sys\nsys.exit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "threads": "import threading\n"
    "threading.Thread(target=threading.Event().wait, daemon=False).start()\n" + HEAD + TAKEN,
    "patches": "import builtins, penin_core.plugins as p\nbuiltins.print = p.Plugins.load = None",
    "taken": HEAD + TAKEN,
    "wrong": HEAD + "@hookimpl\ndef penin_register_guards():\n    return [5, Guard]\n",
    "huge": HEAD + "raise ValueError('x' * 10_000_000)",
    "chdir": "import os\nos.chdir('/')\nos.environ.clear()\nraise OSError",
}
COMMANDS = (
    "--version",
    "--help",
    "status --json",
    "champion --json",
    "doctor --json",
    "ledger verify --json",
    "tune show --json",
    "plugins --json",
    "plugins why sigma --json",
    "evaluate --model tiny:tiny-5 --suite no-such-suite",
    "why no-such-run",
)


def main() -> None:
    """Run every command without and with the twelve plugins; print one line for each."""
    print(f"{'command':52}  without  with  data     seconds")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        plant(site)
        for command in COMMANDS:
            code, data, _ = run(command, Path(folder), None)
            hostile, found, seconds = run(command, Path(folder), site)
            same = "same" if data == found else "more" if readable(found) else "BROKEN"
            failed += code != hostile or same == "BROKEN"
            print(f"{command:52}  {code:7}  {hostile:4}  {same:6}  {seconds:8.1f}")
    print(f"{len(COMMANDS) - failed} of {len(COMMANDS)} commands exit as they should")
    sys.exit(1 if failed else 0)


def plant(site: Path) -> None:
    """Write the twelve distributions."""
    for name, source in HOSTILE.items():
        module = f"hostile_{name}"
        entries = {name: module}
        commands = {f"run-{name}": f"{module}:command", "status": f"{module}:command"}
        write_distribution(
            site, f"penin-{name}", plugins=entries, commands=commands, modules={module: source}
        )
    unreadable = {"no-module": "no.such.module", "\x1b[2J" + "n" * 5000: "os", "sigma": "os"}
    write_distribution(site, "penin-\x1b[31mred", "1\x07", plugins=unreadable)


def run(command: str, folder: Path, site: Path | None) -> tuple[int, str, float]:
    """Return exit code, stdout and seconds of one command in an empty project."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    paths = [str(ROOT), *([str(site)] if site else [])]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PENIN", "PYTHON"))}
    env |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PENIN_IMPORT_SECONDS": LIMIT,
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PENIN, *command.split()],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, time.monotonic() - started


def readable(text: str) -> bool:
    """Say whether ``text`` is JSON, or help without a character that drives a terminal."""
    if text.startswith(("[", "{")):
        try:
            json.loads(text)
        except ValueError:
            return False
        return True
    return "\x1b" not in text and "\x07" not in text


if __name__ == "__main__":
    main()
