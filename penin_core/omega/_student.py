"""Quantiles of Student's t distribution, exact to about 1e-12 and without SciPy."""

from __future__ import annotations

import math
from functools import lru_cache

from penin_core.omega._numbers import count, finite


def student_upper_tail(t: float, df: int) -> float:
    """Return P(T > t) for t >= 0 and ``df`` degrees of freedom.

    Source: Abramowitz & Stegun 26.5.27: 2·P(T > t) = I_x(df/2, 1/2) with x = df / (df + t²).
    """
    ratio = t * t / df
    if math.isinf(ratio):
        return 0.0
    return _incomplete_beta(1 / (1 + ratio), ratio / (1 + ratio), df / 2, 0.5) / 2


@lru_cache(maxsize=1024)
def student_quantile(tail: float, df: int) -> float:
    """Return the t with P(T > t) = ``tail`` for ``df`` degrees of freedom.

    Raises: ValueError unless 0 < tail < 1 and df is a whole number of at least 1.
    """
    freedom = count("df", df, least=1)
    if not 0 < finite("tail", tail) < 1:
        raise ValueError(f"tail must lie in (0, 1), got {tail!r}")
    if tail > 0.5:
        return -student_quantile(1 - tail, freedom)
    low, high = 0.0, 1.0
    while student_upper_tail(high, freedom) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if student_upper_tail(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return high if tail < 0.5 else 0.0


def _incomplete_beta(x: float, complement: float, a: float, b: float) -> float:
    """Return I_x(a, b) for x > 0; ``complement`` is 1 - x, given apart so it keeps its digits."""
    if complement == 0:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(complement, x, b, a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log(complement) - log_beta) / a
    return front / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22 by the modified Lentz method."""
    value = numerator = 1.0
    denominator = 0.0
    for step in range(1, 10_000):
        m = step // 2
        if step % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / ((1 + d * denominator) or 1e-300)
        numerator = (1 + d / numerator) or 1e-300
        factor = numerator * denominator
        value *= factor
        if factor == 1:
            break
    return value
