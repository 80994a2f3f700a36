"""Writing down what a cycle did: run directories first, then the ledger, then the pointer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from penin_core.cycle import Cycle
from penin_core.errors import StateError
from penin_core.league.campaign import task_mark
from penin_core.league.decision import gate, linf
from penin_core.league.fates import fate_entries
from penin_core.league.promotion import promotion_body
from penin_core.records import (
    Candidate,
    CycleReport,
    Decision,
    Measurement,
    RunSummary,
    Verdict,
)
from penin_core.runfiles import Case, publish

#: Strongest outcome first.
_STRENGTH: tuple[Verdict, ...] = ("promote", "canary", "rollback", "fail")


def record_cycle(
    cycle: Cycle,
    champion: Candidate,
    challengers: Sequence[Candidate],
    decisions: Mapping[str, Decision],
) -> CycleReport:
    """Write every candidate of the cycle, move the champion if one is promoted, and report.

    The runs and the promotion are one transaction: a crash leaves all of them or none. A finalist
    that was measured against a champion who has left meanwhile is not promoted.

    Raises:
        StateError: the champion changed while the cycle ran, and one would have been promoted; the
            runs are recorded.
    """
    before = cycle.league.champion()
    moved = before is not None and before.config_digest != champion.hash
    baseline = Decision(verdict="rollback", reason="baseline: the champion, for comparison")
    entries: list[tuple[str, Mapping[str, Any]]] = []
    runs: list[RunSummary] = []
    loaded = cycle.project.plugins.loaded()
    for candidate in (champion, *challengers):
        decision = baseline if candidate is champion else decisions[candidate.hash]
        case = _case(cycle, candidate, champion, decision)
        run = publish(cycle, case)
        entries.append(("RUN", run.model_dump(mode="json")))
        shown = case.measured.model_copy(update={"rows": ()})
        runs.append(
            RunSummary(run_id=run.id, candidate=candidate, decision=decision, measurement=shown)
        )
    # What money or time cut short stands open, and is continued with the same seed.
    if cycle.closing is not None and not cycle.exhausted:
        entries.append(("CONFIRM", {**cycle.closing, "loaded": loaded}))
    promoted = next((run for run in runs if run.decision.verdict == "promote"), None)
    if promoted is not None and cycle.trial is not None and not (cycle.dry_run or moved):
        config = promoted.candidate.config.model_dump(mode="json")
        outcome = cycle.trial.outcome
        spent = [task_mark(pair.task) for pair in (*outcome.pairs, *outcome.further)]
        body = promotion_body(config, promoted.run_id, before)
        reason = promoted.decision.reason
        entries.append(("PROMOTE", {**body, "reason": reason, "spent": spent, "loaded": loaded}))
        entries += fate_entries(cycle.ledger, before, "promoted")
    cycle.ledger.record_many(entries)
    cycle.league.champion()
    if promoted is not None and moved and not cycle.dry_run:
        raise StateError(
            f"the champion changed while the cycle ran: run {promoted.run_id} is not promoted",
            hint="run the next cycle: it measures against the new champion",
        )
    return _report(cycle, champion, runs)


def record_first(
    cycle: Cycle, champion: Candidate, measured: Measurement, params: Mapping[str, float]
) -> None:
    """Write the first champion: its run and the BOOTSTRAP entry, ungated."""
    axes = cycle.suite.definition.axes
    decision = Decision(
        verdict="promote",
        reason="bootstrap: what runs today",
        score=gate(measured, axes, params).score,
        linf=linf(measured, axes, params, ethical_ok=True),
    )
    run = publish(cycle, Case(champion, champion, decision, measured))
    body = {
        **promotion_body(champion.config.model_dump(mode="json"), run.id, None),
        "param_version": 0,
        "params": dict(params),
        "baseline": cycle.suite.baseline.model_dump() if cycle.suite.baseline else None,
        "suite_hash": cycle.suite.hash,
        "loaded": cycle.project.plugins.loaded(),
    }
    cycle.ledger.record_many([("RUN", run.model_dump(mode="json")), ("BOOTSTRAP", body)])
    cycle.league.champion()


def _case(cycle: Cycle, candidate: Candidate, champion: Candidate, decision: Decision) -> Case:
    """Return what is known about one candidate: its part of the trial, else of the race."""
    trial = cycle.trial
    if trial is not None and candidate.hash == trial.finalist.hash:
        return Case(candidate, champion, decision, trial.measured, trial)
    if trial is not None and candidate.hash == champion.hash:
        return Case(candidate, champion, decision, trial.champion)
    nothing = Measurement(suite_hash=cycle.suite.hash)
    measured = cycle.raced.measured.get(candidate.hash, nothing)
    return Case(candidate, champion, decision, measured)


def _report(cycle: Cycle, champion: Candidate, runs: Sequence[RunSummary]) -> CycleReport:
    challengers, finalist = runs[1:], cycle.raced.finalist
    confirmed = [run for run in challengers if finalist and run.candidate.hash == finalist.hash]
    best = min(confirmed or challengers, key=_order, default=None)
    trial = cycle.trial
    if cycle.exhausted:
        reason = f"budget_exhausted: {cycle.exhausted}"
    else:
        reason = best.decision.reason if best else "no mutator proposed a challenger"
    promoted = best is not None and best.decision.verdict == "promote" and not cycle.dry_run
    return CycleReport(
        cycle_id=cycle.id,
        verdict=best.decision.verdict if best else "fail",
        reason=reason,
        champion=best.candidate if best is not None and promoted else champion,
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


def _order(summary: RunSummary) -> tuple[int, bool, int, float]:
    """Sort runs: strongest verdict first, then those that came furthest, then L∞ or U."""
    decision, measured = summary.decision, summary.measurement
    return (
        _STRENGTH.index(decision.verdict),
        decision.linf is None,
        -measured.n_tasks,
        -(decision.linf if decision.linf is not None else measured.U or 0.0),
    )
