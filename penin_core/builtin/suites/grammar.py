"""The tasks of the suite ``basic``, written by a seeded grammar.

Four kinds of everyday work in equal shares (text to JSON, field extraction, headline, and
classification, which is half sentiment and half intent), two splits to search and to confirm on,
one split that departs a little from both, and one that composes their skills. Everybody and
everything in the texts is invented.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from .chance import stream
from .kinds import COMPOSED, EVERYDAY, UNUSUAL, Draft, Kind
from .words import GROUPS

Row = dict[str, Any]

LICENSE = "Apache-2.0"
KINDS_OF_SPLIT = {
    "select": EVERYDAY,
    "confirm": EVERYDAY,
    "ood": UNUSUAL,
    "composed": COMPOSED,
}


def generate_tasks(
    seed: int = 0, select: int = 600, confirm: int = 2000, ood: int = 60, composed: int = 60
) -> list[Row]:
    """Write the tasks of every split, as rows of a task file.

    The same seed gives the same rows on every Python version, and a split that is asked for with
    more tasks begins with the same ones. Another seed gives other tasks of the same distribution:
    tasks that nobody has used before. No input occurs twice in one result; every text holds a
    number, a date or an invented name, so that two seeds practically never meet.

    ``group`` says whose names a text speaks of: ``common_name`` or ``rare_name`` (seen from
    English-speaking countries); it is absent where nobody is named.
    """
    counts = {"select": select, "confirm": confirm, "ood": ood, "composed": composed}
    seen: set[str] = set()
    return [row for split, count in counts.items() for row in split_tasks(seed, split, count, seen)]


def split_tasks(seed: int, split: str, count: int, seen: set[str]) -> list[Row]:
    """The tasks of one split; their inputs avoid those already seen and are added to them."""
    kinds = KINDS_OF_SPLIT[split]
    streams = {kind.tags: stream("basic", seed, split, *kind.tags) for kind in kinds}
    turns: Counter[tuple[str, ...]] = Counter()
    rows = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        rounds, variant = divmod(turns[kind.tags], len(kind.variants))
        turns[kind.tags] += 1
        group = GROUPS[rounds % len(GROUPS)]
        draft = unseen_draft(streams[kind.tags], kind, kind.variants[variant], group, seen)
        rows.append(task_row(f"basic-{seed}-{split}-{number:04d}", split, kind, group, draft))
    return rows


def unseen_draft(rng: Random, kind: Kind, variant: str, group: str, seen: set[str]) -> Draft:
    """A draft whose input is new."""
    while (draft := kind.write(rng, variant, group)).input in seen:
        pass
    seen.add(draft.input)
    return draft


def task_row(task_id: str, split: str, kind: Kind, group: str, draft: Draft) -> Row:
    """The draft as one row of a task file."""
    row = {
        "id": task_id,
        "input": draft.input,
        "expected": draft.expected,
        "system": draft.system,
        "split": split,
        "metric": "exact_match",
        "tags": list(kind.tags),
        "consent": True,
        "license": LICENSE,
    }
    return row | {"group": group} if kind.names_people else row
