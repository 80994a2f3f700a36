"""A score for answers that are no longer than they need to be."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from penin_core import Completion, ComponentOptions, Evaluator, Task, hookimpl

penin_api = 1


class Brevity(Evaluator):
    """1 where the answer is about as long as the expected one, less where it is longer."""

    name = "brevity"
    axis = "U"

    class Options(ComponentOptions):
        """The table [evaluators.brevity] of penin.toml."""

        tolerance: float = Field(default=1.0, ge=1.0)

    options: Options

    def applies(self, task: Task) -> bool:
        """Say whether the task has one expected text."""
        return isinstance(task.expected, str) and bool(task.expected)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the length that is allowed by the length of the answer, at most 1."""
        assert isinstance(task.expected, str)
        allowed = self.options.tolerance * len(task.expected)
        return min(1.0, allowed / max(1, len(completions[0].text)))


@hookimpl
def penin_register_evaluators() -> list[type[Evaluator]]:
    """Return the evaluator."""
    return [Brevity]
