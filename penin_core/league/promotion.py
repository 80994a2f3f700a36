"""LeagueOrchestrator: moves the champion, by hand or at the end of a cycle, and takes it back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from penin_core.engine.wire import Engine
from penin_core.errors import PromotionRefused, StateError
from penin_core.league.campaign import task_mark
from penin_core.league.decision import decide_promotion
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
from penin_core.records import Configuration, Task

LAST_GOOD = "LAST_GOOD"


class LeagueOrchestrator:
    """The champion of one ledger: who it is, and every way in which it can change.

    ``owner`` is the domain that a key is named after, where the ledger has none yet.
    """

    decide_promotion = staticmethod(decide_promotion)

    def __init__(self, state: Path, ledger: WORMLedger, *, owner: str = DEFAULT_OWNER) -> None:
        self.state = state
        self.ledger = ledger
        self.owner = owner

    def champion(self) -> Champion | None:
        """Return the champion; the pointer file is brought up to date on the way."""
        return sync_champion(self.state, self.ledger)

    def quarantined(self) -> frozenset[str]:
        """Return the hashes of the configurations that were rolled back from."""
        return quarantined(self.ledger)

    def promote(self, run_id: str, *, force: bool = False, reason: str = "") -> Champion:
        """Make the candidate of a run the champion, after checking its gates again.

        Raises:
            PromotionRefused: a gate, the evidence or the quarantine says no, and ``force`` is not
                set; or ``force`` is set without a reason.
            StateError: there is no such run, or it was a dry run without artifacts.
        """
        run = self.ledger.run(run_id)
        champion = self._require_champion()
        objections = self._objections(run, champion)
        if objections and not force:
            raise PromotionRefused(
                f"run {run_id} is not promoted: {'; '.join(objections)}",
                hint="--force --reason TEXT overrides, and the ledger says so",
            )
        if force and not reason.strip():
            raise PromotionRefused("an override needs a reason", hint="add --reason TEXT")
        config, spent = self._stored(run)
        body = {**promotion_body(config, run_id, champion), "spent": spent}
        entries = [("PROMOTE", {**body, "reason": reason or "by hand"})]
        if force:
            override = {"run_id": run_id, "reason": reason, "objections": objections}
            entries.insert(0, ("OVERRIDE", override))
        self.ledger.record_many([*entries, *fate_entries(self.ledger, champion, "promoted")])
        return self._moved()

    def rollback(self, to: str = LAST_GOOD, *, reason: str = "") -> Champion:
        """Return to the last good champion, or to the one of a named run.

        What is left is quarantined: it is not promoted again without ``force``.

        Raises:
            StateError: there is no earlier champion, or that run never was one.
        """
        champion = self._require_champion()
        target = last_good(self.ledger) if to == LAST_GOOD else self._earlier(to)
        if target is None:
            raise StateError(
                "there is no earlier champion to return to", hint="penin champion shows the history"
            )
        body = promotion_body(target.config, target.run_id, champion)
        taken_back = ("ROLLBACK", {**body, "reason": reason or "by hand"})
        self.ledger.record_many([taken_back, *fate_entries(self.ledger, champion, "rolled_back")])
        return self._moved()

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
        )

    def _moved(self) -> Champion:
        champion = self._require_champion()
        seal(self.state, self.ledger, owner=self.owner)
        return champion

    def _require_champion(self) -> Champion:
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

    def _objections(self, run: Mapping[str, Any], champion: Champion) -> list[str]:
        """Return every reason against promoting this run today, in words."""
        detail = self.ledger.entry(run["idx"]).body.get("detail", {})
        evidence = detail.get("confirmation") or {}
        beta_min = detail.get("params", {}).get("beta_min", 0.02)
        delta = run["delta_linf"]
        checks = {
            "it is the champion's own baseline": run["kind"] == "challenger",
            "it was a dry run": not run["dry_run"],
            f"its verdict was {run['verdict']} ({run['reason']})": run["verdict"] == "promote",
            "Σ-Guard did not pass": run["sigma_guard_ok"] == 1,
            "IR→IC did not pass": run["ir_ic_ok"] in (1, None) and bool(detail.get("guards")),
            f"ΔL∞ is {delta}, at least {beta_min} is needed": delta is not None
            and delta >= beta_min,
            "its gain is not proved": evidence.get("proved") is True,
            "it was measured against another champion": detail.get("champion")
            == champion.config_digest,
            "it is quarantined after a rollback": run["candidate_cfg_hash"]
            not in self.quarantined(),
        }
        return [objection for objection, ok in checks.items() if not ok]


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
