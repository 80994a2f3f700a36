"""The decision about a finalist: the rule on point values, margins, guards and evidence."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from penin_core.omega.evidence import campaign_alpha, crossed
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
    lost: float = 0.0,
) -> Decision:
    """Decide about one finalist: both the rule and the evidence must agree to promote.

    ``lost`` is the utility that earlier promotions gave away; the margin of U is for all together.
    """
    if flaw := _flaw(finalist, champion, axes, params, margins, lost):
        return Decision(verdict="fail", reason=flaw)
    guards_ok = bool(guards) and all(_agrees(guard) for guard in guards)
    scored = gate(finalist, axes, params)
    new = linf(finalist, axes, params, ethical_ok=guards_ok)
    delta = new - linf(champion, axes, params, ethical_ok=True)
    left = margins.model_copy(update={"U": max(0.0, margins.U - lost)})
    name, loss, allowed = worst_loss(finalist, champion, axes, left)
    rule = decide_promotion(scored, delta, guards_ok, params["beta_min"])
    proved = holds(confirmation)
    veto = [str(getattr(guard, "guard", guard)) for guard in guards if not _agrees(guard)]
    if veto or not guards:
        verdict, reason = rule, f"vetoed by {', '.join(veto) or 'no guard at all'}"
    elif loss > allowed + 1e-12:
        verdict, reason = "rollback", _beyond(name, loss, allowed, lost)
    elif rule == "promote" and proved:
        verdict, reason = "promote", f"{confirmation.claim}, proved on {confirmation.n} tasks"
    elif rule == "rollback":
        verdict, reason = rule, _shortfall(scored, delta, params["beta_min"])
    elif proved:
        verdict, reason = "canary", _shortfall(scored, delta, params["beta_min"])
    else:
        verdict, reason = "canary", _unproved(confirmation)
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


def holds(confirmation: Confirmation) -> bool:
    """Return whether a confirmation proves its claim: by its own word, and by its own numbers.

    A level that is not that of its place in the campaign, too few tasks, or e-values that have not
    reached it prove nothing.
    """
    try:
        t, alpha = confirmation.t, confirmation.alpha
        if confirmation.proved is not True or not _finite(confirmation.n):
            return False
        if confirmation.n < MIN_CONFIRM or alpha != campaign_alpha(t):
            return False
        if confirmation.claim not in ("better", "cheaper"):
            return False
        if confirmation.mode == "horizon":
            return confirmation.claim == "better"
        values = [confirmation.log_e]
        if confirmation.claim == "cheaper":
            values.append(confirmation.log_e_cost)  # type: ignore[arg-type]
        return confirmation.mode == "anytime" and all(
            _number(value) and crossed(value, alpha) for value in values
        )
    except (ValueError, TypeError, AttributeError):
        return False


def _flaw(
    finalist: Measurement,
    champion: Measurement,
    axes: Sequence[Axis],
    params: Mapping[str, float],
    margins: Margins,
    lost: float,
) -> str:
    """Return in words what is missing or is no number; empty where all can be computed."""
    for who, measured in (("", finalist), ("of the champion", champion)):
        wrong = [axis for axis in axes if not _unit(getattr(measured, axis, None))]
        if wrong or not axes:
            return f"not measured: {', '.join(wrong) or 'anything'} {who}".rstrip()
        groups = measured.groups
        if not isinstance(groups, Mapping) or not all(map(_unit, groups.values())):
            return f"the groups {who} are no numbers".replace("  ", " ")
    if finalist.suite_hash != champion.suite_hash:
        return "finalist and champion were measured on different suites"
    needed = ("wU", "wS", "wC", "wL", "tau", "beta_min", "lambda_c")
    if unknown := [name for name in needed if not _finite(params.get(name))]:
        return f"parameter {unknown[0]} is {params.get(unknown[0])!r}"
    limits = [getattr(margins, name, None) for name in (*axes, "group")]
    if not all(map(_unit, limits)) or not _finite(lost) or lost < 0:
        return "a margin is no number in [0, 1]"
    return ""


def _agrees(guard: object) -> bool:
    return isinstance(guard, GuardResult) and guard.ok is True


def _unit(value: object) -> bool:
    return _finite(value) and 0.0 <= value <= 1.0  # type: ignore[operator]


def _number(value: object) -> bool:
    """Return whether it is a float; an e-value may be infinite, it may not be NaN."""
    return isinstance(value, float) and not math.isnan(value)


def _beyond(name: str, loss: float, allowed: float, lost: float) -> str:
    reason = f"{name} is worse by {loss:.3f}, the margin is {allowed:.3g}"
    if name == "axis U" and lost > 0:
        reason += f" after {lost:.3f} that earlier promotions gave away"
    return reason


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


def _unproved(confirmation: object) -> str:
    tasks = f"{getattr(confirmation, 'n', 'no')} tasks"
    if getattr(confirmation, "stopped", None) == "hopeless":
        return f"not proved on {tasks}, and more were not likely to: parked"
    return f"not proved on {tasks}: parked"


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
