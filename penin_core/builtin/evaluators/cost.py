"""Cost: money, time and tokens against a frozen baseline; energy for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from penin_core import Completion, ComponentOptions, Evaluator, Task
from penin_core.omega import metrics

Rows = Sequence[tuple[Task, Sequence[Completion], float]]


class Cost(Evaluator):
    """Money, time and tokens against the frozen baseline: equal is 0.5, lower is better."""

    name = "cost"
    axis = "C"

    def prepare(self, tasks: Sequence[Task], baseline: Mapping[str, float]) -> None:
        """Keep the baseline."""
        self.baseline = dict(baseline)

    def applies(self, task: Task) -> bool:
        """Say whether there is a baseline to compare with; without one, C is not measured."""
        return any(self.baseline.values())

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the cost score of one answer."""
        return self._score(completions[:1])

    def aggregate(self, rows: Rows) -> float | None:
        """Return the cost score of the means."""
        return self._score([completions[0] for _, completions, _ in rows]) if rows else None

    def _score(self, answers: Sequence[Completion]) -> float:
        costs = [answer.cost_usd for answer in answers if answer.cost_usd is not None]
        if len(costs) < len(answers):
            raise ValueError("an answer has no known cost")
        latency = fmean(answer.latency_ms for answer in answers)
        tokens = fmean(float(answer.tokens_in + answer.tokens_out) for answer in answers)
        return metrics.cost_score(fmean(costs), latency, tokens, self.baseline)


class WattHours(ComponentOptions):
    """Energy of a thousand tokens, in watt-hours, as somebody measured it for one model."""

    tokens_in: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    tokens_out: float = Field(ge=0.0, allow_inf_nan=False)


class Energy(Evaluator):
    """Energy from counted tokens and a factor for each model, in Wh per answer; recorded.

    The share of answers from models with a factor stands beside it; without any there is no figure.
    """

    name = "energy"
    family = "energy_known"
    axis = "C"
    role = "record"

    class Options(ComponentOptions):
        """Watt-hours for a thousand tokens, by the name that the service gives the model."""

        wh_per_1k: dict[str, WattHours] = {}

    options: Energy.Options

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 where the model of the answer has a factor, else 0.0."""
        return float(completions[0].model in self.options.wh_per_1k)

    def details(self, rows: Rows) -> Mapping[str, float]:
        """Return ``energy_wh``: the mean over the answers whose model has a factor."""
        known = [self._energy(answers[0]) for _, answers, score in rows if score == 1.0]
        return {"energy_wh": fmean(known)} if known else {}

    def _energy(self, answer: Completion) -> float:
        factor = self.options.wh_per_1k[answer.model]
        spent = answer.tokens_in * factor.tokens_in + answer.tokens_out * factor.tokens_out
        return spent / 1000.0
