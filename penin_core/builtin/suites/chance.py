"""Draws that give the same results on every Python version.

Of the standard generator only ``Random.random`` is promised to keep its stream, so every draw
here is made of it: a task that is written today can be written again, byte for byte, years later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

Item = TypeVar("Item")


def stream(*parts: object) -> Random:
    """A generator of its own for every path of parts, so that one list never shifts another."""
    return Random("/".join(map(str, parts)))  # noqa: S311 - test texts, not secrets


def happens(rng: Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


def between(rng: Random, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return low + int(rng.random() * (high - low + 1))


def pick(rng: Random, options: Sequence[Item]) -> Item:
    """One of the options, all equally likely."""
    return options[int(rng.random() * len(options))]


def sample(rng: Random, options: Iterable[Item], count: int) -> list[Item]:
    """Different options in random order.

    Raises:
        IndexError: there are fewer than ``count`` options.
    """
    rest = list(options)
    return [rest.pop(int(rng.random() * len(rest))) for _ in range(count)]


def shuffled(rng: Random, items: Iterable[Item]) -> list[Item]:
    """The items in random order, as a new list."""
    whole = list(items)
    return sample(rng, whole, len(whole))
