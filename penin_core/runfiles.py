"""One candidate of a cycle on disk: the files of its run directory and its row in the ledger."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from penin_core.cycle import Cycle, Trial
from penin_core.engine.prices import price_table
from penin_core.errors import ProviderError
from penin_core.league.indicators import phi, sr
from penin_core.ledger.artifacts import new_run_id, write_run
from penin_core.records import Candidate, Decision, Measurement, RunRecord


@dataclass(frozen=True)
class Case:
    """All that is known about one candidate; ``trial`` only for a finalist."""

    candidate: Candidate
    champion: Candidate
    decision: Decision
    measured: Measurement
    trial: Trial | None = None


def publish(cycle: Cycle, case: Case) -> RunRecord:
    """Write the run directory of a candidate and return the row that names its manifest."""
    run_id = new_run_id()
    manifest = write_run(cycle.project.state, run_id, _files(cycle, case))
    return _row(cycle, case, run_id, manifest)


def _row(cycle: Cycle, case: Case, run_id: str, manifest: str) -> RunRecord:
    candidate, decision, measured = case.candidate, case.decision, case.measured
    before = cycle.league.champion()
    return RunRecord(
        id=run_id,
        cycle_id=cycle.id,
        kind="baseline" if candidate.hash == case.champion.hash else "challenger",
        git_sha=_git_sha(),
        seed=cycle.seed,
        provider_id=candidate.config.provider,
        candidate_cfg_hash=candidate.hash,
        parent_run_id=None if before is None else before.run_id,
        u_score=measured.U,
        s_score=measured.S,
        c_score=measured.C,
        l_score=measured.L,
        linf=decision.linf,
        score=decision.score,
        cost_micro_usd=round(measured.cost_usd * 1e6),
        latency_ms=measured.latency_ms,
        verdict=decision.verdict,
        reason=decision.reason,
        delta_linf=decision.delta_linf,
        delta_score=decision.delta_score,
        artifacts_path=f"runs/{run_id}",
        manifest_sha256=manifest,
        config_hash=candidate.hash,
        dry_run=cycle.dry_run,
        param_version=cycle.param_version,
        threshold_profile=cycle.profile,
        suite_hash=cycle.suite.hash,
        n_tasks=measured.n_tasks,
        detail=_detail(cycle, case),
        **_gates(cycle, case),
    )


def _gates(cycle: Cycle, case: Case) -> dict[str, Any]:
    """Return the columns that only a finalist has."""
    trial = case.trial
    if trial is None:
        return {}
    guards = {guard.guard: guard for guard in trial.guards}
    sigma, risk = guards.get("sigma"), guards.get("contractive")
    return {
        "sigma_guard_ok": None if sigma is None else sigma.ok,
        "ir_ic_ok": None if risk is None or not risk.measured else risk.ok,
        "sr": None if sigma is None else sr(case.measured, ethics_ok=sigma.ok),
        "caos_phi": phi(
            case.measured,
            trial.champion,
            delta_linf=case.decision.delta_linf,
            spent_share=_spent_share(cycle),
            kappa=cycle.params["kappa"],
        ),
        "ethics_attest_hash": trial.ethics.attestation_hash,
    }


def _detail(cycle: Cycle, case: Case) -> dict[str, Any]:
    """Return what explains the row without opening its artifacts."""
    candidate, measured, trial = case.candidate, case.measured, case.trial
    detail: dict[str, Any] = {
        "origin": candidate.origin,
        "note": candidate.note[:500],
        "champion": case.champion.hash,
        "axes": list(cycle.suite.definition.axes),
        "params": cycle.params,
        "risk": measured.risk,
        "raw": measured.raw,
        "groups": measured.groups,
        "errors": measured.n_errors,
        "worst_axis": case.decision.worst_axis,
        "plugin": str(cycle.project.plugins.origin("providers", candidate.config.provider)),
        "loaded": cycle.project.plugins.loaded(),
    }
    detail.update(_model(cycle, candidate))
    if measured.not_applied:
        detail["not_applied"] = list(measured.not_applied)
    if candidate.hash in cycle.raced.gains:
        detail["race_gain"] = cycle.raced.gains[candidate.hash]
    if candidate.hash == case.champion.hash and cycle.failures:
        detail["failures"] = [failure.model_dump() for failure in cycle.failures]
    if trial is not None:
        detail["spent_share"] = _spent_share(cycle)
        detail["confirmation"] = trial.outcome.confirmation.model_dump(mode="json")
        detail["before"] = {axis: getattr(trial.champion, axis) for axis in "USCL"}
        detail["guards"] = [
            {"guard": g.guard, "ok": g.ok, "measured": g.measured, "reason": g.reason}
            for g in trial.guards
        ]
    return detail


def _files(cycle: Cycle, case: Case) -> dict[str, bytes]:
    """Return the files of a run directory."""
    measured, trial = case.measured, case.trial
    ethics = None if trial is None else trial.ethics.model_dump(mode="json")
    guards = [] if trial is None else [guard.model_dump(mode="json") for guard in trial.guards]
    files = {
        "config.json": _json(case.candidate.config.model_dump(mode="json")),
        "evaluation.json": _json(measured.model_dump(mode="json", exclude={"rows"})),
        "ethics.json": _json(ethics),
        "gates.json": _json(guards),
        "decision.json": _json(case.decision.model_dump(mode="json")),
        "responses.jsonl": b"".join(_line(row.model_dump(mode="json")) for row in measured.rows),
    }
    if trial is not None:
        files["pairs.jsonl"] = b"".join(_line(asdict(pair)) for pair in trial.outcome.pairs)
        files["further.jsonl"] = b"".join(_line(asdict(pair)) for pair in trial.outcome.further)
        files["trial.json"] = _json(_trial(cycle, trial))
    return files


def _trial(cycle: Cycle, trial: Trial) -> dict[str, Any]:
    """Return what the decision rests on and no other file or entry holds."""
    settings = cycle.project.settings
    return {
        "champion": trial.champion.model_dump(mode="json", exclude={"rows"}),
        "margins": settings.evolve.margins.model_dump(),
        "guards": settings.guards.model_copy(update={"profile": cycle.profile}).model_dump(),
        "order": list(trial.outcome.order),
        "spent_share": _spent_share(cycle),
        "lost": trial.lost,
    }


def _model(cycle: Cycle, candidate: Candidate) -> dict[str, str]:
    """Return what is worth knowing about a model: who says its price, and when it goes away."""
    found: dict[str, str] = {}
    with suppress(ProviderError):
        able = cycle.engine.capabilities(candidate.config.provider, candidate.config.model)
        if able.price is None:
            found["prices"] = price_table()
        if able.shutdown_date is not None:
            found["shutdown_date"] = able.shutdown_date
    return found


def _spent_share(cycle: Cycle) -> float | None:
    """Return which share of the day's money this cycle has spent."""
    budget = cycle.project.settings.budget.daily_usd
    return cycle.engine.spend.usd / budget if budget else None


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def _line(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n").encode()


@cache
def _git_sha() -> str | None:
    """Return the commit of the working directory, if it lies in a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
