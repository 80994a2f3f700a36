"""Exact error and power of the e-process on pass/fail tasks, by dynamic programming."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._numbers import TOLERANCE, count, finite, unit
from penin_core.omega._wagers import GRID, level


def null_crossing_probability(alpha: float, n_discordant: int) -> float:
    """Return the exact probability that E reaches 1/α although neither side is better.

    Counted over ``n_discordant`` pass/fail tasks on which challenger and champion differ, each won
    with probability 1/2, looking after every one. At most α, by the supermartingale property.

    Raises: ValueError unless 0 < alpha < 1 and n_discordant is a whole number of at least 0.
    """
    pairs = count("n_discordant", n_discordant)
    return float(_crossing_by_pair(0.5, pairs, level(alpha))[-1])


def crossing_probability(gain: float, discordance: float, n: int, alpha: float) -> float:
    """Return the power: the probability that E reaches 1/α within n pass/fail tasks.

    ``gain`` is the true difference of the pass rates, ``discordance`` the share of tasks on which
    the two sides differ. A task is won with probability (discordance + gain) / 2 and lost with
    (discordance - gain) / 2; ties leave E alone. Exact up to rounding and a tail below 1e-15.

    Raises: ValueError unless -discordance <= gain <= discordance <= 1, n is a whole number of at
    least 0 and 0 < alpha < 1.
    """
    tasks, share, edge = count("n", n), unit("discordance", discordance), finite("gain", gain)
    if abs(edge) > share + TOLERANCE:
        raise ValueError(f"gain must not exceed the discordance ({share}), got {gain!r}")
    if share == 0:
        return 0.0
    win = unit("gain", (share + edge) / (2 * share))
    # Bernstein's inequality leaves less than 1e-15 beyond this many discordant pairs.
    reach = tasks * share + 10 * math.sqrt(tasks * share * (1 - share)) + 40
    pairs = min(tasks, math.ceil(reach))
    return float(
        binomial_law(tasks, share)[: pairs + 1] @ _crossing_by_pair(win, pairs, level(alpha))
    )


def smallest_provable_gain(
    n: int, alpha: float, discordance: float = 0.25, power: float = 0.8
) -> float | None:
    """Return the least true gain that n pass/fail tasks show with the given power, to 1e-4.

    Where the gain would exceed the discordance, the discordance grows with it. None when not even
    a gain of 1 could be shown.

    Raises: ValueError for arguments that ``crossing_probability`` refuses, or power outside [0, 1].
    """
    wanted, share = unit("power", power), unit("discordance", discordance)

    def provable(parts: int) -> bool:
        gain = parts / 10_000
        return crossing_probability(gain, max(share, gain), n, alpha) >= wanted

    missed, shown = 0, 10_000
    if not provable(shown):
        return None
    while shown - missed > 1:
        middle = (missed + shown) // 2
        missed, shown = (missed, middle) if provable(middle) else (middle, shown)
    return shown / 10_000


def _crossing_by_pair(win: float, pairs: int, alpha: float) -> NDArray[np.float64]:
    """Return the probability of having crossed after 0, 1, ... ``pairs`` discordant pairs."""
    needed = _wins_needed(pairs, alpha)
    crossed = np.zeros(pairs + 1)
    alive = np.zeros(pairs + 2)
    alive[0] = 1.0
    for played in range(1, pairs + 1):
        won = alive[:played] * win
        alive[:played] *= 1 - win
        alive[1 : played + 1] += won
        # Wins grow by at most one a pair, so only this one count can be newly across.
        over = needed[played]
        crossed[played] = crossed[played - 1] + alive[over : played + 1].sum()
        alive[over : played + 1] = 0.0
    return crossed


@lru_cache(maxsize=8)
def _wins_needed(pairs: int, alpha: float) -> tuple[int, ...]:
    """Return the least number of wins that crosses, by the number of pairs played."""
    threshold = -math.log(alpha) - TOLERANCE
    stakes = [(math.log1p(bet), math.log1p(-bet)) for bet in GRID]
    needed = [1]
    for played in range(1, pairs + 1):
        # A win more raises E and a loss more lowers it, so the least number moves by 0 or 1.
        wins = needed[-1]
        bets = [wins * gain + (played - wins) * loss for gain, loss in stakes]
        top = max(bets)
        log_e = top + math.log(math.fsum(math.exp(bet - top) for bet in bets) / len(bets))
        needed.append(wins if wins <= played and log_e >= threshold else wins + 1)
    return tuple(needed)


def binomial_law(n: int, p: float) -> NDArray[np.float64]:
    """Return the probabilities of 0 ... n successes, for 0 < p <= 1."""
    if p == 1:
        return np.concatenate([np.zeros(n), np.ones(1)])
    steps = np.arange(1, n + 1)
    ratios = np.log((n + 1 - steps) / steps) + math.log(p) - math.log1p(-p)
    logs = np.concatenate([np.zeros(1), np.cumsum(ratios)]) + n * math.log1p(-p)
    return np.exp(logs)
