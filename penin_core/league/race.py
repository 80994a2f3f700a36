"""The race: successive halving on the ``select`` split. It ranks, cheaply; it proves nothing.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization", AISTATS 2016 (arXiv 1502.07943). No error control is claimed: the champion moves only
on a confirmation, which sees fresh tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from penin_core.battery import TaskBattery
from penin_core.errors import EvaluationFailed
from penin_core.omega.scoring import linf_harmonic
from penin_core.records import Candidate, Evaluation, Measurement, Task

Watch = Callable[[Evaluation], None]


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
) -> None:
    """Halve the field on growing numbers of tasks; rank by L∞ over utility and cost only.

    The winner goes on only if it ranks above the champion on the same tasks: otherwise there is
    nothing to confirm. ``result`` is filled as the race goes, so that what is known survives when
    money or time end it.
    """
    field_, count = list(challengers), min(first_round, len(tasks))
    while field_:
        seen = tasks[:count]
        reference = await battery.measure(champion, seen, axes=("U", "C"))
        result.measured[champion.hash] = reference
        ranks = {}
        for candidate in field_:
            measured = await _measure(battery, candidate, seen, result)
            if measured is not None:
                watch(Evaluation(candidate=candidate, stage="race", measurement=measured))
                ranks[candidate.hash] = _rank(measured, reference, lambda_c, margin)
        ranked = sorted(
            (c for c in field_ if c.hash in ranks), key=lambda c: (ranks[c.hash], c.hash)
        )
        keep = max(1, len(ranked) // 2)
        for place, candidate in enumerate(ranked[keep:], keep + 1):
            result.raced_out[candidate.hash] = (
                f"raced_out: place {place} of {len(ranked)} after {len(seen)} tasks"
            )
        field_ = ranked[:keep]
        if len(field_) == 1 and len(ranked) <= 2:
            _finish(result, field_[0], ranks, _rank(reference, reference, lambda_c, margin))
            break
        count = min(2 * count, len(tasks))


def _finish(
    result: RaceResult,
    best: Candidate,
    ranks: dict[str, tuple[bool, float, float]],
    champion_rank: tuple[bool, float, float],
) -> None:
    out_of_reach, negative_linf, _ = ranks[best.hash]
    if out_of_reach:
        result.raced_out[best.hash] = "raced_out: first, but worse in cost than the margin allows"
    elif (out_of_reach, negative_linf) >= champion_rank[:2]:
        result.raced_out[best.hash] = "raced_out: first, but not above the champion"
    else:
        result.finalist = best


async def _measure(
    battery: TaskBattery, candidate: Candidate, tasks: Sequence[Task], result: RaceResult
) -> Measurement | None:
    try:
        measured = await battery.measure(candidate, tasks, axes=("U", "C"))
    except EvaluationFailed as error:
        result.failed[candidate.hash] = str(error)
        return None
    result.measured[candidate.hash] = measured
    if measured.U is None:
        result.failed[candidate.hash] = "utility could not be measured"
        return None
    return measured


def _rank(
    measured: Measurement, reference: Measurement, lambda_c: float, margin: float
) -> tuple[bool, float, float]:
    """Return a sort key, best first: within the cost margin, then L∞ over U and C, then cost."""
    cost = measured.C or 0.0
    linf = linf_harmonic(
        weights={"U": 1.0},
        metrics={"U": measured.U or 0.0},
        cost=cost,
        lambda_c=lambda_c,
        ethical_ok=True,
    )
    return (cost > (reference.C or 0.0) + margin, -linf, cost)
