"""What the rule of promotion promises, measured through the rule itself.

    python bench/evidence.py [--quick] [--seed 0] [--fuzz 1000000]

Outcomes are drawn, everything else is the real code: ``race``, ``plan_confirmation``, ``confirm``
and ``decide`` on a battery that answers from the draws. Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from statistics import NormalDist, fmean
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from spoiled import PARAMS, fuzz

from penin_core.forecast import race_calls
from penin_core.league.campaign import Campaign, closing
from penin_core.league.confirmation import Outcome, confirm
from penin_core.league.decision import decide
from penin_core.league.plans import Plan, plan_confirmation
from penin_core.league.race import RaceResult, race
from penin_core.league.worth import is_undecided, why_not_worth
from penin_core.omega.evidence import (
    campaign_alpha,
    crossing_probability,
    null_crossing_probability,
)
from penin_core.records import (
    Candidate,
    Configuration,
    EvidenceMode,
    GuardResult,
    Measurement,
    Task,
    TaskRow,
)
from penin_core.settings import Margins, SuiteDefinition
from penin_core.suites import Suite

T = TypeVar("T")
Scores = NDArray[np.float64]
CHAMPION = Candidate(config=Configuration(provider="p", model="champion"))
CHALLENGERS = [CHAMPION.child("bench", model=f"c{n}") for n in range(8)]
SELECT, CONFIRM, FIRST_ROUND, AT_LEAST = 240, 500, 30, 300
GUARD = GuardResult(guard="bench", ok=True, reason="")
NAIVE = 0.02

# Outcomes


@dataclass(frozen=True)
class Noise:
    """How the scores of two equally good sides differ."""

    name: str
    discordance: float = 0.0

    def draw(self, rng: np.random.Generator, gains: Sequence[float], size: int) -> Scores:
        """Return one row of scores for the champion and one for every challenger."""
        if self.discordance:
            return self._binary(rng, gains, size)
        base = rng.uniform(0.35, 0.65, size)
        # Symmetric and bounded, so that a shift is the mean difference exactly.
        noise = rng.uniform(-0.3, 0.3, (len(gains) + 1, size))
        return base + noise + np.array([0.0, *gains])[:, np.newaxis]

    def _binary(self, rng: np.random.Generator, gains: Sequence[float], size: int) -> Scores:
        champion = rng.random(size) < 0.5
        sides = [champion]
        for gain in gains:
            # Wins have probability (d + g) / 2 of all tasks, losses (d - g) / 2.
            draw = rng.random(size)
            flips = draw < np.where(champion, self.discordance - gain, self.discordance + gain)
            sides.append(champion ^ flips)
        return np.array(sides, dtype=float)


BINARY, LOW, GRADED = Noise("binary .25", 0.25), Noise("low noise .14", 0.14), Noise("graded")


@cache
def tasks(split: str, count: int) -> tuple[Task, ...]:
    return tuple(Task(id=f"{split}{n}", input="q", split=split) for n in range(count))


@cache
def suite(confirm_tasks: int) -> Suite:
    return Suite(SuiteDefinition(), (*tasks("select", SELECT), *tasks("confirm", confirm_tasks)))


class Drawn:
    """A battery that answers from drawn scores, and counts what it is asked."""

    def __init__(self, scores: Scores, split: str) -> None:
        self.scores, self.split = scores, split
        self.row = {c.hash: n for n, c in enumerate((CHAMPION, *CHALLENGERS))}
        self.asked: set[tuple[int, str]] = set()

    async def rows(self, candidate: Candidate, asked: Sequence[Task]) -> list[TaskRow]:
        row = self.row[candidate.hash]
        self.asked.update((row, task.id) for task in asked)
        return [_row(task.id, float(self.scores[row, _place(task.id)])) for task in asked]

    async def measure(
        self, candidate: Candidate, asked: Sequence[Task], *, axes: object
    ) -> Measurement:
        rows = tuple(await self.rows(candidate, asked))
        mean = fmean(row.utility or 0.0 for row in rows)
        return Measurement(U=mean, C=0.5, n_tasks=len(asked), rows=rows)


@cache
def _place(task_id: str) -> int:
    return int(task_id.removeprefix("select").removeprefix("confirm"))


@cache
def _row(task_id: str, score: float) -> TaskRow:
    return TaskRow(task=task_id, utility=min(1.0, max(0.0, score)))


# The real path


def finished(coroutine: Coroutine[object, None, T]) -> T:
    """Run what never waits, since the battery answers at once; an event loop costs more."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise RuntimeError("it waits")


@dataclass
class Cycle:
    """What one cycle came to."""

    finalist: int | None = None
    promoted: bool = False
    calls: int = 0
    race_calls: int = 0
    outcome: Outcome | None = None


def raced(
    rng: np.random.Generator,
    noise: Noise,
    gains: Sequence[float],
    t: int,
    first: int = FIRST_ROUND,
) -> Cycle:
    """Race all challengers; return who is worth a confirmation, and what it took."""
    battery, result = Drawn(noise.draw(rng, gains, SELECT), "select"), RaceResult()
    finished(
        race(
            battery,  # type: ignore[arg-type]
            CHAMPION,
            CHALLENGERS[: len(gains)],
            tasks("select", SELECT),
            first_round=first,
            lambda_c=0.5,
            margin=0.05,
            worth=partial(why_not_worth, units=CONFIRM, t=t),
            undecided=partial(is_undecided, units=CONFIRM, t=t),
            watch=lambda _: None,
            result=result,
        )
    )
    finalist = None if result.finalist is None else CHALLENGERS.index(result.finalist)
    return Cycle(finalist=finalist, calls=len(battery.asked), race_calls=len(battery.asked))


@cache
def first_plan(t: int, mode: EvidenceMode, reserve: int) -> Plan:
    return planned(campaign_of_failures(t - 1), mode, CONFIRM + reserve)


def planned(campaign: Campaign, mode: EvidenceMode, pool: int) -> Plan:
    return plan_confirmation(
        suite(pool), claim="better", campaign=campaign, at_most=CONFIRM, mode=mode
    )


def campaign_of_failures(count: int) -> Campaign:
    closed = {t: closing(t, proved=False, asked=0) for t in range(1, count + 1)}
    return Campaign(tuple({"t": t, "marks": []} for t in closed), closed)


def confirmed(cycle: Cycle, scores: Scores, plan: Plan, at_least: int = AT_LEAST) -> Cycle:
    """Confirm the finalist and decide; other axes stand still and every guard agrees."""
    if cycle.finalist is None:
        return cycle
    finalist = CHALLENGERS[cycle.finalist]
    battery = Drawn(scores, "confirm")
    outcome = finished(
        confirm(
            battery,
            CHAMPION,
            finalist,
            plan,
            at_least=at_least,
            baseline={"tokens": 1.0},
            watch=lambda *_: None,
        )
    )
    places = [_place(task.id) for task in outcome.tasks]
    before, after = (
        Measurement(U=float(scores[row, places].mean()), S=0.9, C=0.5, L=0.9)
        for row in (0, 1 + cycle.finalist)
    )
    decision = decide(
        after,
        before,
        axes=("U", "S", "C", "L"),
        params=PARAMS,
        guards=(GUARD,),
        confirmation=outcome.confirmation,
        margins=Margins(),
    )
    cycle.outcome, cycle.promoted = outcome, decision.verdict == "promote"
    cycle.calls += len(battery.asked)
    return cycle


# Goals


@dataclass
class Report:
    """Collects lines and whether every goal was met."""

    missed: list[str] = field(default_factory=list)

    def say(self, text: str, met: bool | None = None) -> None:
        print(text + ("" if met is None else "   ok" if met else "   MISSED"), flush=True)
        if met is False:
            self.missed.append(text)


def upper(hits: int, runs: int, level: float = 0.05) -> float:
    """Return the exact one-sided 95 % upper bound of a rate (Clopper and Pearson 1934)."""
    low, high = hits / runs, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        tail = (
            math.fsum(
                math.comb(runs, k) * middle**k * (1 - middle) ** (runs - k) for k in range(hits + 1)
            )
            if runs < 900
            else _normal_tail(hits, runs, middle)
        )
        low, high = (middle, high) if tail > level else (low, middle)
    return high


def _normal_tail(hits: int, runs: int, rate: float) -> float:
    """Return P(X <= hits) from logarithms, where powers would underflow."""
    return (
        math.fsum(
            math.exp(
                math.lgamma(runs + 1)
                - math.lgamma(k + 1)
                - math.lgamma(runs - k + 1)
                + k * math.log(rate)
                + (runs - k) * math.log1p(-rate)
            )
            for k in range(hits + 1)
        )
        if 0 < rate < 1
        else 0.0
    )


def null_crossing(report: Report) -> None:
    worst = max(
        k * null_crossing_probability(alpha / k, CONFIRM) / alpha
        for alpha in (0.05, 0.025)
        for k in range(1, 33)
    )
    report.say(f"exact null crossing, K = 1..32: at most {worst:.3f} alpha", worst <= 1.0)


def false_promotions(report: Report, runs: int, seed: int) -> None:
    report.say(f"\nfalse promotions, 8 equal challengers, {CONFIRM} tasks, {runs} runs")
    for noise in (BINARY, LOW, GRADED):
        for mode in ("anytime", "horizon"):
            _false_promotions(report, noise, mode, runs, seed)


def _false_promotions(
    report: Report, noise: Noise, mode: EvidenceMode, runs: int, seed: int
) -> None:
    rng = np.random.default_rng([seed, len(noise.name), mode == "horizon"])
    # Both rules look at the same moments: from the first on at which anything can be promoted.
    looks = range(99, CONFIRM) if mode == "anytime" else range(99, CONFIRM, CONFIRM // 5)
    bare = parked = naive = peeked = 0
    for _ in range(runs):
        scores = noise.draw(rng, [0.0] * 8, CONFIRM)
        cycle = raced(rng, noise, [0.0] * 8, 1)
        parked += cycle.finalist is None
        # Whoever the race parks is confirmed here all the same: the rule has to bear it.
        cycle.finalist = cycle.finalist or 0
        bare += confirmed(cycle, scores, first_plan(1, mode, 0), at_least=100).promoted
        means = np.cumsum(scores[1:] - scores[0], axis=1) / np.arange(1, CONFIRM + 1)
        naive += bool((means[:, -1] >= NAIVE).any())
        peeked += bool((means[:, looks] >= NAIVE).any())
    bound = upper(bare, runs)
    report.say(
        f"  {noise.name:<13} {mode:<7} {bare / runs:.4f} (upper {bound:.4f}), parked before "
        f"{parked / runs:.2f}; naive rule at the same looks {peeked / runs:.3f}, only at the end "
        f"{naive / runs:.3f}",
        bound <= 0.05 and peeked / runs > 0.40 if runs >= 300 else None,
    )


def campaigns(report: Report, runs: int, cycles: int, seed: int) -> None:
    """Let every campaign of equal challengers go on over one pool of tasks."""
    rng = np.random.default_rng([seed, 20])
    wrong = confirmations = 0
    for _ in range(runs):
        promoted, done = _campaign(rng, cycles)
        wrong += promoted
        confirmations += done
    bound = upper(wrong, runs)
    report.say(
        f"\ncampaigns of {cycles} cycles of 8 equal challengers on one pool: {wrong}/{runs} "
        f"promoted anything (upper {bound:.4f}), {confirmations / runs:.1f} confirmations each",
        bound <= 0.05 if runs >= 100 else None,
    )


def _campaign(rng: np.random.Generator, cycles: int) -> tuple[bool, int]:
    failures = 0
    for _ in range(cycles):
        cycle = raced(rng, BINARY, [0.0] * 8, failures + 1)
        if cycle.finalist is None:
            continue
        scores = BINARY.draw(rng, [0.0] * 8, CONFIRM)
        confirmed(cycle, scores, first_plan(failures + 1, "anytime", 0))
        failures += 1
        if cycle.outcome is not None and cycle.outcome.confirmation.proved:
            return True, failures
    return False, failures


def power(report: Report, runs: int, seed: int) -> None:
    exact_power(report)
    report.say(f"\npower of one confirmation on {CONFIRM} tasks, binary .25, {runs} runs each")
    wanted = {("anytime", 0.10): 0.90, ("horizon", 0.10): 0.97, ("anytime", 0.15): 0.99}
    for mode in ("anytime", "horizon"):
        for gain in (0.05, 0.10, 0.15):
            row = [_power(gain, t, mode, runs, seed) for t in (1, 2, 5, 10)]
            goal = wanted.get((mode, gain))
            # A run of a few hundred tells the goal from a miss by two standard errors.
            slack = 0.0 if goal is None else 2 * math.sqrt(goal * (1 - goal) / runs)
            report.say(
                f"  {mode:<7} +{gain:.2f}  t = 1, 2, 5, 10: " + " ".join(f"{p:.3f}" for p in row),
                None if goal is None else row[0] >= goal - slack,
            )


def exact_power(report: Report) -> None:
    report.say("\nexact power of the e-process, binary .25, at t = 1, 2, 5, 10")
    for tasks in (500, 1000):
        for gain in (0.05, 0.10, 0.15):
            row = [
                crossing_probability(gain, 0.25, tasks, campaign_alpha(t)) for t in (1, 2, 5, 10)
            ]
            goal = {(500, 0.10): 0.90, (500, 0.15): 0.99}.get((tasks, gain))
            shown = " ".join(f"{p:.3f}" for p in row)
            met = None if goal is None else row[0] >= goal
            report.say(f"  {tasks:>5} tasks +{gain:.2f}: {shown}", met)


def _power(gain: float, t: int, mode: EvidenceMode, runs: int, seed: int) -> float:
    rng = np.random.default_rng([seed, int(100 * gain), t])
    plan = first_plan(t, mode, 0)
    proved = 0
    for _ in range(runs):
        cycle = confirmed(Cycle(finalist=0), BINARY.draw(rng, [gain], CONFIRM), plan)
        proved += cycle.outcome is not None and cycle.outcome.confirmation.proved
    return proved / runs


def saved(report: Report, runs: int, seed: int) -> None:
    """Compare with the fixed grid: everybody on n tasks, paired test, alpha shared by eight."""
    report.say(f"\nevaluations for one of 8 better by +.10, {runs} cycles")
    for first in (FIRST_ROUND, 50):
        for mode, goal in (("anytime", 0.40), ("horizon", 0.50)):
            for least in (100, AT_LEAST):
                less, words = _saved(mode, first, least, runs, seed)
                # The goal is about the race that is the default.
                met = less >= goal if first == FIRST_ROUND and runs >= 100 else None
                report.say(f"  race_tasks {first}, {mode:<7} from {least} tasks on: {words}", met)
    rng = np.random.default_rng(seed)
    asked, told = raced(rng, BINARY, [0.0] * 8, 1).race_calls, race_calls(8, FIRST_ROUND, SELECT)
    report.say(f"  race calls {asked}, foreseen {told}", abs(asked - told) <= 0.01 * told)


def _saved(
    mode: EvidenceMode, first: int, at_least: int, runs: int, seed: int
) -> tuple[float, str]:
    """Return the share of evaluations saved up to the decision, and words about it.

    The further tasks after a proof are counted beside it: they decide nothing, and the fixed grid,
    which picks its winner on all its tasks, has no gain without bias at all.
    """
    rng = np.random.default_rng([seed, 8, first])
    gains, calls, after, found = [0.10, *[0.0] * 7], 0, 0, 0
    for _ in range(runs):
        cycle = raced(rng, BINARY, gains, 1, first)
        scores = BINARY.draw(rng, gains, CONFIRM)
        confirmed(cycle, scores, first_plan(1, mode, 0), at_least)
        further = 0 if cycle.outcome is None else 2 * len(cycle.outcome.further)
        calls, after = calls + cycle.calls - further, after + further
        found += cycle.promoted and cycle.finalist == 0
    share, law = min(max(found / runs, 0.5), 0.999), NormalDist()
    z = law.inv_cdf(1 - 0.025 / 8) + law.inv_cdf(share)
    grid = 9 * math.ceil(z * z * (0.25 - 0.01) / 0.01)
    less = 1 - calls / runs / grid
    return less, (
        f"power {found / runs:.3f} with {calls / runs:,.0f} evaluations (and {after / runs:,.0f} "
        f"for the gain); fixed grid of that power {grid:,}: {less:.1%} saved"
    )


def bias(report: Report, runs: int, seed: int) -> None:
    report.say(f"\nbias of the gain that a proof reports, {runs} confirmations each")
    for gain in (0.05, 0.10, 0.15):
        rng = np.random.default_rng([seed, 7, int(100 * gain)])
        inside: list[float] = []
        after: list[float] = []
        plan = first_plan(1, "anytime", 100)
        for _ in range(runs):
            scores = BINARY.draw(rng, [gain], CONFIRM + 100)
            outcome = confirmed(Cycle(finalist=0), scores, plan).outcome
            if outcome is not None and outcome.confirmation.further is not None:
                inside.append(outcome.confirmation.gain or 0.0)
                after.append(outcome.confirmation.further.gain)
        off, error = fmean(after) - gain, float(np.std(after)) / math.sqrt(len(after))
        report.say(
            f"  +{gain:.2f}: on the tasks of the proof {fmean(inside) - gain:+.4f}, on the further "
            f"tasks {off:+.4f} (standard error {error:.4f}, {len(after)} proofs)",
            abs(off) <= 0.005 + 2 * error,
        )


def spoiled(report: Report, runs: int, seed: int) -> None:
    tried = fuzz(runs, seed)
    report.say(
        f"\n{tried.spoiled:,} spoiled decisions: {tried.spoiled_promoted} promoted; "
        f"{tried.clean:,} clean ones: {tried.clean_promoted:,} promoted",
        tried.spoiled_promoted == 0 and tried.clean_promoted == tried.clean,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A twenty-fifth of all runs.")
    parser.add_argument("--scale", type=float, default=1.0, help="This share of all runs.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="Names of goals, with commas.")
    parser.add_argument("--fuzz", type=int, default=1_000_000)
    options = parser.parse_args()
    report, seed = Report(), options.seed
    scale = 0.04 if options.quick else options.scale

    def runs(full: int) -> int:
        return max(3, round(full * scale))

    goals: dict[str, Callable[[], None]] = {
        "null": lambda: null_crossing(report),
        "false": lambda: false_promotions(report, runs(500), seed),
        "campaigns": lambda: campaigns(report, runs(200), 20, seed),
        "power": lambda: power(report, runs(200), seed),
        "saved": lambda: saved(report, runs(250), seed),
        "bias": lambda: bias(report, runs(600), seed),
        "spoiled": lambda: spoiled(report, runs(options.fuzz), seed),
    }
    for name in (options.only or ",".join(goals)).split(","):
        started = time.perf_counter()
        goals[name]()
        print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)
    if report.missed:
        print("\nmissed:", *report.missed, sep="\n  ")
    raise SystemExit(bool(report.missed))


if __name__ == "__main__":
    main()
