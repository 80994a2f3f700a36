"""The word list: frequent words of the grammar's own templates, never names or fillers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from .grammar import words
from .grammar.samples import samples

#: Samples that are counted, and how often a word must occur in them.
SAMPLES, SEED = 24_000, 0
MINIMUM = 45

_WORD = re.compile(r" ?[A-Za-z]+")
_COPIED = frozenset(
    word.lower() for word in (*words.FIRST_NAMES, *words.LAST_NAMES, *words.FILLERS)
)


def build(known: Sequence[str] = (), limit: int = 2000) -> tuple[str, ...]:
    """Return ``known`` followed by the grammar's other frequent words, at most ``limit`` in all.

    A word stands in the list with the space in front of it, so that `` name`` and ``name`` are two.
    """
    counts: Counter[str] = Counter()
    for sample in samples(SEED, SAMPLES):
        counts.update(set(_WORD.findall(sample.text)))
    old = set(known)
    new = [
        word
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count >= MINIMUM and len(word) > 1 and len(word.strip()) > 1
        if word not in old and word.strip().lower() not in _COPIED
    ]
    return (*known, *sorted(new[: max(0, limit - len(old))]))
