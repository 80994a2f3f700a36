"""How two configurations differ, and two texts: what was taken away, what was put in."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from penin_core.records import Configuration

from .markup import Markup, clipped, element, note, table

#: How many characters before and after a change are shown.
CONTEXT = 400
#: Stands for a field that is not set.
NONE = "(none)"
_WORD = re.compile(r"\s+|\d+\.\d+|\w+|[^\w\s]")


def configurations(
    old: Configuration | None, new: Configuration | None, names: tuple[str, str]
) -> Markup:
    """Return a table of the fields that differ; of one configuration alone, of those it sets."""
    if new is None and old is None:
        return note("Neither configuration is known here.")
    if old is None or new is None:
        return _one(old or new, names[0] if new is None else names[1])
    rows = [
        (name, *_two(as_text(getattr(old, name)), as_text(getattr(new, name))))
        for name in Configuration.model_fields
        if getattr(old, name) != getattr(new, name)
    ]
    if not rows:
        return note("Nothing: both are the same configuration.")
    words = "What differs between the two configurations"
    return table(words, ("field", *names), rows, stack=True)


def _one(config: Configuration | None, name: str) -> Markup:
    assert config is not None
    given = ((field, getattr(config, field)) for field in Configuration.model_fields)
    unset: tuple[object, ...] = (None, (), {})
    rows = [(field, words(as_text(value))) for field, value in given if value not in unset]
    return table(f"Configuration: {name}", ("field", "value"), rows, stack=True)


def as_text(value: Any) -> str:
    """Return the value of a field as text; examples one after the other."""
    if isinstance(value, str):
        return value or "(empty)"
    if isinstance(value, tuple):
        shown = (f"{example.input}\n-> {example.output}" for example in value)
        return "\n\n".join(shown) or NONE
    return NONE if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def words(value: object) -> Markup:
    """Return a text as it was written, lines and blanks kept."""
    return element("pre", clipped(value))


def _two(old: str, new: str) -> tuple[Markup, Markup]:
    """Return both texts with what lies between their common beginning and end marked.

    Finding more than that takes time that grows with a power of the length.
    """
    if NONE in (old, new):
        return words(old), words(new)
    before, after = (_WORD.findall(found) for found in (old, new))
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    if not start and not end:
        return words(old), words(new)
    return _marked("del", before, start, end), _marked("ins", after, start, end)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many words both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _marked(name: str, found: list[str], start: int, end: int) -> Markup:
    stop = len(found) - end
    head, changed, tail = ("".join(p) for p in (found[:start], found[start:stop], found[stop:]))
    # The change is what is looked for: of long texts, only what lies next to it is shown.
    head = head if len(head) <= CONTEXT else f"… {head[-CONTEXT:]}"
    tail = tail if len(tail) <= CONTEXT else f"{tail[:CONTEXT]} …"
    return element("pre", head, element(name, clipped(changed)) if changed else None, tail)
