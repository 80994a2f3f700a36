"""Cost: money, time and tokens against a frozen baseline; energy for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field, model_validator

from penin_core import Completion, ComponentOptions, Evaluator, Task
from penin_core.omega import metrics

from .impacts import Impact, estimate

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
    """Energy in Wh per answer, from counted tokens and a factor for each model; recorded.

    A factor of your own comes first; for other models EcoLogits estimates, where it is installed
    and ``ecologits`` names the model. The share of answers with a figure stands beside the means;
    without any there is none.
    """

    name = "energy"
    family = "energy_known"
    axis = "C"
    role = "record"

    class Options(ComponentOptions):
        """Factors and EcoLogits' names, by the name that the service gives the model.

        ``wh_per_1k`` holds watt-hours for a thousand tokens, ``ecologits`` names such as
        ``openai/gpt-4o-mini``, ``zone`` the ISO 3166-1 alpha-3 code of the country whose
        electricity counts: the provider's, unless given.
        """

        wh_per_1k: dict[str, WattHours] = {}
        ecologits: dict[str, str] = {}
        zone: str | None = None

        @model_validator(mode="after")
        def _estimable(self) -> Energy.Options:
            for name in self.ecologits.values():
                estimate(name, 1, 1.0, self.zone)
            return self

    options: Energy.Options

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 where there is a figure for the model of the answer, else 0.0."""
        known = {**self.options.wh_per_1k, **self.options.ecologits}
        return float(completions[0].model in known)

    def details(self, rows: Rows) -> Mapping[str, float]:
        """Return the means over the answers with a figure.

        ``energy_wh``, with ``energy_wh_low`` and ``energy_wh_high`` the ends of EcoLogits' ranges
        (equal for a factor); and ``co2e_g``, its grams of CO2e, the hardware's share included, over
        the answers that it estimated.
        """
        found = [self._impact(answers[0]) for _, answers, score in rows if score == 1.0]
        grams = [impact.grams for impact in found if impact.grams is not None]
        means = {"co2e_g": fmean(grams)} if grams else {}
        if found:
            low, high = fmean(i.low for i in found), fmean(i.high for i in found)
            means |= {"energy_wh_low": low, "energy_wh_high": high, "energy_wh": (low + high) / 2}
        return means

    def _impact(self, answer: Completion) -> Impact:
        factor = self.options.wh_per_1k.get(answer.model)
        if factor is None:
            name, seconds = self.options.ecologits[answer.model], answer.latency_ms / 1000
            return estimate(name, answer.tokens_out, seconds, self.options.zone)
        spent = answer.tokens_in * factor.tokens_in + answer.tokens_out * factor.tokens_out
        return Impact(spent / 1000, spent / 1000, None)
