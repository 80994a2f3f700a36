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
#: Told, after a round, how the champion did in it, and who has dropped out so far and why.
Ranked = Callable[[Measurement, Mapping[str, str]], None]


@dataclass
class RaceResult:
    """Who won, how everybody did on the tasks seen, and why the others dropped out."""

    finalist: Candidate | None = None
    measured: dict[str, Measurement] = field(default_factory=dict)
    raced_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


async def race(
    battery: TaskBattery,
    champion: Candidate,
    challengers: Sequence[Candidate],
    tasks: Sequence[Task],
    *,
    first_round: int,
    lambda_c: float,
    margin: float,
    watch: Watch,
    result: RaceResult,
    ranked_out: Ranked = lambda champion, out: None,
) -> None:
    """Halve the field on growing numbers of tasks; rank by L∞ over utility and cost only.

    Of the last two, the better one goes on that ranks above the champion on the same tasks and
    costs no more than the margin allows: otherwise there is nothing to confirm. ``result`` is
    filled as the race goes, so that what is known survives when money or time end it.
    """
    runners, count = list(challengers), min(first_round, len(tasks))
    while runners:
        seen = tasks[:count]
        reference = await battery.measure(champion, seen, axes=("U", "C"))
        if reference.U is None:
            raise EvaluationFailed("the champion's utility could not be measured")
        result.measured[champion.hash] = reference
        runners = [c for c in runners if await _measured(battery, c, seen, result, watch)]
        linf = {c.hash: _linf(result.measured[c.hash], lambda_c) for c in runners}
        ranked = sorted(runners, key=lambda c: (-linf[c.hash], c.hash))
        if len(ranked) <= 2:
            least, most = _linf(reference, lambda_c), (reference.C or 0.0) + margin
            _choose(result, ranked, linf, least, most)
            ranked_out(reference, dict(result.raced_out))
            break
        keep = len(ranked) // 2
        for place, candidate in enumerate(ranked[keep:], keep + 1):
            reason = f"raced_out: place {place} of {len(ranked)} after {len(seen)} tasks"
            result.raced_out[candidate.hash] = reason
        ranked_out(reference, dict(result.raced_out))
        runners, count = ranked[:keep], min(2 * count, len(tasks))


def _choose(
    result: RaceResult,
    ranked: Sequence[Candidate],
    linf: Mapping[str, float],
    least: float,
    most: float,
) -> None:
    """Make the best candidate finalist that is above ``least`` L∞ and not above ``most`` cost."""
    for place, candidate in enumerate(ranked, 1):
        key = candidate.hash
        cost = result.measured[key].C or 0.0
        if result.finalist is not None:
            result.raced_out[key] = f"raced_out: place {place} of {len(ranked)} in the last round"
        elif linf[key] <= least:
            result.raced_out[key] = f"raced_out: L∞ {linf[key]:.3f}, the champion has {least:.3f}"
        elif cost > most:
            result.raced_out[key] = f"raced_out: cost {cost:.3f}, at most {most:.3f} is allowed"
        else:
            result.finalist = candidate


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


def _linf(measured: Measurement, lambda_c: float) -> float:
    return linf_harmonic(
        weights={"U": 1.0},
        metrics={"U": measured.U or 0.0},
        cost=measured.C or 0.0,
        lambda_c=lambda_c,
        ethical_ok=True,
    )
