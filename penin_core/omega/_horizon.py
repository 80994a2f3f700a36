"""Horizon mode: five looks that are fixed in advance, for more power than looking at will."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._numbers import TOLERANCE, count, finite
from penin_core.omega._student import student_quantile
from penin_core.omega._wagers import difference_of, level

LOOKS = 5
#: The quantile of the standard normal law at 0.8: the power that a plan is made for, and as much
#: again of doubt.
_Z_80 = 0.8416212335729143
#: Fewer values than this say nothing about their spread.
_LEAST_VALUES = 10


@dataclass(frozen=True)
class Look:
    """One planned look: after how many tasks, and the t statistic that it takes."""

    tasks: int
    critical_t: float


def horizon_looks(n: int, alpha: float) -> tuple[Look, ...]:
    """Return five equally spaced looks over n tasks whose boundaries share the one-sided level α.

    The boundary is z >= c / √(tasks / n), with c such that a Brownian motion crosses at one of the
    looks with probability α, turned into Student's t at tasks - 1 degrees of freedom with the same
    tail. Unlike the e-process this is an approximation, good for many tasks.
    Source: O'Brien and Fleming 1979, doi 10.2307/2530245; recursion after Armitage, McPherson and
    Rowe 1969, doi 10.2307/2343787.

    Raises: ValueError unless n is a whole number of at least 10 and 0 < alpha <= 0.5.
    """
    tasks = count("n", n, least=2 * LOOKS)
    if level(alpha) > 0.5:
        raise ValueError(f"alpha must be at most 0.5 for planned looks, got {alpha!r}")
    sizes = [tasks * look // LOOKS for look in range(1, LOOKS + 1)]
    boundary = _boundary(float(alpha))
    return tuple(
        Look(size, student_quantile(_upper_tail(boundary / math.sqrt(size / tasks)), size - 1))
        for size in sizes
    )


def horizon_crossed(differences: Sequence[float], looks: Sequence[Look]) -> bool:
    """Return whether the mean difference was significant at one of the looks reached so far.

    Student's t assumes a law without a long tail. Where losses are rare and large, a run in which
    none came yet has a tiny spread and a huge t. So one imagined -1, the worst that can come, is
    counted among the differences of every look, and where they lean to the left, t is lowered by
    Hall's transformation t + γ(2t² + 1)/6 + γ²t³/27 with γ = skewness / √n.
    Source: Johnson 1978, doi 10.1080/01621459.1978.10480051; Hall 1992, JRSS B 54, 221-228.

    Raises: ValueError for differences outside [-1, 1].
    """
    values = [difference_of(value) for value in differences]
    return any(
        _cautious_t([*values[: look.tasks], -1.0]) >= look.critical_t - TOLERANCE
        for look in looks
        if look.tasks <= len(values)
    )


def out_of_reach(values: Sequence[float], planned: int, needed: float) -> bool:
    """Return whether a test is lost: t = ``needed`` at ``planned`` values has a chance under 20 %.

    The chance is that of B(1) >= c, if from now on the true gain is the smallest one that the plan
    shows with a power of 80 % (a drift of c + z_80). Giving up can only make false proofs rarer; it
    lowers the power 1 - β to no less than 1 - β / 0.8. False once all values are there.
    Symbols: c = needed, s = len(values) / planned, B(s) = t √s a Brownian motion.
    Source: Lan, Simon and Halperin 1982, doi 10.1080/07474948208836014.

    Raises: ValueError for values that are not finite.
    """
    known = [finite("value", value) for value in values]
    share = len(known) / planned
    if len(known) < _LEAST_VALUES or share >= 1:
        return False
    left = 1 - share
    least = needed - (needed + _Z_80) * left - _Z_80 * math.sqrt(left)
    return _t_statistic(known) * math.sqrt(share) < least


def _t_statistic(values: list[float]) -> float:
    n = len(values)
    average = math.fsum(values) / n
    squared = math.fsum((value - average) ** 2 for value in values)
    error = math.sqrt(squared / (n - 1) / n)
    if min(values) == max(values) or not error:
        return math.copysign(math.inf, average) if average else 0.0
    return average / error


def _cautious_t(values: list[float]) -> float:
    """Return the t statistic, lowered where the values lean to the left; never raised."""
    t, n = _t_statistic(values), len(values)
    if math.isinf(t):
        return t
    average = math.fsum(values) / n
    variance = math.fsum((value - average) ** 2 for value in values) / n
    third = math.fsum((value - average) ** 3 for value in values) / n
    lean = min(0.0, third / (variance * math.sqrt(variance))) / math.sqrt(n)
    # Beyond |γ|t = 9 the cubic term wins and would raise t; up to there it only grows with t.
    return min(t, t + lean * (2 * t * t + 1) / 6 + lean * lean * t**3 / 27)


@lru_cache(maxsize=64)
def _boundary(alpha: float) -> float:
    """Return the c with P(B(t) >= c at t = 1/5, 2/5, ... 1) = α, by bisection."""
    low, high = 0.0, 12.0
    for _ in range(45):
        middle = (low + high) / 2
        if _crossing(middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def _crossing(boundary: float) -> float:
    """Return the probability that a Brownian motion stands above the boundary at a look."""
    step = math.sqrt(1 / LOOKS)
    # Gauss-Legendre quadrature of the density below the boundary, from where it is negligible.
    nodes, weights = np.polynomial.legendre.leggauss(96)
    low = -8.5
    points = low + (boundary - low) * (nodes + 1) / 2
    masses = weights * (boundary - low) / 2
    kernel = _density((points[:, np.newaxis] - points) / step) / step
    escape = np.array([_upper_tail((boundary - float(point)) / step) for point in points])
    crossed = _upper_tail(boundary / step)
    density = _density(points / step) / step
    for _ in range(LOOKS - 1):
        crossed += float(escape @ (masses * density))
        density = kernel @ (masses * density)
    return crossed


def _density(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _upper_tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2
