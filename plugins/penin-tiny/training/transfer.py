"""How far the model reaches: real messages of restaurant guests, which it was never trained on.

Usage: ``python training/transfer.py FILE [ROWS]``. FILE holds one JSON object a line, made from the
training part of RESTAURANTS-8K (Coope et al. 2020, arXiv 2005.08866; CC BY 4.0): ``input`` the
message, ``expected`` its slots, ``requested`` the slots that the asker had named before.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penin_core import Completion, Message, Request
from penin_tiny.provider import TinyProvider

SLOTS = ("people", "time", "date", "first_name", "last_name")
INSTRUCTIONS = {
    "clear": f"Extract {', '.join(SLOTS[:-1])} and {SLOTS[-1]} from the message as JSON. "
    "Only the slots that occur.",
    "vague": "Process this text.",
}


def request(instruction: str, row: dict[str, Any]) -> Request:
    """Ask for the slots of one message, at temperature 0."""
    asked = ", ".join(dict.fromkeys(row.get("requested", ())))
    text = f"(asked: {asked}) {row['input']}" if asked else row["input"]
    return Request(
        provider="tiny",
        model="tiny-1",
        system=instruction,
        messages=(Message(role="user", content=text),),
        temperature=0.0,
        max_tokens=80,
    )


def slots(text: str) -> dict[str, str] | None:
    """Read an answer; None where it is not a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else None


def score(answers: Sequence[str], expected: Sequence[dict[str, str]]) -> tuple[float, float]:
    """Return the share of rows with all slots right, and the F1 of single slots (exact spans)."""
    found = [slots(answer) for answer in answers]
    exact = sum(a == b for a, b in zip(found, expected, strict=True))
    pairs = [((a or {}).items(), b.items()) for a, b in zip(found, expected, strict=True)]
    right = sum(len(a & b) for a, b in pairs)
    total = sum(len(a) + len(b) for a, b in pairs)
    return exact / len(answers), 2 * right / total


def main(path: str, count: str = "500") -> None:
    """Print one line for each instruction."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    random.Random(123).shuffle(rows)
    rows = rows[: int(count)]
    provider = TinyProvider()
    for name, instruction in INSTRUCTIONS.items():
        outcomes = provider.generate([request(instruction, row) for row in rows])
        # A refused request has no answer and counts as wrong.
        texts = [item.text if isinstance(item, Completion) else "" for item in outcomes]
        exact, f1 = score(texts, [row["expected"] for row in rows])
        print(f"{name}: {len(rows)} rows, exact match {exact:.3f}, slot F1 {f1:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
