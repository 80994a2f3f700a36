"""The decision about a finalist: the rule on point values, margins, guards and evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from penin_core.omega.scoring import LINF_WEIGHTS, linf_harmonic, score_gate
from penin_core.records import Axis, Confirmation, Decision, GuardResult, Measurement
from penin_core.settings import Margins
from penin_core.suites import MIN_CONFIRM


class Scored(Protocol):
    """What :func:`penin_core.score_gate` returns."""

    @property
    def score(self) -> float:
        """Weighted score in [0, 1]."""

    @property
    def tau(self) -> float:
        """Threshold of a promotion."""

    @property
    def tau_low(self) -> float:
        """Threshold of a canary."""


def decide_promotion(
    score_result: Scored, delta_linf: float, guards_ok: bool, beta_min: float = 0.02
) -> Literal["promote", "canary", "rollback"]:
    """Apply the rule on point values.

    Promote: score >= tau and delta_linf >= beta_min. Canary: score >= tau_low and delta_linf >
    -beta_min. Everything else, a guard that does not say True and a number that is not finite
    included, is a rollback: the challenger is rejected.
    """
    score = score_result.score
    if guards_ok is not True or not _finite(score) or not _finite(delta_linf):
        return "rollback"
    if score >= score_result.tau - 1e-12 and delta_linf >= beta_min - 1e-12:
        return "promote"
    if score >= score_result.tau_low - 1e-12 and delta_linf > -beta_min:
        return "canary"
    return "rollback"


def decide(
    finalist: Measurement,
    champion: Measurement,
    *,
    axes: Sequence[Axis],
    params: Mapping[str, float],
    guards: Sequence[GuardResult],
    confirmation: Confirmation,
    margins: Margins,
) -> Decision:
    """Decide about one finalist: both the rule and the evidence must agree to promote."""
    missing = [axis for axis in axes if getattr(finalist, axis) is None]
    if missing:
        return Decision(verdict="fail", reason=f"not measured: {', '.join(missing)}")
    if any(getattr(champion, axis) is None for axis in axes):
        return Decision(verdict="fail", reason="the champion could not be measured")
    guards_ok = bool(guards) and all(guard.ok is True for guard in guards)
    scored = gate(finalist, axes, params)
    new = linf(finalist, axes, params, ethical_ok=guards_ok)
    delta = new - linf(champion, axes, params, ethical_ok=True)
    name, loss, allowed = worst_loss(finalist, champion, axes, margins)
    rule = decide_promotion(scored, delta, guards_ok, params["beta_min"])
    proved = confirmation.proved is True and confirmation.n >= MIN_CONFIRM
    veto = [guard.guard for guard in guards if guard.ok is not True]
    if veto or not guards:
        verdict, reason = rule, f"vetoed by {', '.join(veto) or 'no guard at all'}"
    elif loss > allowed + 1e-12:
        verdict, reason = "rollback", f"{name} is worse by {loss:.3f}, the margin is {allowed}"
    elif rule == "promote" and proved:
        verdict, reason = "promote", f"{confirmation.claim}, proved on {confirmation.n} tasks"
    elif rule == "rollback":
        verdict, reason = rule, _shortfall(scored, delta, params["beta_min"])
    elif proved:
        verdict, reason = "canary", _shortfall(scored, delta, params["beta_min"])
    else:
        verdict, reason = "canary", f"not proved on {confirmation.n} tasks: parked"
    return Decision(
        verdict=verdict,
        reason=reason,
        score=scored.score,
        tau=scored.tau,
        linf=new,
        delta_linf=delta,
        delta_score=scored.score - gate(champion, axes, params).score,
        worst_axis=name if loss > 0 else None,
    )


def gate(measured: Measurement, axes: Sequence[Axis], params: Mapping[str, float]) -> Scored:
    """Return the score of a measurement; axes that the suite lacks have no weight."""
    value = {axis: getattr(measured, axis) if axis in axes else None for axis in "USCL"}
    weight = {axis: params[f"w{axis}"] if axis in axes else 0.0 for axis in "USCL"}
    return score_gate(
        value["U"],
        value["S"],
        value["C"],
        value["L"],
        weight["U"],
        weight["S"],
        weight["C"],
        weight["L"],
        params["tau"],
    )


def linf(
    measured: Measurement,
    axes: Sequence[Axis],
    params: Mapping[str, float],
    *,
    ethical_ok: bool,
) -> float:
    """Return L∞ of a measurement over the axes that the suite has."""
    used = {str(axis): weight for axis, weight in LINF_WEIGHTS.items() if axis in axes}
    return linf_harmonic(
        weights=used,
        metrics={axis: getattr(measured, axis) for axis in used},
        cost=(measured.C or 0.0) if "C" in axes else 0.0,
        lambda_c=params["lambda_c"],
        ethical_ok=ethical_ok,
    )


def worst_loss(
    finalist: Measurement, champion: Measurement, axes: Sequence[Axis], margins: Margins
) -> tuple[str, float, float]:
    """Return the axis or group that goes furthest beyond its margin, its loss, and the margin."""
    losses = []
    for axis in axes:
        loss = getattr(champion, axis) - getattr(finalist, axis)
        losses.append((f"axis {axis}", -loss if axis == "C" else loss, getattr(margins, axis)))
    for group, before in champion.groups.items():
        loss = before - finalist.groups.get(group, 0.0)
        losses.append((f"group {group!r}", loss, margins.group))
    return max(losses, key=lambda found: found[1] - found[2])


def _shortfall(scored: Scored, delta: float, beta_min: float) -> str:
    if scored.score < scored.tau:
        return f"score {scored.score:.3f} is under tau {scored.tau:.3f}"
    return f"L∞ changes by {delta:+.3f}, beta_min is {beta_min}"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
