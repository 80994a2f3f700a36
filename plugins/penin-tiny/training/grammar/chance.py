"""Draws, and templates whose parts are drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

Item = TypeVar("Item")
Rules = Mapping[str, Sequence[str]]

_REFERENCE = re.compile(r"<(\w+)>")


def happens(rng: Random, probability: float) -> bool:
    """Return True with ``probability``."""
    return rng.random() < probability


def weighted(rng: Random, weights: Mapping[Item, float]) -> Item:
    """Draw a key with a probability proportional to its weight."""
    return rng.choices(list(weights), list(weights.values()))[0]


def shuffled(rng: Random, items: Sequence[Item]) -> list[Item]:
    """Return the items in random order."""
    return rng.sample(items, len(items))


def phrases(text: str) -> tuple[str, ...]:
    """Return the alternatives of a table, which bars separate; line breaks are spaces."""
    return tuple(" ".join(phrase.split()) for phrase in text.split("|"))


def expand(rng: Random, template: str, rules: Rules, values: Mapping[str, str]) -> str:
    """Replace every ``<name>`` by its value, or by one of its rule's alternatives, expanded too."""

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        return (
            values[name] if name in values else expand(rng, rng.choice(rules[name]), rules, values)
        )

    return _REFERENCE.sub(replacement, template)


def sentence_case(text: str) -> str:
    """Return the text with an upper-case first letter."""
    return text[:1].upper() + text[1:]
