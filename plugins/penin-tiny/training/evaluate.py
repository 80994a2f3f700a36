"""Measure a weights file: ``python -m training.evaluate [WEIGHTS]``; ``--help`` has the options.

Every table row gives the exact match by task; the seeds are not those of training. Row names say
which prompts were used and at which temperature.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from penin_core.builtin.suites.grammar import generate_tasks
from penin_tiny.decoding import Decoder
from penin_tiny.weights import PATH

from .answering import Given, answers, calibration_error, decoder
from .grammar.tasks import TASKS
from .heldout import UNSEEN, WORDINGS, Case
from .styles import STYLES
from .suite import PROMPTS, cases, prompt
from .transfer import transfer

SEED = "evaluate"
#: Instructions, examples and temperatures of the main table.
ROWS = (
    ("clear", 0, 0.0),
    ("clear", 0, 1.2),
    ("partial", 0, 0.0),
    ("vague", 0, 0.0),
    ("vague", 0, 1.2),
    ("clear", 1, 0.0),
    ("clear", 3, 0.0),
    ("vague", 1, 0.0),
    ("vague", 3, 0.0),
)


def right(given: Given, expected: str) -> bool:
    """Say whether an answer is right; how JSON is laid out does not matter."""
    if given.text == expected:
        return True
    try:
        return expected[0] == "{" and bool(json.loads(given.text) == json.loads(expected))
    except json.JSONDecodeError:
        return False


def main_table(model: Decoder, rows: int) -> None:
    """Print exact match and calibration error by level, examples and temperature."""
    fresh, shown = cases(SEED, rows), cases(f"{SEED}/shown", 3)
    _say("prompt             T  " + " ".join(f"{task[:6]:>6}" for task in TASKS) + "    all   ECE")
    for level, shots, temperature in ROWS:
        found: dict[str, list[tuple[Given, bool]]] = {}
        for task in TASKS:
            instruction = PROMPTS[task][level]
            prompts = [prompt(instruction, text, shown[task][:shots]) for text, _ in fresh[task]]
            found[task] = _marked(model, prompts, fresh[task], temperature)
        everything = [pair for pairs in found.values() for pair in pairs]
        error = calibration_error([g for g, _ in everything], [hit for _, hit in everything])
        name = f"{level}, {shots} shown"
        cells = " ".join(f"{_share(found[task]):6.3f}" for task in TASKS)
        _say(f"{name:<16} {temperature:3.1f}  {cells} {_share(everything):6.3f} {error:5.3f}")


def unseen_table(model: Decoder, rows: int) -> None:
    """Print exact match on templates that training never saw, clear instructions, T = 0."""
    total = []
    for task, write in UNSEEN.items():
        fresh = [write(Random(f"{SEED}/unseen/{task}/{n}")) for n in range(rows)]
        pairs = _clear(model, task, fresh)
        total += pairs
        _say(f"unseen templates, {task:<10} {_share(pairs):.3f}")
    error = calibration_error([g for g, _ in total], [hit for _, hit in total])
    _say(f"unseen templates, all        {_share(total):.3f} ECE {error:.3f}")


def style_table(model: Decoder, rows: int) -> None:
    """Print exact match on unseen styles."""
    for name, (task, write) in STYLES.items():
        fresh = [write(Random(f"{SEED}/style/{name}/{n}")) for n in range(rows)]
        _say(f"style {name:<11} {_share(_clear(model, task, fresh)):.3f}")


def wording_table(model: Decoder, rows: int) -> None:
    """Print exact match for every held-out wording of the instructions."""
    fresh = cases(f"{SEED}/wordings", rows)
    shares = []
    for task, wordings in WORDINGS.items():
        for wording in wordings:
            prompts = [prompt(wording, text) for text, _ in fresh[task]]
            shares.append(_share(_marked(model, prompts, fresh[task], 0.0)))
            _say(f"wording {shares[-1]:.3f} {task}: {wording}")
    above = sum(share >= 0.8 for share in shares)
    mean = sum(shares) / len(shares)
    _say(f"wordings at 0.80 or more: {above} of {len(shares)}; mean {mean:.3f}")


def basic_table(model: Decoder, rows: int) -> None:
    """Print exact match on the suite ``basic``: its own instructions, and a vague one."""
    for split in ("confirm", "ood", "composed"):
        tasks = [t for t in generate_tasks(5, 0, 4 * rows, rows, rows) if t["split"] == split]
        fresh = [(task["input"], _text(task["expected"])) for task in tasks]
        for name, temperature in (("own", 0.0), ("own", 1.2), ("vague", 1.2)):
            prompts = [
                prompt(task["system"] if name == "own" else "Process this text.", task["input"])
                for task in tasks
            ]
            pairs = _marked(model, prompts, fresh, temperature)
            error = calibration_error([g for g, _ in pairs], [hit for _, hit in pairs])
            what = f"basic, {split}, {name} instruction, T {temperature}"
            _say(f"{what}: {_share(pairs):.3f} ECE {error:.3f}")


def _text(expected: object) -> str:
    return expected if isinstance(expected, str) else json.dumps(expected, ensure_ascii=False)


def _clear(model: Decoder, task: str, fresh: Sequence[Case]) -> list[tuple[Given, bool]]:
    prompts = [prompt(PROMPTS[task]["clear"], text) for text, _ in fresh]
    return _marked(model, prompts, fresh, 0.0)


def _marked(
    model: Decoder, prompts: Sequence[str], fresh: Sequence[Case], temperature: float
) -> list[tuple[Given, bool]]:
    given = answers(model, prompts, temperature)
    return [(g, right(g, expected)) for g, (_, expected) in zip(given, fresh, strict=True)]


def _share(pairs: Sequence[tuple[Given, bool]]) -> float:
    return sum(hit for _, hit in pairs) / len(pairs)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="Measure a weights file.")
    parser.add_argument("weights", type=Path, nargs="?", default=PATH)
    parser.add_argument("--rows", type=int, default=100, help="texts per cell of a table")
    parser.add_argument("--restaurants", type=Path, help="training rows of RESTAURANTS-8K")
    args = parser.parse_args()
    model = decoder(args.weights)
    main_table(model, args.rows)
    basic_table(model, args.rows)
    unseen_table(model, args.rows)
    style_table(model, args.rows)
    wording_table(model, max(10, args.rows // 2))
    if args.restaurants:
        transfer(model, args.restaurants)


if __name__ == "__main__":
    main()
