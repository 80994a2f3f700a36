"""Scores of single answers, and how they combine into utility, stability, cost and learning."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from penin_core.omega._numbers import count, finite, mean, non_negative, same_length, unit

#: How much money, time and tokens weigh in the cost.
COST_WEIGHTS: Mapping[str, float] = {"cost_usd": 0.5, "latency_ms": 0.3, "tokens": 0.2}


class _Unpunctuated(dict[int, int | None]):
    """A table for ``str.translate`` that deletes the characters of the Unicode classes P*."""

    def __missing__(self, code: int) -> int | None:
        kept = None if unicodedata.category(chr(code)).startswith("P") else code
        self[code] = kept
        return kept


_UNPUNCTUATED = _Unpunctuated()


def normalize_text(text: str) -> str:
    """Return the text in NFKC, case-folded, without punctuation (Unicode P*), spaces collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_UNPUNCTUATED).split())


def exact_match(prediction: str, reference: str) -> float:
    """Return 1 if the normalised texts are equal, else 0."""
    return float(normalize_text(prediction) == normalize_text(reference))


def token_f1(prediction: str, reference: str) -> float:
    """Return the F1 in [0, 1] of the words that both normalised texts share, with their counts.

    Both empty: 1; one empty: 0.
    """
    found, wanted = normalize_text(prediction).split(), normalize_text(reference).split()
    return _f1((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def rouge_l_f(prediction: str, reference: str) -> float:
    """Return the F1 in [0, 1] of the longest common subsequence of words of the normalised texts.

    Both empty: 1; one empty: 0. Source: Lin 2004, "ROUGE: a package for automatic evaluation of
    summaries", with equal weight on precision and recall.
    """
    found, wanted = normalize_text(prediction).split(), normalize_text(reference).split()
    return _f1(_common_subsequence(found, wanted), len(found), len(wanted))


def _f1(shared: int, found: int, wanted: int) -> float:
    return 2 * shared / (found + wanted) if found + wanted else 1.0


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    Bit-parallel, one big integer per word; source: Hyyrö 2004, "Bit-parallel LCS-length
    computation revisited".
    """
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    everything = (1 << len(first)) - 1
    unmatched = everything
    for word in second:
        matches = unmatched & places.get(word, 0)
        unmatched = (unmatched + matches | unmatched - matches) & everything
    return len(first) - unmatched.bit_count()


def parse_json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that the text is, or else the first one that it contains, or None.

    None as well for a text that is some other JSON value, duplicate keys, NaN, infinities, and an
    object that is broken or nested too deeply.
    """
    stripped = text.strip()
    start = stripped.find("{")
    if start < 0:
        return None
    try:
        if start > 0 and _is_json(stripped):
            return None
        value, _ = _DECODER.raw_decode(stripped, start)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except ValueError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


def _finite_literal(literal: str) -> float:
    return finite("number", float(literal))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite_literal, parse_constant=_finite_literal
)


def field_f1(prediction: object, reference: object) -> float:
    """Return the F1 in [0, 1] of the key/value pairs that two JSON objects share.

    Nested objects and arrays count leaf by leaf, under their full path. Texts are equal when they
    are after normalisation, numbers when their values are; a boolean is not a number. Both
    empty: 1; one empty, or a prediction that is no object: 0.

    Raises: ValueError for a reference that is no object.
    """
    if not isinstance(reference, Mapping):
        raise ValueError(f"the reference must be an object, got {reference!r}")
    if not isinstance(prediction, Mapping):
        return 0.0
    found, wanted = _leaves(prediction), _leaves(reference)
    shared = sum(1 for path, leaf in wanted.items() if path in found and found[path] == leaf)
    return _f1(shared, len(found), len(wanted))


def object_exact(prediction: object, reference: object) -> float:
    """Return 1 if two JSON objects agree in every pair, compared as ``field_f1`` does, else 0.

    Raises: ValueError for a reference that is no object.
    """
    return float(field_f1(prediction, reference) == 1.0)


def _leaves(members: Mapping[str, Any]) -> dict[tuple[object, ...], tuple[str, object]]:
    """Return the leaves by path, as (kind, value) so that 1, true and "1" differ."""
    leaves: dict[tuple[object, ...], tuple[str, object]] = {}
    pending: list[tuple[tuple[object, ...], object]] = [((key,), v) for key, v in members.items()]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping) and value:
            pending += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)) and value:
            pending += [((*path, i), item) for i, item in enumerate(value)]
        else:
            leaves[path] = _leaf(value)
    return leaves


def _leaf(value: object) -> tuple[str, object]:
    if isinstance(value, str):
        return "text", normalize_text(value)
    if isinstance(value, (Mapping, list, tuple)):
        return "object" if isinstance(value, Mapping) else "array", None
    if isinstance(value, bool) or value is None:
        return "literal", value
    return "number", value


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


def robustness(original: Sequence[float], perturbed: Sequence[Sequence[float]]) -> float:
    """Return the share in [0, 1] of the score that survives changes which keep the meaning.

    Mean over the tasks with s > 0 of mean_k min(1, s_k / s), where ``perturbed`` holds the scores
    s_k of each task's perturbed forms. 0 when no task was solved.

    Raises: ValueError for scores outside [0, 1], lengths that differ, or a solved task without
    perturbed forms.
    """
    same_length(original=original, perturbed=perturbed)
    kept = []
    for score, forms in zip(original, perturbed, strict=True):
        before, after = unit("original", score), [unit("perturbed", form) for form in forms]
        if before > 0:
            if not after:
                raise ValueError("a solved task has no perturbed forms")
            kept.append(mean(min(1.0, form / before) for form in after))
    return mean(kept) if kept else 0.0


def learning_gain(acc_zero_shot: float, acc_k_shot: float) -> float:
    """Return in [0, 1] how much of its headroom a model gains from k examples in context.

    (acc_k - acc_0) / (1 - acc_0), cut to [0, 1]; 1 when both accuracies are 1.

    Raises: ValueError for accuracies outside [0, 1].
    """
    before, after = unit("acc_zero_shot", acc_zero_shot), unit("acc_k_shot", acc_k_shot)
    if before == 1:
        return float(after == 1)
    return max(0.0, min(1.0, (after - before) / (1 - before)))


def composition_score(acc_composed: float, acc_atomic: float) -> float:
    """Return min(1, acc_composed / acc_atomic) in [0, 1]; 0 when no atomic task was solved.

    Raises: ValueError for accuracies outside [0, 1].
    """
    composed, atomic = unit("acc_composed", acc_composed), unit("acc_atomic", acc_atomic)
    return min(1.0, composed / atomic) if atomic > 0 else 0.0
