"""The evidence for a promotion: a betting e-process, its confidence sequence, its exact errors.

A difference D in [-1, 1] is what a challenger scored more than the champion on one task. If the
challenger is no better, the capital E of somebody who bets on it is a supermartingale that starts
at 1, so it ever reaches 1/α with probability at most α, whenever and however often one looks.
Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting",
JRSS B 86, doi 10.1093/jrsssb/qkad009.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._horizon import Look, horizon_crossed, horizon_looks, out_of_reach
from penin_core.omega._numbers import TOLERANCE, count, finite, non_negative, unit
from penin_core.omega._power import (
    crossing_probability,
    null_crossing_probability,
    smallest_provable_gain,
)
from penin_core.omega._wagers import GRID, difference_of, level

__all__ = [
    "GRID",
    "EProcess",
    "Look",
    "betting_confidence_sequence",
    "campaign_alpha",
    "crossed",
    "crossing_probability",
    "horizon_crossed",
    "horizon_looks",
    "log_e_path",
    "null_crossing_probability",
    "out_of_reach",
    "paired_difference",
    "relative_saving",
    "smallest_provable_gain",
]

# The bounds of a confidence sequence are rounded outwards to this many parts of 1.
_RESOLUTION = 1e9


class EProcess:
    """The capital E of a bettor against the hypothesis that the mean difference is at most -margin.

    E = mean over λ in the grid of Π (1 + λ·x) with x = (D + margin) / (1 + margin); a positive
    margin asks for non-inferiority instead of superiority. The products are kept one by one, in the
    order of the grid, as mantissa and exponent: only multiplications and additions, the same on
    every IEEE machine, until one logarithm at the end.
    """

    def __init__(self, margin: float = 0.0, grid: Sequence[float] = GRID) -> None:
        """Start with the capital 1.

        Raises: ValueError unless 0 <= margin < 1 and every bet lies in (0, 1).
        """
        self._margin = non_negative("margin", margin)
        if self._margin >= 1:
            raise ValueError(f"margin must be below 1, got {margin!r}")
        self._bets = tuple(finite("grid", bet) for bet in grid)
        if not self._bets or not all(0 < bet < 1 for bet in self._bets):
            raise ValueError(f"the grid needs bets in (0, 1), got {grid!r}")
        self._mantissas = [1.0] * len(self._bets)
        self._exponents = [0] * len(self._bets)
        self.n = 0

    def update(self, difference: float) -> float:
        """Take one more difference into account and return the new ``log_e``.

        Raises: ValueError unless the difference lies in [-1, 1].
        """
        self.take(difference)
        return self.log_e

    def take(self, difference: float) -> None:
        """Take one more difference into account.

        Raises: ValueError unless the difference lies in [-1, 1].
        """
        x = (difference_of(difference) + self._margin) / (1 + self._margin)
        for i, bet in enumerate(self._bets):
            mantissa, exponent = math.frexp(self._mantissas[i] * (1 + bet * x))
            self._mantissas[i] = mantissa
            self._exponents[i] += exponent
        self.n += 1

    def reached(self, alpha: float) -> bool:
        """Return whether the capital has reached 1/α, as ``crossed`` says of ``log_e``.

        Raises: ValueError unless 0 < alpha < 1.
        """
        # Every product is below 2 to the power of its exponent, and so is their mean.
        within_reach = max(self._exponents) * math.log(2) >= -math.log(level(alpha)) - TOLERANCE
        return within_reach and crossed(self.log_e, alpha)

    @property
    def log_e(self) -> float:
        """The natural logarithm of the capital; 0 at the start."""
        top = max(self._exponents)
        products = zip(self._mantissas, self._exponents, strict=True)
        scaled = math.fsum(math.ldexp(mantissa, exponent - top) for mantissa, exponent in products)
        return math.log(scaled / len(self._bets)) + top * math.log(2)

    def export_state(self) -> dict[str, Any]:
        """Return what has been seen so far, as JSON keeps it to the last bit."""
        products = [list(pair) for pair in zip(self._mantissas, self._exponents, strict=True)]
        return {"margin": self._margin, "bets": [*self._bets], "products": products, "n": self.n}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the process that ``export_state`` described.

        Raises: ValueError for a state that no process can have.
        """
        try:
            made = cls(state["margin"], state["bets"])
            pairs = [(finite("product", m), index(e)) for m, e in state["products"]]
            made.n = count("n", state["n"], least=0)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no state of an e-process: {error}") from error
        if len(pairs) != len(made._bets) or not all(m > 0 for m, _ in pairs):
            raise ValueError("this is no state of an e-process: one positive product for every bet")
        made._mantissas, made._exponents = [m for m, _ in pairs], [e for _, e in pairs]
        return made


def log_e_path(differences: Iterable[float], margin: float = 0.0) -> list[float]:
    """Return ``log_e`` after every difference: bit for bit what an ``EProcess`` says one by one.

    Raises: ValueError for differences outside [-1, 1] or a wrong margin.
    """
    process = EProcess(margin)
    return [process.update(difference) for difference in differences]


def paired_difference(challenger: float | None, champion: float | None) -> float:
    """Return the difference in [-1, 1] of two scores on one task.

    A score that is missing because its call failed enters at its worst for the challenger: 0 for
    the challenger, 1 for the champion. Nothing missing can ever raise E.

    Raises: ValueError for scores outside [0, 1].
    """
    better = 0.0 if challenger is None else unit("challenger", challenger)
    return better - (1.0 if champion is None else unit("champion", champion))


def relative_saving(champion_cost: float | None, challenger_cost: float | None) -> float:
    """Return (c0 - c1) / (c0 + c1) in [-1, 1]: positive where the challenger is cheaper.

    0 when both cost nothing, -1 when one of the costs is unknown.

    Raises: ValueError for negative costs.
    """
    if champion_cost is None or challenger_cost is None:
        return -1.0
    before = non_negative("champion_cost", champion_cost)
    after = non_negative("challenger_cost", challenger_cost)
    if math.isinf(before + after):
        before, after = before / 2, after / 2
    return (before - after) / (before + after) if before + after > 0 else 0.0


def campaign_alpha(t: int, alpha: float = 0.05) -> float:
    """Return the level α / (t(t + 1)) of a ledger's t-th confirmation; over all t they sum to α.

    Raises: ValueError unless t is a whole number of at least 1 and 0 < alpha < 1.
    """
    return level(alpha) / (count("t", t, least=1) * (t + 1))


def crossed(log_e: float, alpha: float) -> bool:
    """Return whether E has reached 1/α. A value that is not a number has not.

    Raises: ValueError unless 0 < alpha < 1.
    """
    return log_e >= -math.log(level(alpha)) - TOLERANCE


def betting_confidence_sequence(
    differences: Sequence[float], alpha: float = 0.05
) -> tuple[float, float]:
    """Return an interval for the mean of values in [-1, 1], valid at any stopping time at 1 - α.

    It holds the means μ that no bettor on either side has ever refuted at α/2, with the grid of
    ``EProcess`` on x = (D - μ) / (1 + μ) upwards and on its mirror image downwards. So the lower
    bound passes 0 exactly when the e-process passes 2/α. Should the values drift so much that
    nothing is left, the interval of the last look alone is returned, which is valid too. (-1, 1)
    without values. Bounds are rounded outwards to 1e-9.

    Raises: ValueError for values outside [-1, 1], or unless 0 < alpha < 1.
    """
    values = np.array([difference_of(value) for value in differences], dtype=np.float64)
    threshold = math.log(2 / level(alpha))
    for running in (True, False):
        lower = _refuted_below(values, threshold, running)
        upper = -_refuted_below(-values, threshold, running)
        if lower < upper:
            break
    lowest, highest = math.floor(lower * _RESOLUTION), math.ceil(upper * _RESOLUTION)
    return lowest / _RESOLUTION, highest / _RESOLUTION


def _refuted_below(values: NDArray[np.float64], threshold: float, running: bool) -> float:
    """Return the largest mean that is refuted, by bisection: x falls with μ, hence E does too."""
    refuted, standing = -1.0, 1.0
    if not values.size:
        return refuted
    bets = np.array(GRID)[:, np.newaxis]
    for _ in range(34):
        middle = (refuted + standing) / 2
        x = (values - middle) / (1 + middle)
        paths = np.cumsum(np.log1p(bets * x), axis=1)
        if not running:
            paths = paths[:, -1:]
        top = paths.max(axis=0)
        log_e = top + np.log(np.mean(np.exp(paths - top), axis=0))
        if log_e.max() >= threshold:
            refuted = middle
        else:
            standing = middle
    return refuted
