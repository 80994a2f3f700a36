"""The weights of the score that a step may reach."""

from __future__ import annotations

import math
from collections.abc import Mapping

from penin_core.omega._numbers import SNAP, clipped


def project_weights(
    weights: Mapping[str, float], boxes: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Return the nearest weights (Euclidean) that lie in their boxes and sum to 1.

    They are the weights less one common shift, cut to the boxes; the shift is found by bisection.

    Raises: ValueError when no weights in the boxes sum to 1.
    """
    lowest = math.fsum(low for low, _ in boxes.values())
    highest = math.fsum(high for _, high in boxes.values())
    if lowest > 1 + SNAP or highest < 1 - SNAP:
        raise ValueError(f"weights in these boxes sum to [{lowest}, {highest}], which misses 1")

    def shifted(shift: float) -> dict[str, float]:
        return {name: clipped(weight - shift, *boxes[name]) for name, weight in weights.items()}

    left = min(weight - boxes[name][1] for name, weight in weights.items())
    right = max(weight - boxes[name][0] for name, weight in weights.items())
    while left < (middle := (left + right) / 2) < right:
        if math.fsum(shifted(middle).values()) > 1:
            left = middle
        else:
            right = middle
    return shifted(right)
