"""Writing down what a cycle did: run directories first, then the ledger, then the pointer."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from penin_core.cycle import Cycle, Trial
from penin_core.league.confirmation import task_mark
from penin_core.league.decision import gate, linf
from penin_core.league.indicators import phi, sr
from penin_core.league.promotion import promotion_body
from penin_core.ledger.artifacts import new_run_id, write_run
from penin_core.records import (
    Candidate,
    CycleReport,
    Decision,
    Measurement,
    RunRecord,
    RunSummary,
    Verdict,
)

#: Strongest outcome first.
_STRENGTH: tuple[Verdict, ...] = ("promote", "canary", "rollback", "fail")


def record_cycle(
    cycle: Cycle,
    champion: Candidate,
    challengers: Sequence[Candidate],
    decisions: Mapping[str, Decision],
) -> CycleReport:
    """Write every candidate of the cycle, move the champion if one is promoted, and report.

    The runs and the promotion are one transaction: a crash leaves all of them or none.
    """
    before = cycle.league.champion()
    baseline = Decision(verdict="rollback", reason="baseline: the champion, for comparison")
    entries: list[tuple[str, Mapping[str, Any]]] = []
    runs: list[RunSummary] = []
    for candidate, decision in [
        (champion, baseline),
        *((challenger, decisions[challenger.hash]) for challenger in challengers),
    ]:
        run, summary = _write(cycle, candidate, decision, champion)
        entries.append(("RUN", run.model_dump(mode="json")))
        runs.append(summary)
        if decision.verdict == "promote" and not cycle.dry_run:
            assert cycle.trial is not None
            body = promotion_body(candidate.config.model_dump(mode="json"), run.id, before)
            spent = [task_mark(task.id) for task in cycle.trial.outcome.tasks]
            promotion = {**body, "reason": decision.reason, "spent": spent}
    if any(summary.decision.verdict == "promote" for summary in runs) and not cycle.dry_run:
        entries.append(("PROMOTE", promotion))
    cycle.ledger.record_many(entries)
    cycle.league.champion()
    return _report(cycle, champion, runs)


def record_first(
    cycle: Cycle, champion: Candidate, measured: Measurement, params: Mapping[str, float]
) -> None:
    """Write the first champion: its run and the BOOTSTRAP entry, ungated."""
    decision = Decision(
        verdict="promote",
        reason="bootstrap: what runs today",
        score=gate(measured, cycle.suite.definition.axes, params).score,
        linf=linf(measured, cycle.suite.definition.axes, params, ethical_ok=True),
    )
    run = _run_record(cycle, champion, champion, decision, measured, None)
    run = _publish(cycle, run, _files(champion, measured, decision, None))
    body = {
        **promotion_body(champion.config.model_dump(mode="json"), run.id, None),
        "param_version": 0,
        "params": dict(params),
        "baseline": cycle.suite.baseline.model_dump() if cycle.suite.baseline else None,
        "suite_hash": cycle.suite.hash,
    }
    cycle.ledger.record_many([("RUN", run.model_dump(mode="json")), ("BOOTSTRAP", body)])
    cycle.league.champion()


def _write(
    cycle: Cycle, candidate: Candidate, decision: Decision, champion: Candidate
) -> tuple[RunRecord, RunSummary]:
    trial = cycle.trial
    finalist = trial is not None and candidate.hash == trial.finalist.hash
    if trial is not None and (finalist or candidate.hash == champion.hash):
        measured = trial.measured if finalist else trial.champion
    else:
        measured = cycle.raced.measured.get(
            candidate.hash, Measurement(suite_hash=cycle.suite.hash)
        )
    run = _run_record(cycle, candidate, champion, decision, measured, trial if finalist else None)
    files = _files(candidate, measured, decision, trial if finalist else None)
    run = _publish(cycle, run, files)
    summary = RunSummary(
        run_id=run.id,
        candidate=candidate,
        decision=decision,
        measurement=measured.model_copy(update={"rows": ()}),
    )
    return run, summary


def _run_record(
    cycle: Cycle,
    candidate: Candidate,
    champion: Candidate,
    decision: Decision,
    measured: Measurement,
    trial: Trial | None,
) -> RunRecord:
    run_id = new_run_id()
    guards = {} if trial is None else {guard.guard: guard for guard in trial.guards}
    sigma, risk = guards.get("sigma"), guards.get("contractive")
    before = cycle.league.champion()
    spent_share = cycle.engine.spend.usd / (cycle.project.settings.budget.daily_usd or 1.0)
    return RunRecord(
        id=run_id,
        cycle_id=cycle.id,
        kind="baseline" if candidate.hash == champion.hash else "challenger",
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
        sigma_guard_ok=None if sigma is None else sigma.ok,
        ir_ic_ok=None if risk is None or not risk.measured else risk.ok,
        sr=None if sigma is None else sr(measured, ethics_ok=sigma.ok),
        caos_phi=None
        if trial is None
        else phi(
            measured,
            trial.champion,
            delta_linf=decision.delta_linf,
            spent_share=spent_share,
            kappa=cycle.params["kappa"],
        ),
        verdict=decision.verdict,
        reason=decision.reason,
        delta_linf=decision.delta_linf,
        delta_score=decision.delta_score,
        artifacts_path=f"runs/{run_id}",
        manifest_sha256="0" * 64,
        ethics_attest_hash=None if trial is None else trial.ethics.attestation_hash,
        config_hash=candidate.hash,
        dry_run=cycle.dry_run,
        param_version=cycle.param_version,
        threshold_profile=cycle.profile,
        suite_hash=cycle.suite.hash,
        n_tasks=measured.n_tasks,
        detail=_detail(cycle, candidate, champion, decision, measured, trial),
    )


def _detail(
    cycle: Cycle,
    candidate: Candidate,
    champion: Candidate,
    decision: Decision,
    measured: Measurement,
    trial: Trial | None,
) -> dict[str, Any]:
    """Return what explains the row without opening its artifacts."""
    detail: dict[str, Any] = {
        "origin": candidate.origin,
        "note": candidate.note[:500],
        "champion": champion.hash,
        "params": cycle.params,
        "risk": measured.risk,
        "raw": measured.raw,
        "groups": measured.groups,
        "errors": measured.n_errors,
        "worst_axis": decision.worst_axis,
        "plugin": str(cycle.project.plugins.origin("providers", candidate.config.provider)),
    }
    if candidate.hash == champion.hash and cycle.failures:
        detail["failures"] = [failure.model_dump() for failure in cycle.failures]
    if trial is not None:
        detail["confirmation"] = trial.outcome.confirmation.model_dump(mode="json")
        detail["before"] = {axis: getattr(trial.champion, axis) for axis in "USCL"}
        detail["guards"] = [
            {"guard": g.guard, "ok": g.ok, "measured": g.measured, "reason": g.reason}
            for g in trial.guards
        ]
    return detail


def _files(
    candidate: Candidate, measured: Measurement, decision: Decision, trial: Trial | None
) -> dict[str, bytes]:
    """Return the files of a run directory."""
    rows = [row.model_dump(mode="json") for row in measured.rows]
    ethics = None if trial is None else trial.ethics.model_dump(mode="json")
    guards = [] if trial is None else [guard.model_dump(mode="json") for guard in trial.guards]
    files = {
        "config.json": _json(candidate.config.model_dump(mode="json")),
        "evaluation.json": _json(measured.model_dump(mode="json", exclude={"rows"})),
        "ethics.json": _json(ethics),
        "gates.json": _json(guards),
        "decision.json": _json(decision.model_dump(mode="json")),
        "responses.jsonl": b"".join(_line(row) for row in rows),
    }
    if trial is not None:
        files["pairs.jsonl"] = b"".join(_line(asdict(pair)) for pair in trial.outcome.pairs)
    return files


def _publish(cycle: Cycle, run: RunRecord, files: Mapping[str, bytes]) -> RunRecord:
    manifest = write_run(cycle.project.state, run.id, files)
    return run.model_copy(update={"manifest_sha256": manifest})


def _report(cycle: Cycle, champion: Candidate, runs: Sequence[RunSummary]) -> CycleReport:
    challengers = runs[1:]
    best = min(challengers, key=_order, default=None)
    trial = cycle.trial
    if cycle.exhausted:
        reason = f"budget_exhausted: {cycle.exhausted}"
    else:
        reason = best.decision.reason if best else "no mutator proposed a challenger"
    return CycleReport(
        cycle_id=cycle.id,
        verdict=best.decision.verdict if best else "fail",
        reason=reason,
        champion=best.candidate if best and best.decision.verdict == "promote" else champion,
        best_challenger=best.run_id if best else None,
        metrics={
            axis: getattr(best.measurement, axis) if best else None for axis in ("U", "S", "C", "L")
        },
        runs=tuple(runs),
        guards=() if trial is None else trial.guards,
        confirmation=None if trial is None else trial.outcome.confirmation,
        failures=tuple(cycle.failures),
        spend_usd=cycle.engine.spend.usd,
        calls=cycle.engine.spend.calls,
        elapsed_s=round(time.monotonic() - cycle.started, 3),
        dry_run=cycle.dry_run,
        param_version=cycle.param_version,
    )


def _order(summary: RunSummary) -> tuple[int, bool, float]:
    """Sort runs: strongest verdict first, then those that came furthest, then L∞ or U."""
    decision, measured = summary.decision, summary.measurement
    return (
        _STRENGTH.index(decision.verdict),
        decision.linf is None,
        -(decision.linf if decision.linf is not None else measured.U or 0.0),
    )


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
