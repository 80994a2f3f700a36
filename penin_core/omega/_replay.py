"""Who would have been promoted under other parameters, and what would have come of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penin_core.omega._numbers import mean, non_negative
from penin_core.omega._tuned import RANGES
from penin_core.omega.scoring import LINF_WEIGHTS, linf_harmonic, score_gate

#: Fewer evaluated candidates than this say nothing about the parameters.
MIN_CANDIDATES = 10
#: How softly the replay chooses and gates; scores and gains are of the order of 0.05 apart.
TEMPERATURE = 0.05
#: What spending the whole budget of a cycle costs in reward.
SPEND_WEIGHT = 0.1


@dataclass(frozen=True)
class ReplayCandidate:
    """One configuration of a past cycle: its axes, and what it was really worth.

    An axis that the suite does not measure is None. ``reward`` is the L∞ in [0, 1] on confirm
    tasks or in a canary, under the frozen reference parameters.
    """

    U: float
    S: float | None
    C: float | None
    L: float | None
    reward: float


@dataclass(frozen=True)
class ReplayCycle:
    """One past cycle: champion, candidates with a realised reward, share of the budget spent."""

    champion: ReplayCandidate
    candidates: Sequence[ReplayCandidate]
    spend: float = 0.0


def replay_objective(params: Mapping[str, float], history: Sequence[ReplayCycle]) -> float | None:
    """Return the mean reward of the past cycles, had ``params`` chosen; None below ten candidates.

    Symbols: J(θ) = mean over cycles of Σ_i π_i·R_i + (1 - Σ_i π_i)·R_0 - μ·spend, where π is the
    softmax of score_i(θ) / T times the logistic gates (score_i - τ) / T and (ΔL∞_i - β_min) / T.
    What no candidate wins stays with the champion's reward R_0; without that term, promoting
    anything at all would pay. κ decides ties only, so J does not depend on it.

    Raises: ValueError for parameters or axes that the scores refuse.
    """
    if sum(len(cycle.candidates) for cycle in history) < MIN_CANDIDATES:
        return None
    return mean(_cycle_reward(params, cycle) for cycle in history)


def replay_gradients(
    params: Mapping[str, float], history: Sequence[ReplayCycle], h: float = 0.05
) -> dict[str, float] | None:
    """Return the derivatives of ``replay_objective``; None below ten candidates.

    Differences over a step h of each parameter's range to both sides, cut at the ends of the range.

    Raises: ValueError as ``replay_objective`` does, or for h outside (0, 0.5].
    """
    if not 0 < non_negative("h", h) <= 0.5:
        raise ValueError(f"h must lie in (0, 0.5], got {h!r}")
    gradients = {}
    for name, (low, high) in RANGES.items():
        below = max(low, params[name] - h * (high - low))
        above = min(high, params[name] + h * (high - low))
        worse = replay_objective({**params, name: below}, history)
        better = replay_objective({**params, name: above}, history)
        if worse is None or better is None:
            return None
        gradients[name] = (better - worse) / (above - below)
    return gradients


def _cycle_reward(params: Mapping[str, float], cycle: ReplayCycle) -> float:
    base = _linf(params, cycle.champion)
    scored = [(_score(params, candidate), candidate) for candidate in cycle.candidates]
    total = math.fsum(math.exp(score / TEMPERATURE) for score, _ in scored)
    terms = [cycle.champion.reward]
    for score, candidate in scored:
        share = math.exp(score / TEMPERATURE) / total
        gain = _linf(params, candidate) - base
        chosen = share * _gate(score - params["tau"]) * _gate(gain - params["beta_min"])
        terms.append(chosen * (candidate.reward - cycle.champion.reward))
    return math.fsum(terms) - SPEND_WEIGHT * cycle.spend


def _score(params: Mapping[str, float], candidate: ReplayCandidate) -> float:
    axes = {"U": candidate.U, "S": candidate.S, "C": candidate.C, "L": candidate.L}
    weights = {
        f"w{name}": 0.0 if value is None else params[f"w{name}"] for name, value in axes.items()
    }
    return score_gate(
        U=candidate.U, S=candidate.S, C=candidate.C, L=candidate.L, **weights, tau=params["tau"]
    ).score


def _linf(params: Mapping[str, float], candidate: ReplayCandidate) -> float:
    axes = {"U": candidate.U, "S": candidate.S, "L": candidate.L}
    weights = {name: 0.0 if axes[name] is None else w for name, w in LINF_WEIGHTS.items()}
    cost = 0.0 if candidate.C is None else candidate.C
    return linf_harmonic(weights, axes, cost, params["lambda_c"], ethical_ok=True)


def _gate(margin: float) -> float:
    return 1 / (1 + math.exp(-margin / TEMPERATURE))
