"""Whether a finalist is worth a confirmation, which spends alpha, whoever it is for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from penin_core.omega.evidence import campaign_alpha, smallest_provable_gain
from penin_core.records import Measurement

from .plans import claim_for

#: A finalist must gain this share of the smallest provable gain in the race to be confirmed.
WORTH = 0.5
#: A cheaper finalist must gain this much L∞ in the race, half of what the rule starts with.
WORTH_LINF = 0.01
#: Computing the power of more tasks takes long and changes little.
MOST_FOR_POWER = 2000


def worthwhile_gain(units: int, t: int) -> float:
    """Return the race gain below which the t-th confirmation on so many units is not worth it.

    Raises: ValueError for arguments that ``smallest_provable_gain`` refuses.
    """
    least = smallest_provable_gain(min(units, MOST_FOR_POWER), campaign_alpha(t))
    return WORTH * (1.0 if least is None else least)


def why_not_worth(
    finalist: Measurement, champion: Measurement, gained: float, units: int, t: int
) -> str:
    """Return in words why the t-th confirmation on so many units is not worth it; empty if it is.

    ``gained`` is what the finalist gained in L∞ in the race.
    """
    if claim_for(finalist, champion) == "cheaper":
        few = f"L∞ rose by {gained:.3f}, a confirmation that it is cheaper takes {WORTH_LINF}"
        return few if gained < WORTH_LINF else ""
    gain, least = _gain(finalist, champion), worthwhile_gain(units, t)
    few = f"a gain of {gain:.3f} on {finalist.n_tasks} tasks, a confirmation takes {least:.3f}"
    return few if gain < least else ""


def is_undecided(finalist: Measurement, champion: Measurement, units: int, t: int) -> bool:
    """Return whether twice the race tasks may show that the t-th confirmation is worth it.

    So it is where the gain misses what is needed by no more than its standard error, as long as the
    race asks no more than the confirmation itself would.
    """
    if claim_for(finalist, champion) == "cheaper" or not may_double(finalist.n_tasks, units):
        return False
    gained = _gains(finalist, champion)
    if len(gained) < 2:
        return False
    missing = worthwhile_gain(units, t) - _gain(finalist, champion)
    return 0.0 < missing <= float(gained.std(ddof=1)) / math.sqrt(len(gained))


def may_double(tasks: int, units: int) -> bool:
    """Return whether a race of twice the tasks costs a finalist no more than its confirmation."""
    return 2 * tasks <= units


def _gain(finalist: Measurement, champion: Measurement) -> float:
    return (finalist.U or 0.0) - (champion.U or 0.0)


def _gains(finalist: Measurement, champion: Measurement) -> NDArray[np.float64]:
    """Return the gain in utility on every task that both have a score on."""
    before = {row.task: row.utility for row in champion.rows}
    pairs = ((row.utility, before.get(row.task)) for row in finalist.rows)
    return np.array([new - old for new, old in pairs if new is not None and old is not None])
