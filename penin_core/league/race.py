"""The race: successive halving on the ``select`` split. It ranks, cheaply; it proves nothing.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization", AISTATS 2016 (arXiv 1502.07943). No error control is claimed: the champion moves only
on a confirmation, which sees fresh tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from penin_core.battery import TaskBattery
from penin_core.errors import EvaluationFailed
from penin_core.omega.scoring import linf_harmonic
from penin_core.records import Candidate, Evaluation, Measurement, Task

Watch = Callable[[Evaluation], None]
#: Finalist, champion and the gain in L∞ -> why a confirmation is not worth it, empty if it is.
Worth = Callable[[Measurement, Measurement, float], str]
#: Finalist and champion -> whether more tasks may still show that a confirmation is worth it.
Undecided = Callable[[Measurement, Measurement], bool]
#: The last round asks at least so many times the tasks of the first.
LAST_ROUND = 4
#: Told, after a round, how the champion did in it, and who has dropped out so far and why.
Ranked = Callable[[Measurement, Mapping[str, str]], None]


@dataclass
class RaceResult:
    """Who won, how everybody did on the tasks seen, and why the others dropped out."""

    finalist: Candidate | None = None
    measured: dict[str, Measurement] = field(default_factory=dict)
    raced_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    #: L∞ over utility and cost, less the champion's on the same tasks, in the last round of each.
    gains: dict[str, float] = field(default_factory=dict)


async def race(
    battery: TaskBattery,
    champion: Candidate,
    challengers: Sequence[Candidate],
    tasks: Sequence[Task],
    *,
    first_round: int,
    lambda_c: float,
    margin: float,
    worth: Worth,
    watch: Watch,
    result: RaceResult,
    undecided: Undecided = lambda found, champion: False,
    ranked_out: Ranked = lambda champion, out: None,
) -> None:
    """Halve the field on growing numbers of tasks; rank by L∞ over utility and cost only.

    Of the last two, the better one goes on that ranks above the champion on the same tasks, costs
    no more than the margin allows, and is ``worth`` a confirmation. Where that alone stops both and
    is ``undecided``, the last round is run again with twice the tasks. Otherwise there is nothing
    to confirm. ``result`` is filled as the race goes, so that what is known survives when money or
    time end it.
    """
    judge = _Judge(lambda_c, margin, worth, undecided)
    runners, count = list(challengers), 0
    while runners:
        count = tasks_of_round(len(runners), count, first_round, len(tasks))
        seen = tasks[:count]
        reference = await battery.measure(champion, seen, axes=("U", "C"))
        if reference.U is None:
            raise EvaluationFailed("the champion's utility could not be measured")
        result.measured[champion.hash] = reference
        runners = [c for c in runners if await _measured(battery, c, seen, result, watch)]
        linf = {c.hash: race_linf(result.measured[c.hash], lambda_c) for c in runners}
        least = race_linf(reference, lambda_c)
        result.gains |= {key: value - least for key, value in linf.items()}
        ranked = sorted(runners, key=lambda c: (-linf[c.hash], c.hash))
        if len(ranked) <= 2 and count >= min(LAST_ROUND * first_round, len(tasks)):
            runners = _choose(result, ranked, reference, judge, more=count < len(tasks))
        else:
            runners = _halve(result, ranked, count)
        ranked_out(reference, dict(result.raced_out))


def tasks_of_round(runners: int, before: int, first_round: int, available: int) -> int:
    """Return how many tasks a round asks, after one that asked ``before``."""
    count = max(first_round, 2 * before)
    return min(max(count, LAST_ROUND * first_round) if runners <= 2 else count, available)


def rounds(challengers: int, first_round: int, available: int) -> list[tuple[int, int]]:
    """Return runners and tasks of every round of a race in which nobody fails."""
    found, runners, count = [], challengers, 0
    while runners:
        count = tasks_of_round(runners, count, first_round, available)
        found.append((runners, count))
        runners = 0 if runners <= 2 else runners // 2
    return found


def race_linf(measured: Measurement, lambda_c: float) -> float:
    """Return L∞ over utility and cost, by which the race ranks."""
    return linf_harmonic(
        weights={"U": 1.0},
        metrics={"U": measured.U or 0.0},
        cost=measured.C or 0.0,
        lambda_c=lambda_c,
        ethical_ok=True,
    )


def _halve(result: RaceResult, ranked: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return the better half, or both of the last two."""
    keep = len(ranked) if len(ranked) <= 2 else len(ranked) // 2
    for place, candidate in enumerate(ranked[keep:], keep + 1):
        reason = f"raced_out: place {place} of {len(ranked)} after {count} tasks"
        result.raced_out[candidate.hash] = reason
    return list(ranked[:keep])


@dataclass(frozen=True)
class _Judge:
    """What speaks against a confirmation."""

    lambda_c: float
    margin: float
    worth: Worth
    undecided: Undecided

    def bars(self, found: Measurement, reference: Measurement) -> str:
        """Return in words why the candidate is no better than the champion; empty if it is."""
        linf, least = race_linf(found, self.lambda_c), race_linf(reference, self.lambda_c)
        cost, most = found.C or 0.0, (reference.C or 0.0) + self.margin
        if linf <= least:
            return f"L∞ {linf:.3f}, the champion has {least:.3f}"
        return f"cost {cost:.3f}, at most {most:.3f} is allowed" if cost > most else ""

    def objects(self, found: Measurement, reference: Measurement) -> str:
        """Return in words what speaks against a confirmation; empty if nothing does."""
        gained = race_linf(found, self.lambda_c) - race_linf(reference, self.lambda_c)
        return self.bars(found, reference) or self.worth(found, reference, gained)

    def hesitates(self, found: Measurement, reference: Measurement) -> bool:
        """Return whether more tasks may take back the objection."""
        return not self.bars(found, reference) and self.undecided(found, reference)


def _choose(
    result: RaceResult,
    ranked: Sequence[Candidate],
    reference: Measurement,
    judge: _Judge,
    *,
    more: bool,
) -> list[Candidate]:
    """Make the best candidate finalist against whom nothing speaks; return who goes on instead.

    That is nobody where there is a finalist, or where there are no ``more`` tasks.
    """
    found = {candidate.hash: result.measured[candidate.hash] for candidate in ranked}
    against = {key: judge.objects(of, reference) for key, of in found.items()}
    result.finalist = next((c for c in ranked if not against[c.hash]), None)
    more = more and result.finalist is None
    staying = [c for c in ranked if more and judge.hesitates(found[c.hash], reference)]
    for place, candidate in enumerate(ranked, 1):
        if candidate is not result.finalist and candidate not in staying:
            why = against[candidate.hash] or f"place {place} of {len(ranked)} in the last round"
            result.raced_out[candidate.hash] = f"raced_out: {why}"
    return staying


async def _measured(
    battery: TaskBattery,
    candidate: Candidate,
    tasks: Sequence[Task],
    result: RaceResult,
    watch: Watch,
) -> bool:
    """Measure one candidate; return False, with the reason kept, where that is not possible."""
    try:
        measured = await battery.measure(candidate, tasks, axes=("U", "C"))
    except EvaluationFailed as error:
        result.failed[candidate.hash] = str(error)
        return False
    if measured.U is None:
        result.failed[candidate.hash] = "utility could not be measured"
        return False
    result.measured[candidate.hash] = measured
    watch(Evaluation(candidate=candidate, stage="race", measurement=measured))
    return True
