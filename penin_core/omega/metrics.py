"""Scores of single answers, and how they combine into utility, stability, cost and learning."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._columns import Numbers, number_column, unit_column
from penin_core.omega._exact import exact_sum
from penin_core.omega._numbers import (
    clipped,
    count,
    mean,
    non_negative,
    optional_unit,
    same_length,
    unit,
)
from penin_core.omega._objects import field_f1, object_exact, parse_json_object
from penin_core.omega._text import (
    count_unspaced,
    exact_match,
    normalize_text,
    rouge_l_f,
    split_words,
    token_f1,
)

__all__ = [
    "COST_WEIGHTS",
    "composition_score",
    "cost_ratio",
    "cost_score",
    "count_unspaced",
    "exact_match",
    "exact_mean",
    "field_f1",
    "learning_gain",
    "learning_score",
    "normalize_text",
    "object_exact",
    "parse_json_object",
    "pass_at_k",
    "robustness",
    "rouge_l_f",
    "split_words",
    "stability_score",
    "token_f1",
    "utility_score",
]

#: How much money, time and tokens weigh in the cost.
COST_WEIGHTS: Mapping[str, float] = {"cost_usd": 0.5, "latency_ms": 0.3, "tokens": 0.2}

# Rows of an array at a time, so that they stay in the cache of the processor.
_ROWS = 16_384


def exact_mean(values: Numbers) -> float:
    """Return the mean of finite numbers, exactly summed: their order does not matter.

    Raises: ValueError for no values, or one that is not a finite number.
    """
    if len(values) == 0:
        raise ValueError("there are no values to take the mean of")
    return exact_sum(number_column("values", values)) / len(values)


def utility_score(families: Mapping[str, Numbers]) -> float:
    """Return U in [0, 1]: the mean over the families of metrics of the mean score in each.

    ``families`` maps names like ``em``, ``f1`` and ``rouge`` to the scores of their tasks. Every
    family weighs the same, however many tasks it has.

    Raises: ValueError for scores outside [0, 1], no family, or one without scores.
    """
    if empty := [name for name, scores in families.items() if len(scores) == 0]:
        raise ValueError(f"no scores in {', '.join(empty)}")
    if not families:
        raise ValueError("there are no families of metrics")
    return mean(exact_mean(unit_column(name, scores)) for name, scores in families.items())


def stability_score(ece: float | None, robustness: float | None) -> float | None:
    """Return S = min(1 - ECE, robustness) in [0, 1], or None where one was not measured.

    Raises: ValueError for a part outside [0, 1].
    """
    error, kept = optional_unit("ece", ece), optional_unit("robustness", robustness)
    return None if error is None or kept is None else min(1 - error, kept)


def learning_score(reuse: float | None, composition: float | None) -> float | None:
    """Return L in [0, 1], the mean of reuse and composition, or None where one was not measured.

    Both are measured on a frozen configuration, so this is learning within the context.

    Raises: ValueError for a part outside [0, 1].
    """
    reused, composed = optional_unit("reuse", reuse), optional_unit("composition", composition)
    return None if reused is None or composed is None else (reused + composed) / 2


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased probability in [0, 1] that one of k samples is right, c of n being so.

    pass@k = 1 - C(n - c, k) / C(n, k). Source: Chen et al. 2021, arXiv 2107.03374, equation 1.

    Raises: ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    samples, right, draws = count("n", n), count("c", c), count("k", k, least=1)
    if right > samples or draws > samples:
        raise ValueError(f"c and k must not exceed n ({samples}), got c={right}, k={draws}")
    every = math.comb(samples, draws)
    return (every - math.comb(samples - right, draws)) / every


def cost_ratio(
    cost_usd: float, latency_ms: float, tokens: float, baseline: Mapping[str, float]
) -> float:
    """Return how many times the baseline this costs, at least 0: r of ``cost_score``.

    The mean of cost, latency and tokens over their baseline, weighted 0.5, 0.3, 0.2. A part
    without a positive baseline is dropped and the other weights grow.

    Raises: ValueError for negative or missing values, an unknown baseline, or no part left.
    """
    used = {"cost_usd": cost_usd, "latency_ms": latency_ms, "tokens": tokens}
    if unknown := set(baseline) - set(used):
        raise ValueError(f"unknown baseline {sorted(unknown)}; known are {', '.join(used)}")
    parts = []
    for name, reference in baseline.items():
        if non_negative(f"baseline {name}", reference) > 0:
            ratio = non_negative(name, used[name]) / reference
            parts.append((COST_WEIGHTS[name], min(ratio, sys.float_info.max)))
    if not parts:
        raise ValueError("the baseline has no positive part to compare the cost with")
    total = math.fsum(weight for weight, _ in parts)
    return math.fsum(weight / total * ratio for weight, ratio in parts)


def cost_score(
    cost_usd: float, latency_ms: float, tokens: float, baseline: Mapping[str, float]
) -> float:
    """Return C = r / (1 + r) in [0, 1], higher is dearer; equal to the baseline is 0.5.

    ``baseline`` maps ``cost_usd``, ``latency_ms`` and ``tokens`` to a frozen reference; r is
    ``cost_ratio``.

    Raises: ValueError as ``cost_ratio`` does.
    """
    ratio = cost_ratio(cost_usd, latency_ms, tokens, baseline)
    return ratio / (1 + ratio)


def robustness(original: Numbers, perturbed: Sequence[Sequence[float]] | NDArray[Any]) -> float:
    """Return the share in [0, 1] of the score that survives changes which keep the meaning.

    Mean over the tasks with s > 0 of mean_k min(1, s_k / s), where ``perturbed`` holds the scores
    s_k of each task's perturbed forms. 0 when no task was solved. A two-dimensional array of
    scores, a row for every task, is taken as it is.

    Raises: ValueError for scores outside [0, 1], lengths that differ, or a solved task without
    perturbed forms.
    """
    same_length(original=original, perturbed=perturbed)
    if isinstance(perturbed, np.ndarray) and perturbed.ndim == 2:
        table = unit_column("perturbed", perturbed.ravel()).reshape(perturbed.shape)
        kept = _kept_by_row(unit_column("original", original), table)
        return exact_sum(kept) / len(kept) if len(kept) else 0.0
    shares = []
    for score, forms in zip(original, perturbed, strict=True):
        before, after = unit("original", score), [unit("perturbed", form) for form in forms]
        if before > 0:
            shares.append(_kept(before, after))
    return mean(shares) if shares else 0.0


def _kept(before: float, after: Sequence[float]) -> float:
    if not after:
        raise ValueError("a solved task has no perturbed forms")
    total = 0.0
    for form in after:
        total += min(1.0, form / before)
    return total / len(after)


def _kept_by_row(before: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what ``_kept`` says of every solved task, bit for bit."""
    solved = before > 0
    if table.shape[1] == 0 and solved.any():
        raise ValueError("a solved task has no perturbed forms")
    total = np.zeros(len(before))
    for start in range(0, len(before), _ROWS):
        rows = slice(start, start + _ROWS)
        scores = np.where(solved[rows], before[rows], 1.0)
        with np.errstate(over="ignore"):
            for column in table[rows].T:
                total[rows] += np.minimum(1.0, column / scores)
    total /= max(1, table.shape[1])
    return total if solved.all() else total[solved]


def learning_gain(acc_zero_shot: float, acc_k_shot: float) -> float:
    """Return in [0, 1] how much of its headroom a model gains from k examples in context.

    (acc_k - acc_0) / (1 - acc_0), cut to [0, 1]; 1 when both accuracies are 1.

    Raises: ValueError for accuracies outside [0, 1].
    """
    before, after = unit("acc_zero_shot", acc_zero_shot), unit("acc_k_shot", acc_k_shot)
    if before == 1:
        return float(after == 1)
    return clipped((after - before) / (1 - before))


def composition_score(acc_composed: float, acc_atomic: float) -> float:
    """Return min(1, acc_composed / acc_atomic) in [0, 1]; 0 when no atomic task was solved.

    Raises: ValueError for accuracies outside [0, 1].
    """
    composed, atomic = unit("acc_composed", acc_composed), unit("acc_atomic", acc_atomic)
    return min(1.0, composed / atomic) if atomic > 0 else 0.0
