"""LeagueOrchestrator: moves the champion, by hand or at the end of a cycle, and takes it back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penin_core.engine.wire import Engine
from penin_core.errors import PromotionRefused, StateError
from penin_core.league.campaign import task_mark
from penin_core.league.decision import decide_promotion, holds
from penin_core.league.fates import fate_entries
from penin_core.league.trying import CanaryReport, Score, try_on_traffic
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.champion import (
    Champion,
    champions,
    last_good,
    quarantined,
    sync_champion,
)
from penin_core.ledger.checkpoints import seal
from penin_core.ledger.keys import DEFAULT_OWNER
from penin_core.ledger.store import WORMLedger
from penin_core.omega.evidence import campaign_alpha, crossed
from penin_core.records import Configuration, Confirmation, Task
from penin_core.suites import MIN_CONFIRM

LAST_GOOD = "LAST_GOOD"

#: Entries that belong to a move of the champion: kind and body.
Entries = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Feedback:
    """What users' feedback showed in an experiment, under the claim that it declared.

    ``t`` is the number of the claim in the campaign, ``log_e`` the natural logarithm of its
    e-value, ``votes`` how many users of either side were heard.
    """

    experiment: str
    t: int
    log_e: float
    votes: Mapping[str, int]

    def holds(self) -> bool:
        """Return whether it proves the claim at the level of its place in the campaign."""
        enough = min(self.votes.values(), default=0) >= MIN_CONFIRM
        return enough and crossed(self.log_e, campaign_alpha(self.t))


class LeagueOrchestrator:
    """The champion of one ledger: who it is, and every way in which it can change.

    ``owner`` is the domain that a key is named after, where the ledger has none yet. ``loaded``
    says which plugins were loaded when the champion moved (``Plugins.loaded``).
    """

    decide_promotion = staticmethod(decide_promotion)

    def __init__(
        self,
        state: Path,
        ledger: WORMLedger,
        *,
        owner: str = DEFAULT_OWNER,
        loaded: Mapping[str, Any] | None = None,
    ) -> None:
        self.state = state
        self.ledger = ledger
        self.owner = owner
        self.loaded = loaded

    @property
    def stamp(self) -> dict[str, Any]:
        """What every entry about a move or a canary says of the plugins, where that is known."""
        return {} if self.loaded is None else {"loaded": dict(self.loaded)}

    def champion(self) -> Champion | None:
        """Return the champion; the pointer file is brought up to date on the way."""
        return sync_champion(self.state, self.ledger)

    def quarantined(self) -> frozenset[str]:
        """Return the hashes of the configurations that were rolled back from."""
        return quarantined(self.ledger)

    def promote(
        self,
        run_id: str,
        *,
        force: bool = False,
        reason: str = "",
        feedback: Feedback | None = None,
        beside: Entries = (),
    ) -> Champion:
        """Make the candidate of a run the champion, after checking its gates again.

        ``feedback`` is a claim that users proved: it takes the place of the run's own evidence, not
        that of any gate. ``beside`` is written in the same transaction.

        Raises:
            PromotionRefused: a gate, the evidence or the quarantine says no, and ``force`` is not
                set; or ``force`` is set without a reason; or it is the champion's configuration.
            StateError: there is no such run or no champion yet, or the run's files are gone.
        """
        # Nobody else moves the champion between the checks and the entry.
        with self.ledger.lock:
            return self._promote(run_id, force, reason, feedback, beside)

    def rollback(self, to: str = LAST_GOOD, *, reason: str = "", beside: Entries = ()) -> Champion:
        """Return to the last good champion, or to the one of a named run.

        What is left is quarantined: it is not promoted again without ``force``. ``beside`` is
        written in the same transaction.

        Raises:
            StateError: there is no earlier champion, that run never was one, or it has the
                present one's configuration.
        """
        with self.ledger.lock:
            return self._roll_back(to, reason, beside)

    async def canary_test(
        self,
        provider: Engine,
        champion: Configuration,
        challenger: Configuration,
        fraction: float = 0.05,
        duration_s: float = 300,
        *,
        traffic: Iterable[Task],
        score: Score | None = None,
    ) -> CanaryReport:
        """Answer a share of ``traffic`` with the challenger, and say whether it does harm.

        ``provider`` is the engine that asks the models. See ``try_on_traffic``; the champion does
        not move.
        """
        return await try_on_traffic(
            self.ledger,
            provider,
            champion,
            challenger,
            traffic,
            fraction=fraction,
            duration_s=duration_s,
            score=score,
            stamp=self.stamp,
        )

    def _promote(
        self, run_id: str, force: bool, reason: str, feedback: Feedback | None, beside: Entries
    ) -> Champion:
        run = self.ledger.run(run_id)
        if run["dry_run"] and self.champion() is None:
            raise StateError(
                f"run {run_id} cannot be promoted: it was a dry run, and there is no champion yet",
                hint="penin evolve, without --dry-run, makes the first champion and proves anew; "
                "penin status says whether enough confirm tasks are left for that",
            )
        champion = self.require_champion()
        if run["candidate_cfg_hash"] == champion.config_digest:
            raise PromotionRefused(
                f"run {run_id} is not promoted: its configuration is the champion's",
                hint="there is nothing to move; penin champion shows the history",
            )
        objections = self._objections(run, champion, feedback)
        if objections and not force:
            raise PromotionRefused(
                f"run {run_id} is not promoted: {'; '.join(objections)}",
                hint="--force --reason TEXT overrides, and the ledger says so",
            )
        if force and not reason.strip():
            raise PromotionRefused("an override needs a reason", hint="add --reason TEXT")
        config, spent = self._stored(run)
        body = {**promotion_body(config, run_id, champion), "spent": spent}
        shown = {} if feedback is None else {"feedback": asdict(feedback)}
        entries = [("PROMOTE", {**body, "reason": reason or "by hand", **shown, **self.stamp})]
        if force:
            override = {"run_id": run_id, "reason": reason, "objections": objections}
            entries.insert(0, ("OVERRIDE", {**override, **self.stamp}))
        taught = fate_entries(self.ledger, champion, "promoted")
        self.ledger.record_many([*beside, *entries, *taught])
        return self._moved()

    def _roll_back(self, to: str, reason: str, beside: Entries) -> Champion:
        champion = self.require_champion()
        target = last_good(self.ledger) if to == LAST_GOOD else self._earlier(to)
        if target is None:
            raise StateError(
                "there is no earlier champion to return to", hint="penin champion shows the history"
            )
        if target.config_digest == champion.config_digest:
            # What is left is quarantined: the champion would be.
            raise StateError(
                f"the champion of run {to} has the configuration of the present one",
                hint="there is nothing to move; penin champion shows the history",
            )
        body = promotion_body(target.config, target.run_id, champion)
        taken_back = ("ROLLBACK", {**body, "reason": reason or "by hand", **self.stamp})
        taught = fate_entries(self.ledger, champion, "rolled_back")
        self.ledger.record_many([*beside, taken_back, *taught])
        return self._moved()

    def _moved(self) -> Champion:
        champion = self.require_champion()
        seal(self.state, self.ledger, owner=self.owner)
        return champion

    def require_champion(self) -> Champion:
        """Return the champion.

        Raises:
            StateError: there is none yet.
        """
        champion = self.champion()
        if champion is None:
            raise StateError("there is no champion yet", hint="penin evolve makes one")
        return champion

    def _earlier(self, run_id: str) -> Champion | None:
        run = self.ledger.run(run_id)
        for champion in reversed(champions(self.ledger)):
            if champion.run_id == run["id"]:
                return champion
        raise StateError(
            f"run {run_id} never was the champion", hint="penin promote makes a candidate champion"
        )

    def configuration(self, run: Mapping[str, Any]) -> Configuration:
        """Return the configuration that a run measured, from its files.

        Raises:
            StateError: its files are gone, or hold another one.
            LedgerInvalid: they were changed.
        """
        return Configuration.model_validate(self._stored(run)[0])

    def _stored(self, run: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the configuration of a run and the marks of the tasks that confirmed it."""
        files = read_run(self.state, run["id"], run["manifest_sha256"])
        config: dict[str, Any] = json.loads(files["config.json"])
        if Configuration.model_validate(config).hash != run["candidate_cfg_hash"]:
            raise StateError(
                f"the configuration stored for run {run['id']} is not the measured one"
            )
        pairs = [
            json.loads(line)
            for name in ("pairs.jsonl", "further.jsonl")
            for line in files.get(name, b"").splitlines()
        ]
        return config, [task_mark(pair["task"]) for pair in pairs]

    def _objections(
        self, run: Mapping[str, Any], champion: Champion, feedback: Feedback | None
    ) -> list[str]:
        """Return every reason against promoting this run today, in words."""
        detail = self.ledger.entry(run["idx"]).body.get("detail", {})
        params = detail.get("params", {})
        beta_min, tau = params.get("beta_min", 0.02), params.get("tau")
        delta, verdict = run["delta_linf"], run["verdict"]
        passed = verdict == "promote" or (
            # Nothing but the evidence was missing: that is what feedback may supply.
            feedback is not None and verdict == "canary" and _reached(run["score"], tau)
        )
        checks = {
            "it is the champion's own baseline": run["kind"] == "challenger",
            "it was a dry run": not run["dry_run"],
            f"its verdict was {verdict} ({run['reason']})": passed,
            "Σ-Guard did not pass": run["sigma_guard_ok"] == 1,
            "IR→IC did not pass": run["ir_ic_ok"] in (1, None) and bool(detail.get("guards")),
            f"ΔL∞ is {delta}, at least {beta_min} is needed": _reached(delta, beta_min),
            "its gain is not proved": _proved(detail) if feedback is None else feedback.holds(),
            "it was measured against another champion": detail.get("champion")
            == champion.config_digest,
            "it is quarantined after a rollback": run["candidate_cfg_hash"]
            not in self.quarantined(),
        }
        return [objection for objection, ok in checks.items() if not ok]


def _reached(value: float | None, least: float | None) -> bool:
    return value is not None and least is not None and value >= least


def _proved(detail: Mapping[str, Any]) -> bool:
    """Return whether the stored confirmation proves its claim by its own numbers."""
    try:
        return holds(Confirmation.model_validate(detail.get("confirmation")))
    except ValidationError:
        return False


def utility_lost(ledger: WORMLedger) -> float:
    """Return the utility that the promotions behind the present champion gave away, together.

    Every promotion on evidence counts with what it lost against its predecessor on the same tasks;
    what others gained is not set off. So many small losses cannot add up beyond one margin.
    """
    made = {e.body["run_id"]: e.body for e in ledger.events("PROMOTE") if e.body.get("run_id")}
    history, lost, seen = champions(ledger), 0.0, set[str]()
    run_id = history[-1].run_id if history else None
    while run_id is not None and run_id in made and run_id not in seen:
        seen.add(run_id)
        run = ledger.run(run_id)
        before = ledger.entry(run["idx"]).body.get("detail", {}).get("before", {}).get("U")
        if before is not None and run["u_score"] is not None:
            lost += max(0.0, before - run["u_score"])
        run_id = made[run_id].get("previous_run_id")
    return lost


def promotion_body(
    config: Mapping[str, Any], run_id: str | None, before: Champion | None
) -> dict[str, Any]:
    """Return the body of an entry after which ``config`` is the champion."""
    return {
        "config": dict(config),
        "config_hash": Configuration.model_validate(config).hash,
        "run_id": run_id,
        "previous_run_id": None if before is None else before.run_id,
    }
