"""Σ-Guard, which demands proof of ethics, and IR→IC, which demands that risk shrinks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypedDict

from penin_core.omega._numbers import TOLERANCE, binary, finite, is_finite, mean, non_negative
from penin_core.omega._student import student_quantile

_STRICT = {
    "ece_max": 0.01,
    "rho_bias_max": 1.05,
    "fairness_min": 0.80,
    "eco_max_kg": 1.0,
    "min_samples": 30,
    "min_group_size": 10,
    "use_bounds": 1,
}

#: Limits by profile. ``strict`` is the default of the functions; ``standard`` holds the smallest
#: limits that 100 to 200 tasks can verify, with the four-fifths rule (29 CFR 1607.4(D)) for bias.
#: ``use_bounds`` 1 makes an attestation gate the worse end of each metric's interval, 0 the value.
PROFILES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "strict": MappingProxyType(_STRICT),
        "standard": MappingProxyType(
            _STRICT | {"ece_max": 0.10, "rho_bias_max": 1.25, "min_samples": 100, "use_bounds": 0}
        ),
    }
)


class GateDetail(TypedDict):
    """One gate of a guard: what was seen, the limit, whether it holds, and why."""

    value: float | bool | None
    threshold: float | bool
    ok: bool
    reason: str


def merged_thresholds(thresholds: Mapping[str, float] | None) -> dict[str, float]:
    """Return the ``strict`` limits overlaid with ``thresholds``.

    Raises: ValueError for an unknown name, a value that is not finite, or ``use_bounds`` other
    than 0 and 1: a typing mistake must not mean the default.
    """
    merged = dict(PROFILES["strict"])
    for name, value in (thresholds or {}).items():
        if name not in merged:
            raise ValueError(f"unknown threshold {name!r}; known are {', '.join(merged)}")
        merged[name] = finite(name, value)
    binary("use_bounds", merged["use_bounds"])
    return merged


def sigma_guard(
    ece: object,
    rho_bias: object,
    fairness: object,
    consent: object,
    eco_ok: object,
    thresholds: Mapping[str, float] | None = None,
) -> tuple[bool, dict[str, GateDetail]]:
    """Return whether every ethics gate holds, and the detail of each.

    Gates: 0 <= ece <= ece_max, 1 <= rho_bias <= rho_bias_max, fairness_min <= fairness <= 1,
    consent and eco exactly ``True``. The values are judged as they come: whoever wants bounds gated
    passes bounds. All gates are evaluated. A value that is missing, NaN, of the
    wrong type or out of its range fails its gate; what is no finite number is shown as None.

    Raises: ValueError for wrong thresholds only.
    """
    limits = merged_thresholds(thresholds)
    details = {
        "ece": _limit_gate(ece, (0, 1), limits["ece_max"], at_most=True),
        "rho_bias": _limit_gate(rho_bias, (1, math.inf), limits["rho_bias_max"], at_most=True),
        "fairness": _limit_gate(fairness, (0, 1), limits["fairness_min"], at_most=False),
        "consent": _grant_gate(consent),
        "eco": _grant_gate(eco_ok),
    }
    return all(detail["ok"] for detail in details.values()), details


def _limit_gate(
    value: object, valid: tuple[float, float], limit: float, *, at_most: bool
) -> GateDetail:
    if not is_finite(value):
        return _detail(None, limit, False, f"not a finite number: {value!r}")
    number = float(value)
    low, high = valid
    if not low - TOLERANCE <= number <= high + TOLERANCE:
        return _detail(number, limit, False, f"{number:g} is outside [{low}, {high}]")
    holds = number <= limit + TOLERANCE if at_most else number >= limit - TOLERANCE
    bound = "at most" if at_most else "at least"
    return _detail(number, limit, holds, f"{number:g}, must be {bound} {limit:g}")


def _grant_gate(value: object) -> GateDetail:
    granted = value is True
    shown = value if isinstance(value, bool) else None
    return _detail(shown, True, granted, "granted" if granted else f"not granted: {value!r}")


def _detail(
    value: float | bool | None, threshold: float | bool, ok: bool, reason: str
) -> GateDetail:
    return {"value": value, "threshold": threshold, "ok": ok, "reason": reason}


def ir_to_ic_contractive(
    risk_series: Sequence[float],
    rho_threshold: float = 1.0,
    risk_floor: float = 0.0,
    confidence: float | None = None,
) -> tuple[bool, float]:
    """Return whether a series of risks contracts, and its contraction factor ρ per step.

    ρ = exp(b), with b the least-squares slope of ln max(r, δ) over the steps and
    δ = max(risk_floor, 1e-6 · max r): 1 is no change, below 1 the risk shrinks. Contractive means
    ρ < rho_threshold or, with a ``confidence``, that its one-sided upper Student bound is, which
    takes three points. A series that never exceeds ``risk_floor`` is contractive, one of zeros has
    ρ = 0, and fewer than two points give (False, 1.0).

    Raises: ValueError for negative or non-finite risks or floor, rho_threshold outside (0, 1], or
    confidence outside (0, 1).
    """
    threshold = finite("rho_threshold", rho_threshold)
    if not 0 < threshold <= 1:
        raise ValueError(f"rho_threshold must lie in (0, 1], got {rho_threshold!r}")
    level = 0.95 if confidence is None else confidence
    rho, _, upper = contraction_bounds(risk_series, risk_floor, level)
    if len(risk_series) < 2:
        return False, rho
    if max(risk_series) <= risk_floor:
        return True, rho
    return (rho if confidence is None else upper) < threshold - TOLERANCE, rho


def contraction_bounds(
    risk_series: Sequence[float], risk_floor: float = 0.0, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return ρ of ``ir_to_ic_contractive`` with its lower and upper bound.

    Each bound holds alone at the one-sided ``confidence``: exp(b ∓ t·se) with
    se = √(SSE / (n - 2) / Σ(t - t̄)²) and Student's quantile at n - 2 degrees of freedom. Fewer
    than three points say nothing about the noise, and the bounds are 0 and infinity.

    Raises: ValueError for negative or non-finite risks or floor, or confidence outside (0, 1).
    """
    risks = [non_negative("risk_series", risk) for risk in risk_series]
    floor = non_negative("risk_floor", risk_floor)
    if not 0 < finite("confidence", confidence) < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence!r}")
    n = len(risks)
    if n < 2:
        return 1.0, 0.0, math.inf
    slope, error = _log_slope(risks, floor)
    rho = _exp(slope)
    if n < 3:
        return rho, 0.0, math.inf
    margin = student_quantile(1 - confidence, n - 2) * error
    return rho, _exp(slope - margin), _exp(slope + margin)


def _log_slope(risks: list[float], floor: float) -> tuple[float, float]:
    """Return the slope of the log risks and its standard error (about 0 for two points)."""
    highest = max(risks)
    if highest == 0:
        return -math.inf, 0.0
    if highest <= floor:
        return 0.0, 0.0
    # Relative to the highest risk, so that tiny risks keep their digits.
    least = max(floor / highest, 1e-6)
    logs = [math.log(max(risk / highest, least)) for risk in risks]
    n, level = len(risks), mean(logs)
    points = [(i - (n - 1) / 2, z) for i, z in enumerate(logs)]
    spread = math.fsum(step * step for step, _ in points)
    slope = math.fsum(step * z for step, z in points) / spread
    squared = math.fsum((z - level - slope * step) ** 2 for step, z in points)
    return slope, math.sqrt(squared / max(1, n - 2) / spread)


def _exp(exponent: float) -> float:
    return math.exp(min(exponent, 709.0))
