"""Watch canaries that do harm and canaries that do none: python bench/canary.py --help.

Every run is 20,000 requests with random errors, scores, costs and latencies, split and watched by
the code that a real canary uses, looked at after every request. Printed for each kind of change:
how often it was taken back, after how many requests of the challenger, and what for.
"""

import argparse
import time
from collections import Counter

import numpy as np

from penin_core.league.canary import Monitor, Outcome, arm_of

USUAL = {"errors": 0.02, "utility": 0.8, "cost": 1.0, "latency": 1.0}
CHANGES = {
    "none": {},
    "errors .02 -> .06": {"errors": 0.06},
    "errors .02 -> .12": {"errors": 0.12},
    "errors .02 -> .50": {"errors": 0.50},
    "-5 points, +20 % cost, +20 % latency": {"utility": 0.75, "cost": 1.2, "latency": 1.2},
    "-5 points alone": {"utility": 0.75},
    "+20 % cost alone": {"cost": 1.2},
    "+20 % latency alone": {"latency": 1.2},
}


def watch(rng: np.random.Generator, requests: int, fraction: float, changed: dict) -> Monitor:
    """Watch one canary."""
    monitor, salt = Monitor(), str(rng.integers(2**63))
    chance = rng.random((requests, 2))
    cost, latency = np.exp(rng.normal(0, 0.3, requests)), np.exp(rng.normal(0, 0.5, requests))
    for i in range(requests):
        arm = arm_of(str(i), salt, fraction)
        made = {**USUAL, **changed} if arm == "challenger" else USUAL
        failed = bool(chance[i, 0] < made["errors"])
        outcome = Outcome(
            failed=failed,
            utility=float(not failed and chance[i, 1] < made["utility"]),
            cost_usd=0.001 * made["cost"] * float(cost[i]),
            latency_ms=500.0 * made["latency"] * float(latency[i]),
        )
        monitor.observe(arm, outcome)
        if monitor.taken_back:
            break
    monitor.end()
    return monitor


def report(name: str, found: list[Monitor], seconds: float) -> None:
    """Print one line."""
    back = [monitor for monitor in found if monitor.taken_back]
    after = [monitor.challenger for monitor in back]
    safe = sum(monitor.verdict == "safe" for monitor in found)
    middle, late = np.percentile(after, [50, 95]) if after else (float("nan"),) * 2
    why = Counter(monitor.reason.split(":")[0] for monitor in back)
    print(
        f"{name:<38} {len(back):>5} of {len(found)}  {middle:>6.0f} {late:>6.0f}  {safe:>5} "
        f"{dict(why)}  ({seconds:.0f} s)",
        flush=True,
    )


def main() -> None:
    """Run all kinds of change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--null-runs", type=int, default=400)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--fraction", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{'change':<38} taken back    median    p95   safe  why")
    for name, changed in CHANGES.items():
        rng, start = np.random.default_rng(given.seed), time.perf_counter()
        runs = given.runs if changed else given.null_runs
        found = [watch(rng, given.requests, given.fraction, changed) for _ in range(runs)]
        report(name, found, time.perf_counter() - start)


if __name__ == "__main__":
    main()
