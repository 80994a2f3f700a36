"""Traffic that was kept, as tasks: what users found good today is what tomorrow is measured on.

An answer that its user rated well is the expected one. Equal questions become one task that accepts
every answer that was rated well. All requests of one user stand in one split, and a question that
the other split gives away goes to ``select``, its user with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from penin_core.leaks import question_key
from penin_core.omega.metrics import normalize_text, parse_json_object
from penin_core.records import Message, Task
from penin_core.suites import divided

from .content import USER
from .store import Kept

#: At most so many accepted answers; more say that the question has no answer.
MOST_ANSWERS = 8


@dataclass
class Harvest:
    """Tasks, and how many requests became none, by the reason."""

    tasks: list[Task] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def harvested(traffic: Iterable[Kept], min_feedback: float) -> Harvest:
    """Return what becomes of kept requests. Raise ValueError unless 0 <= min_feedback <= 1."""
    if not 0.0 <= min_feedback <= 1.0:
        raise ValueError(f"min_feedback = {min_feedback!r} must lie in [0, 1]")
    found = Harvest()
    same: dict[object, list[tuple[Task, str]]] = {}
    for kept in traffic:
        if why := _unfit(kept, min_feedback):
            found.skipped[why] += 1
            continue
        task, answer = _task(kept), kept.content["answer"].strip()
        same.setdefault(_asked(task), []).append((task, answer))
    made = []
    for group in same.values():
        found.skipped["merged with an equal question"] += len(group) - 1
        answers = list({normalize_text(answer): answer for _, answer in group}.values())
        if len(answers) > MOST_ANSWERS:
            found.skipped[f"more than {MOST_ANSWERS} different good answers"] += 1
            continue
        made.append(group[0][0].model_copy(update={"expected": _expected(answers)}))
    found.tasks = divided(made, USER)
    found.skipped = +found.skipped
    return found


def as_row(task: Task) -> dict[str, Any]:
    """Return a task as one line of a task file."""
    names = ("id", "input", "expected", "system", "split", "tags", "consent")
    row = {name: getattr(task, name) for name in names if getattr(task, name) not in (None, "", ())}
    if task.messages:
        row["messages"] = [message.model_dump() for message in task.messages]
    return {**row, **task.fields}


def _unfit(kept: Kept, min_feedback: float) -> str:
    """Return why a request becomes no task; empty where it does."""
    if kept.score is None:
        return "no feedback"
    if kept.score < min_feedback:
        return f"feedback below {min_feedback:g}"
    if kept.content["cut"]:
        return "something was taken out of the answer"
    if not kept.content["messages"][-1]["content"].strip():
        return "an empty question"
    return ""


def _task(kept: Kept) -> Task:
    *turns, last = (Message(**message) for message in kept.content["messages"])
    return Task(
        id=kept.id,
        input=last.content,
        system=kept.content["system"],
        messages=tuple(turns),
        consent=True,
        # Requests that were kept by earlier versions have neither.
        tags=tuple(kept.content.get("tags", ())),
        fields={**kept.content.get("columns", {}), USER: kept.user},
    )


def _asked(task: Task) -> object:
    """Return what two tasks share when they ask the same, whoever asks it."""
    columns = {(name, value) for name, value in task.fields.items() if name != USER}
    return task.system, question_key(task), frozenset(columns), frozenset(task.tags)


def _expected(answers: list[str]) -> str | tuple[str, ...] | dict[str, Any]:
    if len(answers) > 1:
        return tuple(answers)
    found = parse_json_object(answers[0])
    return answers[0] if found is None else found
