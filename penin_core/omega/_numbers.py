"""Checks of numbers that every module of the kernel shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from numbers import Integral, Real
from typing import TypeGuard

#: A value that misses a limit by no more than this counts as equal to it.
TOLERANCE = 1e-12
#: A value outside [0, 1] by no more than this is a rounding error and is snapped to the edge.
SNAP = 1e-9


def is_finite(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a real finite number; a boolean is a flag and not a number."""
    if type(value) is float:
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def finite(name: str, value: object) -> float:
    """Return ``value`` as a float.

    Raises: ValueError unless it is a real finite number.
    """
    if not is_finite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def non_negative(name: str, value: object) -> float:
    """Return ``value`` as a float.

    Raises: ValueError unless it is finite and at least 0.
    """
    number = finite(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return number


def unit(name: str, value: object) -> float:
    """Return ``value`` as a float in [0, 1]; rounding errors up to 1e-9 are snapped to the edge.

    Raises: ValueError otherwise. Clamping would give a metric of 85 (meant as 0.85) full marks.
    """
    number = finite(name, value)
    if not -SNAP <= number <= 1 + SNAP:
        raise ValueError(f"{name} must lie in [0, 1], got {value!r}")
    return clipped(number)


def clipped(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Return the value cut to [low, high]."""
    return max(low, min(high, value))


def optional_unit(name: str, value: object) -> float | None:
    """Return ``unit(value)``, or None where nothing was measured."""
    return None if value is None else unit(name, value)


def count(name: str, value: object, least: int = 0) -> int:
    """Return ``value`` as an int.

    Raises: ValueError unless it is a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def binary(name: str, value: object) -> int:
    """Return 0 or 1.

    Raises: ValueError for anything that equals neither.
    """
    for outcome in (0, 1):
        if value == outcome:
            return outcome
    raise ValueError(f"{name} must be 0 or 1, got {value!r}")


def same_length(**series: Sized) -> int:
    """Return the common length of the named series.

    Raises: ValueError when the lengths differ.
    """
    lengths = {name: len(values) for name, values in series.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"the series differ in length: {listed}")
    return next(iter(lengths.values()))


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean; exactly rounded sums make it independent of order."""
    listed = list(values)
    return math.fsum(listed) / len(listed)


def harmonic_mean(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the harmonic mean of (weight > 0, value in [0, 1]) pairs; 0 if one value is 0.

    Weights and values are taken relative to the heaviest and the lowest, so nothing overflows
    and the mean never leaves the range of the values.
    """
    values = [value for _, value in pairs]
    lowest, highest = min(values), max(values)
    if lowest == 0:
        return 0.0
    heaviest = max(weight for weight, _ in pairs)
    total = math.fsum(weight / heaviest for weight, _ in pairs)
    inverse = math.fsum(weight / heaviest * (lowest / value) for weight, value in pairs)
    return min(highest, lowest * (total / inverse))


def available_mean(parts: Sequence[tuple[float, float | None]]) -> float | None:
    """Return the mean of the (weight, value) parts that were measured, or None if none was."""
    measured = [(weight, value) for weight, value in parts if value is not None]
    if not measured:
        return None
    total = math.fsum(weight for weight, _ in measured)
    return clipped(math.fsum(weight * value for weight, value in measured) / total)
