"""L∞, the score gate, and the normalisation and smoothing of series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from penin_core.omega._numbers import (
    TOLERANCE,
    clipped,
    finite,
    harmonic_mean,
    mean,
    non_negative,
    same_length,
    unit,
)

#: How L∞ weighs the qualities of a candidate; the tuner does not touch it.
LINF_WEIGHTS: Mapping[str, float] = {"U": 0.4, "S": 0.3, "L": 0.3}

ScoreVerdict = Literal["pass", "canary", "fail"]


def normalize_series(
    values: Sequence[float],
    method: str = "minmax",
    *,
    center: float | Literal["mean"] = 0.0,
    scale: float | Literal["std"] = 1.0,
) -> list[float]:
    """Return the series mapped into [0, 1], in order.

    ``minmax`` sends the least value to 0 and the greatest to 1; a series whose values are all
    equal becomes 0.5. It is relative to the cohort: never compare its results across cycles.
    ``sigmoid`` is the logistic function of (x - center) / scale; ``center="mean", scale="std"``
    (population standard deviation) gives the logistic of the z-score.

    Raises: ValueError for an unknown method, a value that is not finite, a scale that is not
    positive, or a centre or scale given to ``minmax``.
    """
    series = [finite("values", value) for value in values]
    if method == "sigmoid":
        return _sigmoid_series(series, center, scale)
    if method != "minmax":
        raise ValueError(f"method must be 'minmax' or 'sigmoid', got {method!r}")
    if center != 0.0 or scale != 1.0:
        raise ValueError("center and scale belong to method 'sigmoid'")
    return _minmax(series)


def _minmax(series: list[float]) -> list[float]:
    if not series:
        return []
    low, high = min(series), max(series)
    if low == high:
        return [0.5] * len(series)
    if math.isinf(high - low):
        series, low, high = [value / 2 for value in series], low / 2, high / 2
    return [(value - low) / (high - low) for value in series]


def _sigmoid_series(
    series: list[float], center: float | Literal["mean"], scale: float | Literal["std"]
) -> list[float]:
    if not series:
        return []
    if center == "mean" and scale == "std" and min(series) == max(series):
        return [0.5] * len(series)
    # Relative to the largest magnitude, so that the squares cannot overflow.
    largest = max(abs(value) for value in series) or 1.0
    middle = mean(value / largest for value in series)
    if center == "mean":
        center = middle * largest
    if scale == "std":
        scale = largest * math.sqrt(mean((value / largest - middle) ** 2 for value in series))
    offset, width = finite("center", center), finite("scale", scale)
    if width <= 0:
        raise ValueError(f"scale must be positive, got {width!r}")
    return [_logistic((value - offset) / width) for value in series]


def _logistic(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def ema(series: Sequence[float], alpha: float = 0.2) -> list[float]:
    """Return the exponential moving average: e_0 = x_0, e_t = α·x_t + (1 - α)·e_(t-1).

    A half-life of h steps is α = 1 - 2^(-1/h).

    Raises: ValueError unless 0 < alpha <= 1 and every value is finite.
    """
    rate = finite("alpha", alpha)
    if not 0 < rate <= 1:
        raise ValueError(f"alpha must lie in (0, 1], got {alpha!r}")
    smoothed: list[float] = []
    for value in series:
        x = finite("series", value)
        smoothed.append(rate * x + (1 - rate) * smoothed[-1] if smoothed else x)
    return smoothed


def linf_harmonic(
    weights: Sequence[float] | Mapping[str, float],
    metrics: Sequence[float | None] | Mapping[str, float | None],
    cost: float,
    lambda_c: float,
    ethical_ok: bool,
) -> float:
    """Return L∞ in [0, 1]: the weighted harmonic mean of the metrics, discounted by cost.

    Symbols: L∞ = [Σw / Σ(w_j / m_j)] · exp(-λ_c · cost) · 1[ethical_ok], over the metrics with
    w_j > 0. One of them at 0 makes L∞ exactly 0. A metric of weight 0 is ignored and may be None.
    Weights are relative: scaling all of them changes nothing. The cost is at least 0, higher is
    worse, and may exceed 1; it must not appear among the metrics as well. Anything but the object
    ``True`` for ``ethical_ok`` is a veto and returns 0.

    Raises: ValueError for metrics outside [0, 1], negative or non-finite weights, cost or
    lambda_c, weights that are all 0, and lengths or keys that do not match.
    """
    quality = harmonic_mean(_active_pairs(weights, metrics))
    discount = math.exp(-non_negative("lambda_c", lambda_c) * non_negative("cost", cost))
    return quality * discount if ethical_ok is True else 0.0


def _active_pairs(
    weights: Sequence[float] | Mapping[str, float],
    metrics: Sequence[float | None] | Mapping[str, float | None],
) -> list[tuple[float, float]]:
    pairs = []
    for name, weight, metric in _matched(weights, metrics):
        if non_negative(f"weights[{name}]", weight) > 0:
            pairs.append((float(weight), unit(f"metrics[{name}]", metric)))
        elif metric is not None:
            unit(f"metrics[{name}]", metric)
    if not pairs:
        raise ValueError("at least one weight must be positive")
    return pairs


def _matched(
    weights: Sequence[float] | Mapping[str, float],
    metrics: Sequence[float | None] | Mapping[str, float | None],
) -> list[tuple[str, float, float | None]]:
    if isinstance(weights, Mapping) and isinstance(metrics, Mapping):
        if weights.keys() != metrics.keys():
            raise ValueError(f"keys differ: weights {list(weights)}, metrics {list(metrics)}")
        return [(str(name), weight, metrics[name]) for name, weight in weights.items()]
    if isinstance(weights, Mapping) or isinstance(metrics, Mapping):
        raise ValueError("weights and metrics must both be sequences or both be mappings")
    same_length(weights=weights, metrics=metrics)
    return [(str(i), weight, metrics[i]) for i, weight in enumerate(weights)]


@dataclass(frozen=True)
class ScoreResult:
    """What the score gate says: the verdict, the score and how each axis contributed to it."""

    verdict: ScoreVerdict
    score: float
    tau: float
    tau_low: float
    #: Share of the score by axis, summing to it; an axis that is not measured is left out.
    contributions: Mapping[str, float]


def score_gate(
    U: float | None,
    S: float | None,
    C: float | None,
    L: float | None,
    wU: float,
    wS: float,
    wC: float,
    wL: float,
    tau: float,
    canary_margin: float = 0.10,
) -> ScoreResult:
    """Return ``pass``, ``canary`` or ``fail`` for the weighted mean of the four axes.

    Symbols: score = (wU·U + wS·S + wC·(1 - C) + wL·L) / (wU + wS + wC + wL) in [0, 1]; ``pass`` at
    score >= τ, ``canary`` at score >= τ - canary_margin. C is a cost, so a high C lowers the
    score. An axis that the suite does not measure is None and must have weight 0.

    Raises: ValueError for an axis outside [0, 1], an axis of None that carries weight, weights
    that are negative or all 0, tau outside [0, 1], or a negative margin.
    """
    axes = {"U": (wU, U), "S": (wS, S), "C": (wC, C), "L": (wL, L)}
    threshold = unit("tau", tau)
    tau_low = threshold - non_negative("canary_margin", canary_margin)
    contributions = _contributions(axes)
    score = clipped(math.fsum(contributions.values()))
    verdict: ScoreVerdict = "fail"
    if score >= threshold - TOLERANCE:
        verdict = "pass"
    elif score >= tau_low - TOLERANCE:
        verdict = "canary"
    return ScoreResult(verdict, score, threshold, tau_low, contributions)


def _contributions(axes: Mapping[str, tuple[float, float | None]]) -> dict[str, float]:
    weights = {name: non_negative(f"w{name}", weight) for name, (weight, _) in axes.items()}
    heaviest = max(weights.values())
    if heaviest == 0:
        raise ValueError("at least one of the weights wU, wS, wC, wL must be positive")
    total = math.fsum(weight / heaviest for weight in weights.values())
    shares = {}
    for name, (_, value) in axes.items():
        if value is None and weights[name] == 0:
            continue
        measured = unit(name, value)
        good = 1 - measured if name == "C" else measured
        shares[name] = weights[name] / heaviest * good / total
    return shares
