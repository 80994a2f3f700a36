"""What the e-process and the computations of its exact errors share."""

from __future__ import annotations

from penin_core.omega._numbers import SNAP, clipped, finite

#: The fractions of its capital that the e-process bets, mixed with equal weight.
GRID = (0.05, 0.1, 0.2, 0.3, 0.45, 0.7)


def level(alpha: object) -> float:
    """Return an error level.

    Raises: ValueError unless 0 < alpha < 1.
    """
    number = finite("alpha", alpha)
    if not 0 < number < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha!r}")
    return number


def difference_of(value: object) -> float:
    """Return a paired difference.

    Raises: ValueError unless it lies in [-1, 1].
    """
    number = finite("difference", value)
    if abs(number) > 1 + SNAP:
        raise ValueError(f"a difference must lie in [-1, 1], got {value!r}")
    return clipped(number, -1.0)
