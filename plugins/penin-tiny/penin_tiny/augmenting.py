"""The same rows, written differently each time: some known words spelled in bytes.

The model then learns what a word does in a sentence, and not only the words that it has a token
for; the base model was trained that way too.
"""

from __future__ import annotations

import numpy as np

from .lessons import Lesson, Row, lesson, spelled
from .tokenizer import Tokenizer

#: Which share of the known words one lesson spells, drawn from these.
_SHARES = (0.04, 0.12, 0.35)


class Augmenter:
    """Turns rows into lessons; of all of them, a share ``spelling`` has some words spelled."""

    def __init__(
        self, tokenizer: Tokenizer, window: int, spelling: float, rng: np.random.Generator
    ) -> None:
        self._tokenizer = tokenizer
        self._window = window
        self._spelling = spelling
        self._rng = rng

    def lesson(self, row: Row) -> Lesson:
        """Return ``row`` in tokens; as it stands where spelling would make it too long."""
        plain = lesson(row, self._tokenizer)
        if self._rng.random() >= self._spelling:
            return plain
        drawn = self._rng.random(len(self._tokenizer.words)) < self._rng.choice(_SHARES)
        words = frozenset((np.flatnonzero(drawn) + self._tokenizer.words.start).tolist())
        changed = spelled(plain, words, self._tokenizer)
        return changed if len(changed) <= self._window else plain
