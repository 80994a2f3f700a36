"""Decide again about a stored run, from what was stored, and say where anything differs.

Nothing is asked of a model. The files of the run are checked against its ledger entry; then the
declared order, every e-value, the ethics attestation, every gate and the verdict are computed
again from the numbers in them, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penin_core.contracts import Guard
from penin_core.errors import LedgerInvalid
from penin_core.league.decision import gate, linf
from penin_core.ledger.store import WORMLedger
from penin_core.records import Configuration, Decision

from .stored import Stored
from .trial import Retrial

#: What a run that was not confirmed may end as.
_NO_TRIAL = ("rollback", "fail")


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay that found no difference: what was computed again, and what could not be."""

    run_id: str
    verdict: str
    checks: tuple[str, ...]
    notes: tuple[str, ...] = ()


def replay(
    state: Path, ledger: WORMLedger, run_id: str, make_guard: Callable[[str], Guard]
) -> Replay:
    """Derive the gates and the verdict of a run again.

    ``make_guard`` gives a guard by its name; the answer of one that is not installed
    (``PluginNotFound``) is taken as recorded, and that is noted.

    Raises:
        LedgerInvalid: something differs, or a file was changed; the first difference is named.
        StateError: there is no such run, or its files are gone.
    """
    case = Stored(state, ledger, ledger.run(run_id))
    try:
        _check_row(case)
        if "trial.json" in case.files:
            Retrial(case, make_guard).check()
        else:
            _check_without_trial(case)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise LedgerInvalid(f"run {run_id} cannot be replayed: {words}") from error
    return Replay(run_id, case.row["verdict"], tuple(case.checks), tuple(case.notes))


def _check_row(case: Stored) -> None:
    """Compare the row of the ledger with the files."""
    row, measured = case.row, case.measured()
    decision = Decision.model_validate(case.file("decision.json"))
    config = Configuration.model_validate(case.file("config.json"))
    derived = {
        "candidate_cfg_hash": config.hash,
        "config_hash": config.hash,
        "provider_id": config.provider,
        "suite_hash": measured.suite_hash,
        "n_tasks": measured.n_tasks,
        "cost_micro_usd": round(measured.cost_usd * 1e6),
        "latency_ms": measured.latency_ms,
        **{f"{axis.lower()}_score": getattr(measured, axis) for axis in "USCL"},
        **decision.model_dump(include={"verdict", "reason", "score", "linf"}),
        **decision.model_dump(include={"delta_linf", "delta_score"}),
    }
    for name, value in derived.items():
        case.same(name, row[name], value)
    case.same("risk", case.detail["risk"], measured.risk)
    case.same("groups", case.detail["groups"], measured.groups)
    case.same("worst_axis", case.detail["worst_axis"], decision.worst_axis)
    case.checks.append(f"the row repeats the files of the run, {len(case.files)} files")


def _check_without_trial(case: Stored) -> None:
    """Check a run that was not confirmed: no gate was asked, so it moved nothing."""
    events = case.ledger.events(("BOOTSTRAP", "PROMOTE"))
    made = [e for e in events if e.body.get("run_id") == case.row["id"]]
    first = made[0] if made and made[0].kind == "BOOTSTRAP" else None
    if first is not None:
        _check_first(case, first.body)
        return
    case.same("the verdict allows no promotion", case.row["verdict"] in _NO_TRIAL, True)
    for name in ("score", "linf", "sigma_guard_ok", "ir_ic_ok", "ethics_attest_hash"):
        case.same(name, case.row[name], None)
    case.checks.append(f"it was not confirmed, so it is {case.row['verdict']}")


def _check_first(case: Stored, body: Mapping[str, Any]) -> None:
    """Check the first champion: its score, which became the threshold of the others."""
    measured, axes = case.measured(), case.detail["axes"]
    case.same("config_hash of BOOTSTRAP", body["config_hash"], case.row["config_hash"])
    case.same("score", case.row["score"], gate(measured, axes, body["params"]).score)
    value = linf(measured, axes, body["params"], ethical_ok=True)
    case.same("linf", case.row["linf"], value)
    case.checks.append("the first champion: its score and L∞")
