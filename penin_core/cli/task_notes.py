"""What a file of tasks may hold by mistake, though every line of it can be read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penin_core.records import Task

#: From this similarity on, of 1, an own column is taken for a misspelling of a known one.
NEAR = 0.8
#: What penin itself puts into a task is no column of a file.
OWN = {"fields", "examples", "sample"}


def notes(file: Path, tasks: Sequence[Task], *, graded: bool = False) -> list[str]:
    """Return what is worth a look: columns near known ones, keys named twice, empty inputs.

    Also tasks with nothing to compare answers with, unless it is known how they are ``graded``.
    """
    return [*_columns(tasks), *_keys(file), *_empty(tasks), *([] if graded else _unsolved(tasks))]


def lines_of(file: Path) -> dict[str, int]:
    """Return in which line of a file, which could be read, each task stands."""
    texts = enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1)
    return {json.loads(text)["id"]: number for number, text in texts if text.strip()}


def _columns(tasks: Sequence[Task]) -> Iterator[str]:
    from penin_core.records import Task

    from .wording import amount

    known = [name for name in Task.model_fields if name not in OWN]
    for name, count in Counter(name for task in tasks for name in task.fields).items():
        if near := get_close_matches(name, known, 1, NEAR):
            yield (
                f"column {name!r} of {amount(count, 'task')} is one of your own, which only "
                f"prompts may use; did you mean {near[0]!r}?"
            )


def _keys(file: Path) -> Iterator[str]:
    for number, text in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1):
        twice: list[str] = []

        def pairs(found: list[tuple[str, Any]], twice: list[str] = twice) -> dict[str, Any]:
            names = Counter(name for name, _ in found)
            twice.extend(name for name, count in names.items() if count > 1)
            return dict(found)

        if text.strip():
            json.loads(text, object_pairs_hook=pairs)
        for name in twice:
            yield f"line {number} names {name!r} more than once; the last value counts"


def _empty(tasks: Sequence[Task]) -> Iterator[str]:
    for task in tasks:
        if not task.input.strip():
            yield f"task {task.id!r} has an empty input"


def _unsolved(tasks: Sequence[Task]) -> Iterator[str]:
    from .wording import amount

    found = [task.id for task in tasks if task.expected is None and task.metric is None]
    if found:
        yield (
            f"{amount(len(found), 'task')}, {found[0]!r} first, without 'expected' and 'metric': "
            "only a metric of your own could grade them"
        )
