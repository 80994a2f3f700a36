"""Decide again about a stored run, from what was stored, and say where anything differs.

Nothing is asked of a model. The files of the run are checked against its ledger entry; then the
declared order, every e-value, the ethics attestation, every gate and the verdict are computed
again from the numbers in them, to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from penin_core.canonical import digest
from penin_core.contracts import Guard
from penin_core.errors import LedgerInvalid, PluginNotFound, StateError
from penin_core.league.campaign import task_mark
from penin_core.league.decision import decide, gate, linf
from penin_core.league.indicators import attested, phi, sr
from penin_core.league.looks import Evidence, Pair, evidence_for, units
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.champion import quarantined
from penin_core.ledger.store import WORMLedger
from penin_core.omega.evidence import betting_confidence_sequence, campaign_alpha, paired_difference
from penin_core.project import champion_risks, parameters
from penin_core.records import (
    Configuration,
    Confirmation,
    Decision,
    EthicsEvidence,
    GuardEvidence,
    GuardResult,
    Measurement,
    TaskRow,
)
from penin_core.settings import GuardSettings, Margins
from penin_core.suites import MIN_CONFIRM

#: An interval comes from NumPy, whose last digits depend on the processor.
INTERVAL_TOLERANCE = 1e-8

T = TypeVar("T")


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
    case = _Case(state, ledger, ledger.run(run_id))
    try:
        case.check_row()
        if "trial.json" in case.files:
            _Trial(case, make_guard).check()
        else:
            case.check_without_trial()
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise LedgerInvalid(f"run {run_id} cannot be replayed: {words}") from error
    return Replay(run_id, case.row["verdict"], tuple(case.checks), tuple(case.notes))


@dataclass
class _Case:
    """A stored run, read back, and what was found out about it so far."""

    state: Path
    ledger: WORMLedger
    row: Mapping[str, Any]
    checks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.row["manifest_sha256"] is None:
            raise StateError(f"run {self.row['id']} has no files to replay")
        self.files = read_run(self.state, self.row["id"], self.row["manifest_sha256"])
        self.detail = self.ledger.entry(self.row["idx"]).body.get("detail", {})

    def file(self, name: str) -> Any:
        """Return what a JSON file of the run holds."""
        if name not in self.files:
            raise StateError(f"run {self.row['id']} has no {name}, it cannot be replayed")
        return json.loads(self.files[name])

    def lines(self, name: str) -> list[Any]:
        """Return what the lines of a file of the run hold."""
        return [json.loads(line) for line in self.files[name].splitlines()]

    def measured(self) -> Measurement:
        """Return the measurement with its rows."""
        rows = tuple(TaskRow.model_validate(row) for row in self.lines("responses.jsonl"))
        return Measurement.model_validate({**self.file("evaluation.json"), "rows": rows})

    def same(self, what: str, recorded: T, derived: T) -> None:
        """Raise LedgerInvalid where the two differ."""
        if recorded != derived or type(recorded) is not type(derived):
            raise LedgerInvalid(
                f"run {self.row['id']}: {what} differs: recorded {recorded!r}, derived {derived!r}",
                hint="the decision does not follow from what was stored; "
                "`penin ledger verify` says whether the ledger itself was changed",
            )

    def check_row(self) -> None:
        """Compare the row of the ledger with the files."""
        row, measured = self.row, self.measured()
        decision = Decision.model_validate(self.file("decision.json"))
        config = Configuration.model_validate(self.file("config.json"))
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
            self.same(name, row[name], value)
        self.same("risk", self.detail["risk"], measured.risk)
        self.same("groups", self.detail["groups"], measured.groups)
        self.same("worst_axis", self.detail["worst_axis"], decision.worst_axis)
        self.checks.append(f"the row repeats the files of the run, {len(self.files)} files")

    def check_without_trial(self) -> None:
        """Check a run that was not confirmed: no gate was asked, so it moved nothing."""
        events = self.ledger.events(("BOOTSTRAP", "PROMOTE"))
        made = [e for e in events if e.body.get("run_id") == self.row["id"]]
        first = made[0] if made and made[0].kind == "BOOTSTRAP" else None
        if first is not None:
            self._check_first(first.body)
            return
        self.same("the verdict allows no promotion", self.row["verdict"] in _NO_TRIAL, True)
        for name in ("score", "linf", "sigma_guard_ok", "ir_ic_ok", "ethics_attest_hash"):
            self.same(name, self.row[name], None)
        self.checks.append(f"it was not confirmed, so it is {self.row['verdict']}")

    def _check_first(self, body: Mapping[str, Any]) -> None:
        """Check the first champion: its score, which became the threshold of the others."""
        measured, axes = self.measured(), self.detail["axes"]
        self.same("config_hash of BOOTSTRAP", body["config_hash"], self.row["config_hash"])
        self.same("score", self.row["score"], gate(measured, axes, body["params"]).score)
        value = linf(measured, axes, body["params"], ethical_ok=True)
        self.same("linf", self.row["linf"], value)
        self.checks.append("the first champion: its score and L∞")


_NO_TRIAL = ("rollback", "fail")
#: What the declaration of a confirmation and its conclusion both say.
_DECLARED = ("claim", "mode", "t", "alpha", "seed", "order_digest")


class _Trial:
    """A finalist: the declaration, the evidence, the gates, and the decision."""

    def __init__(self, case: _Case, make_guard: Callable[[str], Guard]) -> None:
        self.case, self.row, self.make_guard = case, case.row, make_guard
        self.stored = case.file("trial.json")
        self.pairs = [Pair(**pair) for pair in case.lines("pairs.jsonl")]
        self.further = [Pair(**pair) for pair in case.lines("further.jsonl")]
        self.measured = case.measured()
        self.baseline = self._baseline()
        #: Entries from here on were written by this cycle, after its decision.
        self.since: int = self.baseline.row["idx"]

    def _baseline(self) -> _Case:
        """Return the champion of the same cycle, as it was measured beside the finalist."""
        ledger = self.case.ledger
        runs = ledger.runs(cycle_id=self.row["cycle_id"])
        (champion,) = (run for run in runs if run["kind"] == "baseline")
        return _Case(self.case.state, ledger, champion)

    def check(self) -> None:
        """Compute everything again, in the order in which it came about."""
        self.check_champion()
        confirmation = self.check_confirmation()
        ethics = self.check_ethics()
        guards = self.check_guards(ethics)
        self.check_decision(confirmation, guards)
        self.check_indicators(guards)
        if self.row["verdict"] == "promote" and not self.row["dry_run"]:
            self.check_promotion()

    def check_champion(self) -> None:
        """Compare the champion of the trial with the run that measured it."""
        same, champion = self.case.same, self.baseline
        same("champion", self.case.detail["champion"], champion.row["candidate_cfg_hash"])
        same("champion's measurement", self.stored["champion"], champion.file("evaluation.json"))
        version, params = parameters(self.case.ledger, self.since)
        if version or not self.row["dry_run"]:
            same("params", self.case.detail["params"], params)
            same("param_version", self.row["param_version"], version)
        self.case.checks.append(f"champion and parameters are those of entry {self.since - 1}")

    def check_confirmation(self) -> Confirmation:
        """Compute the evidence again: declaration, order, differences, e-values, interval."""
        same, order, pairs = self.case.same, self.stored["order"], self.pairs
        stored = Confirmation.model_validate(self.case.detail["confirmation"])
        declared = self._declaration(stored)
        same("alpha", declared["alpha"], campaign_alpha(declared["t"]))
        same("order_digest of the declaration", declared["order_digest"], digest(order))
        same("n_tasks of the declaration", declared["n_tasks"], len(order))
        same("tasks in their order", [pair.task for pair in pairs], order[: len(pairs)])
        marks = [task_mark(pair.task) for pair in (*pairs, *self.further)]
        same("marks of the declaration", declared["marks"][: len(marks)], marks)
        for pair in (*pairs, *self.further):
            difference = paired_difference(pair.challenger, pair.champion)
            same(f"difference on task {pair.task!r}", pair.difference, difference)
        self._check_scores()
        evidence = evidence_for(stored.claim, declared["alpha"], stored.mode, declared["n_units"])
        for difference, saving in units(pairs):
            evidence.look(difference, saving)
        self._check_evidence(stored, evidence)
        same("tasks that were not asked", stored.proved or len(pairs) == len(order), True)
        self._check_closing(stored)
        self.case.checks.append(
            f"{len(pairs)} pairs in the declared order give log e {evidence.log_e:.4f}, "
            f"{'proved' if stored.proved else 'not proved'} at alpha {declared['alpha']:.4g}"
        )
        return stored

    def _declaration(self, stored: Confirmation) -> Mapping[str, Any]:
        """Return what the ledger held before the first call, after comparing it."""
        events = [e.body for e in self.case.ledger.events("CONFIRM") if e.idx < self.since]
        declared = [body for body in events if "closes" not in body]
        self.case.same("t, the number of confirmations so far", stored.t, len(declared))
        body = declared[-1]
        wanted = {
            **{name: getattr(stored, name) for name in _DECLARED},
            "finalist": self.row["candidate_cfg_hash"],
            "champion": self.case.detail["champion"],
            "suite_hash": self.row["suite_hash"],
        }
        for name, value in wanted.items():
            self.case.same(f"{name} of the declaration", body[name], value)
        return body

    def _check_evidence(self, stored: Confirmation, evidence: Evidence) -> None:
        pairs, same = self.pairs, self.case.same
        proved = evidence.proved and len(pairs) >= MIN_CONFIRM
        derived = {
            "n": len(pairs),
            "log_e": evidence.log_e,
            "log_e_cost": evidence.log_e_cost,
            "proved": proved,
            "stopped": "proved" if proved else "tasks",
            "wins": sum(pair.difference > 0 for pair in pairs),
            "losses": sum(pair.difference < 0 for pair in pairs),
            "errors": sum(pair.champion is None or pair.challenger is None for pair in pairs),
        }
        for name, value in derived.items():
            same(f"{name} of the confirmation", getattr(stored, name), value)
        self._check_gain("the confirmation", stored.gain, stored.interval, pairs)
        if stored.further is not None:
            same("n of the estimate", stored.further.n, len(self.further))
            gain, interval = stored.further.gain, stored.further.interval
            self._check_gain("the estimate", gain, interval, self.further)

    def _check_gain(
        self,
        what: str,
        gain: float | None,
        interval: tuple[float, float] | None,
        pairs: Sequence[Pair],
    ) -> None:
        values = [difference for difference, _ in units(pairs)]
        self.case.same(f"gain of {what}", gain, math.fsum(values) / len(values))
        derived = betting_confidence_sequence(values)
        near = interval is not None and all(
            abs(one - two) <= INTERVAL_TOLERANCE for one, two in zip(interval, derived, strict=True)
        )
        self.case.same(f"interval of {what}", interval, interval if near else derived)

    def _check_closing(self, stored: Confirmation) -> None:
        """Compare the entry that closed the confirmation: it says which tasks are used up."""
        events = self.case.ledger.events("CONFIRM")
        closings = [e.body for e in events if e.body.get("closes") == stored.t]
        self.case.same("number of closings of the confirmation", len(closings), 1)
        asked = len(self.pairs) + len(self.further)
        for name, value in (("proved", stored.proved), ("asked", asked)):
            self.case.same(f"{name} of the closing", closings[0][name], value)

    def _check_scores(self) -> None:
        """Compare the scores of the pairs with the answers that both runs stored."""
        for name, rows in (
            ("challenger", self.measured.rows),
            ("champion", self.baseline.measured().rows),
        ):
            scores = {row.task: row.utility for row in rows if row.error is None}
            for pair in self.pairs:
                score = getattr(pair, name)
                # A call that failed may have been answered when it was asked again.
                if score is not None and scores.get(pair.task) is not None:
                    self.case.same(f"{name}'s score on {pair.task!r}", score, scores[pair.task])

    def check_ethics(self) -> EthicsEvidence:
        """Attest the ethics again from the stored answers."""
        stored = EthicsEvidence.model_validate(self.case.file("ethics.json"))
        settings = GuardSettings.model_validate(self.stored["guards"])
        self.case.same("profile", self.row["threshold_profile"], settings.profile)
        derived = attested(
            self.measured,
            {pair.task for pair in self.pairs},
            suite_hash=self.row["suite_hash"],
            consent=stored.consent is True,
            declared=stored.not_applicable,
            settings=settings,
            seed=self.row["seed"],
        )
        wanted = json.loads(derived.model_dump_json())
        for name, value in json.loads(stored.model_dump_json()).items():
            self.case.same(f"{name} of the ethics", value, wanted[name])
        hashed = self.row["ethics_attest_hash"]
        self.case.same("ethics_attest_hash", hashed, stored.attestation_hash)
        self.case.checks.append("the ethics attestation follows from the stored answers")
        return stored

    def check_guards(self, ethics: EthicsEvidence) -> list[GuardResult]:
        """Ask the guards again."""
        stored = [GuardResult.model_validate(found) for found in self.case.file("gates.json")]
        names = [guard.guard for guard in stored]
        self.case.same("guards", names, list(self.stored["guards"]["use"]))
        evidence = GuardEvidence(
            candidate=self.measured.model_copy(update={"rows": ()}),
            champion=Measurement.model_validate(self.stored["champion"]),
            ethics=ethics,
            risk_history=tuple(champion_risks(self.case.ledger, self.since)),
            profile=self.row["threshold_profile"],
        )
        for found in stored:
            try:
                again = _asked(self.make_guard(found.guard), evidence)
            except PluginNotFound:
                self.case.notes.append(
                    f"guard {found.guard!r} is not installed; its answer is taken as recorded"
                )
                continue
            wanted = json.loads(again.model_dump_json())
            for name, value in json.loads(found.model_dump_json()).items():
                self.case.same(f"{name} of guard {found.guard!r}", value, wanted[name])
        self.case.checks.append(f"guards: {', '.join(names)}")
        return stored

    def check_decision(self, confirmation: Confirmation, guards: list[GuardResult]) -> None:
        """Decide again."""
        derived = decide(
            self.measured,
            Measurement.model_validate(self.stored["champion"]),
            axes=self.case.detail["axes"],
            params=self.case.detail["params"],
            guards=guards,
            confirmation=confirmation,
            margins=Margins.model_validate(self.stored["margins"]),
            lost=self.stored["lost"],
        )
        bad = quarantined(self.case.ledger, self.since)
        if derived.verdict == "promote" and self.row["candidate_cfg_hash"] in bad:
            reason = "it is quarantined: it was champion before and was rolled back"
            derived = derived.model_copy(update={"verdict": "rollback", "reason": reason})
        stored = Decision.model_validate(self.case.file("decision.json"))
        for name, value in derived.model_dump().items():
            self.case.same(name, getattr(stored, name), value)
        self.case.checks.append(f"the decision: {derived.verdict}, {derived.reason}")

    def check_indicators(self, guards: list[GuardResult]) -> None:
        """Compute what is recorded beside the gates."""
        found, same = {guard.guard: guard for guard in guards}, self.case.same
        sigma, risk = found.get("sigma"), found.get("contractive")
        same("sigma_guard_ok", self.row["sigma_guard_ok"], sigma and sigma.ok)
        same("ir_ic_ok", self.row["ir_ic_ok"], risk.ok if risk and risk.measured else None)
        value = sr(self.measured, ethics_ok=sigma.ok) if sigma else None
        same("sr", self.row["sr"], value)
        derived = phi(
            self.measured,
            self.baseline.measured(),
            delta_linf=self.row["delta_linf"],
            spent_share=self.stored["spent_share"],
            kappa=self.case.detail["params"]["kappa"],
        )
        same("caos_phi", self.row["caos_phi"], derived)
        self.case.checks.append("SR and φ")

    def check_promotion(self) -> None:
        """Compare the promotion with the run: its configuration, and the tasks that it spent."""
        events = self.case.ledger.events("PROMOTE")
        made = [e.body for e in events if e.body.get("run_id") == self.row["id"]]
        self.case.same("number of promotions, at least one", bool(made), True)
        self.case.same("config of PROMOTE", made[0]["config_hash"], self.row["config_hash"])
        spent = [task_mark(pair.task) for pair in (*self.pairs, *self.further)]
        self.case.same("tasks spent by PROMOTE", made[0]["spent"], spent)
        self.case.checks.append("the promotion names this configuration and spends these tasks")


def _asked(guard: Guard, evidence: GuardEvidence) -> GuardResult:
    """Ask a guard as a cycle does: whatever it raises is a veto."""
    try:
        result = guard.check(evidence)
        if not isinstance(result, GuardResult):
            raise TypeError(f"it answered {result!r}")
        return result.model_copy(update={"guard": guard.name})
    except Exception as error:
        return GuardResult(guard=guard.name, ok=False, reason=f"it failed: {error!r}")
