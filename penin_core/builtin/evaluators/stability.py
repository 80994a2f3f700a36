"""Stability: calibration, robustness, and whether repeats agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Literal

import numpy as np
from pydantic import field_validator

from penin_core import Completion, ComponentOptions, Evaluator, ProviderBadReply, Task
from penin_core.builtin.perturbations import (
    DEFAULT_PERTURBATIONS,
    INSTRUCTION_PERTURBATIONS,
    PERTURBATIONS,
)
from penin_core.omega import metrics
from penin_core.omega.ethics_metrics import expected_calibration_error

Rows = Sequence[tuple[Task, Sequence[Completion], float]]


def _decided(task: Task) -> bool:
    """Say whether an answer can be right or wrong: there is a reference, or a named verifier."""
    return task.expected is not None or task.metric is not None


class Calibration(Evaluator):
    """Expected calibration error of the answers' probabilities, measured or stated."""

    name = "calibration"
    family = "ece"
    axis = "S"
    lower_is_better = True

    class Options(ComponentOptions):
        """Where confidence comes from; the suite's ``calibration`` unless given."""

        source: Literal["logprobs", "stated"] = "logprobs"

    options: Calibration.Options

    def applies(self, task: Task) -> bool:
        """Say whether the answer can be right or wrong."""
        return _decided(task)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the confidence in the answer.

        Raises:
            ProviderBadReply: it came without log-probabilities, or does not state the confidence
                that it was asked for.
        """
        confidence = completions[0].confidence
        if confidence is None:
            stated = self.options.source == "stated"
            raise ProviderBadReply(
                "the answer states no confidence"
                if stated
                else "the answer has no log-probabilities"
            )
        return confidence

    def aggregate(self, rows: Rows) -> float | None:
        """Return the ECE over ten bins of equal mass (Roelofs et al. 2022)."""
        if not rows:
            return None
        correct = [int(completions[0].utility == 1.0) for _, completions, _ in rows]
        return expected_calibration_error([score for _, _, score in rows], correct).ece


class Robustness(Evaluator):
    """How much of the utility of solved tasks survives changes that keep the meaning."""

    name = "robustness"
    axis = "S"
    deep = True

    class Options(ComponentOptions):
        """Which perturbations are applied."""

        perturbations: tuple[str, ...] = DEFAULT_PERTURBATIONS

        @field_validator("perturbations")
        @classmethod
        def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            known = [*PERTURBATIONS, *INSTRUCTION_PERTURBATIONS]
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"{unknown[0]!r} is none of {', '.join(known)}")
            if not names:
                raise ValueError(f"name some of {', '.join(known)}")
            return names

    options: Robustness.Options

    def applies(self, task: Task) -> bool:
        """Say whether the answer can be right or wrong."""
        return _decided(task)

    def variants(self, task: Task, rng: np.random.Generator) -> Sequence[Task]:
        """Return the task and one form of it for every perturbation that changes something."""
        # What came back as it was has survived nothing.
        return (task, *(form for form in self._changed(task, rng) if form != task))

    def _changed(self, task: Task, rng: np.random.Generator) -> Iterator[Task]:
        keep = frozenset(_values(task.expected))
        for name in self.options.perturbations:
            if name in PERTURBATIONS:
                update = {"input": PERTURBATIONS[name](task.input, rng, keep)}
            else:
                update = {"system": INSTRUCTION_PERTURBATIONS[name](task.system, rng, keep)}
            yield task.model_copy(update=update)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the mean of min(1, perturbed / original).

        0 for a task that was not solved, or that no perturbation changes.
        """
        original, *perturbed = (c.utility or 0.0 for c in completions)
        solved = original > 0 and perturbed
        return fmean(min(1.0, p / original) for p in perturbed) if solved else 0.0

    def aggregate(self, rows: Rows) -> float | None:
        """Return the mean over solved tasks that a perturbation changed; 0 where none was solved.

        None where nothing could be changed.
        """
        changed = [row for row in rows if len(row[1]) > 1]
        if not changed:
            return None
        solved = [score for _, completions, score in changed if (completions[0].utility or 0.0) > 0]
        return fmean(solved) if solved else 0.0


class Agreement(Evaluator):
    """How often repeats of the same question give the same answer; recorded, for CAOS's C."""

    name = "agreement"
    axis = "S"
    role = "record"
    deep = True

    def variants(self, task: Task, rng: np.random.Generator) -> Sequence[Task]:
        """Return two independent draws of the task."""
        return (task, task.model_copy(update={"sample": 1}))

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 where both answers are equal after normalisation, else 0.0."""
        first, second = (metrics.normalize_text(c.text) for c in completions)
        return float(first == second)


def _values(expected: object) -> list[str]:
    """Return the texts of an expected answer that a perturbation must not touch."""
    if isinstance(expected, dict):
        return [text for value in expected.values() for text in _values(value)]
    if isinstance(expected, tuple | list):
        return [text for value in expected for text in _values(value)]
    return [] if expected is None else [str(expected)]
