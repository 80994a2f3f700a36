"""How many small faults in the kernel its tests find, by mutmut.

    pip install --group mutants
    python bench/mutants.py FOLDER [--jobs N] [--again]

Copies kernel and tests to FOLDER, lets mutmut break one thing at a time, and runs the tests that
reach it. A run that was interrupted goes on where it was; ``--again`` copies the tests anew and
tries only the faults that nobody noticed. Prints every fault that survives, and the share that was
found. Some survivors are equivalent: ``strict=True`` after lengths were compared, a dtype that is
inferred anyway, ``>=`` where both sides agree at equality.
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
#: Exit status of the tests on a faulty kernel that they did not notice.
SURVIVED = 0
CONFIG = """[mutmut]
source_paths=penin_core
only_mutate=penin_core/omega/*
use_git_change_detection=false
pytest_add_cli_args=
  -q
  --hypothesis-profile=ci
  -p
  no:cacheprovider
pytest_add_cli_args_test_selection=tests
"""


def prepare(folder: Path) -> None:
    """Copy the kernel, once, and its tests."""
    if not (folder / "penin_core").exists():
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "penin_core", folder / "penin_core", ignore=skipped)
        (folder / "setup.cfg").write_text(CONFIG)
    for place in (folder / "tests", folder / "mutants" / "tests"):
        if place.parent.exists():
            place.mkdir(exist_ok=True)
            for test in ROOT.glob("tests/test_omega_*.py"):
                shutil.copy(test, place)


def found(folder: Path) -> dict[str, int | None]:
    """Return the exit status of the tests for every fault, None where they were not run."""
    statuses: dict[str, int | None] = {}
    for meta in sorted(folder.glob("mutants/penin_core/omega/*.meta")):
        statuses |= json.loads(meta.read_text())["exit_code_by_key"]
    return statuses


def difference(folder: Path, name: str) -> Iterator[str]:
    """Yield the lines that a fault changes."""
    module, function = name.rsplit(".", 1)
    source = (folder / "mutants" / f"{module.replace('.', '/')}.py").read_text()
    lines = source.splitlines()
    whole = {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }
    original = f"{function.rsplit('__mutmut_', 1)[0]}__mutmut_orig"
    for line in difflib.unified_diff(whole[original], whole[function], n=0, lineterm=""):
        if line[0] in "+-" and not line.startswith(("+++", "---")):
            yield f"  {line[0]} {line[1:].strip()}"


def main() -> None:
    """Run mutmut and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    prepare(asked.folder)
    names = [n for n, status in found(asked.folder).items() if status == SURVIVED]
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(asked.jobs)]
    chosen = names if asked.again else []
    subprocess.run([*command, *chosen], cwd=asked.folder, check=False)
    statuses = found(asked.folder)
    survivors = [name for name, status in statuses.items() if status == SURVIVED]
    for name in survivors:
        print(name, *difference(asked.folder, name), sep="\n")
    tried = sum(status is not None for status in statuses.values())
    killed = tried - len(survivors)
    print(f"{killed:,} of {tried:,} faults found, {killed / max(tried, 1):.1%}")
    print(f"{len(statuses) - tried:,} not tried")


if __name__ == "__main__":
    main()
