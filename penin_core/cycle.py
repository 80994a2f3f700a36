"""One cycle while it runs: what it knows and the steps it takes; ``runners`` orders them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from penin_core.battery import TaskBattery
from penin_core.engine.wire import Engine
from penin_core.errors import EvaluationFailed
from penin_core.gating import answer_of, racing, whole
from penin_core.league.campaign import campaign_of, closing
from penin_core.league.confirmation import FinalistFailed, Outcome, confirm
from penin_core.league.decision import decide
from penin_core.league.indicators import attest
from penin_core.league.plans import (
    Plan,
    claim_for,
    continued,
    plan_confirmation,
)
from penin_core.league.promotion import LeagueOrchestrator, utility_lost
from penin_core.league.race import RaceResult, race
from penin_core.league.worth import is_undecided, why_not_worth
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import DEFAULTS
from penin_core.project import Project, champion_risks, parameters
from penin_core.records import (
    Candidate,
    Claim,
    CycleReport,
    Decision,
    EthicsEvidence,
    Evaluation,
    GuardEvidence,
    GuardResult,
    Measurement,
    PluginFailure,
    Task,
)
from penin_core.suites import Suite


@dataclass
class Trial:
    """Finalist and champion, measured afresh on the same tasks, and what speaks for and against."""

    finalist: Candidate
    outcome: Outcome
    measured: Measurement
    champion: Measurement
    ethics: EthicsEvidence
    guards: tuple[GuardResult, ...]
    #: Utility that earlier promotions gave away.
    lost: float = 0.0


@dataclass
class Cycle:
    """What a running cycle knows."""

    project: Project
    ledger: WORMLedger
    league: LeagueOrchestrator
    engine: Engine
    suite: Suite
    seed: int
    dry_run: bool
    profile: str
    id: str
    watch: Callable[[str, Mapping[str, object]], None]
    started: float = field(default_factory=time.monotonic)
    failures: list[PluginFailure] = field(default_factory=list)
    raced: RaceResult = field(default_factory=RaceResult)
    trial: Trial | None = None
    #: What closes the confirmation of this cycle, once it is over.
    closing: dict[str, Any] | None = None
    exhausted: str = ""
    #: Parameters of a dry run before there is a champion; the ledger does not hold them.
    assumed: dict[str, float] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, float]:
        """The tuned parameters in force."""
        return self.assumed or parameters(self.ledger)[1]

    @property
    def param_version(self) -> int:
        """The version of the tuned parameters in force."""
        return parameters(self.ledger)[0]

    def baseline(self) -> Mapping[str, float]:
        """Return the cost baseline that the first champion froze."""
        frozen: Mapping[str, float] = self.ledger.events("BOOTSTRAP")[-1].body["baseline"]
        return frozen

    def announce(self, champion: Candidate, challengers: Sequence[Candidate]) -> None:
        """Tell the watchers who competes."""
        self.watch("started", {"champion": champion, "challengers": challengers})
        self.failures += self.project.plugins.notify(
            "penin_cycle_started", champion=champion, challengers=tuple(challengers)
        )

    def finish(self, report: CycleReport) -> None:
        """Tell the watchers how it ended; nothing can change it any more."""
        self.watch("finished", {"report": report})
        self.project.plugins.notify("penin_cycle_finished", report=report)

    def battery(self) -> TaskBattery:
        """Return the battery of this cycle's suite and seed."""
        return TaskBattery(self.engine, self.suite, self.project.evaluators(), seed=self.seed)

    def require_fresh(self) -> None:
        """Raise SuiteError where what is left to confirm on can prove nothing."""
        self._next_plan("better")

    async def race(self, champion: Candidate, challengers: Sequence[Candidate]) -> None:
        """Rank the challengers on ``select`` tasks, and let the mutators learn from it."""
        settings = self.project.settings.evolve
        units, t = self._next_confirmation()
        seen: list[Evaluation] = []

        def watch(evaluation: Evaluation) -> None:
            seen.append(evaluation)
            self._evaluated(evaluation)

        await race(
            self.battery(),
            champion,
            challengers,
            racing(self.suite, (champion, *challengers), self.seed),
            first_round=settings.race_tasks,
            # Not the tuned value: what confirmations taught must not steer the search.
            lambda_c=DEFAULTS["lambda_c"],
            margin=settings.margins.C,
            worth=partial(why_not_worth, units=units, t=t),
            undecided=partial(is_undecided, units=units, t=t),
            watch=watch,
            result=self.raced,
            ranked_out=lambda found, out: self.watch(
                "ranked", {"tasks": found.n_tasks, "champion": found, "out": out}
            ),
        )
        for mutator in self.project.mutators():
            try:
                mutator.learn(seen)
            except Exception as error:
                self.failed("mutators", mutator.name, error, "it learns nothing from this race")

    def _next_confirmation(self) -> tuple[int, int]:
        """Return the units of evidence of the next confirmation of this ledger, and its number."""
        campaign = campaign_of(self.ledger)
        units, standing = len(self._next_plan("better").ends), campaign.open
        if standing is None or standing["answer_seed"] != self.seed:
            # One that another cycle left open is left behind.
            return units, campaign.earlier + 1
        return units, standing["t"]

    async def confirm(self, champion: Candidate) -> None:
        """Measure the finalist against the champion on fresh tasks, then ask the guards."""
        finalist = self.raced.finalist
        if finalist is None:
            return
        battery, plan = self.battery(), self._plan(champion, finalist)
        about = {"finalist": finalist, "of": len(plan.tasks), "needed": -math.log(plan.alpha)}
        self.watch("confirming", about)
        try:
            outcome = await confirm(
                battery,
                champion,
                finalist,
                plan,
                at_least=self.project.settings.evolve.confirm_min,
                baseline=self.suite.baseline.model_dump() if self.suite.baseline else {},
                watch=lambda n, log_e, needed: self.watch(
                    "looked", {"n": n, "of": len(plan.tasks), "log_e": log_e, "needed": needed}
                ),
            )
            self.closing = closing(plan.t, proved=outcome.confirmation.proved, asked=outcome.asked)
            after = await self.measure_whole(battery, finalist, outcome.tasks)
        except EvaluationFailed as error:
            if self.closing is None and not isinstance(error, FinalistFailed):
                raise
            asked = len(plan.tasks) + len(plan.reserve)
            self.closing = self.closing or closing(plan.t, proved=False, asked=asked)
            self.raced.failed[finalist.hash] = str(error)
            return
        before = await self.measure_whole(battery, champion, outcome.tasks)
        # Watchers see the axes, never the answers: the search must not learn from confirm tasks.
        shown = after.model_copy(update={"rows": ()})
        self._evaluated(Evaluation(candidate=finalist, stage="confirm", measurement=shown))
        guards = self.project.settings.guards.model_copy(update={"profile": self.profile})
        ethics = attest(after, outcome.tasks, self.suite, guards, self.seed)
        results = self._ask_guards(after, before, ethics)
        lost = utility_lost(self.ledger)
        self.trial = Trial(finalist, outcome, after, before, ethics, results, lost)

    def _plan(self, champion: Candidate, finalist: Candidate) -> Plan:
        """Return the plan, which stands in the ledger; an interrupted one is continued."""
        campaign, measured = campaign_of(self.ledger), self.raced.measured
        plan = self._next_plan(claim_for(measured[finalist.hash], measured[champion.hash]))
        standing = continued(plan, campaign, self.seed, champion, finalist, self.suite)
        if standing is not None:
            return standing
        if campaign.open is not None:
            # The tasks, the finalist or the seed differ from those of the one that stands open.
            self.watch("left_behind", {"t": campaign.open["t"]})
        declared = plan.declaration(champion, finalist, self.suite, self.seed)
        loaded = self.project.plugins.loaded()
        self.ledger.record_event("CONFIRM", {**declared, "loaded": loaded})
        return plan

    def _next_plan(self, claim: Claim) -> Plan:
        settings = self.project.settings.evolve
        return plan_confirmation(
            self.suite,
            claim=claim,
            campaign=campaign_of(self.ledger),
            at_most=settings.confirm_max,
            mode=settings.evidence,
        )

    async def measure_whole(
        self, battery: TaskBattery, candidate: Candidate, tasks: Sequence[Task]
    ) -> Measurement:
        """Measure all axes: ``tasks``, the special splits, and the fixed subset for the rest."""
        asked, deep = whole(self.suite, tasks)
        return await battery.measure(candidate, asked, deep=deep)

    def _ask_guards(
        self, after: Measurement, before: Measurement, ethics: EthicsEvidence
    ) -> tuple[GuardResult, ...]:
        """Ask every guard, and keep which of them failed."""
        evidence = GuardEvidence(
            candidate=after.model_copy(update={"rows": ()}),
            champion=before.model_copy(update={"rows": ()}),
            ethics=ethics,
            risk_history=tuple(champion_risks(self.ledger)),
            profile=self.profile,
        )
        results = []
        for guard in self.project.guards():
            result, error = answer_of(guard, evidence)
            if error is not None:
                self.failed("guards", guard.name, error, "it vetoes")
            results.append(result)
        return tuple(results)

    def decide(self, champion: Candidate, challengers: Sequence[Candidate]) -> dict[str, Decision]:
        """Decide about every challenger; only the finalist of a complete trial can be promoted."""
        decisions = {}
        for candidate in challengers:
            key = candidate.hash
            if self.trial is not None and key == self.trial.finalist.hash:
                decisions[key] = self._decide_trial(self.trial)
            elif key in self.raced.failed:
                decisions[key] = Decision(verdict="fail", reason=self.raced.failed[key])
            elif key in self.raced.raced_out:
                decisions[key] = Decision(verdict="rollback", reason=self.raced.raced_out[key])
            else:
                reason = f"budget_exhausted: {self.exhausted}" if self.exhausted else "not measured"
                decisions[key] = Decision(verdict="fail", reason=reason)
        return decisions

    def _decide_trial(self, trial: Trial) -> Decision:
        decision = decide(
            trial.measured,
            trial.champion,
            axes=self.suite.definition.axes,
            params=self.params,
            guards=trial.guards,
            confirmation=trial.outcome.confirmation,
            margins=self.project.settings.evolve.margins,
            lost=trial.lost,
        )
        if trial.finalist.hash in self.league.quarantined() and decision.verdict == "promote":
            reason = "it is quarantined: it was champion before and was rolled back"
            return decision.model_copy(update={"verdict": "rollback", "reason": reason})
        return decision

    def _evaluated(self, evaluation: Evaluation) -> None:
        self.watch("evaluated", {"evaluation": evaluation})
        self.failures += self.project.plugins.notify(
            "penin_candidate_evaluated", evaluation=evaluation
        )

    def failed(self, kind: str, name: str, error: Exception, consequence: str) -> None:
        """Keep that a plugin failed, and what that cost it."""
        self.failures.append(self.project.failure(kind, name, error, consequence))
