"""From samples to token ids, with a weight for every token that is learned from.

A weight may depend on what stands before a token, never on the token itself: a weight that looked
at the right answer would tilt the probabilities that the model learns, and its confidence with
them. So what weighs more are the places where something is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from penin_tiny.tokenizer import BEGIN, Tokenizer

from .grammar.samples import Sample

#: Weight of a token by task: the shorter the usual answer, the more each of its tokens counts.
TASK_WEIGHTS = {
    "json": 0.35,
    "extract": 0.6,
    "headline": 0.5,
    "sentiment": 1.2,
    "intent": 1.2,
    "booking": 0.5,
    "record": 0.35,
}
#: The first token of an answer, and the one after these pieces: which key, and where a span starts.
FIRST = 2.5
AFTER = {'{"': 2.5, '", "': 2.5, '": "': 2.0}
#: In this share of the samples, some of the known words are spelled in bytes.
SPELLED_SAMPLES = 0.2
SPELLED_WORDS = (0.04, 0.12, 0.35)


@dataclass(frozen=True)
class Encoded:
    """Token ids and their weights; a weight of 0 marks what is only read."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


class Encoder:
    """Turns samples into ids with the word list of a model."""

    def __init__(self, words: Sequence[str]) -> None:
        self.tokenizer = Tokenizer(words)
        first_byte = self.tokenizer.size - 256
        self._spelling = {
            self.tokenizer.encode(word)[0]: [first_byte + byte for byte in word.encode()]
            for word in words
            if len(self.tokenizer.encode(word)) == 1
        }
        self._after = {self.tokenizer.encode(piece)[0]: factor for piece, factor in AFTER.items()}

    def encode(self, sample: Sample, rng: Random | None = None) -> Encoded:
        """Encode a sample; with ``rng``, some words are spelled in bytes, everywhere alike."""
        spelled: set[int] = set()
        if rng is not None and rng.random() < SPELLED_SAMPLES:
            rate = rng.choice(SPELLED_WORDS)
            spelled = {index for index in self._spelling if rng.random() < rate}
        ids = [BEGIN, *self._ids(sample.instruction, spelled)]
        weights = [0.0] * len(ids)
        base = TASK_WEIGHTS[sample.task]
        for text, answer in sample.pairs:
            read = self._ids(f"\nInput: {text}\nOutput: ", spelled)
            written = [*self._ids(answer, spelled), self.tokenizer.stop]
            factors = [FIRST, *(self._after.get(before, 1.0) for before in written[:-1])]
            ids += read + written
            weights += [0.0] * len(read) + [base * factor for factor in factors]
        return Encoded(tuple(ids), tuple(weights))

    def _ids(self, text: str, spelled: set[int]) -> list[int]:
        ids = self.tokenizer.encode(text)
        if not spelled.intersection(ids):
            return ids
        return [
            part
            for index in ids
            for part in (self._spelling[index] if index in spelled else (index,))
        ]
