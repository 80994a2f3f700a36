"""Utility: how well an answer agrees with what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from penin_core import Completion, Evaluator, Task
from penin_core.omega import metrics


class _TextMetric(Evaluator):
    """Base of the metrics that compare an answer with one or several accepted texts."""

    axis = "U"
    compare: ClassVar[staticmethod[[str, str], float]]

    def applies(self, task: Task) -> bool:
        """Say whether the task expects a text."""
        return isinstance(task.expected, str | tuple)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the best agreement with any accepted text."""
        given, texts = completions[0].text, accepted(task)
        # With itself a text agrees by every measure.
        return 1.0 if given in texts else max(self.compare(given, text) for text in texts)


class ExactMatch(_TextMetric):
    """1 where the answer equals an accepted one after normalisation, else 0; objects by value."""

    name = "exact_match"
    family = "em"
    compare = staticmethod(metrics.exact_match)

    def applies(self, task: Task) -> bool:
        """Say whether there is anything to compare with."""
        return task.expected is not None

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 or 0.0."""
        if isinstance(task.expected, dict):
            found = metrics.parse_json_object(completions[0].text)
            return 0.0 if found is None else float(metrics.object_exact(found, task.expected))
        return super().score(task, completions)


class TokenF1(_TextMetric):
    """F1 of the words that answer and accepted text share."""

    name = "token_f1"
    family = "f1"
    compare = staticmethod(metrics.token_f1)


class RougeL(_TextMetric):
    """F1 of the longest common subsequence of words (Lin 2004)."""

    name = "rouge_l"
    family = "rouge"
    compare = staticmethod(metrics.rouge_l_f)


class FieldF1(Evaluator):
    """F1 of the fields of an object; an answer that is no JSON object scores 0."""

    name = "field_f1"
    family = "f1"
    axis = "U"

    def applies(self, task: Task) -> bool:
        """Say whether the task expects an object."""
        return isinstance(task.expected, dict)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the F1 of key-value pairs."""
        found = metrics.parse_json_object(completions[0].text)
        return 0.0 if found is None else metrics.field_f1(found, task.expected)


def accepted(task: Task) -> tuple[str, ...]:
    """Return the texts that ``task`` accepts; none where it expects an object or nothing."""
    if isinstance(task.expected, str):
        return (task.expected,)
    return task.expected if isinstance(task.expected, tuple) else ()
