"""Candidates from two configurations, or on another model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pydantic import field_validator

from penin_core import Candidate, ComponentOptions, Configuration, Evaluation, Mutator

#: What a crossover takes from either parent; a model comes with its adapter and its extras.
GENES = (
    ("provider", "model", "adapter", "extra"),
    ("system",),
    ("prompt",),
    ("examples",),
    ("temperature",),
    ("top_p",),
    ("max_tokens",),
)
#: So many of the best of a race are remembered.
_PARTNERS = 8


class Crossover(Mutator):
    """The champion crossed with the best candidates of the race before, or of earlier ones.

    Each gene (model, instruction, prompt, examples, temperature, top_p, max_tokens) comes from one
    of the two, and neither parent is proposed again. Partners are the best of the last race in this
    process, then what it was asked to start from just before: so a parent from the free lineage is
    crossed with the champion. Before there was any race it proposes nothing.
    """

    name = "crossover"

    def __init__(self, options: ComponentOptions | None = None) -> None:
        super().__init__(options)
        self.partners: list[Candidate] = []
        self.before: list[Candidate] = []

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Remember the best: on the most tasks first, then by utility, then by cost."""
        latest = {evaluation.candidate.hash: evaluation for evaluation in evaluations}
        ranked = sorted(latest.values(), key=_rank)
        self.partners = [evaluation.candidate for evaluation in ranked[:_PARTNERS]]

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return up to ``count`` children of the champion and the best partner that differs."""
        partners, proposed = [*self.partners, *self.before], {champion.hash}
        self.before = [champion]
        for partner in partners:
            if len(proposed) > count:
                return
            other = partner.config
            differing = _differing(champion, partner)
            for mask in rng.permutation(range(1, 2 ** len(differing) - 1)):
                changes: dict[str, Any] = {}
                for bit, genes in enumerate(differing):
                    changes |= _taken(other, genes) if int(mask) >> bit & 1 else {}
                child = champion.child(
                    self.name, f"{', '.join(changes)} of {partner.hash[:8]}", **changes
                )
                if child.hash not in proposed and len(proposed) <= count:
                    proposed.add(child.hash)
                    yield child


def _differing(champion: Candidate, partner: Candidate) -> list[tuple[str, ...]]:
    """Return the genes in which two candidates differ, and differ for the model."""
    own, other = champion.config, partner.config
    moved = (own.provider, own.model) != (other.provider, other.model)
    refused = set() if moved else set(champion.refused)
    return [g for g in GENES if _taken(own, g) != _taken(other, g) and not refused.issuperset(g)]


def _rank(evaluation: Evaluation) -> tuple[float, float, float, str]:
    measured = evaluation.measurement
    cost = 1.0 if measured.C is None else measured.C
    return (-measured.n_tasks, -(measured.U or 0.0), cost, evaluation.candidate.hash)


def _taken(config: Configuration, genes: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(config, name) for name in genes}


class ModelSwap(Mutator):
    """The champion's configuration on other models."""

    name = "model_swap"

    class Options(ComponentOptions):
        """The models to try, each written ``provider:model``."""

        models: tuple[str, ...] = ()

        @field_validator("models")
        @classmethod
        def _pairs(cls, models: tuple[str, ...]) -> tuple[str, ...]:
            for name in models:
                provider, _, model = name.partition(":")
                if not provider or not model:
                    raise ValueError(f"{name!r} is not of the form provider:model")
            return models

    options: ModelSwap.Options

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return up to ``count`` children in the order of the options.

        An adapter belongs to its model and stays behind, and so do another service's extras.
        """
        now, proposed = champion.config, 0
        for name in dict.fromkeys(self.options.models):
            provider, _, model = name.partition(":")
            if proposed == count or (provider, model) == (now.provider, now.model):
                continue
            extra = now.extra if provider == now.provider else {}
            proposed += 1
            yield champion.child(
                self.name,
                f"model {name}",
                provider=provider,
                model=model,
                adapter=None,
                extra=extra,
            )
