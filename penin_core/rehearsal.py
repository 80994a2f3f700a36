"""A rehearsal of the rule on a user's own suite: how often does it promote what is no better?

The champion answers the ``select`` tasks several times. Every trial deals, for each task, two of
these answers to two sides at random, so that neither side is better, and takes them through the
real confirmation and the real decision. Confirm tasks are not touched: they stay fresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from penin_core.battery import TaskBattery
from penin_core.cycle import Cycle
from penin_core.errors import SuiteError
from penin_core.league.campaign import in_order
from penin_core.league.confirmation import confirm
from penin_core.league.decision import decide
from penin_core.league.plans import LEAST_PLANNED, Plan, ends_of
from penin_core.measuring import require_answers
from penin_core.omega.evidence import campaign_alpha
from penin_core.records import Candidate, GuardResult, Measurement, Split, Task, TaskRow
from penin_core.rendering import draw_seed
from penin_core.settings import EvolveSettings, Margins
from penin_core.suites import MIN_CONFIRM, Suite

REPEATS = 3
#: The rule on point values passes whatever gains at all: only the evidence stands in the way.
_PARAMS = {
    "wU": 1.0,
    "wS": 0.0,
    "wC": 0.0,
    "wL": 0.0,
    "tau": 0.0,
    "beta_min": 0.0,
    "lambda_c": 0.0,
}


@dataclass(frozen=True)
class Rehearsed:
    """How many trials promoted, and the exact 95 % bounds of that rate.

    ``varies`` is the share of tasks on which the champion's answers to the same question differ in
    their score: where it is 0, equal sides never differ and nothing can be promoted.
    """

    trials: int
    promoted: int
    lower: float
    upper: float
    tasks: int
    gain: float
    varies: float
    alpha: float


def require_rehearsable(suite: Suite, settings: EvolveSettings) -> None:
    """Refuse, before anything is asked, a rehearsal of what no cycle would do.

    Raises:
        SuiteError: there are fewer than 100 select tasks; or too few units of evidence, among them
            or among the confirm tasks, for planned looks.
    """
    column = suite.definition.clusters
    _require_units(suite.split("select"), settings, column)
    if settings.evidence == "horizon":
        _require_units(suite.split("confirm"), settings, column, "confirm")


def _require_units(
    tasks: Sequence[Task], settings: EvolveSettings, column: str | None, split: Split = "select"
) -> None:
    if settings.evidence == "horizon":
        units = len(ends_of(in_order(tasks, column, 0)[: settings.confirm_max], column))
        if units < LEAST_PLANNED:
            many = "tasks" if column is None else "clusters"
            raise SuiteError(
                f'evidence = "horizon" takes at least {LEAST_PLANNED} {many}, and one '
                f"confirmation on {split} tasks would have {units}",
                hint='set evidence = "anytime" in [evolve], which holds with any number; or add '
                f"{split} tasks, and look at confirm_max",
            )
    if len(tasks) < MIN_CONFIRM:
        raise SuiteError(
            f"{len(tasks)} {split} tasks are too few to rehearse on, {MIN_CONFIRM} are needed",
            hint=f"add {split} tasks",
        )


async def repeated(
    cycle: Cycle, champion: Candidate, repeats: int = REPEATS
) -> list[list[TaskRow]]:
    """Ask the champion all ``select`` tasks ``repeats`` times, with chance of its own each time.

    Raises:
        EvaluationFailed: over 20 % of the calls failed.
        BudgetExceeded: money or time ended first.
    """
    tasks, found = cycle.suite.split("select"), []
    for number in range(repeats):
        seed = draw_seed(cycle.seed, "rehearsal", number)
        battery = TaskBattery(cycle.engine, cycle.suite, cycle.project.evaluators(), seed=seed)
        rows = await battery.rows(champion, tasks)
        require_answers(rows)
        found.append(rows)
    return found


async def rehearse(
    answers: Sequence[Sequence[TaskRow]],
    tasks: Sequence[Task],
    settings: EvolveSettings,
    *,
    trials: int,
    seed: int,
    gain: float = 0.0,
    watch: Callable[[int], None] = lambda _: None,
    cluster: str | None = None,
) -> Rehearsed:
    """Confirm and decide ``trials`` times between equals, or with a true ``gain`` given to one.

    The gain is given by turning answers that are not perfect, at random, into perfect ones.

    Raises:
        SuiteError: as ``require_rehearsable``; or the champion is too good to gain so much.
    """
    _require_units(tasks, settings, cluster)
    share = _share_to_lift(answers, gain)
    rng, promoted = np.random.default_rng(seed), 0
    alpha = campaign_alpha(1)
    for trial in range(trials):
        order = in_order(tasks, cluster, int(rng.integers(2**31)))[: settings.confirm_max]
        plan = Plan("better", 1, alpha, trial, order, mode=settings.evidence, cluster=cluster)
        promoted += await _promotes(_Dealt(answers, tasks, share, rng), plan, settings)
        watch(trial + 1)
    lower, upper = bounds(promoted, trials)
    return Rehearsed(trials, promoted, lower, upper, len(tasks), gain, _varying(answers), alpha)


_CHAMPION, _OTHER = (
    Candidate.model_validate({"config": {"provider": "rehearsal", "model": name}})
    for name in ("champion", "other")
)


class _Dealt:
    """A battery that deals every task two of its stored answers, one to each side."""

    def __init__(
        self,
        answers: Sequence[Sequence[TaskRow]],
        tasks: Sequence[Task],
        share: float,
        rng: np.random.Generator,
    ) -> None:
        draws = rng.random((len(tasks), len(answers)))
        # The two smallest draws of a task: an ordered pair of different answers, all alike likely.
        chosen = np.argsort(draws, axis=1)[:, :2]
        lifted = rng.random(len(tasks)) < share
        self.sides: dict[str, dict[str, TaskRow]] = {_CHAMPION.hash: {}, _OTHER.hash: {}}
        for place, task in enumerate(tasks):
            first, second = (answers[int(n)][place] for n in chosen[place])
            if lifted[place] and second.utility is not None:
                second = second.model_copy(update={"utility": 1.0})
            self.sides[_CHAMPION.hash][task.id] = first
            self.sides[_OTHER.hash][task.id] = second

    async def rows(self, model: Candidate, tasks: Sequence[Task]) -> list[TaskRow]:
        """Return the answers that were dealt to one side."""
        return [self.sides[model.hash][task.id] for task in tasks]

    def utility(self, model: Candidate, tasks: Sequence[Task]) -> Measurement:
        """Return U on the tasks of a confirmation."""
        known = [u for task in tasks if (u := self.sides[model.hash][task.id].utility) is not None]
        return Measurement(U=math.fsum(known) / len(known) if known else None)


async def _promotes(dealt: _Dealt, plan: Plan, settings: EvolveSettings) -> bool:
    """Take one trial through the real confirmation and the real decision."""
    outcome = await confirm(
        dealt,
        _CHAMPION,
        _OTHER,
        plan,
        at_least=settings.confirm_min,
        baseline={"tokens": 1.0},
        watch=lambda *_: None,
    )
    decision = decide(
        dealt.utility(_OTHER, outcome.tasks),
        dealt.utility(_CHAMPION, outcome.tasks),
        axes=("U",),
        params=_PARAMS,
        guards=(GuardResult(guard="rehearsal", ok=True, reason="every guard agrees"),),
        confirmation=outcome.confirmation,
        margins=Margins(),
    )
    return decision.verdict == "promote"


def _share_to_lift(answers: Sequence[Sequence[TaskRow]], gain: float) -> float:
    """Return which share of answers has to become perfect for a mean gain of ``gain``."""
    known = [row.utility for rows in answers for row in rows if row.utility is not None]
    room = 1.0 - math.fsum(known) / len(known) if known else 0.0
    if gain > room:
        raise SuiteError(
            f"a gain of {gain:.3f} is not possible: the champion is only {room:.3f} from perfect",
            hint="ask for a smaller gain, or add harder tasks",
        )
    return gain / room if gain else 0.0


def _varying(answers: Sequence[Sequence[TaskRow]]) -> float:
    per_task = list(zip(*answers, strict=True))
    return sum(len({row.utility for row in rows}) > 1 for rows in per_task) / len(per_task)


def bounds(hits: int, trials: int, level: float = 0.05) -> tuple[float, float]:
    """Return the exact two-sided 95 % interval of a rate.

    Source: Clopper and Pearson 1934, Biometrika 26, doi 10.1093/biomet/26.4.404.
    """
    lower = 0.0 if hits == 0 else 1.0 - _beyond(trials - hits, trials, level / 2)
    return lower, 1.0 if hits == trials else _beyond(hits, trials, level / 2)


def _beyond(hits: int, trials: int, tail: float) -> float:
    """Return the rate at which so few hits have only the probability ``tail``, by bisection."""
    low, high = hits / trials, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        low, high = (rate, high) if _at_most(hits, trials, rate) > tail else (low, rate)
    return high


def _at_most(hits: int, trials: int, rate: float) -> float:
    """Return the probability of at most so many hits."""
    log_all = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(
            log_all
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * math.log(rate)
            + (trials - k) * math.log1p(-rate)
        )
        for k in range(hits + 1)
    )
