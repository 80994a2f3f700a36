"""The tuner's step at the end of a cycle: from the ledger, into the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penin_core.cycle import Cycle
from penin_core.league.fates import restored
from penin_core.ledger.store import WORMLedger
from penin_core.omega.scoring import LINF_WEIGHTS, linf_harmonic
from penin_core.omega.tuner import (
    DEFAULTS,
    ReplayCandidate,
    ReplayCycle,
    replay_gradients,
    replay_objective,
)

_COLUMNS = {"U": "u_score", "S": "s_score", "C": "c_score", "L": "l_score"}


def tune(cycle: Cycle) -> bool:
    """Take one step of the tuner if enough was measured; return whether it was recorded.

    A dry run tunes nothing. The parameters that the step changes are in force from the next cycle.
    """
    if cycle.dry_run:
        return False
    history = replay_history(cycle.ledger)
    tuner = restored(cycle.ledger, cycle.params)
    params = tuner.get_params()
    objective, gradients = replay_objective(params, history), replay_gradients(params, history)
    if objective is None or gradients is None:
        return False
    version = tuner.version
    tuner.update(objective, gradients)
    cycle.ledger.record_event(
        "TUNE",
        {
            "param_version": cycle.param_version + int(tuner.version != version),
            "params": tuner.get_params(),
            "objective": objective,
            "gradients": gradients,
            "state": tuner.export_state(),
            "loaded": cycle.project.plugins.loaded(),
        },
    )
    return True


def replay_history(ledger: WORMLedger) -> list[ReplayCycle]:
    """Return the cycles of the ledger in which a finalist was measured on all axes of the suite.

    Only such a finalist has a score; who dropped out of the race was measured on two axes at most.
    """
    cycles: dict[str, list[dict[str, Any]]] = {}
    for run in reversed(ledger.runs()):
        scored = run["kind"] == "baseline" or run["score"] is not None
        if run["n_tasks"] and not run["dry_run"] and scored:
            cycles.setdefault(run["cycle_id"], []).append(run)
    history = []
    for runs in cycles.values():
        # The first champion of all was measured before, too, on other tasks than the finalist.
        champion = next((run for run in reversed(runs) if run["kind"] == "baseline"), None)
        candidates = [_candidate(run) for run in runs if run["kind"] == "challenger"]
        if champion is not None and candidates:
            spend = max(_spent_share(ledger, run) for run in runs)
            history.append(ReplayCycle(_candidate(champion), candidates, spend))
    return history


def _spent_share(ledger: WORMLedger, run: Mapping[str, Any]) -> float:
    """Return which share of the budget the cycle of a run had spent; 0 where it has no limit."""
    share: float | None = ledger.entry(run["idx"]).body.get("detail", {}).get("spent_share")
    return share or 0.0


def _candidate(run: Mapping[str, Any]) -> ReplayCandidate:
    """Return a run with its reward: L∞ under the frozen reference parameters."""
    axes = {axis: run[column] for axis, column in _COLUMNS.items()}
    used = {str(axis): w for axis, w in LINF_WEIGHTS.items() if axes[axis] is not None}
    reward = linf_harmonic(
        weights=used,
        metrics={axis: axes[axis] for axis in used},
        cost=axes["C"] or 0.0,
        lambda_c=DEFAULTS["lambda_c"],
        ethical_ok=True,
    )
    return ReplayCandidate(axes["U"] or 0.0, axes["S"], axes["C"], axes["L"], reward)
