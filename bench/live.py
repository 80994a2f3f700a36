"""Live experiments that do harm and that do none: python bench/live.py --help.

Every run draws the outcomes of requests and takes them through the split, the ramp and the bounds
of a real experiment (``penin_core.live.trial``), looked at after every request. Equals are watched
on to the end, also after they were found safe. Printed for each kind of change: how often it was
taken back, how often it would have ended as safe before, and after how many requests (median and
99th percentile; those of the challenger in brackets).
"""

import argparse
import math
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from penin_core.league.canary import ALPHA, Outcome, arm_of
from penin_core.live.experiment import Experiment
from penin_core.live.trial import Climb, End, Trial

RAMP, STEP = (0.05, 0.1, 0.25, 0.5), 200
USUAL = {"errors": 0.02, "utility": 0.8, "cost": 1.0, "latency": 1.0, "tail": 1.0}
WORSE = {"utility": 0.75, "cost": 1.2, "latency": 1.2}
#: Name -> what is different, and the most requests.
CHANGES: dict[str, tuple[dict[str, float], int]] = {
    "none, 5 % all along": ({"share": 0.05}, 20_000),
    "none": ({}, 20_000),
    "none, 20 requests a user": ({"users": 20}, 20_000),
    "none, 20 at a time": ({"users": 20, "burst": True}, 20_000),
    "errors .02 -> .12": ({"errors": 0.12}, 20_000),
    "errors .02 -> .12, 20 a user": ({"errors": 0.12, "users": 20}, 20_000),
    "-5 points, +20 % cost, +20 % p95": (WORSE, 20_000),
    "+20 % cost alone": ({"cost": 1.2}, 20_000),
    "+20 % of every latency": ({"latency": 1.2}, 20_000),
    "+20 % p95 alone, the tail": ({"tail": 1.2}, 100_000),
    "-5 points alone": ({"utility": 0.75}, 100_000),
    "-15 points alone, 20 a user": ({"worse": 0.15, "users": 20}, 100_000),
    "-5 points alone, graded": ({"utility": 0.75, "graded": True}, 100_000),
}


@dataclass
class Found:
    """How one run ended; requests are None where that did not happen."""

    harm: str = ""
    after: int | None = None
    of_challenger: int | None = None
    safe_after: int | None = None


def people(seed: int, requests: int, made: dict[str, float]) -> tuple[list[int], np.ndarray]:
    """Return who sends each request (who comes back does so later, or at once), and how easy it is.

    Some users ask harder questions: beta(4, 1) has the mean .8, and correlates by 1/6.
    """
    rng, each = np.random.default_rng([seed, 2]), int(made.get("users", 1))
    if each == 1 or made.get("burst"):
        users = np.arange(requests) // each
    else:
        users = rng.integers(0, requests // each, requests)
    return users.tolist(), rng.beta(4, 1, requests)[users]


def drawn(rng: np.random.Generator, ease: np.ndarray, made: dict[str, float]) -> list[list[float]]:
    """Return what would become of all requests if they all went to one side: four columns."""
    requests = len(ease)
    failed = rng.random(requests) < made["errors"]
    right = 1.0 * (rng.random(requests) < made["utility"])
    if made.get("graded"):
        right = rng.beta(8 * made["utility"], 8 * (1 - made["utility"]), requests)
    if made.get("users"):
        right = 1.0 * (rng.random(requests) < ease - made.get("worse", 0.0))
    cost, quantile = np.exp(rng.normal(0, 0.3, requests)), rng.normal(0, 0.5, requests)
    late = np.where(quantile > 0.5 * 1.2, made["tail"], 1.0) * made["latency"]
    columns = (
        failed,
        np.where(failed, 0.0, right),
        0.001 * made["cost"] * cost,
        500.0 * late * np.exp(quantile),
    )
    return [column.tolist() for column in columns]


def watch(seed: int, changed: dict[str, float], requests: int, onwards: bool) -> Found:
    """Watch one experiment; ``onwards`` goes on after it was found safe."""
    salt = f"live-{seed}"
    ramp = (changed["share"],) if "share" in changed else RAMP
    experiment = Experiment(salt, "run", "0", "1", "canary", ramp, STEP, math.inf)
    trial, found = Trial(experiment), Found()
    usual: dict[str, float] = {
        **USUAL,
        **{name: changed[name] for name in ("users", "graded") if name in changed},
    }
    users, ease = people(seed, requests, changed)
    sides = {
        "champion": drawn(np.random.default_rng([seed, 0]), ease, usual),
        "challenger": drawn(np.random.default_rng([seed, 1]), ease, {**usual, **changed}),
    }
    answered: set[tuple[str, int]] = set()
    for number, user in enumerate(users):
        arm = arm_of(f"user-{user}", salt, trial.fraction)
        failed, utility, cost, latency = (column[number] for column in sides[arm])
        outcome = Outcome(bool(failed), False, utility, cost, latency)
        trial.observe(arm, outcome, first=(arm, user) not in answered)
        answered.add((arm, user))
        if arm == "champion" and not trial.monitor.taken_back:
            continue
        due = trial.due()
        if isinstance(due, Climb):
            trial.climbed(due.step)
        elif isinstance(due, End) and due.verdict == "harmful":
            found.harm = due.reason.split(":")[0]
            found.after, found.of_challenger = number + 1, trial.monitor.challenger
            break
        elif isinstance(due, End) and found.safe_after is None:
            found.safe_after = number + 1
            if not onwards:
                break
    return found


def hear(seed: int, gain: float, votes: int) -> tuple[int | None, bool]:
    """Hear users of both sides in turn; return after how many the claim is proved, and harm."""
    rng = np.random.default_rng(seed)
    experiment = Experiment(f"live-{seed}", "run", "0", "1", "canary", (0.5,), STEP, math.inf, 1)
    trial = Trial(experiment)
    liked = {"champion": rng.random(votes) < 0.7, "challenger": rng.random(votes) < 0.7 + gain}
    for number in range(votes):
        arm = arm_of(f"user-{number}", experiment.id, 0.5)
        trial.monitor.vote(arm, float(liked[arm][number]))
        if trial.proved or trial.monitor.taken_back:
            return (number + 1, False) if trial.proved else (None, True)
    return None, False


def split_errors(runs: int, requests: int = 20_000) -> float:
    """Return the largest error of the split over all salts, in standard errors."""
    worst = 0.0
    for salt in range(runs):
        for share in RAMP:
            taken = sum(
                arm_of(str(key), f"s{salt}", share) == "challenger" for key in range(requests)
            )
            spread = math.sqrt(requests * share * (1 - share))
            worst = max(worst, abs(taken - requests * share) / spread)
    return worst


def fixed_threshold(rate: float, answers: int, runs: int = 10_000) -> tuple[float, float]:
    """Return how often "over 5 % errors in two windows of 100 in a row" stops, and after how many.

    This is what rollout tools do with a fixed threshold: the peer.
    """
    over = np.random.default_rng(0).binomial(100, rate, (runs, answers // 100)) > 5
    twice = over[:, 1:] & over[:, :-1]
    stopped = twice.any(axis=1)
    after = 100 * (twice[stopped].argmax(axis=1) + 2)
    return float(stopped.mean()), float(np.median(after)) if stopped.any() else math.nan


def upper(count: int, runs: int) -> float:
    """Return the exact 95 % upper bound of a share (Clopper and Pearson 1934), by bisection."""
    low, high = count / runs, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        terms = (
            math.comb(runs, k) * middle**k * (1 - middle) ** (runs - k) for k in range(count + 1)
        )
        low, high = (middle, high) if sum(terms) > 0.05 else (low, middle)
    return high


def report(name: str, found: list[Found], seconds: float) -> None:
    """Print one line."""
    back = [each for each in found if each.after is not None]
    safe = sum(each.safe_after is not None for each in found)
    late = [f"{np.percentile([e.after for e in back], q):,.0f}" if back else "-" for q in (50, 99)]
    mine = [
        f"{np.percentile([e.of_challenger for e in back], q):,.0f}" if back else "-"
        for q in (50, 95, 99)
    ]
    why = dict(Counter(each.harm for each in back))
    low, high = 1 - upper(len(found) - len(back), len(found)), upper(len(back), len(found))
    share = f"{len(back):>5} of {len(found):<5} ({low:.4f} to {high:.4f}, each at 95 %)"
    print(
        f"{name:<34} {share} "
        f"safe {safe:<5} after {late[0]} / {late[1]} ({' / '.join(mine)})  {why}  {seconds:.0f} s",
        flush=True,
    )


def report_votes(gain: float, found: list[tuple[int | None, bool]]) -> None:
    """Print one line about claims that users decide."""
    proved = [after for after, _ in found if after is not None]
    late = [f"{np.percentile(proved, q):,.0f}" if proved else "-" for q in (50, 90)]
    print(
        f"feedback of users, {gain:+.2f}{'':<11} proved {len(proved):>4} of {len(found)} "
        f"(at most {upper(len(proved), len(found)):.4f}) after {' / '.join(late)} users, "
        f"taken back {sum(harm for _, harm in found)}",
        flush=True,
    )


def report_the_rest(runs: int) -> None:
    """Print how the split, a fixed threshold and claims of users come out."""
    worst = split_errors(5)
    print(f"split: at most {worst:.2f} standard errors off, 20 splits of 20,000 requests")
    for rate in (0.02, 0.12):
        stopped, after = fixed_threshold(rate, 20_000)
        print(
            f"a fixed threshold, errors {rate}: {stopped:.1%} stopped within 20,000 answers, "
            f"after {after:.0f} in the median"
        )
    for gain in (0.0, 0.05, 0.1, 0.15, -0.1):
        report_votes(gain, [hear(run, gain, 4000) for run in range(runs)])


def main() -> None:
    """Run all kinds of change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--null-runs", type=int, default=1000)
    parser.add_argument("--only", default="", help="a part of the name of a change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    if not given.only:
        report_the_rest(given.runs)
    print(
        f"harm is shown at {ALPHA} together; after: median / p99 (challenger's median / p95 / p99)"
    )
    with ProcessPoolExecutor(given.processes) as pool:
        for name, (changed, most) in CHANGES.items():
            if given.only not in name:
                continue
            null, start = name.startswith("none"), time.perf_counter()
            runs = given.null_runs if null else given.runs
            asked = [
                pool.submit(watch, given.seed * 1_000_000 + run, changed, most, null)
                for run in range(runs)
            ]
            report(name, [each.result() for each in asked], time.perf_counter() - start)


if __name__ == "__main__":
    main()
