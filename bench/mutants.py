"""How many small faults in the modules that decide, and in the kernel, their tests find, by mutmut.

    pip install --group mutants
    python bench/mutants.py FOLDER [PART ...] [--jobs N] [--again]

Copies the code and the tests of every PART (all, unless some are named) to FOLDER, lets mutmut
break one thing at a time, and runs the tests that reach it. A run that was interrupted goes on
where it was; ``--again`` copies the tests anew and tries only the faults that nobody noticed.
Prints every fault that survives, and the share that was found. Some survivors are equivalent:
``strict=True`` after lengths were compared, a dtype that is inferred anyway, ``>=`` where both
sides agree at equality. Functions with a decorator, properties among them, are left as they are.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Exit statuses that mean that no test noticed: all passed, or none reached the fault.
SURVIVED, UNREACHED = 0, (5, 33)
#: The modules of every part, and the test files that answer for them.
PARTS = {
    "promotion": ("league/promotion.py", "promotion trying fates"),
    "decision": ("league/decision.py", "decision"),
    "confirmation": ("league/confirmation.py", "confirmation"),
    "campaign": ("league/campaign.py", "confirmation"),
    "plans": ("league/plans.py", "confirmation"),
    "looks": ("league/looks.py", "looks"),
    "fates": ("league/fates.py", "fates promotion"),
    "gating": ("gating.py", "gating"),
    "canary": ("league/canary.py", "canary"),
    "evidence": ("omega/evidence.py", "omega_evidence"),
    "horizon": ("omega/_horizon.py", "omega_horizon"),
    "exact": ("omega/_exact.py", "omega_exact"),
    "kernel": ("omega/*", "omega_*"),
}
#: Simulations that take long and that the other tests stand in for.
SLOW = "not twenty_thousand and not equals_are_proved"
CONFIG = f"""[mutmut]
source_paths=penin_core
only_mutate=penin_core/{{modules}}
also_copy=bench
use_git_change_detection=false
track_dependencies=false
timeout_multiplier=5
timeout_constant=5
pytest_add_cli_args=
  -q
  --hypothesis-profile=ci
  -p
  no:cacheprovider
  -W
  error
  -k
  {SLOW}
pytest_add_cli_args_test_selection=tests
"""


def prepare(folder: Path, part: str) -> None:
    """Copy the code, once, and the tests of a part."""
    modules, tests = PARTS[part]
    if not (folder / "penin_core").exists():
        skipped = shutil.ignore_patterns("__pycache__")
        for source in ("penin_core", "bench"):
            shutil.copytree(ROOT / source, folder / source, ignore=skipped)
        (folder / "setup.cfg").write_text(CONFIG.format(modules=modules))
    for place in (folder / "tests", folder / "mutants" / "tests"):
        if place.parent.exists():
            place.mkdir(exist_ok=True)
            for name in tests.split():
                for test in ROOT.glob(f"tests/test_{name}.py"):
                    shutil.copy(test, place)


def found(folder: Path) -> dict[str, int | None]:
    """Return the exit status of the tests for every fault, None where they were not run."""
    statuses: dict[str, int | None] = {}
    for meta in sorted(folder.glob("mutants/penin_core/**/*.meta")):
        statuses |= json.loads(meta.read_text())["exit_code_by_key"]
    return statuses


def unnoticed(statuses: dict[str, int | None]) -> list[str]:
    """Return the faults that no test noticed."""
    return [name for name, status in statuses.items() if status in (SURVIVED, *UNREACHED)]


def difference(folder: Path, name: str) -> Iterator[str]:
    """Yield the lines that a fault changes."""
    module, function = name.rsplit(".", 1)
    source = (folder / "mutants" / f"{module.replace('.', '/')}.py").read_text()
    lines = source.splitlines()
    whole = {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    original = f"{function.rsplit('__mutmut_', 1)[0]}__mutmut_orig"
    for line in difflib.unified_diff(whole[original], whole[function], n=0, lineterm=""):
        if line[0] in "+-" and not line.startswith(("+++", "---")):
            yield f"  {line[0]} {line[1:].strip()}"


def attack(folder: Path, part: str, jobs: int, *, again: bool) -> None:
    """Break a part, and say what nobody noticed."""
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, part)
    chosen = unnoticed(found(folder)) if again else []
    if again:
        # Which test reaches what has to be found out anew.
        (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs), *chosen]
    subprocess.run(command, cwd=folder, check=False)
    statuses = found(folder)
    if not any(status is not None for status in statuses.values()):
        sys.exit(f"{part}: nothing was tried, as mutmut says above")
    survivors = unnoticed(statuses)
    for name in survivors:
        reached = "" if statuses[name] == SURVIVED else "  (no test reaches it)"
        print(name + reached, *difference(folder, name), sep="\n")
    tried = sum(status is not None for status in statuses.values())
    killed = tried - len(survivors)
    print(f"{part}: {killed:,} of {tried:,} faults found, {killed / tried:.1%}")
    print(f"{part}: {len(statuses) - tried:,} not tried", flush=True)


def main() -> None:
    """Run mutmut on every part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in asked.parts or PARTS:
        attack(asked.folder / part, part, asked.jobs, again=asked.again)


if __name__ == "__main__":
    main()
