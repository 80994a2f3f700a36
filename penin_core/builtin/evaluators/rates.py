"""A share that is seen through an imperfect classifier, and how sure one can be of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


class Share(NamedTuple):
    """A share in [0, 1] and an interval that contains it."""

    value: float
    lower: float
    upper: float


def exact_interval(hits: int, of: int, alpha: float = 0.05) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share at level 1 - alpha.

    Source: Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404.
    """
    lower = 0.0 if hits == 0 else _root(lambda p: _tail(hits, of, p) - alpha / 2)
    upper = 1.0 if hits == of else _root(lambda p: alpha / 2 - (1 - _tail(hits + 1, of, p)))
    return lower, upper


def corrected_share(
    positive: int,
    of: int,
    true_positive: tuple[int, int],
    true_negative: tuple[int, int],
    alpha: float = 0.05,
) -> Share | None:
    """Return the share behind ``positive`` verdicts ``of`` so many, corrected for their errors.

    ``true_positive`` and ``true_negative`` are (right verdicts, labelled examples) of good and bad
    answers. With q the share of positive verdicts, p = (q + sp - 1) / (se + sp - 1), cut to [0, 1];
    source: Rogan and Gladen 1978, doi 10.1093/oxfordjournals.aje.a112510, equation 1. The interval
    covers p with at least 1 - alpha: p grows with q and sp and falls with se, each of which lies in
    its exact interval at 1 - alpha/3. None where the verdicts are no better than chance.
    """
    q, se, sp = positive / of, _share(true_positive), _share(true_negative)
    if se + sp <= 1:
        return None
    q_low, q_high = exact_interval(positive, of, alpha / 3)
    se_low, se_high = exact_interval(*true_positive, alpha / 3)
    sp_low, sp_high = exact_interval(*true_negative, alpha / 3)
    if se_low + sp_low <= 1:
        return Share(_corrected(q, se, sp), 0.0, 1.0)
    return Share(
        _corrected(q, se, sp),
        _corrected(q_low, se_high, sp_low),
        _corrected(q_high, se_low, sp_high),
    )


def _share(counted: tuple[int, int]) -> float:
    return counted[0] / counted[1]


def _corrected(q: float, se: float, sp: float) -> float:
    return min(1.0, max(0.0, (q + sp - 1) / (se + sp - 1)))


def _tail(least: int, of: int, p: float) -> float:
    """Return P(X >= least) for a binomial X."""
    if p <= 0 or p >= 1:
        return float(p >= 1 or least <= 0)
    log_p, log_q = math.log(p), math.log1p(-p)
    terms = (
        math.lgamma(of + 1)
        - math.lgamma(k + 1)
        - math.lgamma(of - k + 1)
        + k * log_p
        + (of - k) * log_q
        for k in range(least, of + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))


def _root(rising: Callable[[float], float]) -> float:
    """Return where a rising function of a share crosses zero, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
