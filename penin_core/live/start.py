"""Beginning and stopping an experiment by hand: checks first, then one entry of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penin_core.errors import PromotionRefused, SettingsError, StateError
from penin_core.league.campaign import campaign_of, closing
from penin_core.league.promotion import LeagueOrchestrator
from penin_core.ledger.artifacts import new_run_id
from penin_core.records import Configuration
from penin_core.settings import LiveSettings, parse_duration

from .experiment import Experiment, Mode, running
from .trial import End, Trial


def begin(
    league: LeagueOrchestrator,
    settings: LiveSettings,
    run_id: str,
    *,
    mode: Mode = "canary",
    claim: bool = False,
    ramp: tuple[float, ...] = (),
) -> Experiment:
    """Declare an experiment with the candidate of a run; whoever serves takes it up at once.

    With ``claim``, users' feedback may prove that the challenger is better: the claim takes the
    next number of the campaign, before anybody has seen anything. Hold the state directory.

    Raises:
        StateError: there is no champion or no such run, or an experiment runs already.
        PromotionRefused: the challenger is the champion, is quarantined, or (for a canary) did not
            pass guards and point values.
        SettingsError: a share is none, or the duration; or a shadow is to prove a claim.
    """
    if claim and mode == "shadow":
        raise SettingsError(
            "a shadow cannot prove a claim by feedback: nobody sees what it answers",
            hint="leave one out: a claim that no feedback can decide loses its share of the error",
        )
    if (now := running(league.ledger)) is not None:
        raise StateError(
            f"experiment {now.experiment.id} runs already, with run {now.experiment.run_id}",
            hint="penin canary stop ends it",
        )
    run, champion = league.ledger.run(run_id), league.require_champion()
    challenger = league.configuration(run)
    _require_fit(league, run, challenger, champion.config_digest, mode)
    shares = ramp or ((settings.shadow,) if mode == "shadow" else settings.ramp)
    _require_shares(shares, mode)
    experiment = Experiment(
        id=f"live-{new_run_id()}",
        run_id=run["id"],
        champion=champion.config_digest,
        challenger=challenger.hash,
        mode=mode,
        ramp=shares,
        step_requests=settings.step_requests,
        duration_s=parse_duration(settings.duration),
        t=campaign_of(league.ledger).earlier + 1 if claim else None,
    )
    entries = [("CANARY_START", {**experiment.declaration(), **league.stamp})]
    if claim:
        entries.insert(0, ("CONFIRM", {**experiment.claim(), **league.stamp}))
    league.ledger.record_many(entries)
    return experiment


def _require_shares(shares: tuple[float, ...], mode: Mode) -> None:
    for share in shares:
        if not (0.0 < share < 1.0 or (share == 1.0 and mode == "shadow")):
            raise SettingsError(
                f"fraction = {share!r} must lie above 0 and below 1",
                hint="a canary needs a champion beside it; a shadow may see all of the traffic",
            )


def _require_fit(
    league: LeagueOrchestrator,
    run: Mapping[str, Any],
    challenger: Configuration,
    champion: str,
    mode: Mode,
) -> None:
    """Refuse who may not answer anybody. A shadow answers nobody, so more may be one."""
    why = ""
    if challenger.hash == champion:
        why = "its configuration is the champion's"
    elif challenger.hash in league.quarantined():
        why = "its configuration is quarantined after a rollback"
    elif mode == "canary" and run["verdict"] not in ("promote", "canary"):
        why = f"its verdict was {run['verdict']} ({run['reason']}); a shadow may be tried"
    elif mode == "canary" and run["sigma_guard_ok"] != 1:
        why = "Σ-Guard did not pass; a shadow may be tried"
    if why:
        raise PromotionRefused(
            f"run {run['id']} is not tried on live traffic: {why}",
            hint="penin ledger show lists the runs; penin why RUN_ID explains one",
        )


def stop(league: LeagueOrchestrator, trial: Trial, reason: str) -> End:
    """End the experiment by hand; whoever serves takes the challenger's share away at once."""
    end = trial.stopped(f"stopped by hand: {reason}" if reason else "stopped by hand")
    league.ledger.record_many(ending(trial, end, league.stamp))
    return end


def ending(
    trial: Trial, end: End, stamp: Mapping[str, Any], *, proved: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    """Return the entries that close an experiment, and the claim that it declared, if any."""
    experiment, monitor = trial.experiment, trial.monitor
    body = {
        **experiment.about(),
        "champion": experiment.champion,
        "challenger": experiment.challenger,
        "verdict": end.verdict,
        "reason": end.reason,
        "step": trial.step,
        "champion_requests": monitor.champion,
        "challenger_requests": monitor.challenger,
        "votes": dict(monitor.votes),
        "log_e": monitor.log_e(),
        "served_s": round(trial.served_s, 3),
        **stamp,
    }
    entries = [("CANARY_STOP", body)]
    if experiment.t is not None:
        shown = {"log_e": monitor.favours["gain"].log_e, "votes": dict(monitor.votes)}
        closed = {**closing(experiment.t, proved=proved, asked=0), **shown, **stamp}
        entries.append(("CONFIRM", closed))
    return entries
