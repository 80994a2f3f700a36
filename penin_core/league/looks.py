"""What a confirmation looks at: pairs of answers, and the test that they have to pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from penin_core.omega.evidence import (
    EProcess,
    crossed,
    horizon_crossed,
    horizon_looks,
    out_of_reach,
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
    """Return the money and tokens of one answer, in units of the baseline; None for a failed call.

    Answers of the same minute share the load of the machine, so that their times are no draws of
    their own: fifty of them could prove that a model is faster than itself. Where the baseline
    costs nothing there is no unit, and no cost on either side.
    """
    if row.error is not None:
        return None
    units = {part: value for part, value in baseline.items() if part != "latency_ms"}
    if not any(units.values()):
        return 0.0
    tokens = float(row.tokens_in + row.tokens_out)
    return cost_ratio(row.cost_usd, row.latency_ms, tokens, units)


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
    return math.fsum(known) / len(known)


class Betting:
    """A betting e-process against "the mean is at most -margin", looked at after every unit."""

    def __init__(self, margin: float, alpha: float, planned: int) -> None:
        self.margin, self.alpha, self.planned = margin, alpha, planned
        self.process = EProcess(margin=margin)
        self.log_e = 0.0
        self.values: list[float] = []

    def look(self, value: float) -> None:
        """Bet on one more unit."""
        self.log_e = max(self.log_e, self.process.update(value))
        self.values.append(value + self.margin)

    @property
    def proved(self) -> bool:
        """Whether E has reached 1/α at some look."""
        return crossed(self.log_e, self.alpha)

    @property
    def hopeless(self) -> bool:
        """Whether it is not proved, and no longer likely to be."""
        return not self.proved and out_of_reach(self.values, self.planned, self.needed)

    @property
    def needed(self) -> float:
        """The t statistic at the end that goes with E = 1/α, about."""
        return math.sqrt(-2 * math.log(self.alpha))


class Planned(Betting):
    """Five looks that are fixed in advance, against "the mean is at most 0".

    The e-value is recorded and decides nothing.
    """

    def __init__(self, alpha: float, planned: int) -> None:
        super().__init__(0.0, alpha, planned)
        self.looks = horizon_looks(planned, alpha)

    @property
    def proved(self) -> bool:
        """Whether one of the looks reached so far was significant."""
        return horizon_crossed(self.values, self.looks)

    @property
    def needed(self) -> float:
        """The t statistic that the last look takes."""
        return self.looks[-1].critical_t


class Evidence:
    """The tests of one claim on ``planned`` units; for ``cheaper``, utility and cost must pass.

    Only ``better`` can be tested at planned looks: what is cheaper loses seldom and much, where
    Student's t is at its worst.
    """

    def __init__(self, claim: Claim, alpha: float, mode: EvidenceMode, planned: int) -> None:
        self.cost: Betting | None = None
        if claim == "cheaper":
            self.utility = Betting(MARGIN, alpha, planned)
            self.cost = Betting(0.0, alpha, planned)
        elif mode == "horizon":
            self.utility = Planned(alpha, planned)
        else:
            self.utility = Betting(0.0, alpha, planned)

    def look(self, difference: float, saving: float) -> None:
        """Take one more unit into account."""
        self.utility.look(difference)
        if self.cost is not None:
            self.cost.look(saving)

    @property
    def proved(self) -> bool:
        """Whether the claim is proved by what was looked at."""
        return self.utility.proved and (self.cost is None or self.cost.proved)

    @property
    def hopeless(self) -> bool:
        """Whether one of the tests is no longer likely to pass: the rest is not worth asking."""
        return self.utility.hopeless or (self.cost is not None and self.cost.hopeless)

    @property
    def log_e(self) -> float:
        """The largest log e-value of utility at any look."""
        return self.utility.log_e

    @property
    def log_e_cost(self) -> float | None:
        """The largest log e-value of the cost at any look; None for the claim ``better``."""
        return None if self.cost is None else self.cost.log_e
