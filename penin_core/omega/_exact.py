"""Sums of long series that are exactly rounded, like ``math.fsum``, at the speed of NumPy.

An exactly rounded sum depends neither on the order of its terms nor on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: A double holds every whole number up to 2 to this power.
_EXACT_BITS = 52
#: Magnitudes beyond 2 to this power are left to ``math.fsum``.
_WIDEST = 24
#: So many values at a time, so that they stay in the cache of the processor.
_CHUNK = 16_384


def exact_parts(values: NDArray[np.float64], starts: NDArray[np.intp]) -> list[list[float]]:
    """Return, for every segment that begins at one of ``starts``, doubles that sum to it exactly.

    The values are cut into digits of so few bits that no sum of one digit can round. They must be
    finite and below 2^24 in magnitude.
    """
    largest = max(float(values.max()), -float(values.min()))
    exponent = max(0, math.frexp(largest)[1])
    bits = _EXACT_BITS - exponent - len(values).bit_length()
    rest = values * 2.0**bits
    whole = np.empty_like(rest)
    digits, shift = [], -bits
    width = _EXACT_BITS - len(values).bit_length()
    while True:
        np.rint(rest, out=whole)
        digits.append(np.ldexp(np.add.reduceat(whole, starts), shift))
        rest -= whole
        if not rest.any():
            return [list(parts) for parts in np.transpose(digits).tolist()]
        rest *= 2.0**width
        shift -= width


def exact_sum(values: NDArray[np.float64]) -> float:
    """Return the exactly rounded sum of finite values."""
    if not values.size or max(float(values.max()), -float(values.min())) >= 2.0**_WIDEST:
        return math.fsum(values.tolist())
    whole = np.zeros(1, dtype=np.intp)
    chunks = (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))
    return math.fsum(part for chunk in chunks for part in exact_parts(chunk, whole)[0])


def segment_starts(ordered: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return where the runs of equal values begin."""
    return np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]).astype(np.intp)


def sizes_of(starts: NDArray[np.intp], total: int) -> Sequence[int]:
    """Return the lengths of the segments of a series of ``total`` values."""
    return [int(size) for size in np.diff(starts, append=total)]
