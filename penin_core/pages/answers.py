"""The answers of two runs to the same tasks, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import Markup, clipped, element, note, number, section, table
from .reading import Run

#: How many answers stand side by side on one page, and the characters shown of each.
ANSWERS, ANSWER_LENGTH = 40, 600


def answers(old: Run | None, new: Run, names: tuple[str, str]) -> list[Markup]:
    """Return the answers of two runs side by side, those whose score moved the most first."""
    if old is None or not new.answers:
        return []
    both = [(old.answers[key], row) for key, row in new.answers.items() if key in old.answers]
    moved = [pair for pair in both if _moved(*pair)]
    if not moved:
        return [section("Answers", note(f"No score of {len(both):,} tasks asked of both changed."))]
    moved.sort(key=lambda pair: -abs(_worth(pair[1]) - _worth(pair[0])))
    rows = [
        (
            clipped(b["task"], 100),
            f"{number(a['utility'], 2)} → {number(b['utility'], 2)}",
            _answer(a),
            _answer(b),
        )
        for a, b in moved[:ANSWERS]
    ]
    better = sum(_worth(b) > _worth(a) for a, b in moved)
    caption = (
        f"Of {len(both):,} tasks asked of both, {better} went better and {len(moved) - better} "
        f"worse; the {len(rows)} that moved most"
    )
    return [section("Answers side by side", table(caption, ("task", "score", *names), rows))]


def _worth(row: Mapping[str, Any]) -> float:
    return row.get("utility") or 0.0


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return _worth(old) != _worth(new)


def _answer(row: Mapping[str, Any]) -> Markup:
    if row.get("error") is not None:
        return note(f"no answer: {clipped(row['error'], 200)}", kind="warn")
    return element("pre", clipped(row.get("text") or "(empty)", ANSWER_LENGTH))
