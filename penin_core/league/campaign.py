"""The campaign: all confirmations of one ledger, and the tasks that they used up.

Every confirmation leaves two CONFIRM entries: a declaration before its first call, and a closing
when it is over. The declarations number the confirmations and so share out the campaign's error.
A proof, whatever was decided on it, tells the search something about the tasks; from then on all
tasks that any confirmation since the proof before has asked are spent.

A task is remembered by its id, and by its question: the same one under another id is no fresh task.
Only in entries of older versions there are no questions.

A claim that users' feedback decides takes its number among the others, and its share of the error.
It asks no task: it spends none, and what it shows says nothing about them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from penin_core.canonical import digest
from penin_core.errors import SuiteError
from penin_core.leaks import instructions, question_key, recurs
from penin_core.records import Task
from penin_core.suites import MIN_CONFIRM, Suite, seeded_order, source_of

#: The ``source`` of a confirmation that users' feedback decides.
FEEDBACK = "feedback"


class Event(Protocol):
    """An entry of the ledger that is no run."""

    @property
    def kind(self) -> str:
        """What happened."""

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""


class Events(Protocol):
    """What is asked of the ledger here."""

    def events(self, kind: Collection[str]) -> Sequence[Event]:
        """Return the events of these kinds, oldest first."""


@dataclass(frozen=True)
class Campaign:
    """Declarations in their order, closings by the ``t`` that they close, tasks of promotions."""

    declared: tuple[Mapping[str, Any], ...] = ()
    closed: Mapping[int, Mapping[str, Any]] | None = None
    promoted_on: frozenset[str] = frozenset()

    @property
    def earlier(self) -> int:
        """The number of confirmations so far."""
        return len(self.declared)

    @property
    def proofs(self) -> int:
        """The number of confirmations that proved their claim, promoted or not."""
        return sum(self._proved(declared) for declared in self._on_tasks())

    @property
    def open(self) -> Mapping[str, Any] | None:
        """The last declaration on tasks, if its confirmation was interrupted."""
        last = next(reversed(self._on_tasks()), None)
        return None if last is None or last["t"] in (self.closed or {}) else last

    def spent(self) -> frozenset[str]:
        """Return the marks of the ids of tasks that cannot prove anything any more."""
        spent, asked = set(self.promoted_on), set[str]()
        for declared in self._on_tasks():
            closing = (self.closed or {}).get(declared["t"], {})
            # One that stands open may have asked all that it declared.
            asked.update(declared.get("marks", ())[: closing.get("asked")])
            if self._proved(declared):
                spent |= asked
                asked.clear()
        return frozenset(spent)

    def spent_questions(self) -> frozenset[str]:
        """Return the marks of the questions of the tasks that are spent."""
        spent = self.spent()
        return frozenset(
            question
            for declared in self._on_tasks()
            for mark, question in zip(
                declared.get("marks", ()), declared.get("questions", ()), strict=False
            )
            if question and mark in spent
        )

    def _on_tasks(self) -> list[Mapping[str, Any]]:
        return [declared for declared in self.declared if declared.get("source") != FEEDBACK]

    def _proved(self, declared: Mapping[str, Any]) -> bool:
        return (self.closed or {}).get(declared["t"], {}).get("proved") is True


def campaign_of(ledger: Events) -> Campaign:
    """Read the campaign from the ledger."""
    declared, closed, promoted_on = [], {}, set[str]()
    for event in ledger.events(("CONFIRM", "PROMOTE")):
        if event.kind == "PROMOTE":
            promoted_on.update(event.body.get("spent", ()))
        elif "closes" in event.body:
            closed[event.body["closes"]] = event.body
        else:
            # Which plugins were loaded is no part of the test that was declared.
            declared.append({name: v for name, v in event.body.items() if name != "loaded"})
    return Campaign(tuple(declared), closed, frozenset(promoted_on))


def closing(t: int, *, proved: bool, asked: int) -> dict[str, Any]:
    """Return the body of the entry that closes confirmation ``t``, which asked so many tasks."""
    return {"closes": t, "proved": proved, "asked": asked}


def task_mark(task_id: str) -> str:
    """Return the eight hex digits by which the ledger remembers a spent task."""
    return digest(task_id)[:8]


def question_mark(task: Task) -> str:
    """Return the eight hex digits by which the ledger remembers the question of a spent task.

    Nothing for one so short that honest data ask it again and again.
    """
    question = question_key(task)
    return "" if recurs(question) else digest(question)[:8]


def cluster_of(task: Task, column: str | None) -> str | None:
    """Return the source that a task shares with others, None where the suite names no column.

    Raises:
        SuiteError: the task does not have the column.
    """
    if column is None:
        return None
    if (value := source_of(task, column)) is None:
        raise SuiteError(
            f"task {task.id!r} has no {column!r}, by which the suite clusters its tasks",
            hint=f"give every confirm task a {column!r}, or remove clusters from the suite",
        )
    return value


def fresh_tasks(suite: Suite, campaign: Campaign) -> list[Task]:
    """Return the confirm tasks that can still prove something.

    A task is spent together with all others of its cluster. Of tasks that share an instruction only
    their ids say which are spent.

    Raises:
        SuiteError: a task lacks its cluster, or a cluster has tasks of both splits.
    """
    column, tasks = suite.definition.clusters, suite.split("confirm")
    spent = _spent_ids(tasks, campaign)
    if column is None:
        return [task for task in tasks if task.id not in spent]
    seen = {source_of(task, column) for task in suite.split("select")}
    used = {cluster_of(task, column) for task in tasks if task.id in spent}
    if leaks := sorted(str(c) for c in seen & {cluster_of(task, column) for task in tasks}):
        raise SuiteError(
            f"{column} {leaks[0]!r} has select and confirm tasks: what is searched on proves "
            "nothing",
            hint=f'give all tasks of one {column} the same "split"',
        )
    return [task for task in tasks if cluster_of(task, column) not in used]


def _spent_ids(tasks: Sequence[Task], campaign: Campaign) -> set[str]:
    spent, questions = campaign.spent(), campaign.spent_questions()
    found = {task.id for task in tasks if task_mark(task.id) in spent}
    if questions:
        marked = [(task, question_mark(task)) for task in tasks]
        questions -= instructions(marked)
        found |= {task.id for task, question in marked if question in questions}
    return found


def require_fresh(suite: Suite, campaign: Campaign) -> list[Task]:
    """Return the fresh confirm tasks.

    Raises:
        SuiteError: fewer than 100 are left, or ``fresh_tasks`` refuses the suite.
    """
    fresh = fresh_tasks(suite, campaign)
    if len(fresh) < MIN_CONFIRM:
        raise SuiteError(
            f"{len(fresh)} fresh confirm tasks are left in suite {suite.definition.name!r}, "
            f"a promotion needs {MIN_CONFIRM}",
            hint="tasks that proved something cannot prove the next thing: add new tasks",
        )
    return fresh


def in_order(tasks: Iterable[Task], column: str | None, seed: int) -> list[Task]:
    """Return the tasks in a seeded order, those of one cluster together."""
    ordered = seeded_order(tasks, seed)
    if column is None:
        return ordered
    return sorted(ordered, key=lambda task: digest([seed, "cluster", cluster_of(task, column)]))
