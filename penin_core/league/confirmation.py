"""The confirmation: finalist against champion, paired, on fresh tasks, by betting e-processes.

The claim, the share of the campaign's error and the order of the tasks are fixed, and stand in the
ledger, before the first call. Looking after every task costs nothing: by Ville's inequality an
e-process exceeds 1/alpha, ever, with probability at most alpha when the claim is false.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B
2024 (doi 10.1093/jrsssb/qkad009).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penin_core.battery import TaskBattery
from penin_core.canonical import digest
from penin_core.errors import EvaluationFailed, SuiteError
from penin_core.measuring import require_answers
from penin_core.omega.evidence import (
    EProcess,
    betting_confidence_sequence,
    campaign_alpha,
    crossed,
    paired_difference,
    relative_saving,
)
from penin_core.omega.metrics import cost_ratio
from penin_core.records import Candidate, Claim, Confirmation, Measurement, Task, TaskRow
from penin_core.suites import MIN_CONFIRM, Suite, seeded_order

RULE = "betting-e-process/1"
#: Non-inferiority margin of the claim ``cheaper``.
MARGIN = 0.05
_BATCH = 50


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first call."""

    claim: Claim
    t: int
    alpha: float
    seed: int
    tasks: Sequence[Task]

    @property
    def order_digest(self) -> str:
        """SHA-256 of the task ids in the order in which they will be asked."""
        return digest([task.id for task in self.tasks])

    def declaration(self, champion: Candidate, finalist: Candidate, suite: Suite) -> dict[str, Any]:
        """Return the body of the ledger entry that stands before the first call."""
        return {
            "rule": RULE,
            "claim": self.claim,
            "t": self.t,
            "alpha": self.alpha,
            "seed": self.seed,
            "order_digest": self.order_digest,
            "n_tasks": len(self.tasks),
            "suite_hash": suite.hash,
            "champion": champion.hash,
            "finalist": finalist.hash,
        }


@dataclass(frozen=True)
class Pair:
    """Both answers to one task; an error enters the difference at its worst."""

    task: str
    champion: float | None
    challenger: float | None
    difference: float
    saving: float


@dataclass
class Outcome:
    """The confirmation, its pairs, and the measurements of both on the confirm tasks."""

    confirmation: Confirmation
    pairs: list[Pair] = field(default_factory=list)
    tasks: Sequence[Task] = ()
    #: The ids of all tasks in the declared order, those that were not needed included.
    order: Sequence[str] = ()


def task_mark(task_id: str) -> str:
    """Return the eight hex digits by which the ledger remembers a spent task."""
    return digest(task_id)[:8]


class FinalistFailed(EvaluationFailed):
    """The finalist, not the champion, gave too few answers."""


def fresh_tasks(suite: Suite, promotions: Iterable[Mapping[str, Any]]) -> list[Task]:
    """Return the confirm tasks that no confirmation that promoted has used."""
    spent = {mark for body in promotions for mark in body.get("spent", ())}
    return [task for task in suite.split("confirm") if task_mark(task.id) not in spent]


def require_fresh(suite: Suite, promotions: Iterable[Mapping[str, Any]]) -> list[Task]:
    """Return the fresh confirm tasks.

    Raises:
        SuiteError: fewer than 100 are left.
    """
    fresh = fresh_tasks(suite, promotions)
    if len(fresh) < MIN_CONFIRM:
        raise SuiteError(
            f"{len(fresh)} fresh confirm tasks are left, a promotion needs {MIN_CONFIRM}",
            hint="tasks that promoted a champion cannot prove the next one: add new tasks",
        )
    return fresh


def plan_confirmation(
    suite: Suite,
    *,
    claim: Claim,
    earlier: int,
    promotions: Iterable[Mapping[str, Any]],
    seed: int,
    at_most: int,
) -> Plan:
    """Fix claim, alpha and order of the next confirmation of this ledger.

    Raises:
        SuiteError: fewer than 100 fresh confirm tasks are left.
    """
    t = earlier + 1
    order = seeded_order(require_fresh(suite, promotions), seed)[:at_most]
    return Plan(claim, t, campaign_alpha(t), seed, order)


async def confirm(
    battery: TaskBattery,
    champion: Candidate,
    finalist: Candidate,
    plan: Plan,
    *,
    at_least: int,
    baseline: Mapping[str, float],
    watch: Callable[[int, float, float], None],
) -> Outcome:
    """Ask both, pair by pair, until the claim is proved (and ``at_least`` seen) or tasks end.

    ``watch`` is told the number of pairs, the largest log e-value and the one that is needed.

    Raises:
        EvaluationFailed: over 20 % of the champion's calls so far failed; FinalistFailed: of the
            finalist's.
        BudgetExceeded: money or time ended first.
    """
    evidence = _Evidence(plan)
    pairs: list[Pair] = []
    before: list[TaskRow] = []
    after: list[TaskRow] = []
    stopped = "tasks"
    for turn, start in enumerate(range(0, len(plan.tasks), _BATCH)):
        batch = plan.tasks[start : start + _BATCH]
        sides = [(champion, before), (finalist, after)]
        # Whoever is asked second may find a warmer machine, so they take turns.
        for candidate, rows in sides if turn % 2 == 0 else reversed(sides):
            rows += await battery.rows(candidate, batch)
        _require_both(before, after)
        for old, new in zip(before[start:], after[start:], strict=True):
            pairs.append(_pair(old, new, baseline))
            evidence.look(pairs[-1])
        watch(len(pairs), evidence.log_e, evidence.needed)
        if evidence.proved and len(pairs) >= at_least:
            stopped = "proved"
            break
    confirmation = evidence.conclude(pairs, stopped)
    order = [task.id for task in plan.tasks]
    return Outcome(confirmation, pairs, plan.tasks[: len(pairs)], order)


def concluded(plan: Plan, pairs: Sequence[Pair], stopped: str) -> Confirmation:
    """Return what these pairs show, computed anew: the same, to the last bit, as ``confirm``."""
    evidence = _Evidence(plan)
    for pair in pairs:
        evidence.look(pair)
    return evidence.conclude(pairs, stopped)


def _require_both(before: Sequence[TaskRow], after: Sequence[TaskRow]) -> None:
    require_answers(before)
    try:
        require_answers(after)
    except EvaluationFailed as error:
        raise FinalistFailed(str(error), hint=error.hint) from None


class _Evidence:
    """The e-processes of one claim; all of them must cross."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.utility = EProcess(margin=0.0 if plan.claim == "better" else MARGIN)
        self.cost = EProcess() if plan.claim == "cheaper" else None
        self.log_e = self.log_e_cost = 0.0

    @property
    def needed(self) -> float:
        return -math.log(self.plan.alpha)

    @property
    def proved(self) -> bool:
        ok = crossed(self.log_e, self.plan.alpha)
        return ok and (self.cost is None or crossed(self.log_e_cost, self.plan.alpha))

    def look(self, pair: Pair) -> None:
        self.utility.update(pair.difference)
        self.log_e = max(self.log_e, self.utility.log_e)
        if self.cost is not None:
            self.cost.update(pair.saving)
            self.log_e_cost = max(self.log_e_cost, self.cost.log_e)

    def conclude(self, pairs: Sequence[Pair], stopped: str) -> Confirmation:
        differences = [pair.difference for pair in pairs]
        return Confirmation(
            claim=self.plan.claim,
            t=self.plan.t,
            alpha=self.plan.alpha,
            n=len(pairs),
            log_e=self.log_e,
            log_e_cost=None if self.cost is None else self.log_e_cost,
            proved=self.proved and len(pairs) >= MIN_CONFIRM,
            gain=sum(differences) / len(pairs),
            interval=betting_confidence_sequence(differences),
            wins=sum(difference > 0 for difference in differences),
            losses=sum(difference < 0 for difference in differences),
            errors=sum(pair.champion is None or pair.challenger is None for pair in pairs),
            seed=self.plan.seed,
            order_digest=self.plan.order_digest,
            stopped="proved" if stopped == "proved" else "tasks",
        )


def _pair(old: TaskRow, new: TaskRow, baseline: Mapping[str, float]) -> Pair:
    return Pair(
        task=new.task,
        champion=old.utility,
        challenger=new.utility,
        difference=paired_difference(new.utility, old.utility),
        saving=relative_saving(_cost(old, baseline), _cost(new, baseline)),
    )


def _cost(row: TaskRow, baseline: Mapping[str, float]) -> float | None:
    """Return what one answer cost, in units of the baseline; None for a failed call."""
    if row.error is not None:
        return None
    tokens = float(row.tokens_in + row.tokens_out)
    return cost_ratio(row.cost_usd, row.latency_ms, tokens, baseline)


def claim_for(finalist: Measurement, champion: Measurement) -> Claim:
    """Choose, from the race alone, what the finalist has to prove."""
    return "better" if (finalist.U or 0.0) > (champion.U or 0.0) else "cheaper"
