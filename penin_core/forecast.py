"""What a cycle can prove, and what it will take: said before the first call, spending nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from penin_core.battery import TaskBattery
from penin_core.correcting import demanded
from penin_core.errors import EvaluationFailed, ProviderError, ProviderRefused, ProviderUnavailable
from penin_core.gating import first_tasks, subset, whole
from penin_core.league.campaign import Campaign
from penin_core.league.plans import FURTHER, ends_of, next_tasks
from penin_core.league.race import rounds
from penin_core.league.worth import MOST_FOR_POWER, may_double
from penin_core.omega.evidence import campaign_alpha, smallest_provable_gain
from penin_core.project import Project
from penin_core.records import Candidate, Completion, Configuration, Request, Task
from penin_core.rendering import render
from penin_core.settings import Baseline
from penin_core.suites import MIN_CONFIRM

_MORE = (1, 2, 4)


@dataclass(frozen=True)
class Forecast:
    """Gains in [0, 1] that 80 % of confirmations would show; calls, US dollars and seconds.

    The evidence counts ``units``: tasks, or where ``clusters`` names a column, its values. Gains
    are those of tasks of one cluster that are won and lost together; where they are not, smaller
    ones show. ``more`` says what so many units in a confirmation would show. ``overtime_calls`` are
    those of a race that leaves open, as long as it can, who is worth a confirmation;
    ``confirm_calls`` those of a finalist that is proved as early as possible, and of one that is
    never proved. A challenger that cannot be measured can let another race on, and so cost more.
    Money and time are None where nothing has been measured; answers that are stored already cost
    nothing.
    """

    fresh: int
    tasks: int
    units: int
    clusters: str | None
    t: int
    alpha: float
    mode: str
    gain: float | None
    more: tuple[tuple[int, float | None], ...]
    first_calls: int
    race_calls: int
    overtime_calls: int
    confirm_calls: tuple[int, int]
    usd: tuple[float, float] | None
    seconds: tuple[float, float] | None
    #: Whether it is the confirmation that stands open, which goes on at its own level.
    stands_open: bool = False

    @property
    def calls(self) -> tuple[int, int]:
        """The least calls (nobody is worth a confirmation), and the most."""
        least = self.first_calls + self.race_calls
        return least, least + self.overtime_calls + max(self.confirm_calls)


def forecast(
    project: Project,
    champion: Configuration,
    challengers: int,
    campaign: Campaign,
    baseline: Baseline | None,
    *,
    has_champion: bool,
) -> Forecast:
    """Foresee the next cycle of a project.

    Raises:
        SuiteError: the suite can promote nothing, has tasks that no metric can grade, or its
            confirm tasks cannot be clustered as it says.
    """
    project.require_provable()
    settings, suite = project.settings.evolve, project.suite
    asked, after = next_tasks(suite, campaign, settings.confirm_max)
    fresh, tasks, column = len(asked) + len(after), len(asked), suite.definition.clusters
    units, standing = len(ends_of(asked, column)), campaign.open
    t = campaign.earlier + 1 if standing is None else standing["t"]
    alpha = campaign_alpha(t)
    deep, plain = _calls_of_gates(project, champion, [])
    first = 0 if has_champion else _calls_of_gates(project, champion, first_tasks(project.suite))[0]
    least = min(max(settings.confirm_min, 100), tasks)
    available = len(suite.split("select"))
    race = race_calls(challengers, settings.race_tasks, available)
    # Of the fixed subset the race has asked finalist and champion its share already.
    raced = rounds(challengers, settings.race_tasks, available)[-1:]
    deep -= sum(round(plain * count / available) for _, count in raced)
    again = _second_tries(project) * (2 if has_champion else 3)
    confirm = (2 * (least + min(FURTHER, fresh - least) + deep), 2 * (tasks + deep) + again)
    overtime = overtime_calls(challengers, settings.race_tasks, available, units)
    sums = (first + race, first + race + overtime + max(confirm))
    usd = None if baseline is None else baseline.cost_usd
    latency = None if baseline is None or not baseline.latency_ms else baseline.latency_ms / 1000
    return Forecast(
        fresh=fresh,
        tasks=tasks,
        units=units,
        clusters=column,
        t=t,
        alpha=alpha,
        mode=settings.evidence,
        gain=provable(units, alpha) if tasks >= MIN_CONFIRM else None,
        more=tuple((n, provable(n, alpha)) for n in (factor * 500 for factor in _MORE)),
        first_calls=first,
        race_calls=race,
        overtime_calls=overtime,
        confirm_calls=confirm,
        usd=_times(sums, 0.0 if _is_free(project, champion) else usd),
        seconds=_times(sums, latency),
        stands_open=standing is not None,
    )


def provable(units: int, alpha: float) -> float | None:
    """Return the gain that 80 % of confirmations on so many units show; None where none does."""
    return smallest_provable_gain(min(units, MOST_FOR_POWER), alpha)


def race_calls(challengers: int, first_round: int, available: int) -> int:
    """Return the calls of a race in which nobody fails: everybody, on the tasks of every round."""
    total = before = 0
    for runners, count in rounds(challengers, first_round, available):
        total += (runners + 1) * (count - before)
        before = count
    return total


def overtime_calls(challengers: int, first_round: int, available: int, units: int) -> int:
    """Return the calls of last rounds that are run again until the race has asked all it may."""
    if not challengers:
        return 0
    runners, count = rounds(challengers, first_round, available)[-1]
    most = count
    while most < available and may_double(most, units):
        most = min(2 * most, available)
    return (runners + 1) * (most - count)


def _second_tries(project: Project) -> int:
    """Return how many tasks one candidate is asked again at most, for the form of its answers."""
    evaluators = project.evaluators()
    return sum(demanded(task, evaluators) for task in subset(project.suite))


def _times(calls: tuple[int, int], each: float | None) -> tuple[float, float] | None:
    return None if each is None else (calls[0] * each, calls[1] * each)


def _is_free(project: Project, champion: Configuration) -> bool:
    """Return whether the model costs nothing by its own price list."""
    try:
        price = project.provider(champion.provider).capabilities(champion.model).price
    except ProviderRefused:
        return False
    return price is not None and not price.input_per_million and not price.output_per_million


class _Counting:
    """Takes every question, answers none, and remembers how many different ones there were."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def answer(self, requests: Sequence[Request]) -> list[Completion | ProviderError]:
        self.keys.update(request.key for request in requests)
        return [ProviderUnavailable("nothing is asked")] * len(requests)


def _calls_of_gates(
    project: Project, config: Configuration, tasks: Sequence[Task]
) -> tuple[int, int]:
    """Return the calls that measure all axes of one candidate on ``tasks`` and on the subsets.

    The second number is how many of them ask a task of the fixed subset as it stands.
    """
    from asyncio import run

    suite, counting = project.suite, _Counting()
    battery = TaskBattery(counting, suite, project.evaluators(), seed=0)
    asked, deep = whole(suite, tasks)
    # Nothing is answered, so nothing can be measured; what was asked is what counts.
    with suppress(EvaluationFailed):
        run(battery.measure(Candidate(config=config), asked, deep=deep))
    plain = {render(config, task, 0).key for task in subset(suite)}
    return len(counting.keys), len(plain & counting.keys)
