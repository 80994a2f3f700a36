"""Series as arrays: checked like single numbers, one by one where anything is unusual."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from penin_core.omega._numbers import SNAP, binary, finite, unit

#: Series as callers give them: plain sequences, or arrays, which are not copied needlessly.
Numbers: TypeAlias = Sequence[float] | NDArray[Any]
Outcomes: TypeAlias = Sequence[int | bool] | NDArray[Any]
Groups: TypeAlias = Sequence[Hashable] | NDArray[Any]

_NUMBERS = (float, int, np.floating, np.integer)
# Group numbers that lie within this span are counted without sorting them.
_DENSE = 65_536


def number_column(name: str, values: Numbers) -> NDArray[np.float64]:
    """Return finite numbers as an array.

    Raises: ValueError for a value that is not a real finite number.
    """
    column = _numbers(values)
    if column is None or not np.isfinite(column).all():
        column = np.array([finite(name, value) for value in values])
    return column


def unit_column(name: str, values: Numbers) -> NDArray[np.float64]:
    """Return numbers in [0, 1] as an array; rounding errors are snapped as ``unit`` does.

    Raises: ValueError for a value that ``unit`` refuses.
    """
    column = _numbers(values)
    if column is None:
        return np.array([unit(name, value) for value in values])
    low, high = column.min(initial=0.0), column.max(initial=1.0)
    # A NaN fails both comparisons.
    if not (low >= -SNAP and high <= 1 + SNAP):
        return np.array([unit(name, value) for value in values])
    return np.clip(column, 0, 1) if low < 0 or high > 1 else column


def binary_column(name: str, values: Outcomes) -> NDArray[np.uint8]:
    """Return outcomes of 0 and 1 as an array.

    Raises: ValueError for anything that equals neither.
    """
    plain = all(issubclass(kind, (*_NUMBERS, np.bool_)) for kind in _kinds(values))
    column = np.asarray(values) if plain else None
    if column is None or column.ndim != 1 or not ((column == 0) | (column == 1)).all():
        column = np.array([binary(name, value) for value in values])
    return np.asarray(column, dtype=np.uint8)


def sorted_outcomes(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return both, ordered by probability; the probabilities lie in [0, 1]."""
    # The bits of such doubles order as the numbers do, and only -0.0 has the highest one, which the
    # shift takes away.
    keys = probabilities.view(np.uint64) << np.uint64(1)
    keys |= outcomes
    keys.sort()
    return (keys >> np.uint64(1)).view(np.float64), (keys & np.uint64(1)).view(np.int64)


def coded(groups: Groups) -> tuple[list[Hashable], NDArray[np.intp]]:
    """Return the names of the groups that occur and, sample by sample, the place of its group.

    Raises: TypeError for a group that cannot be compared.
    """
    if isinstance(groups, np.ndarray):
        if groups.ndim == 1 and issubclass(groups.dtype.type, np.integer) and groups.size:
            lowest = groups.argmin()
            low, high = int(groups[lowest]), int(groups.max())
            if high - low < _DENSE:
                # Wide enough for narrow numbers, and what overflows does so by the same 2^64.
                wide = np.asarray(groups, dtype=np.intp)
                return _dense(wide - wide[lowest], low)
        groups = groups.tolist()
    names = dict.fromkeys(groups)
    places = {name: place for place, name in enumerate(names)}
    codes = np.fromiter(map(places.__getitem__, groups), dtype=np.intp)
    return list(names), codes


def _dense(offsets: NDArray[np.intp], low: int) -> tuple[list[Hashable], NDArray[np.intp]]:
    occurs = np.bincount(offsets) > 0
    names: list[Hashable] = [low + offset for offset in np.flatnonzero(occurs).tolist()]
    return names, offsets if occurs.all() else (np.cumsum(occurs) - 1)[offsets]


def _numbers(values: Numbers) -> NDArray[np.float64] | None:
    """Return plain numbers as a new or unchanged array of doubles, None for anything else."""
    if not all(issubclass(kind, _NUMBERS) and kind is not bool for kind in _kinds(values)):
        return None
    try:
        column = np.asarray(values, dtype=np.float64)
    except OverflowError:
        return None
    return column if column.ndim == 1 else None


def _kinds(values: Sequence[Any] | NDArray[Any]) -> set[type]:
    return {values.dtype.type} if isinstance(values, np.ndarray) else set(map(type, values))
