"""How many small faults in the modules that decide, and in the kernel, their tests find, by mutmut.

    pip install --group mutants
    python bench/mutants.py FOLDER [PART ...] [--jobs N] [--again]

Copies the code and the tests of every PART (all, unless some are named; ``kernel`` names those of
the kernel) to FOLDER, lets mutmut break one thing at a time, and runs the tests that reach it. A
run that was interrupted goes on where it was; ``--again`` copies the tests anew and tries only the
faults that nobody noticed. Prints every fault that survives, and the share that was found. Some
survivors are equivalent: ``strict=True`` after lengths were compared, a dtype that is inferred
anyway, ``>=`` where both sides agree at equality. Functions with a decorator, properties among
them, are left as they are. Every law is tried on half as many examples as by the test suite.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mutants_plugin import FOUND, UNREACHED
from mutmut.mutation.file_mutation import mutate_file_contents

ROOT = Path(__file__).parent.parent
#: Nothing of what a test says is of interest, and nothing of it is kept.
QUIETLY = [
    "--hypothesis-profile=mutants",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:terminal",
    "-W",
    "error",
]
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
}
#: Every module of the kernel is a part of its own; test files as above.
KERNEL = {
    "_answers": "omega_caos omega_bad_input",
    "_attested": "omega_ethics_metrics",
    "_calibration": "omega_ethics_metrics omega_exact omega_bad_input",
    "_columns": "omega_exact omega_bad_input",
    "_digest": "omega_ethics_metrics",
    "_exact": "omega_exact",
    "_fairness": "omega_ethics_metrics omega_bad_input",
    "_horizon": "omega_horizon omega_bad_input",
    "_intervals": "omega_intervals omega_bad_input",
    "_numbers": "omega_numbers omega_scoring omega_caos",
    "_objects": "omega_metrics",
    "_power": "omega_evidence omega_bad_input",
    "_replay": "omega_tuner omega_bad_input",
    "_simplex": "omega_tuner",
    "_steps": "omega_tuner",
    "_student": "omega_student omega_bad_input",
    "_text": "omega_metrics",
    "_wagers": "omega_evidence omega_bad_input",
    "caos": "omega_caos omega_bad_input",
    "ethics_metrics": "omega_ethics_metrics",
    "evidence": "omega_evidence omega_bad_input",
    "guards": "omega_guards omega_bad_input",
    "metrics": "omega_metrics omega_bad_input",
    "scoring": "omega_scoring omega_bad_input",
    "sr": "omega_sr omega_bad_input",
    "tuner": "omega_tuner omega_bad_input",
}
PARTS |= {module: (f"omega/{module}.py", tests) for module, tests in KERNEL.items()}
#: Simulations that take long and that the other tests stand in for.
SLOW = "not ten_thousand and not twenty_thousand and not equals_are_proved"


def prepare(folder: Path, part: str) -> None:
    """Copy the code, with every fault in it, once, and the tests of a part."""
    module, tests = PARTS[part]
    if not (folder / "faults.json").exists():
        skipped = shutil.ignore_patterns("__pycache__")
        for name in ("penin_core", "bench"):
            shutil.copytree(ROOT / name, folder / name, ignore=skipped, dirs_exist_ok=True)
        (folder / "setup.cfg").write_text("[mutmut]\nsource_paths=penin_core\n")
        place = folder / "penin_core" / module
        source = place.read_text()
        with contextlib.chdir(folder):
            broken = mutate_file_contents(module, source)
        place.write_text(broken.code)
        prefix = f"penin_core/{module}".removesuffix(".py").replace("/", ".")
        names = dict.fromkeys(f"{prefix}.{name}" for name in broken.mutant_names)
        (folder / "faults.json").write_text(json.dumps(names))
    (folder / "tests").mkdir(exist_ok=True)
    for name in tests.split():
        shutil.copy(ROOT / "tests" / f"test_{name}.py", folder / "tests")


def difference(folder: Path, name: str) -> Iterator[str]:
    """Yield the lines that a fault changes."""
    module, function = name.rsplit(".", 1)
    source = (folder / f"{module.replace('.', '/')}.py").read_text()
    lines = source.splitlines()
    whole = {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        .replace(node.name, "")
        .splitlines()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    original = f"{function.rsplit('__mutmut_', 1)[0]}__mutmut_orig"
    for line in difflib.unified_diff(whole[original], whole[function], n=0, lineterm=""):
        if line[0] in "+-" and not line.startswith(("+++", "---")):
            yield f"  {line[0]} {line[1:].strip()}"


def say(part: str, killed: int, tried: int) -> None:
    """Print the share of the faults that were found."""
    print(f"{part}: {killed:,} of {tried:,} faults found, {killed / tried:.1%}", flush=True)


def attack(folder: Path, part: str, jobs: int, *, again: bool) -> tuple[int, int]:
    """Break a part, say what nobody noticed, and return how many were found and how many tried."""
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, part)
    listed = folder / "faults.json"
    if again:
        fates = json.loads(listed.read_text())
        kept = {name: fate if fate == FOUND else None for name, fate in fates.items()}
        listed.write_text(json.dumps(kept))
    command = [sys.executable, "-m", "pytest", "tests", "-p", "mutants_plugin", "-k", SLOW]
    command += ["--faults", str(listed.resolve()), "--jobs", str(jobs), *QUIETLY]
    path = os.pathsep.join([str(folder.resolve()), str(ROOT / "bench")])
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=True)
    fates = json.loads(listed.read_text())
    survivors = [name for name, fate in fates.items() if fate != FOUND]
    for name in survivors:
        reached = "  (no test reaches it)" if fates[name] == UNREACHED else ""
        print(name + reached, *difference(folder, name), sep="\n")
    killed = len(fates) - len(survivors)
    say(part, killed, len(fates))
    return killed, len(fates)


def main() -> None:
    """Run mutmut on every part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(["kernel", *PARTS]))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    asked = parser.parse_args()
    parts = [*KERNEL] if asked.parts == ["kernel"] else asked.parts or [*PARTS]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    counts = [attack(asked.folder / part, part, asked.jobs, again=asked.again) for part in parts]
    killed, tried = (sum(column) for column in zip(*counts, strict=True))
    say("all", killed, tried)


if __name__ == "__main__":
    main()
