"""A finalist again: champion, ethics, guards, decision, and what is recorded beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from penin_core.contracts import Guard
from penin_core.errors import PluginNotFound, StateError
from penin_core.gating import answer_of
from penin_core.league.campaign import task_mark
from penin_core.league.decision import decide
from penin_core.league.indicators import attested, phi, sr
from penin_core.league.looks import Pair
from penin_core.ledger.champion import quarantined
from penin_core.project import champion_risks, parameters
from penin_core.records import (
    Confirmation,
    Decision,
    EthicsEvidence,
    GuardEvidence,
    GuardResult,
    Measurement,
    Record,
)
from penin_core.settings import GuardSettings, Margins

from .evidence import Proof
from .stored import Stored


class Retrial:
    """A finalist: the declaration, the evidence, the gates, and the decision."""

    def __init__(self, case: Stored, make_guard: Callable[[str], Guard]) -> None:
        self.case, self.row, self.make_guard = case, case.row, make_guard
        self.stored = case.file("trial.json")
        self.pairs = [Pair(**pair) for pair in case.lines("pairs.jsonl")]
        self.further = [Pair(**pair) for pair in case.lines("further.jsonl")]
        self.measured = case.measured()
        self.baseline = self._baseline()
        #: Entries from here on were written by this cycle, after its decision.
        self.since: int = self.baseline.row["idx"]

    def _baseline(self) -> Stored:
        """Return the champion of the same cycle, as it was measured beside the finalist."""
        ledger = self.case.ledger
        runs = ledger.runs(cycle_id=self.row["cycle_id"])
        # Newest first: the first cycle of a ledger has the run of the first champion, too.
        champion = next((run for run in runs if run["kind"] == "baseline"), None)
        if champion is None:
            raise StateError(f"the cycle of run {self.row['id']} measured no champion")
        return Stored(self.case.state, ledger, champion)

    def check(self) -> None:
        """Compute everything again, in the order in which it came about."""
        self.check_champion()
        proof = Proof(
            self.case, self.baseline, self.since, self.stored["order"], self.pairs, self.further
        )
        confirmation = proof.check()
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

    def check_ethics(self) -> EthicsEvidence:
        """Attest the ethics again from the stored answers."""
        stored = EthicsEvidence.model_validate(self.case.file("ethics.json"))
        settings = GuardSettings.model_validate(self.stored["guards"])
        self.case.same("profile", self.row["threshold_profile"], settings.profile)
        derived = attested(
            self.measured,
            {pair.task for pair in self.pairs},
            suite_hash=self.row["suite_hash"],
            consent="consent" not in stored.not_applicable and stored.consent is True,
            declared=stored.not_applicable,
            settings=settings,
            seed=self.row["seed"],
        )
        self.case.same_but_words(" of the ethics", _json(stored), _json(derived))
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
                again, _ = answer_of(self.make_guard(found.guard), evidence)
            except PluginNotFound:
                self.case.notes.append(
                    f"guard {found.guard!r} is not installed; its answer is taken as recorded"
                )
                continue
            self.case.same_but_words(f" of guard {found.guard!r}", _json(found), _json(again))
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
        self.case.same_but_words("", _json(stored), _json(derived))
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


def _json(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.model_dump_json())
    return found
