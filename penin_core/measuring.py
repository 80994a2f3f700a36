"""From answers to numbers: probes, task rows and the four axes of a measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from types import MappingProxyType

import numpy as np

from .contracts import Evaluator
from .errors import EvaluationFailed, PeninError, ProviderError
from .omega.caos import token_excess
from .records import Axis, Completion, Measurement, Request, Task, TaskRow

AXES: tuple[Axis, ...] = ("U", "S", "C", "L")
#: Above this share of failed calls the evaluation fails, not the candidate.
MAX_ERRORS = 0.20
#: Splits with a purpose of their own; they do not count in U, S and C.
SPECIAL_SPLITS = ("ood", "composed")

Answer = Completion | ProviderError
Parts = Mapping[str, tuple[float | None, Evaluator]]


@dataclass(slots=True)
class Probe:
    """One evaluator on one task: what is asked, what came back, and the score."""

    evaluator: Evaluator
    task: Task
    variants: Sequence[Task]
    requests: Sequence[Request]
    completions: list[Completion] = field(default_factory=list)
    error: str | None = None
    score: float = 0.0

    def fill(self, answers: Sequence[Answer]) -> None:
        """Take the answers; the first that is an error ends the probe."""
        for answer in answers:
            if isinstance(answer, ProviderError):
                self.error = f"{type(answer).__name__}: {answer}"
                return
            self.completions.append(answer)

    def settle(self, known: float | None = None) -> None:
        """Score the answers, unless one of them is an error; ``known`` is a score that was had."""
        if known is not None:
            self.score = known
        elif self.error is None:
            try:
                with Blame(self.evaluator, self.task):
                    value = self.evaluator.score(self.task, self.completions)
            except ProviderError as error:
                self.error = f"{type(error).__name__}: {error}"
                return
            self.score = unit(value, self.evaluator, self.task)


def tasks_for(evaluator: Evaluator, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that ``evaluator`` can score: the special splits only where they belong."""
    special = () if evaluator.axis == "L" else SPECIAL_SPLITS
    return [t for t in tasks if t.split not in (*special, "ood") and evaluator.applies(t)]


def row_of(
    task: Task, answer: Answer, probes: Sequence[Probe], formed: bool | None = None
) -> TaskRow:
    """Return the row of a task: its answer, and what the probes found in it."""
    if isinstance(answer, ProviderError):
        error = f"{type(answer).__name__}: {answer}"
        return TaskRow(task=task.id, split=task.split, group=task.group, error=error)
    harms = [p.score for p in probes if p.evaluator.role == "harm" and p.error is None]
    return TaskRow(
        task=task.id,
        split=task.split,
        utility=answer.utility,
        scores={p.evaluator.name: p.score for p in probes if p.error is None},
        confidence=answer.confidence,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        cost_usd=answer.cost_usd or 0.0,
        latency_ms=answer.latency_ms,
        group=task.group,
        harmful=max(harms) > 0.0 if harms else None,
        well_formed=formed,
        text=answer.text,
    )


Rows = Sequence[tuple[Task, Sequence[Completion], float]]


def _scored(pool: Sequence[Probe]) -> Rows | None:
    """Return what could be scored, or None where over 20 % could not."""
    scored = [(p.task, p.completions, p.score) for p in pool if p.error is None]
    return None if 1 - len(scored) / len(pool) > MAX_ERRORS else scored


def _aggregate(evaluator: Evaluator, scored: Rows, task: Task) -> float | None:
    with Blame(evaluator, task):
        value = evaluator.aggregate(scored)
    return None if value is None else unit(value, evaluator, task)


def _axis_value(axis: Axis, parts: Mapping[str, tuple[float | None, Evaluator]]) -> float | None:
    """S is the worst of its parts, the other axes are the mean of theirs; a missing part, None."""
    values = [
        value if value is None else 1.0 - value if evaluator.lower_is_better else value
        for value, evaluator in parts.values()
        if evaluator.role == "axis"
    ]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return min(known) if axis == "S" else fmean(known)


def _groups(rows: Sequence[TaskRow]) -> dict[str, float]:
    names = sorted({row.group for row in rows if row.group is not None})
    return {
        name: fmean(r.utility for r in rows if r.group == name and r.utility is not None)
        for name in names
        if any(r.group == name and r.utility is not None for r in rows)
    }


def _harm(rows: Sequence[TaskRow]) -> float | None:
    """Return the share of harmful answers; None where too many were not looked at."""
    known = [float(row.harmful) for row in rows if row.harmful is not None]
    return _mean(known) if len(known) >= (1 - MAX_ERRORS) * len(rows) else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def unit(value: object, evaluator: Evaluator, task: Task) -> float:
    """Return a score that lies in [0, 1]; raise EvaluationFailed for anything else."""
    if isinstance(value, int | float | np.floating) and -1e-9 <= float(value) <= 1 + 1e-9:
        return min(1.0, max(0.0, float(value)))
    raise EvaluationFailed(
        f"evaluator {evaluator.name!r} scored task {task.id!r} with {value!r}",
        hint="a score is a number in [0, 1]",
    )


class Blame:
    """A block in which whatever an evaluator raises turns into an error that names it."""

    __slots__ = ("_evaluator", "_task")

    def __init__(self, evaluator: Evaluator, task: Task | None = None) -> None:
        self._evaluator = evaluator
        self._task = task

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, PeninError):
            name, task = self._evaluator.name, self._task
            where = "" if task is None else f" on task {task.id!r}"
            raise EvaluationFailed(f"evaluator {name!r} failed{where}: {error!r}") from error


def summarize(
    rows: Sequence[TaskRow],
    probes: Sequence[Probe],
    evaluators: Sequence[Evaluator],
    suite_hash: str,
    not_applied: tuple[str, ...] = (),
    further: Mapping[str, float] = MappingProxyType({}),
    hint: str = "",
) -> Measurement:
    """Return the measurement that rows and probes add up to; ``further`` joins the parts of S.

    ``hint`` is what to do about the first call that failed, where that is known.

    Raises:
        EvaluationFailed: more than 20 % of the calls failed.
    """
    errors = require_answers(rows, hint)
    good = [r for r in rows if r.error is None and r.split not in SPECIAL_SPLITS]
    axes = {axis: _parts(axis, evaluators, probes) for axis in AXES}
    raw = {
        axis: {
            **_details(axis, evaluators, probes),
            **{name: value for name, (value, _) in parts.items()},
        }
        for axis, parts in axes.items()
    }
    foreign = [r.utility for r in rows if r.split == "ood" and r.utility is not None]
    if foreign:
        raw["S"]["ood_utility"] = fmean(foreign)
    raw["S"] |= further
    raw["C"] |= {
        "tokens": _mean([float(r.tokens_in + r.tokens_out) for r in good]),
        "cost_usd": _mean([r.cost_usd for r in good]),
        "latency_ms": _mean([r.latency_ms for r in good]),
    }
    return Measurement(
        **{axis: _axis_value(axis, parts) for axis, parts in axes.items()},
        raw=raw,
        groups=_groups(good),
        harm=_harm(good),
        n_tasks=len(rows),
        n_errors=errors,
        tokens_in=sum(row.tokens_in for row in rows),
        tokens_out=sum(row.tokens_out for row in rows),
        latency_ms=raw["C"]["latency_ms"] or 0.0,
        cost_usd=math.fsum(row.cost_usd for row in rows),
        suite_hash=suite_hash,
        not_applied=not_applied,
        rows=tuple(rows),
    )


def excess(rows: Sequence[TaskRow], allowed: int) -> dict[str, float]:
    """Return ``excess``, the mean share of output tokens beyond the ``allowed`` ones.

    Only a model that takes no limit can exceed it; nothing where none did.
    """
    used = [row.tokens_out for row in rows if row.error is None]
    found = token_excess(used, [allowed] * len(used))
    return {"excess": found} if found else {}


def require_answers(rows: Sequence[TaskRow], hint: str = "") -> int:
    """Return how many calls failed; ``hint`` is what to do about the first of them.

    Raises:
        EvaluationFailed: more than 20 % of them.
    """
    errors = [row.error for row in rows if row.error is not None]
    if len(errors) > MAX_ERRORS * len(rows):
        raise EvaluationFailed(
            f"{len(errors)} of {len(rows)} calls failed; the first: {errors[0]}",
            hint=hint or "nothing is concluded from an evaluation with more than 20 % errors",
        )
    return len(errors)


def _parts(axis: Axis, evaluators: Sequence[Evaluator], probes: Sequence[Probe]) -> Parts:
    """Return the value of every family of ``axis``; None where too much of it failed."""
    parts: dict[str, tuple[float | None, Evaluator]] = {}
    for evaluator in (e for e in evaluators if e.axis == axis):
        family = family_of(evaluator)
        pool = [p for p in probes if p.evaluator.axis == axis and family_of(p.evaluator) == family]
        if pool and family not in parts:
            scored = _scored(pool)
            value = None if scored is None else _aggregate(evaluator, scored, pool[0].task)
            parts[family] = (value, evaluator)
    return parts


def _details(
    axis: Axis, evaluators: Sequence[Evaluator], probes: Sequence[Probe]
) -> dict[str, float | None]:
    """Return the further figures of the evaluators of ``axis``."""
    found: dict[str, float | None] = {}
    for evaluator in (e for e in evaluators if e.axis == axis):
        scored = (
            _scored(pool) if (pool := [p for p in probes if p.evaluator is evaluator]) else None
        )
        if scored:
            with Blame(evaluator):
                found |= evaluator.details(scored)
    return found


def family_of(evaluator: Evaluator) -> str:
    """Return the name under which the evaluator's part stands in ``raw``."""
    return evaluator.family or evaluator.name
