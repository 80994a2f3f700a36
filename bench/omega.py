"""How fast answers are scored, against bare NumPy and against rouge-score.

    python bench/omega.py [--samples 1000000] [--rounds 9]

A million graded samples: calibration error, bias ratio, fairness and U, S, C, L, checked and
exactly summed, against unchecked NumPy reductions of the same arrays that give the same figures.
Both take turns and the best time of each counts, because noise only adds. Texts: ROUGE-L and
token F1 against rouge-score, where it is installed. Exits with 1 beyond 2 times NumPy, or below
5 times rouge-score.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penin_core.omega import metrics
from penin_core.omega.ethics_metrics import (
    expected_calibration_error,
    fairness_equalized_odds,
    rho_bias,
)

Arrays = Mapping[str, NDArray[Any]]
BASELINE = {"cost_usd": 0.002, "latency_ms": 400.0, "tokens": 50.0}
MOST_OF_NUMPY, LEAST_OF_ROUGE = 2.0, 5.0


def samples(n: int) -> dict[str, NDArray[Any]]:
    """Return the graded samples: probabilities, outcomes, groups, scores and usage."""
    rng = np.random.default_rng(7)
    probs = rng.uniform(0.6, 1, n)
    return {
        "probs": probs,
        "right": (rng.random(n) < probs).astype(np.int64),
        "labels": rng.integers(0, 2, n),
        "groups": rng.integers(0, 4, n),
        "f1": rng.random(n),
        "original": rng.integers(0, 5, n) / 4,
        "perturbed": rng.integers(0, 5, (n, 3)) / 4,
        "cost": rng.uniform(0, 0.01, n),
        "latency": rng.uniform(50, 900, n),
        "tokens": rng.integers(1, 400, n),
        "taught": rng.integers(0, 2, n),
        "composed": rng.integers(0, 2, n),
    }


def penin_calibration(a: Arrays) -> list[float]:
    """Return the calibration error."""
    return [expected_calibration_error(a["probs"], a["right"]).ece]


def numpy_calibration(a: Arrays) -> list[float]:
    """Return it with ten bins of equally many samples, ties not kept together."""
    order = np.argsort(a["probs"])
    edges = np.arange(10) * len(order) // 10
    expected = np.add.reduceat(a["probs"][order], edges)
    seen = np.add.reduceat(a["right"][order], edges)
    return [float(np.abs(seen - expected).sum() / len(order))]


def penin_disparity(a: Arrays) -> list[float]:
    """Return bias ratio and fairness."""
    rho = rho_bias(a["right"], a["groups"])
    fairness = fairness_equalized_odds(a["right"], a["labels"], a["groups"])
    return [rho or 0.0, fairness or 0.0]


def numpy_disparity(a: Arrays) -> list[float]:
    """Return both, for groups that are numbered already."""
    rates = np.bincount(a["groups"], a["right"]) / np.bincount(a["groups"])
    gaps = []
    for weights in (a["labels"], 1 - a["labels"]):
        among = np.bincount(a["groups"], weights)
        gaps.append(np.ptp(np.bincount(a["groups"], weights * a["right"]) / among))
    return [float(rates.max() / rates.min()), float(1 - max(gaps))]


def penin_axes(a: Arrays) -> list[float]:
    """Return utility, robustness, cost and learning."""
    mean = metrics.exact_mean
    return [
        metrics.utility_score({"em": a["right"], "f1": a["f1"]}),
        metrics.robustness(a["original"], a["perturbed"]),
        metrics.cost_score(mean(a["cost"]), mean(a["latency"]), mean(a["tokens"]), BASELINE),
        (mean(a["taught"]) + metrics.composition_score(mean(a["composed"]), mean(a["f1"]))) / 2,
    ]


def numpy_axes(a: Arrays) -> list[float]:
    """Return the same four."""
    solved = a["original"] > 0
    kept = np.minimum(1.0, a["perturbed"][solved] / a["original"][solved][:, np.newaxis])
    used = (a["cost"].mean(), a["latency"].mean(), a["tokens"].mean())
    weights = zip(used, (0.5, 0.3, 0.2), BASELINE.values(), strict=True)
    ratio = sum(weight * amount / reference for amount, weight, reference in weights)
    composed = min(1.0, a["composed"].mean() / a["f1"].mean())
    return [
        float((a["right"].mean() + a["f1"].mean()) / 2),
        float(kept.mean()),
        float(ratio / (1 + ratio)),
        float((a["taught"].mean() + composed) / 2),
    ]


PARTS = {
    "calibration": (penin_calibration, numpy_calibration),
    "bias and fairness": (penin_disparity, numpy_disparity),
    "U, S, C, L": (penin_axes, numpy_axes),
}


def seconds(action: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def graded(n: int, rounds: int) -> bool:
    """Print how long the samples take; return whether the bound holds."""
    arrays, totals = samples(n), [0.0, 0.0]
    for name, pair in PARTS.items():
        ours, bare = (part(arrays) for part in pair)
        np.testing.assert_allclose(ours, bare, rtol=1e-9)
        turns = [[seconds(lambda part=part: part(arrays)) for part in pair] for _ in range(rounds)]
        best = [min(column) for column in zip(*turns, strict=True)]
        totals = [total + part for total, part in zip(totals, best, strict=True)]
        report(name, *best)
    report(f"{n:,} samples", *totals)
    return totals[0] <= MOST_OF_NUMPY * totals[1]


def report(name: str, ours: float, theirs: float) -> None:
    """Print one line of milliseconds."""
    print(f"{name:20} {ours * 1e3:8.1f} ms  {theirs * 1e3:8.1f} ms  {ours / theirs:5.2f} x")


def texts(words: int, pairs: int) -> list[tuple[str, str]]:
    """Return pairs of texts that share about half of their words."""
    rng = random.Random(words)
    vocabulary = [f"word{i}" for i in range(8 * words)]
    made = []
    for _ in range(pairs):
        reference = rng.choices(vocabulary, k=words)
        answer = [word if rng.random() < 0.5 else rng.choice(vocabulary) for word in reference]
        made.append((f"{' '.join(answer).capitalize()}.", " ".join(reference)))
    return made


def overlaps(rounds: int) -> bool:
    """Print how the text metrics compare with rouge-score; return whether the bound holds."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        print("rouge-score is not installed: the text metrics were not compared")
        return True
    holds = True
    for name, metric in (("rougeL", metrics.rouge_l_f), ("rouge1", metrics.token_f1)):
        scorer = RougeScorer([name])
        for words in (5, 20, 60, 250):
            pairs = texts(words, max(20, 2000 // words))
            for answer, reference in pairs:
                theirs = scorer.score(reference, answer)[name].fmeasure
                np.testing.assert_allclose(metric(answer, reference), theirs, atol=1e-12)
            actions = (
                lambda metric=metric, pairs=pairs: [metric(a, r) for a, r in pairs],
                lambda scorer=scorer, pairs=pairs: [scorer.score(r, a) for a, r in pairs],
            )
            turns = [[seconds(action) for action in actions] for _ in range(rounds)]
            ours, theirs = (min(column) for column in zip(*turns, strict=True))
            report(f"{name}, {words} words", ours, theirs)
            holds &= theirs >= LEAST_OF_ROUGE * ours
    return holds


def main() -> None:
    """Measure and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    print(f"{'':20} {'penin':>11}  {'other':>11}")
    within = [graded(asked.samples, asked.rounds), overlaps(asked.rounds)]
    sys.exit(0 if all(within) else 1)


if __name__ == "__main__":
    main()
