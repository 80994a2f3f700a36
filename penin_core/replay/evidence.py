"""The evidence again: declaration, order, differences, e-values, interval, closing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penin_core.canonical import digest
from penin_core.league.campaign import task_mark
from penin_core.league.looks import Evidence, Pair, units
from penin_core.omega.evidence import (
    betting_confidence_sequence,
    campaign_alpha,
    paired_difference,
)
from penin_core.records import Confirmation
from penin_core.suites import MIN_CONFIRM

from .stored import Stored

#: An interval comes from NumPy, whose last digits depend on the processor.
INTERVAL_TOLERANCE = 1e-8
#: What the declaration of a confirmation and its conclusion both say.
_DECLARED = ("claim", "mode", "t", "alpha", "seed", "order_digest")


@dataclass(frozen=True)
class Proof:
    """The confirmation of a finalist: its pairs, and the two runs that stored the answers.

    Entries from ``since`` on were written by its cycle, after the decision.
    """

    case: Stored
    champion: Stored
    since: int
    order: Sequence[str]
    pairs: Sequence[Pair]
    further: Sequence[Pair]

    def check(self) -> Confirmation:
        """Compute the evidence again and return it."""
        same, order, pairs = self.case.same, list(self.order), self.pairs
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
        evidence = Evidence(stored.claim, declared["alpha"], stored.mode, declared["n_units"])
        for difference, saving in units(pairs):
            evidence.look(difference, saving)
        self._check_evidence(stored, evidence)
        ended = stored.proved or evidence.hopeless or len(pairs) == len(order)
        same("tasks that were not asked", ended, True)
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
        # One that was interrupted may have ended after later ones were declared.
        body = next((body for body in declared if body["t"] == stored.t), {"t": None})
        place = declared.index(body) + 1 if body in declared else 0
        self.case.same("t, the number of confirmations so far", stored.t, place)
        wanted = {
            **{name: getattr(stored, name) for name in _DECLARED},
            "finalist": self.case.row["candidate_cfg_hash"],
            "champion": self.case.detail["champion"],
            "suite_hash": self.case.row["suite_hash"],
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
            "stopped": "proved" if proved else "hopeless" if evidence.hopeless else "tasks",
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
        for name, run in (("challenger", self.case), ("champion", self.champion)):
            rows = run.measured().rows
            scores = {row.task: row.utility for row in rows if row.error is None}
            for pair in self.pairs:
                score = getattr(pair, name)
                # A call that failed may have been answered when it was asked again.
                if score is not None and scores.get(pair.task) is not None:
                    self.case.same(f"{name}'s score on {pair.task!r}", score, scores[pair.task])
