"""How far the model reaches: real messages of restaurant guests, which it was never trained on.

Usage: ``python -m training.transfer FILE [ROWS]``. FILE holds one JSON object a line, made from the
training part of RESTAURANTS-8K (Coope et al. 2020, arXiv 2005.08866; CC BY 4.0): ``input`` the
message, ``expected`` its slots, ``requested`` the slots that the asker had named before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from penin_tiny.decoding import Decoder

from .answering import answers, calibration_error, decoder
from .suite import PROMPTS, prompt

Row = dict[str, Any]
LEVELS = ("clear", "vague")


def message(row: Row) -> str:
    """Return the message, led by what had been asked for."""
    asked = ", ".join(dict.fromkeys(row.get("requested", ())))
    return f"(asked: {asked}) {row['input']}" if asked else str(row["input"])


def slots(text: str) -> dict[str, str] | None:
    """Read an answer; None where it is not a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else None


def score(given: Sequence[str], expected: Sequence[dict[str, str]]) -> tuple[float, float]:
    """Return the share of rows with all slots right, and the F1 of single slots (exact spans)."""
    found = [slots(text) for text in given]
    exact = sum(a == b for a, b in zip(found, expected, strict=True))
    pairs = [((a or {}).items(), b.items()) for a, b in zip(found, expected, strict=True)]
    right = sum(len(a & b) for a, b in pairs)
    total = sum(len(a) + len(b) for a, b in pairs)
    return exact / len(given), 2 * right / total if total else 1.0


def read(path: Path, count: int) -> list[Row]:
    """Return the first rows of a fixed random order."""
    rows: list[Row] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    Random(123).shuffle(rows)
    return rows[:count]


def transfer(model: Decoder, path: Path, count: int = 500) -> None:
    """Print one line for each instruction, at temperature 0."""
    rows = read(path, count)
    expected = [row["expected"] for row in rows]
    for level in LEVELS:
        instruction = PROMPTS["booking"][level]
        given = answers(model, [prompt(instruction, message(row)) for row in rows])
        exact, f1 = score([answer.text for answer in given], expected)
        hits = [slots(a.text) == truth for a, truth in zip(given, expected, strict=True)]
        error = calibration_error(given, hits)
        sys.stdout.write(
            f"real messages, {level}: {len(rows)} rows, exact match {exact:.3f}, "
            f"slot F1 {f1:.3f}, ECE {error:.3f}\n"
        )


if __name__ == "__main__":
    transfer(decoder(), Path(sys.argv[1]), *map(int, sys.argv[2:]))
