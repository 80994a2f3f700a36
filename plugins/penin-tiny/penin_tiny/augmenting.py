"""The same rows, written differently each time: values exchanged, some known words in bytes.

The model then learns what surrounds a value and not the few values that it has seen, and what a
word does in a sentence and not only the words that it has a token for.

Source of the exchange ("mention replacement"): Dai and Adel, "An Analysis of Simple Data
Augmentation for Named Entity Recognition", COLING 2020 (arXiv 2010.11683).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from .lessons import Lesson, Row, lesson, spelled
from .tokenizer import Tokenizer

#: Which share of the known words one lesson spells, drawn from these.
_SHARES = (0.04, 0.12, 0.35)
#: Of a row that is rewritten, each value is exchanged with this probability.
_EACH = 0.5

#: Where the values of a row stand in its input: start, end and key, from left to right.
Spots: TypeAlias = list[tuple[int, int, str]]


class Augmenter:
    """Turns rows into lessons, some of them changed, as chance wills.

    A share ``spelling`` has some words spelled; a share ``exchange`` of ``rows`` gets values of
    others of them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        window: int,
        rng: np.random.Generator,
        *,
        spelling: float,
        exchange: float = 0.0,
        rows: Iterable[Row] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._window = window
        self._rng = rng
        self._spelling = spelling
        self._exchange = exchange
        self._spots = {row: spots for row in rows if (spots := spots_of(row))}
        self._values: defaultdict[str, list[str]] = defaultdict(list)
        for row, spots in self._spots.items():
            for start, end, key in spots:
                self._values[key].append(row.input[start:end])

    def lesson(self, row: Row) -> Lesson:
        """Return ``row`` in tokens; as it stands where a change would make it too long."""
        plain = lesson(self._exchanged(row), self._tokenizer)
        if len(plain) > self._window:
            plain = lesson(row, self._tokenizer)
        if self._rng.random() >= self._spelling:
            return plain
        drawn = self._rng.random(len(self._tokenizer.words)) < self._rng.choice(_SHARES)
        words = frozenset((np.flatnonzero(drawn) + self._tokenizer.words.start).tolist())
        changed = spelled(plain, words, self._tokenizer)
        return changed if len(changed) <= self._window else plain

    def _exchanged(self, row: Row) -> Row:
        spots = self._spots.get(row)
        if spots is None or self._rng.random() >= self._exchange:
            return row
        return rewritten(row, spots, [self._drawn(row.input[i:j], key) for i, j, key in spots])

    def _drawn(self, value: str, key: str) -> str:
        if self._rng.random() >= _EACH:
            return value
        return self._values[key][self._rng.integers(len(self._values[key]))]


def spots_of(row: Row) -> Spots:
    """Return where the values of a row stand, or nothing where that is not plain.

    It is where the answer is a JSON object of texts, written as :func:`json.dumps` writes it, each
    of which stands in the input just once, and none inside another.
    """
    try:
        values = json.loads(row.answer)
    except ValueError:
        return []
    if not isinstance(values, dict) or _written(values) != row.answer:
        return []
    if any(not isinstance(v, str) or not v or row.input.count(v) != 1 for v in values.values()):
        return []
    starts = sorted((row.input.index(value), value, key) for key, value in values.items())
    spots = [(start, start + len(value), key) for start, value, key in starts]
    apart = all(one[1] <= other[0] for one, other in pairwise(spots))
    return spots if apart else []


def rewritten(row: Row, spots: Spots, values: Sequence[str]) -> Row:
    """Return ``row`` with ``values`` in the places of its own, in the input and in the answer."""
    parts, at = [], 0
    for (start, end, _), value in zip(spots, values, strict=True):
        parts += [row.input[at:start], value]
        at = end
    parts.append(row.input[at:])
    new = {key: value for (_, _, key), value in zip(spots, values, strict=True)}
    answer = _written({key: new[key] for key in json.loads(row.answer)})
    return replace(row, input="".join(parts), answer=answer)


def _written(values: dict[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False)
