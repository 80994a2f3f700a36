"""The answers of two runs to the same tasks, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .markup import Child, Markup, clipped, element, folded, note, number, section, table
from .reading import Run

#: How many answers stand side by side on one page, how many of them at once, and the characters
#: shown of each.
ANSWERS, FIRST, ANSWER_LENGTH = 40, 8, 600


def answers(old: Run | None, new: Run, names: tuple[str, str]) -> list[Markup]:
    """Return the answers of two runs side by side, those whose score moved the most first."""
    if old is None or not new.answers:
        return []
    both = [(old.answers[key], row) for key, row in new.answers.items() if key in old.answers]
    if not both:
        return [section("Answers", note("No task was asked of both."))]
    moved = [pair for pair in both if _moved(*pair)]
    if not moved:
        return [
            section(
                "Answers", note(f"{len(both):,} tasks were asked of both, and no score changed.")
            )
        ]
    moved.sort(key=lambda pair: -abs(_worth(pair[1]) - _worth(pair[0])))
    rows = [_row(*pair) for pair in moved[:ANSWERS]]
    better = sum(_worth(b) > _worth(a) for a, b in moved)
    caption = (
        f"Of {len(both):,} tasks asked of both, {better} went better and {len(moved) - better} "
        "worse; those that moved most"
    )
    head = ("task", "score", *names)
    shown = [table(caption, head, rows[:FIRST], stack=True)]
    if rest := rows[FIRST:]:
        words = f"{len(rest)} more answers that moved"
        shown.append(folded(words, table(words, head, rest, stack=True)))
    return [section("Answers side by side", *shown)]


def _row(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Child, ...]:
    scores = f"{number(old['utility'], 2)} → {number(new['utility'], 2)}"
    return clipped(new["task"], 100), scores, _answer(old), _answer(new)


def _worth(row: Mapping[str, Any]) -> float:
    return row.get("utility") or 0.0


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return _worth(old) != _worth(new)


def _answer(row: Mapping[str, Any]) -> Markup:
    if row.get("error") is not None:
        return note(f"no answer: {clipped(row['error'], 200)}", kind="warn")
    return element("pre", clipped(row.get("text") or "(empty)", ANSWER_LENGTH))
