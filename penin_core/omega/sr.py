"""SR-Ω∞: how well a configuration knows and repairs its own mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

import numpy as np

from penin_core.omega._columns import Numbers, Outcomes, binary_column, sorted_outcomes, unit_column
from penin_core.omega._exact import exact_sum, segment_starts
from penin_core.omega._numbers import (
    count,
    finite,
    harmonic_mean,
    non_negative,
    optional_unit,
    same_length,
)


@overload
def sr_omega(
    awareness: float,
    ethics_ok: bool,
    autocorr: float,
    metacog: float,
    method: str = ...,
    weights: Sequence[float] | None = ...,
    p: float = ...,
) -> float: ...
@overload
def sr_omega(
    awareness: float | None,
    ethics_ok: bool,
    autocorr: float | None,
    metacog: float | None,
    method: str = ...,
    weights: Sequence[float] | None = ...,
    p: float = ...,
) -> float | None: ...
def sr_omega(
    awareness: float | None,
    ethics_ok: bool,
    autocorr: float | None,
    metacog: float | None,
    method: str = "harmonic",
    weights: Sequence[float] | None = None,
    p: float = -5,
) -> float | None:
    """Return SR in [0, 1], or None where a component was not measured.

    Ethics is a veto and not a degree: anything but the object ``True`` returns exactly 0.
    ``harmonic`` is the weighted harmonic mean of the three graded components; ``min_soft`` the
    power mean M_p with p < 0, which approaches their minimum as p falls. A component of 0 that
    carries weight makes either 0. ``weights`` are three, in the order of the components; equal
    if left out.

    Raises: ValueError for components outside [0, 1], an unknown method, p >= 0 with ``min_soft``,
    or weights that are not three, negative or all 0.
    """
    components = [
        optional_unit("awareness", awareness),
        optional_unit("autocorr", autocorr),
        optional_unit("metacog", metacog),
    ]
    shares = _weights(weights)
    exponent = _exponent(method, p)
    if ethics_ok is not True:
        return 0.0
    if None in components:
        return None
    pairs = [
        (shares[i], value)
        for i, value in enumerate(components)
        if value is not None and shares[i] > 0
    ]
    return harmonic_mean(pairs) if exponent is None else _power_mean(pairs, exponent)


def _weights(weights: Sequence[float] | None) -> list[float]:
    shares = [non_negative("weights", w) for w in ((1.0, 1.0, 1.0) if weights is None else weights)]
    if len(shares) != 3 or max(shares) == 0:
        raise ValueError(f"weights must be three numbers, one of them positive, got {weights!r}")
    return shares


def _exponent(method: str, p: float) -> float | None:
    if method == "harmonic":
        return None
    if method != "min_soft":
        raise ValueError(f"method must be 'harmonic' or 'min_soft', got {method!r}")
    exponent = finite("p", p)
    if exponent >= 0:
        raise ValueError(f"p must be negative, got {p!r}")
    return exponent


def _power_mean(pairs: Sequence[tuple[float, float]], p: float) -> float:
    values = [value for _, value in pairs]
    lowest, highest = min(values), max(values)
    if lowest == 0:
        return 0.0
    heaviest = max(weight for weight, _ in pairs)
    total = math.fsum(weight / heaviest for weight, _ in pairs)
    # m · (Σŵ (x/m)^p)^(1/p) in logarithms. Near 1 the sum is taken as its excess over 1, which
    # keeps its digits for p near 0; far from 1 by its largest term, which does so for a minimum
    # of little weight.
    powers = [(weight, p * (math.log(value) - math.log(lowest))) for weight, value in pairs]
    excess = math.fsum(weight / heaviest / total * math.expm1(power) for weight, power in powers)
    log_sum = math.log1p(excess) if excess > -0.5 else _log_mean(powers)
    # In two halves, because the whole may leave the range of doubles where the mean does not.
    half = math.exp(min(log_sum / p, math.log(highest) - math.log(lowest)) / 2)
    return min(highest, lowest * half * half)


def _log_mean(powers: Sequence[tuple[float, float]]) -> float:
    """Return ln Σŵ·e^power of (weight, power) pairs, however small the weights."""
    terms = [math.log(weight) + power for weight, power in powers]
    return _log_sum_exp(terms) - _log_sum_exp([math.log(weight) for weight, _ in powers])


def _log_sum_exp(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(math.fsum(math.exp(log - top) for log in logs))


def sr_awareness(ece: float | None) -> float | None:
    """Return 1 - ECE in [0, 1]: how truthfully confidence is stated; None where not measured.

    Raises: ValueError for an error outside [0, 1].
    """
    error = optional_unit("ece", ece)
    return None if error is None else 1 - error


def sr_autocorrection(failed: int, fixed: int) -> float:
    """Return (fixed + 1) / (failed + 1) in (0, 1].

    ``failed`` counts tasks that failed at the first attempt, ``fixed`` those of them that pass
    after one retry with the verifier's message. 1 when nothing failed.

    Raises: ValueError for negative counts or more fixed than failed.
    """
    failures, repairs = count("failed", failed), count("fixed", fixed)
    if repairs > failures:
        raise ValueError(f"fixed must not exceed failed ({failures}), got {repairs}")
    return (repairs + 1) / (failures + 1)


def sr_metacognition(confidence: Numbers, correct: Outcomes) -> float | None:
    """Return in [0, 1] how well confidence separates right answers from wrong ones.

    max(0, 2·AUROC - 1), ties counted as one half. If all answers are right, or all wrong,
    1 - |mean confidence - accuracy|. None when there is nothing to measure.

    Raises: ValueError for lengths that differ, confidences outside [0, 1], or outcomes other
    than 0 and 1.
    """
    total = same_length(confidence=confidence, correct=correct)
    levels, outcomes = sorted_outcomes(
        unit_column("confidence", confidence), binary_column("correct", correct)
    )
    if total == 0:
        return None
    right = int(outcomes.sum())
    if right in (0, total):
        return 1 - abs(exact_sum(levels) / total - right / total)
    starts = segment_starts(levels)
    hits = np.add.reduceat(outcomes, starts)
    misses = np.diff(starts, append=total) - hits
    # Whole numbers: twice the wrong answers below each right one, and the ties once.
    twice_ordered = int(np.dot(hits, 2 * np.cumsum(misses) - misses))
    comparisons = right * (total - right)
    return max(0, twice_ordered - comparisons) / comparisons
