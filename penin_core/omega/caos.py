"""CAOS⁺: how promising it is to explore further, and the measurements behind it.

Here C, A, O, S mean consistency, auto-evolution, openness and silence; they have nothing to do
with the axes U, S, C, L of the score. CAOS⁺ is recorded and breaks ties; it gates nothing,
because it grows with uncertainty.
"""

from __future__ import annotations

import math
from typing import overload

from penin_core.omega._answers import (
    epistemic_uncertainty,
    majority_disagreement,
    ngram_redundancy,
    outcome_shift,
    pairwise_agreement,
    response_noise,
    token_excess,
    verified_share,
)
from penin_core.omega._numbers import (
    available_mean,
    finite,
    non_negative,
    optional_unit,
)

__all__ = [
    "caos_autoevolution",
    "caos_consistency",
    "caos_openness",
    "caos_plus",
    "caos_silence",
    "epistemic_uncertainty",
    "majority_disagreement",
    "ngram_redundancy",
    "outcome_shift",
    "pairwise_agreement",
    "response_noise",
    "token_excess",
    "verified_share",
]

#: tanh rounds to 1 in doubles above about 19; the range stays open at 1.
_LARGEST = math.nextafter(1.0, 0.0)


@overload
def caos_plus(
    C: float,
    A: float,
    O: float,  # noqa: E741
    S: float,
    kappa: float = ...,
    gamma: float = ...,
    kappa_max: float = ...,
) -> float: ...
@overload
def caos_plus(
    C: float | None,
    A: float | None,
    O: float | None,  # noqa: E741
    S: float | None,
    kappa: float = ...,
    gamma: float = ...,
    kappa_max: float = ...,
) -> float | None: ...
def caos_plus(
    C: float | None,
    A: float | None,
    O: float | None,  # noqa: E741
    S: float | None,
    kappa: float = 2.0,
    gamma: float = 0.7,
    kappa_max: float = 10.0,
) -> float | None:
    """Return φ in [0, 1), or None where a component was not measured.

    Symbols: φ = tanh(γ · O·S · ln(1 + κ'·C·A)) with κ' = min(κ, κ_max). Non-decreasing in every
    argument; exactly 0 when C·A, O·S, κ or γ is 0. κ may be infinite; it is cut to κ_max.

    Raises: ValueError for components outside [0, 1], NaN, or negative κ, γ or κ_max.
    """
    gain = non_negative("gamma", gamma)
    limit = non_negative("kappa_max", kappa_max)
    strength = limit if kappa == math.inf else min(non_negative("kappa", kappa), limit)
    parts = [
        optional_unit("C", C),
        optional_unit("A", A),
        optional_unit("O", O),
        optional_unit("S", S),
    ]
    if None in parts:
        return None
    consistency, evolution, openness, silence = (part for part in parts if part is not None)
    exponent = gain * (openness * silence)
    return min(_LARGEST, math.tanh(exponent * math.log1p(strength * (consistency * evolution))))


def caos_consistency(
    agreement: float | None, ece: float | None, verified: float | None
) -> float | None:
    """Return C in [0, 1]: 0.4 agreement of repeats, 0.3 (1 - ECE), 0.3 share of verified answers.

    Parts that were not measured are None and the other weights grow; None when all are.

    Raises: ValueError for a part outside [0, 1].
    """
    calibration_error = optional_unit("ece", ece)
    return available_mean(
        [
            (0.4, optional_unit("agreement", agreement)),
            (0.3, None if calibration_error is None else 1 - calibration_error),
            (0.3, optional_unit("verified", verified)),
        ]
    )


def caos_autoevolution(delta_linf: float | None, cost_norm: float | None) -> float | None:
    """Return A in [0, 1]: g / (g + c) with the gain g = max(0, ΔL∞) and the cycle's cost c.

    ``cost_norm`` is the spend as a share of the budget. 0 without a gain, None if one is unknown.

    Raises: ValueError for a gain that is not finite or a negative cost.
    """
    gain = None if delta_linf is None else max(0.0, finite("delta_linf", delta_linf))
    cost = None if cost_norm is None else non_negative("cost_norm", cost_norm)
    if gain is None or cost is None:
        return None
    return gain / (gain + cost) if gain > 0 else 0.0


def caos_openness(
    epistemic: float | None, ood: float | None, disagreement: float | None
) -> float | None:
    """Return O in [0, 1]: 0.4 epistemic uncertainty, 0.3 out-of-distribution, 0.3 disagreement.

    ``ood`` is the share of out-of-distribution tasks that changed outcome class, ``disagreement``
    the share of tasks whose majority answer differs from the champion's. Parts that were not
    measured are None and the other weights grow; None when all are.

    Raises: ValueError for a part outside [0, 1].
    """
    return available_mean(
        [
            (0.4, optional_unit("epistemic", epistemic)),
            (0.3, optional_unit("ood", ood)),
            (0.3, optional_unit("disagreement", disagreement)),
        ]
    )


def caos_silence(
    noise: float | None, redundancy: float | None, excess: float | None
) -> float | None:
    """Return S in [0, 1]: 0.5 (1 - noise) + 0.25 (1 - redundancy) + 0.25 (1 - excess).

    ``noise`` is the share of responses that are errors, empty or off-format, ``redundancy`` the
    mean share of repeated 4-grams, ``excess`` the mean of max(0, 1 - allowed / actual tokens).
    None when one of them was not measured.

    Raises: ValueError for a part outside [0, 1].
    """
    parts = (
        optional_unit("noise", noise),
        optional_unit("redundancy", redundancy),
        optional_unit("excess", excess),
    )
    if None in parts:
        return None
    loud, repeated, long = (part for part in parts if part is not None)
    return 0.5 * (1 - loud) + 0.25 * (1 - repeated) + 0.25 * (1 - long)
