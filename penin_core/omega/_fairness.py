"""Bias, fairness and footprint of a model's decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penin_core.omega._numbers import binary, count, non_negative, same_length

#: Rough estimate of kg CO2e per 1,000 tokens, for models that do not state their own.
KG_PER_1K_TOKENS = 0.0002
#: Stands for a ratio without bound, and for one that nobody could measure.
WORST_RHO_BIAS = 1e6


def rho_bias(predictions: Sequence[int | bool], groups: Sequence[str]) -> float | None:
    """Return the ratio of the highest to the lowest favourable rate over groups, at least 1.

    The reciprocal of the disparate-impact ratio: 1.25 is the four-fifths rule. 1 when no group
    has any favourable prediction, 1e6 when only some have none, None with fewer than two groups.

    Raises: ValueError for lengths that differ or predictions other than 0 and 1.
    """
    rates = [sum(seen) / len(seen) for seen in by_group(predictions, groups).values()]
    if len(rates) < 2:
        return None
    if max(rates) == 0:
        return 1.0
    return max(rates) / min(rates) if min(rates) > 0 else WORST_RHO_BIAS


def fairness_equalized_odds(
    predictions: Sequence[int | bool], labels: Sequence[int | bool], groups: Sequence[str]
) -> float | None:
    """Return 1 - max(TPR gap, FPR gap) over groups, in [0, 1].

    A gap counts when at least two groups define its rate; if neither does, demographic parity. None
    with fewer than two groups. With labels that are all 1 it is the gap of the accuracies.
    Source: Hardt, Price and Srebro 2016, arXiv 1610.02413.

    Raises: ValueError for lengths that differ or values other than 0 and 1.
    """
    same_length(predictions=predictions, labels=labels, groups=groups)
    truths = [binary("labels", label) for label in labels]
    gaps = []
    for actual in (1, 0):
        chosen = [i for i, truth in enumerate(truths) if truth == actual]
        members = by_group([predictions[i] for i in chosen], [groups[i] for i in chosen])
        if len(members) >= 2:
            gaps.append(_rate_gap(members))
    return 1 - max(gaps) if gaps else fairness_demographic_parity(predictions, groups)


def fairness_demographic_parity(
    predictions: Sequence[int | bool], groups: Sequence[str]
) -> float | None:
    """Return 1 - the gap of the favourable rates over groups, in [0, 1].

    None with fewer than two groups.

    Raises: ValueError for lengths that differ or predictions other than 0 and 1.
    """
    members = by_group(predictions, groups)
    return 1 - _rate_gap(members) if len(members) >= 2 else None


def by_group(predictions: Sequence[int | bool], groups: Sequence[str]) -> dict[str, list[int]]:
    same_length(predictions=predictions, groups=groups)
    by_group: dict[str, list[int]] = {}
    for prediction, group in zip(predictions, groups, strict=True):
        by_group.setdefault(group, []).append(binary("predictions", prediction))
    return by_group


def _rate_gap(by_group: Mapping[str, list[int]]) -> float:
    rates = [sum(seen) / len(seen) for seen in by_group.values()]
    return max(rates) - min(rates)


def eco_impact_kg(
    tokens_in: int | None, tokens_out: int | None, kg_per_1k_tokens: float = KG_PER_1K_TOKENS
) -> float | None:
    """Return an estimate of kg CO2e for the tokens used, or None where the usage is unknown.

    Raises: ValueError for negative token counts or factor.
    """
    factor = non_negative("kg_per_1k_tokens", kg_per_1k_tokens)
    if tokens_in is None or tokens_out is None:
        return None
    return (count("tokens_in", tokens_in) + count("tokens_out", tokens_out)) / 1000 * factor
