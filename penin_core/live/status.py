"""How an experiment stands: for people, for programs, and for monitoring."""

from __future__ import annotations

from typing import Any

from penin_core.league.canary import ALPHA

from .trial import Trial


def described(trial: Trial | None, problem: str = "") -> dict[str, Any]:
    """Return how an experiment stands; ``running`` is False without one."""
    if trial is None:
        return {"running": False, "problem": problem}
    experiment, monitor = trial.experiment, trial.monitor
    return {
        "running": True,
        "problem": problem,
        **experiment.about(),
        "champion": experiment.champion,
        "challenger": experiment.challenger,
        "step": trial.step,
        "steps": len(experiment.ramp),
        "fraction": trial.fraction,
        "in_step": trial.in_step,
        "step_requests": experiment.step_requests,
        "served_s": round(trial.served_s, 3),
        "duration_s": experiment.duration_s,
        "deaths": trial.deaths,
        "promoted": trial.promoted,
        "verdict": monitor.verdict,
        "reason": monitor.reason,
        "champion_requests": monitor.champion,
        "challenger_requests": monitor.challenger,
        "votes": dict(monitor.votes),
        "log_e": monitor.log_e(),
        "alpha_harm": ALPHA,
        "claim": experiment.t,
        "alpha_claim": experiment.alpha,
        "proved": trial.proved,
    }


def counted(trial: Trial | None, share: float) -> list[tuple[str, dict[str, str], float]]:
    """Return figures for monitoring: name, labels, value. Labels name nobody and nothing said."""
    found = [("penin_live_share", dict[str, str](), share)]
    if trial is None:
        return found
    monitor = trial.monitor
    for arm, count in (("champion", monitor.champion), ("challenger", monitor.challenger)):
        found.append(("penin_live_requests", {"arm": arm}, float(count)))
    for arm, count in monitor.votes.items():
        found.append(("penin_live_votes", {"arm": arm}, float(count)))
    for name, log_e in monitor.log_e().items():
        found.append(("penin_live_log_e", {"bound": name}, log_e))
    found.append(("penin_live_step", {}, float(trial.step)))
    return found
