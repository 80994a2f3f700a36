"""Suites: the tasks that a champion is measured on, and what each of them is for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .canonical import canonical_json, digest
from .errors import SuiteError
from .leaks import RECURRING, SHORT, Leak, find_leaks, question_key, taught_texts
from .records import Example, Split, Task
from .settings import Baseline, SuiteDefinition

#: Fewer confirm tasks than this never promote anything.
MIN_CONFIRM = 100
MIN_SELECT = 20

_KNOWN = frozenset(Task.model_fields) - {"fields", "examples", "sample"}


@dataclass(frozen=True)
class Suite:
    """A definition, its tasks, and the texts that a model was trained on, by place."""

    definition: SuiteDefinition
    tasks: tuple[Task, ...]
    training: tuple[tuple[str, str], ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 over definition and tasks; the frozen baseline does not count."""
        elsewhere = {"baseline", "tasks", "training"}
        definition = canonical_json(self.definition.model_dump(mode="json", exclude=elsewhere))
        # One at a time: all of them at once would take a lot of memory.
        tasks = b",".join(canonical_json(task.model_dump(mode="json")) for task in self.tasks)
        return sha256(b"[%b,[%b]]" % (definition, tasks)).hexdigest()

    @property
    def baseline(self) -> Baseline | None:
        """The frozen reference of the cost axis, if it has been measured."""
        return self.definition.baseline

    def split(self, name: Split) -> list[Task]:
        """Return the tasks of one split, in file order."""
        return [task for task in self.tasks if task.split == name]

    def sample(self, name: Split, count: int, seed: int) -> list[Task]:
        """Return up to ``count`` tasks of a split, the first of a seeded order."""
        return seeded_order(self.split(name), seed)[:count]

    def require_provable(self) -> None:
        """Raise SuiteError where the suite is too small to promote anything, or leaks."""
        for split, least in (("select", MIN_SELECT), ("confirm", MIN_CONFIRM)):
            have = sum(task.split == split for task in self.tasks)
            if have < least:
                raise SuiteError(
                    f"suite {self.definition.name!r} has {have} {split} tasks; a promotion needs "
                    f"at least {least}",
                    hint="add tasks; `penin evaluate` works with any number",
                )
        if leaks := self.leaks():
            shown = ", ".join(map(str, leaks[:5])) + (", ..." if len(leaks) > 5 else "")
            raise SuiteError(
                f"suite {self.definition.name!r} has {len(leaks)} confirm tasks that were seen "
                f"before: {shown}",
                hint=f"remove them{_short_too(leaks)}; a file without `split` is divided so that "
                "equal tasks stay together",
            )

    def leaks(self) -> list[Leak]:
        """Return the confirm tasks that stand among the select tasks or in the training files."""
        return find_leaks(
            self.split("confirm"), [*_questions(self.split("select")), *self.training]
        )


def _short_too(leaks: Sequence[Leak]) -> str:
    short = sum(leak.short for leak in leaks)
    if not short:
        return ""
    return (
        f" ({short} have fewer than {SHORT} characters: such ones may recur in up to "
        f"{RECURRING:.0%} of the confirm tasks)"
    )


def seeded_order(tasks: Iterable[Task], seed: int) -> list[Task]:
    """Return ``tasks`` ordered by a hash of (seed, id), whatever order they came in."""
    return sorted(tasks, key=lambda task: digest([seed, task.id]))


def example_of(task: Task) -> Example | None:
    """Return the task as a solved example, or None where no answer is known."""
    expected = task.expected
    if expected is None:
        return None
    if isinstance(expected, tuple):
        expected = expected[0]
    output = expected if isinstance(expected, str) else json.dumps(expected, ensure_ascii=False)
    return Example(input=task.input, output=output, tags=task.tags, fields=task.fields)


def load_suite(definition: SuiteDefinition, folder: Path, shipped: Mapping[str, Any]) -> Suite:
    """Read a suite: from its task file, else from the ``shipped`` ones (name -> function).

    Raises:
        SuiteError: an unknown name, or a task file with a mistake (file, line, reason).
    """
    if definition.tasks is not None:
        tasks = read_tasks(folder / definition.tasks, definition.clusters)
    elif definition.name in shipped:
        tasks = [Task.model_validate(row) for row in shipped[definition.name]()]
    else:
        raise SuiteError(
            f"no suite named {definition.name!r} ships with penin",
            hint=f"shipped: {', '.join(sorted(shipped))}; or name a file of tasks",
        )
    _require_reasons(definition)
    training = [row for name in definition.training for row in _read_training(folder / name)]
    return Suite(definition, tuple(tasks), tuple(training))


def _require_reasons(definition: SuiteDefinition) -> None:
    for gate in ("calibration", "groups", "consent"):
        if getattr(definition, gate) == "not_applicable" and not definition.reasons.get(gate):
            raise SuiteError(
                f"suite {definition.name!r} declares {gate} not applicable without a reason",
                hint=f'write it: [suite.reasons] {gate} = "why"',
            )


def read_tasks(path: Path, clusters: str | None = None) -> list[Task]:
    """Read a JSON Lines file of tasks; rows without ``split`` are divided, ``clusters`` as a whole.

    Raises:
        SuiteError: the file cannot be read or is empty, or a line is wrong (its number and why).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(
            f"{path}: cannot be read ({error})", hint="name a JSON Lines file"
        ) from error
    tasks = [_read_task(line, path, n) for n, line in enumerate(lines, 1) if line.strip()]
    if not tasks:
        raise SuiteError(
            f"{path}: holds no task", hint="one JSON object a line: id, input, expected"
        )
    repeated = [task_id for task_id, n in Counter(task.id for task in tasks).items() if n > 1]
    if repeated:
        raise SuiteError(f"{path}: id {repeated[0]!r} occurs twice", hint="ids must be unique")
    return divided(tasks, clusters)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a file that are not blank, with their numbers."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(
            f"{path}: cannot be read ({error})", hint="name a JSON Lines file"
        ) from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _read_training(path: Path) -> list[tuple[str, str]]:
    """Return the texts in a file of training data that can give a question away, by line."""
    found = []
    for number, line in _lines(path):
        try:
            texts = [*taught_texts(json.loads(line))]
        except (ValueError, RecursionError) as error:
            raise SuiteError(
                f"{path}, line {number}: {error or 'nested too deeply'}",
                hint="training data are JSON Lines",
            ) from None
        found += [(f"{path.name}:{number}", text) for text in texts]
    return found


def _read_task(line: str, path: Path, number: int) -> Task:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")
        canonical_json(row)
        known = {key: value for key, value in row.items() if key in _KNOWN}
        extra = {key: value for key, value in row.items() if key not in _KNOWN}
        return Task.model_validate({**known, "fields": extra})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        reason = f"{place}: {problem['msg'].lower()}"
        raise _bad_line(path, number, reason) from None
    except (ValueError, RecursionError) as error:
        raise _bad_line(path, number, str(error) or "nested too deeply") from None


def _bad_line(path: Path, number: int, reason: str) -> SuiteError:
    return SuiteError(
        f"{path}, line {number}: {reason}",
        hint='a task is {"id": ..., "input": ..., "expected": ...} on one line',
    )


def source_of(task: Task, column: str) -> str | None:
    """Return the value of the column by which a suite clusters its tasks, None without one."""
    value = task.group if column == "group" else task.fields.get(column)
    return None if value is None else str(value)


def divided(tasks: Sequence[Task], clusters: str | None = None) -> list[Task]:
    """Give every task without a split one: half select, half confirm, by a hash of its question.

    Equal questions so stand in the same half, and where ``clusters`` names a column, all tasks of
    one source. A confirm task of ours that a select task gives away all the same goes to select,
    its source with it: the search may see what could have confirmed, never the reverse.
    """
    ours = {task.id for task in tasks if task.split is None}
    if not ours:
        return [*tasks]
    unit = {task.id: question_key(task) for task in tasks}
    if clusters is not None:
        unit |= {task.id: found for task in tasks if (found := source_of(task, clusters))}
    split = {task.id: task.split or _half(unit[task.id]) for task in tasks}
    while ours:
        confirm = [task for task in tasks if task.id in ours and split[task.id] == "confirm"]
        select = [task for task in tasks if split[task.id] == "select"]
        leaks = find_leaks(confirm, _questions(select))
        # A source is not given away by a "yes" in it.
        given_away = {unit[leak.task] for leak in leaks if not (clusters and leak.short)}
        if not given_away:
            break
        split |= dict.fromkeys((i for i in ours if unit[i] in given_away), "select")
    return [
        task if task.split else task.model_copy(update={"split": split[task.id]}) for task in tasks
    ]


def _half(question: str) -> Split:
    return "select" if int(digest(question)[:8], 16) % 2 else "confirm"


def _questions(tasks: Iterable[Task]) -> Iterator[tuple[str, str]]:
    return ((task.id, question_key(task)) for task in tasks)
