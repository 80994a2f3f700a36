"""A score for answers that are no longer than they need to be."""

from __future__ import annotations

from collections.abc import Sequence

from penin_core import Completion, Evaluator, Task, hookimpl

penin_api = 1


class OldEvaluator(Evaluator):
    """1 where the answer is no longer than the expected one, less where it is."""

    name = "old-evaluator"
    axis = "U"

    def applies(self, task: Task) -> bool:
        """Say whether the task has one expected text."""
        return isinstance(task.expected, str) and bool(task.expected)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the expected length by the length of the answer, at most 1."""
        assert isinstance(task.expected, str)
        return min(1.0, len(task.expected) / max(1, len(completions[0].text)))


@hookimpl
def penin_register_evaluators() -> list[type[Evaluator]]:
    """Return the evaluator."""
    return [OldEvaluator]
