"""What a confirmation looks at: pairs of answers, and the test that they have to pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from penin_core.omega.evidence import (
    EProcess,
    Look,
    crossed,
    horizon_crossed,
    horizon_looks,
    paired_difference,
    relative_saving,
)
from penin_core.omega.metrics import cost_ratio
from penin_core.records import Claim, EvidenceMode, TaskRow

#: Non-inferiority margin of the claim ``cheaper``.
MARGIN = 0.05


@dataclass(frozen=True)
class Pair:
    """Both answers to one task; an error enters the difference at its worst."""

    task: str
    champion: float | None
    challenger: float | None
    difference: float
    saving: float
    cluster: str | None = None


def pair_of(
    old: TaskRow, new: TaskRow, baseline: Mapping[str, float], cluster: str | None = None
) -> Pair:
    """Return the pair of the champion's answer ``old`` and the finalist's answer ``new``."""
    return Pair(
        task=new.task,
        champion=old.utility,
        challenger=new.utility,
        difference=paired_difference(new.utility, old.utility),
        saving=relative_saving(_cost(old, baseline), _cost(new, baseline)),
        cluster=cluster,
    )


def _cost(row: TaskRow, baseline: Mapping[str, float]) -> float | None:
    """Return what one answer cost, in units of the baseline; None for a failed call."""
    if row.error is not None:
        return None
    tokens = float(row.tokens_in + row.tokens_out)
    return cost_ratio(row.cost_usd, row.latency_ms, tokens, baseline)


def units(pairs: Iterable[Pair]) -> list[tuple[float, float]]:
    """Return difference and saving of every unit of evidence: a pair, or the mean of a cluster."""
    found = []
    for cluster, same in groupby(pairs, key=lambda pair: pair.cluster):
        values = [(pair.difference, pair.saving) for pair in same]
        if cluster is None:
            found += values
        else:
            found.append((_mean(d for d, _ in values), _mean(s for _, s in values)))
    return found


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return max(-1.0, min(1.0, math.fsum(known) / len(known)))


class Evidence(Protocol):
    """The test of one claim; for ``cheaper`` utility and cost both have to pass."""

    log_e: float
    log_e_cost: float | None

    @property
    def proved(self) -> bool:
        """Whether the claim is proved by what was looked at."""

    def look(self, difference: float, saving: float) -> None:
        """Take one more unit into account."""


def evidence_for(claim: Claim, alpha: float, mode: EvidenceMode, planned: int) -> Evidence:
    """Return the test of a claim at level ``alpha`` on ``planned`` units, nothing looked at yet."""
    if mode == "anytime":
        return Betting(claim, alpha)
    return Planned(claim, alpha, horizon_looks(planned, alpha))


class Betting:
    """The e-processes of one claim, looked at after every unit."""

    def __init__(self, claim: Claim, alpha: float) -> None:
        self.alpha = alpha
        self.utility = EProcess(margin=0.0 if claim == "better" else MARGIN)
        self.cost = EProcess() if claim == "cheaper" else None
        self.log_e = 0.0
        self.log_e_cost: float | None = None if self.cost is None else 0.0

    @property
    def proved(self) -> bool:
        """Whether every e-process has reached 1/α at some look."""
        return crossed(self.log_e, self.alpha) and (
            self.log_e_cost is None or crossed(self.log_e_cost, self.alpha)
        )

    def look(self, difference: float, saving: float) -> None:
        """Bet on one more unit."""
        self.log_e = max(self.log_e, self.utility.update(difference))
        if self.cost is not None and self.log_e_cost is not None:
            self.log_e_cost = max(self.log_e_cost, self.cost.update(saving))


class Planned(Betting):
    """Five looks that are fixed in advance; the e-values are recorded and decide nothing."""

    def __init__(self, claim: Claim, alpha: float, looks: Sequence[Look]) -> None:
        super().__init__(claim, alpha)
        self.looks = looks
        self.margin = 0.0 if claim == "better" else MARGIN
        self.differences: list[float] = []
        self.savings: list[float] = []

    @property
    def proved(self) -> bool:
        """Whether one of the looks reached so far was significant, in utility and in cost."""
        return horizon_crossed(self.differences, self.looks) and (
            self.cost is None or horizon_crossed(self.savings, self.looks)
        )

    def look(self, difference: float, saving: float) -> None:
        """Keep one more unit."""
        super().look(difference, saving)
        self.differences.append(difference + self.margin)
        self.savings.append(saving)
