"""The confirmation: finalist against champion, paired, on fresh tasks.

The claim, the share of the campaign's error and the order of the tasks are fixed, and stand in the
ledger, before the first call. Looking after every task costs nothing: by Ville's inequality an
e-process exceeds 1/alpha, ever, with probability at most alpha when the claim is false.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B
2024 (doi 10.1093/jrsssb/qkad009).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penin_core.errors import EvaluationFailed
from penin_core.measuring import require_answers
from penin_core.omega.evidence import betting_confidence_sequence
from penin_core.records import Candidate, Confirmation, Estimate, Task, TaskRow
from penin_core.suites import MIN_CONFIRM

from .campaign import cluster_of, task_mark
from .looks import Evidence, Pair, pair_of, units
from .plans import Plan

__all__ = ["FinalistFailed", "Outcome", "Pair", "Plan", "concluded", "confirm", "task_mark"]

#: With fewer further tasks than this no gain is estimated.
LEAST_FURTHER = 20


class Asks(Protocol):
    """What a confirmation needs of the battery."""

    async def rows(self, model: Candidate, tasks: Sequence[Task]) -> list[TaskRow]:
        """Ask ``tasks`` and grade the answers by the tasks' own metrics."""


@dataclass
class Outcome:
    """The confirmation and its pairs; ``further`` are those of the estimate, after the proof.

    ``order`` are the ids of all tasks of the plan, asked or not.
    """

    confirmation: Confirmation
    pairs: list[Pair] = field(default_factory=list)
    tasks: Sequence[Task] = ()
    further: list[Pair] = field(default_factory=list)
    order: Sequence[str] = ()

    @property
    def asked(self) -> int:
        """How many tasks were asked, from the beginning of the order."""
        return len(self.pairs) + len(self.further)


class FinalistFailed(EvaluationFailed):
    """The finalist, not the champion, gave too few answers."""


async def confirm(
    battery: Asks,
    champion: Candidate,
    finalist: Candidate,
    plan: Plan,
    *,
    at_least: int,
    baseline: Mapping[str, float],
    watch: Callable[[int, float, float], None],
) -> Outcome:
    """Ask both, pair by pair, until the claim is proved (and ``at_least`` seen), hopeless, or out
    of tasks.

    After a proof a fixed number of further tasks estimates the gain. ``watch`` is told the number
    of pairs, the largest log e-value and the one that is needed.

    Raises:
        EvaluationFailed: over 20 % of the champion's calls so far failed; FinalistFailed: of the
            finalist's.
        BudgetExceeded: money or time ended first.
    """
    sides = _Sides(battery, champion, finalist, plan.cluster, baseline)
    evidence, pairs = plan.evidence(), list[Pair]()
    for stop in plan.stops():
        new = await sides.ask(plan.tasks[len(pairs) : stop])
        for difference, saving in units(new):
            evidence.look(difference, saving)
        pairs += new
        watch(len(pairs), evidence.log_e, -math.log(plan.alpha))
        if (evidence.proved and len(pairs) >= at_least) or evidence.hopeless:
            break
    proved = evidence.proved and len(pairs) >= MIN_CONFIRM
    further = await sides.ask(plan.further(len(pairs))) if proved else []
    confirmation = concluded(plan, pairs, further, evidence)
    order = [task.id for task in plan.tasks]
    return Outcome(confirmation, pairs, plan.tasks[: len(pairs)], further, order)


class _Sides:
    """Champion and finalist, who take turns in being asked first."""

    def __init__(
        self,
        battery: Asks,
        champion: Candidate,
        finalist: Candidate,
        column: str | None,
        baseline: Mapping[str, float],
    ) -> None:
        self.battery = battery
        self.sides = [(champion, list[TaskRow]()), (finalist, list[TaskRow]())]
        self.column, self.baseline = column, baseline
        self.turn = 0

    async def ask(self, tasks: Sequence[Task]) -> list[Pair]:
        """Ask both ``tasks``; raise where too many answers of one side, so far, are missing."""
        if not tasks:
            return []
        # Whoever is asked second may find a warmer machine.
        order = self.sides if self.turn % 2 == 0 else reversed(self.sides)
        self.turn += 1
        for candidate, rows in order:
            rows += await self.battery.rows(candidate, tasks)
        before, after = (rows for _, rows in self.sides)
        _require_both(before, after)
        start = len(before) - len(tasks)
        return [
            pair_of(old, new, self.baseline, cluster_of(task, self.column))
            for task, old, new in zip(tasks, before[start:], after[start:], strict=True)
        ]


def _require_both(before: Sequence[TaskRow], after: Sequence[TaskRow]) -> None:
    require_answers(before)
    try:
        require_answers(after)
    except EvaluationFailed as error:
        raise FinalistFailed(str(error), hint=error.hint) from None


def concluded(
    plan: Plan,
    pairs: Sequence[Pair],
    further: Sequence[Pair] = (),
    evidence: Evidence | None = None,
) -> Confirmation:
    """Return what the pairs of a plan prove; the ``evidence`` is derived from them unless given."""
    if evidence is None:
        evidence = plan.evidence()
        for difference, saving in units(pairs):
            evidence.look(difference, saving)
    proved = evidence.proved and len(pairs) >= MIN_CONFIRM
    differences = [pair.difference for pair in pairs]
    values = [difference for difference, _ in units(pairs)]
    return Confirmation(
        claim=plan.claim,
        mode=plan.mode,
        t=plan.t,
        alpha=plan.alpha,
        n=len(pairs),
        log_e=evidence.log_e,
        log_e_cost=evidence.log_e_cost,
        proved=proved,
        gain=math.fsum(values) / len(values),
        interval=betting_confidence_sequence(values),
        wins=sum(difference > 0 for difference in differences),
        losses=sum(difference < 0 for difference in differences),
        errors=sum(pair.champion is None or pair.challenger is None for pair in pairs),
        seed=plan.seed,
        order_digest=plan.order_digest,
        stopped="proved" if proved else "hopeless" if evidence.hopeless else "tasks",
        further=_estimate(further),
    )


def _estimate(further: Sequence[Pair]) -> Estimate | None:
    """Estimate the gain from tasks that decided neither the proof nor when it came."""
    if len(further) < LEAST_FURTHER:
        return None
    values = [difference for difference, _ in units(further)]
    return Estimate(
        n=len(further),
        gain=math.fsum(values) / len(values),
        interval=betting_confidence_sequence(values),
    )
