"""Which metric decides whether an answer to a task is good, and which tasks have none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .contracts import Evaluator
from .errors import EvaluationFailed, SuiteError
from .measuring import Blame
from .records import Split, Task
from .suites import Suite

#: A champion is searched and proved on these: without a grade their tasks count as lost.
GRADED: tuple[Split, ...] = ("select", "confirm")
REMEDY = (
    'give each an "expected", or a "metric" that the suite names and that can grade it; or take it '
    "out of these splits"
)
_SHOWN = 5


def metrics_of(evaluators: Iterable[Evaluator]) -> list[Evaluator]:
    """Return those that can grade an answer, in the order in which they are asked."""
    return [e for e in evaluators if e.axis == "U" and e.role == "axis"]


def prepare(suite: Suite, evaluators: Iterable[Evaluator]) -> None:
    """Let evaluators look at the ``select`` tasks and at the frozen baseline.

    Raises:
        EvaluationFailed: one of them failed.
    """
    tasks = suite.split("select")
    baseline = suite.baseline.model_dump() if suite.baseline else {}
    for evaluator in evaluators:
        with Blame(evaluator):
            evaluator.prepare(tasks, baseline)


def metric_of(task: Task, metrics: Sequence[Evaluator]) -> Evaluator | None:
    """Return the metric that the task names, else the first that can grade it, else None.

    Raises:
        EvaluationFailed: the task names a metric that the suite lacks.
    """
    if task.metric is None:
        return next((metric for metric in metrics if metric.applies(task)), None)
    named = next((metric for metric in metrics if metric.name == task.metric), None)
    if named is None:
        raise EvaluationFailed(
            f"task {task.id!r} wants the metric {task.metric!r}, which the suite lacks",
            hint=f"the suite measures: {', '.join(metric.name for metric in metrics)}",
        )
    return named


def ungraded(suite: Suite, evaluators: Iterable[Evaluator]) -> list[str]:
    """Return the ids of the tasks to search or to confirm on that no metric can grade.

    Raises:
        EvaluationFailed: a metric failed, or a task names one that the suite lacks.
    """
    metrics = metrics_of(evaluators)
    prepare(suite, metrics)
    tasks = (task for task in suite.tasks if task.split in GRADED)
    return [task.id for task in tasks if metric_of(task, metrics) is None]


def require_graded(suite: Suite, evaluators: Iterable[Evaluator]) -> None:
    """Refuse a suite with tasks to search or to confirm on that no metric can grade.

    Raises:
        SuiteError: there are such tasks; the message names the first.
        EvaluationFailed: as ``ungraded``.
    """
    if found := ungraded(suite, evaluators):
        shown = ", ".join(map(repr, found[:_SHOWN])) + (", ..." * (len(found) > _SHOWN))
        raise SuiteError(
            f"no metric of suite {suite.definition.name!r} can grade {len(found)} of its "
            f"{sum(task.split in GRADED for task in suite.tasks)} {' and '.join(GRADED)} tasks: "
            f"{shown}",
            hint=REMEDY,
        )
