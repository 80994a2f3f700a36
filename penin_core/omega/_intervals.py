"""Confidence intervals of the gated quantities, by a seeded bootstrap of their outcomes.

An error like ECE, a ratio or a gap of extremes is biased where it matters: at perfect calibration
and at equal groups the usual percentiles never reach the truth. So not the value is redrawn but how
far the observed rates stray from theirs: the value lies from the truth no further than that (the
triangle inequality), and the interval is the value ± a quantile of that distance.

Every rate is redrawn as a binomial: for outcomes of 0 and 1 that is the bootstrap within the
stratum. It starts from (hits + 1) / (size + 2), Laplace's rule of succession, because ten hits of
ten do not prove that there is no miss. Time does not grow with the number of samples but for
sorting and counting them.
Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 6 and 8.
"""

from __future__ import annotations

import hashlib
import math
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._calibration import N_BINS, SCHEME, binned, expected_calibration_error
from penin_core.omega._columns import Groups, Numbers, Outcomes
from penin_core.omega._fairness import (
    WORST_RHO_BIAS,
    by_group,
    compared_tallies,
    fairness_equalized_odds,
    rho_bias,
)
from penin_core.omega._numbers import count
from penin_core.omega._power import binomial_law
from penin_core.omega._wagers import level

ALPHA = 0.05
RESAMPLES = 1000


def ece_interval(
    probs: Numbers,
    labels: Outcomes,
    n_bins: int = N_BINS,
    scheme: str = SCHEME,
    *,
    alpha: float = ALPHA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval in [0, 1] for the calibration error of a model, at level 1 - α.

    It is about the error in the bins of ``expected_calibration_error``, at the probabilities
    stated; the outcomes are redrawn bin by bin. It covers more often than it promises, by the way
    that it is built, and always holds the plug-in value.

    Raises: ValueError as ``expected_calibration_error`` does, or for alpha outside (0, 1), fewer
    resamples than 1/α - 1, or a seed that is not a whole number.
    """
    value = expected_calibration_error(probs, labels, n_bins, scheme).ece
    bins = binned(probs, labels, n_bins, scheme)
    sizes = np.array([found.size for found in bins])
    hits = np.array([found.hits for found in bins])
    drawn, centre = _redrawn(hits, sizes, resamples, _uniforms(seed, "ece"))
    margin = _quantile(np.abs(drawn - centre) @ sizes / sizes.sum(), alpha)
    return max(0.0, value - margin), min(1.0, value + margin)


def rho_bias_interval(
    predictions: Outcomes,
    groups: Groups,
    *,
    alpha: float = ALPHA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return an interval in [1, 1e6] for the bias ratio, at level 1 - α; stratified by group.

    The distance is that of the logarithms of the rates. A redraw that leaves a group without any
    favourable prediction is infinitely far away, so with a rate of zero, or (at α = 0.05) of one
    or two in the hundred, the ratio could be anything: (1, 1e6). None with fewer than two groups.

    Raises: ValueError as ``rho_bias`` does, or as ``ece_interval`` does for the options.
    """
    value, tally = rho_bias(predictions, groups), by_group(predictions, groups)
    drawn, centre = _redrawn(tally.favourable, tally.sizes, resamples, _uniforms(seed, "rho_bias"))
    if value is None:
        _quantile(np.zeros(resamples), alpha)
        return None
    alive = np.where(drawn.min(axis=1, keepdims=True) > 0, drawn, 1.0)
    strayed = np.ptp(np.log(alive) - np.log(centre), axis=1)
    margin = _quantile(np.where(drawn.min(axis=1) > 0, strayed, np.inf), alpha)
    if math.isinf(margin):
        return 1.0, WORST_RHO_BIAS
    return max(1.0, value * math.exp(-margin)), min(WORST_RHO_BIAS, value * math.exp(margin))


def fairness_interval(
    predictions: Outcomes,
    labels: Outcomes,
    groups: Groups,
    *,
    alpha: float = ALPHA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return an interval in [0, 1] for ``fairness_equalized_odds``, at level 1 - α.

    Stratified by group and true label, or by group alone where demographic parity decides. Rates
    of zero need no rule of their own, because gaps are bounded. None with fewer than two groups.

    Raises: ValueError as ``fairness_equalized_odds`` does, or as ``ece_interval`` does for the
    options.
    """
    value = fairness_equalized_odds(predictions, labels, groups)
    draws = _uniforms(seed, "fairness")
    farthest = np.zeros(count("resamples", resamples, least=1))
    for tally in compared_tallies(predictions, labels, groups):
        drawn, centre = _redrawn(tally.favourable, tally.sizes, resamples, draws)
        farthest = np.maximum(farthest, np.ptp(drawn - centre, axis=1))
    margin = _quantile(farthest, alpha)
    return None if value is None else (max(0.0, value - margin), min(1.0, value + margin))


def _uniforms(seed: object, purpose: str) -> np.random.PCG64:
    """Return the generator of one purpose, so that no two share a stream.

    Only its raw numbers are used: NumPy promises that those never change.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ValueError(f"seed must be a whole number, got {seed!r}")
    digest = hashlib.sha256(f"{int(seed)}:{purpose}".encode()).digest()
    return np.random.PCG64(int.from_bytes(digest))


def _redrawn(
    hits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    resamples: object,
    draws: np.random.PCG64,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (resamples × strata) redrawn rates, and the rates that they were drawn from."""
    rounds = count("resamples", resamples, least=1)
    centre = (hits + 1) / (sizes + 2)
    raw = draws.random_raw(rounds * len(sizes)).reshape(rounds, len(sizes))
    uniform = (raw >> np.uint64(11)) * 2.0**-53
    drawn = np.empty_like(uniform)
    for place, size in enumerate(sizes.tolist()):
        # By the inverse of the distribution function; the last step takes what rounding left.
        steps = np.cumsum(binomial_law(size, float(centre[place]))[:-1])
        drawn[:, place] = np.searchsorted(steps, uniform[:, place]) / size
    return drawn, centre


def _quantile(distances: NDArray[np.float64], alpha: object) -> float:
    """Return the distance that a share of at most α of all future ones should exceed."""
    rank = math.ceil((1 - level(alpha)) * (len(distances) + 1) - 1e-9)
    if rank > len(distances):
        raise ValueError(f"{len(distances)} resamples are too few for alpha {alpha!r}")
    return float(np.sort(distances)[rank - 1])
