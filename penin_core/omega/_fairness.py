"""Bias, fairness and footprint of a model's decisions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._columns import Groups, Outcomes, binary_column, coded
from penin_core.omega._numbers import count, non_negative, same_length

#: Rough estimate of kg CO2e per 1,000 tokens, for models that do not state their own.
KG_PER_1K_TOKENS = 0.0002
#: Stands for a ratio without bound, and for one that nobody could measure.
WORST_RHO_BIAS = 1e6


@dataclass(frozen=True)
class Tally:
    """How many predictions there are by group, and how many of them are favourable."""

    groups: Sequence[Hashable]
    sizes: NDArray[np.int64]
    favourable: NDArray[np.int64]

    @property
    def rates(self) -> NDArray[np.float64]:
        """The favourable rate of every group."""
        return self.favourable / self.sizes

    @property
    def gap(self) -> float:
        """The difference of the highest and the lowest rate."""
        return float(self.rates.max() - self.rates.min())


def rho_bias(predictions: Outcomes, groups: Groups) -> float | None:
    """Return the ratio of the highest to the lowest favourable rate over groups, at least 1.

    The reciprocal of the disparate-impact ratio: 1.25 is the four-fifths rule. 1 when no group
    has any favourable prediction, 1e6 when only some have none, None with fewer than two groups.

    Raises: ValueError for lengths that differ or predictions other than 0 and 1.
    """
    tally = by_group(predictions, groups)
    if len(tally.groups) < 2:
        return None
    lowest, highest = float(tally.rates.min()), float(tally.rates.max())
    if highest == 0:
        return 1.0
    return highest / lowest if lowest > 0 else WORST_RHO_BIAS


def fairness_equalized_odds(
    predictions: Outcomes, labels: Outcomes, groups: Groups
) -> float | None:
    """Return 1 - max(TPR gap, FPR gap) over groups, in [0, 1].

    A gap counts when at least two groups define its rate; if neither does, demographic parity. None
    with fewer than two groups. With labels that are all 1 it is the gap of the accuracies.
    Source: Hardt, Price and Srebro 2016, arXiv 1610.02413.

    Raises: ValueError for lengths that differ or values other than 0 and 1.
    """
    compared = compared_tallies(predictions, labels, groups)
    return 1 - max(tally.gap for tally in compared) if compared else None


def fairness_demographic_parity(predictions: Outcomes, groups: Groups) -> float | None:
    """Return 1 - the gap of the favourable rates over groups, in [0, 1].

    None with fewer than two groups.

    Raises: ValueError for lengths that differ or predictions other than 0 and 1.
    """
    tally = by_group(predictions, groups)
    return 1 - tally.gap if len(tally.groups) >= 2 else None


def by_group(predictions: Outcomes, groups: Groups) -> Tally:
    """Return the tally of the predictions; raises as ``rho_bias`` does."""
    same_length(predictions=predictions, groups=groups)
    names, codes = coded(groups)
    return _tally(names, codes * 2 + binary_column("predictions", predictions))


def compared_tallies(predictions: Outcomes, labels: Outcomes, groups: Groups) -> list[Tally]:
    """Return the tallies whose gaps count for equalized odds: by true label, or else over all.

    None of them with fewer than two groups. Raises as ``fairness_equalized_odds`` does.
    """
    same_length(predictions=predictions, labels=labels, groups=groups)
    names, codes = coded(groups)
    truths = binary_column("labels", labels)
    cells = (codes * 2 + binary_column("predictions", predictions)) * 2 + truths
    counted = np.bincount(cells, minlength=4 * len(names)).reshape(len(names), 2, 2)
    by_label = [_among(names, counted[:, :, actual]) for actual in (1, 0)]
    for tallies in (by_label, [_among(names, counted.sum(axis=2))]):
        if compared := [tally for tally in tallies if len(tally.groups) >= 2]:
            return compared
    return []


def _tally(names: Sequence[Hashable], cells: NDArray[np.intp]) -> Tally:
    counted = np.bincount(cells, minlength=2 * len(names)).reshape(len(names), 2)
    return _among(names, counted)


def _among(names: Sequence[Hashable], counted: NDArray[np.int64]) -> Tally:
    """Return the tally of (unfavourable, favourable) counts, without the groups of nobody."""
    sizes = counted.sum(axis=1)
    present = np.flatnonzero(sizes)
    return Tally([names[i] for i in present.tolist()], sizes[present], counted[present, 1])


def eco_impact_kg(
    tokens_in: int | None, tokens_out: int | None, kg_per_1k_tokens: float = KG_PER_1K_TOKENS
) -> float | None:
    """Return an estimate of kg CO2e for the tokens used, or None where the usage is unknown.

    Raises: ValueError for negative token counts or factor.
    """
    factor = non_negative("kg_per_1k_tokens", kg_per_1k_tokens)
    if tokens_in is None or tokens_out is None:
        return None
    return (count("tokens_in", tokens_in) + count("tokens_out", tokens_out)) / 1000 * factor
