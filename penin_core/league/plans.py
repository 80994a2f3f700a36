"""The plan of a confirmation: what is fixed, and in the ledger, before its first call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from penin_core.canonical import digest
from penin_core.errors import SuiteError
from penin_core.omega.evidence import campaign_alpha, horizon_looks, smallest_provable_gain
from penin_core.omega.metrics import cost_ratio
from penin_core.records import Candidate, Claim, EvidenceMode, Measurement, Task
from penin_core.suites import MIN_CONFIRM, Suite

from .campaign import (
    Campaign,
    cluster_of,
    fresh_tasks,
    in_order,
    question_mark,
    require_fresh,
    task_mark,
)
from .looks import MARGIN, Evidence

RULES: Mapping[EvidenceMode, str] = {
    "anytime": "betting-e-process/1",
    "horizon": "planned-looks/2",
}
#: Further tasks that are asked after a proof, for a gain that no stopping rule has touched.
FURTHER = 100
#: Planned looks rest on a limit law: on fewer units than this they are refused.
LEAST_PLANNED = 300
_BATCH = 50


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first call. ``reserve`` follows ``tasks`` in the same order.

    ``planned`` is the number of units of evidence, where the tasks themselves do not tell it.
    """

    claim: Claim
    t: int
    alpha: float
    seed: int
    tasks: Sequence[Task]
    reserve: Sequence[Task] = ()
    mode: EvidenceMode = "anytime"
    cluster: str | None = None
    planned: int | None = None

    @property
    def order_digest(self) -> str:
        """SHA-256 of the task ids in the order in which they will be asked."""
        return digest([task.id for task in self.tasks])

    @cached_property
    def ends(self) -> list[int]:
        """After how many tasks each unit of evidence (a task, or a cluster) is complete."""
        return ends_of(self.tasks, self.cluster)

    def stops(self) -> list[int]:
        """Return after how many tasks the evidence is looked at, at the end of a unit."""
        if self.mode == "horizon":
            return [self.ends[look.tasks - 1] for look in self._looks]
        found: list[int] = []
        for end in self.ends:
            if end - (found[-1] if found else 0) >= _BATCH or end == self.ends[-1]:
                found.append(end)
        return found

    @property
    def _looks(self) -> Sequence[Any]:
        return horizon_looks(len(self.ends), self.alpha)

    def evidence(self) -> Evidence:
        """Return the test of this plan, nothing looked at yet."""
        return Evidence(self.claim, self.alpha, self.mode, self.planned or len(self.ends))

    def further(self, n: int) -> Sequence[Task]:
        """Return the tasks after the first ``n`` from which the gain is estimated."""
        return [*self.tasks, *self.reserve][n : n + FURTHER]

    def declaration(
        self, champion: Candidate, finalist: Candidate, suite: Suite, seed: int
    ) -> dict[str, Any]:
        """Return the body of the ledger entry that stands before the first call.

        ``seed`` is that of the answers, the plan's own is that of the order.
        """
        declared = (*self.tasks, *self.reserve)
        return {
            "rule": RULES[self.mode],
            "mode": self.mode,
            "claim": self.claim,
            "t": self.t,
            "alpha": self.alpha,
            "seed": self.seed,
            "answer_seed": seed,
            "order_digest": self.order_digest,
            "n_tasks": len(self.tasks),
            "n_units": len(self.ends),
            "further": FURTHER,
            "marks": [task_mark(task.id) for task in declared],
            "questions": [question_mark(task) for task in declared],
            "suite_hash": suite.hash,
            "champion": champion.hash,
            "finalist": finalist.hash,
        }


def plan_confirmation(
    suite: Suite,
    *,
    claim: Claim,
    campaign: Campaign,
    at_most: int,
    mode: EvidenceMode = "anytime",
) -> Plan:
    """Fix claim, alpha and order of the next confirmation of this ledger.

    ``cheaper`` is looked at anytime in every mode: see ``Evidence``.

    Raises:
        SuiteError: fewer than 100 fresh confirm tasks are left, the suite cannot be clustered, or
            so few units are no evidence in this mode.
    """
    require_fresh(suite, campaign)
    tasks, after = next_tasks(suite, campaign, at_most)
    t = campaign.earlier + 1
    plan = Plan(
        claim,
        t,
        campaign_alpha(t),
        campaign.proofs,
        tasks,
        after[:FURTHER],
        "anytime" if claim == "cheaper" else mode,
        suite.definition.clusters,
    )
    _require_units(plan)
    return plan


def next_tasks(
    suite: Suite, campaign: Campaign, at_most: int
) -> tuple[Sequence[Task], Sequence[Task]]:
    """Return the tasks of the next confirmation in their order, and the fresh ones after them.

    The order changes with every proof only: what failed confirmations asked is asked again, so
    that a proof spends no more tasks than it must. No cluster is cut.

    Raises:
        SuiteError: the suite cannot be clustered.
    """
    column = suite.definition.clusters
    ordered = in_order(fresh_tasks(suite, campaign), column, campaign.proofs)
    count = min(at_most, len(ordered))
    while column and 0 < count < len(ordered) and _together(ordered, count, column):
        count -= 1
    return ordered[:count], ordered[count:]


def ends_of(tasks: Sequence[Task], column: str | None) -> list[int]:
    """Return after how many tasks each unit of evidence (a task, or a cluster) is complete."""
    if column is None:
        return list(range(1, len(tasks) + 1))
    ends, done = [], 0
    for _, same in groupby(tasks, key=lambda task: cluster_of(task, column)):
        done += len(list(same))
        ends.append(done)
    return ends


def _require_units(plan: Plan) -> None:
    """Raise SuiteError where the units of a plan are too few for its test."""
    tasks, units = len(plan.tasks), len(plan.ends)
    found = f"{tasks} tasks" if plan.cluster is None else f"{units} clusters with {tasks} tasks"
    if tasks < MIN_CONFIRM:
        raise SuiteError(
            f"{found} cannot be confirmed on", hint=f"at least {MIN_CONFIRM} tasks are needed"
        )
    if plan.mode == "horizon" and units < LEAST_PLANNED:
        many = "tasks" if plan.cluster is None else "clusters"
        raise SuiteError(
            f'evidence = "horizon" takes at least {LEAST_PLANNED} {many} to confirm on, and one '
            f"confirmation would have {found}",
            hint='set evidence = "anytime" in [evolve], which holds with any number; or add '
            "confirm tasks, and look at confirm_max",
        )
    # With so many units some gain can always be shown; counting how large it is takes time.
    if units < MIN_CONFIRM and smallest_provable_gain(units, plan.alpha) is None:
        raise SuiteError(
            f"{found} can prove nothing in confirmation {plan.t}, however large the gain",
            hint=f"tasks of one {plan.cluster!r} count as one: add confirm tasks of others",
        )


def _together(ordered: Sequence[Task], count: int, column: str) -> bool:
    """Return whether a cut after ``count`` tasks would split a cluster."""
    return cluster_of(ordered[count - 1], column) == cluster_of(ordered[count], column)


def continued(
    plan: Plan,
    campaign: Campaign,
    seed: int,
    champion: Candidate,
    finalist: Candidate,
    suite: Suite,
) -> Plan | None:
    """Return the plan of the confirmation that stands open, if it is this one; else None.

    It is the same test on the same tasks, and the answers so far are stored, so it goes on at the
    same level instead of spending alpha a second time.
    """
    standing = campaign.open
    if standing is None:
        return None
    t = standing["t"]
    same = replace(plan, t=t, alpha=campaign_alpha(t))
    declaration = same.declaration(champion, finalist, suite, seed)
    # An older version declared no questions.
    standing = {"questions": declaration["questions"], **standing}
    return same if standing == declaration else None


def claim_for(finalist: Measurement, champion: Measurement) -> Claim:
    """Choose, from the race alone, what the finalist has to prove.

    ``cheaper`` where U rises by less than the margin, and by less than C falls by the money and
    tokens that are saved, for time proves nothing; otherwise ``better``: a gain is not given up for
    a cost that fell by a hair.
    """
    if finalist.C is None or champion.C is None:
        return "better"
    gain, saving = (finalist.U or 0.0) - (champion.U or 0.0), _provable_saving(finalist, champion)
    return "cheaper" if saving > 0.0 and gain < min(MARGIN, saving) else "better"


def _provable_saving(finalist: Measurement, champion: Measurement) -> float:
    """Return by how much C falls without its time, where the champion costs 0.5."""
    units = {"cost_usd": champion.cost_usd, "tokens": float(_tokens(champion))}
    if not any(units.values()) or finalist.cost_usd > champion.cost_usd == 0.0:
        return 0.0
    ratio = cost_ratio(finalist.cost_usd, 0.0, float(_tokens(finalist)), units)
    return 0.5 - ratio / (1.0 + ratio)


def _tokens(measurement: Measurement) -> int:
    return measurement.tokens_in + measurement.tokens_out
