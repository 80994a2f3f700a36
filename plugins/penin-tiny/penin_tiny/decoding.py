"""Answering many prompts: read each, write all side by side, refill as answers end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .batch import Batch, Doubles
from .model import Ints, Past, Transformer
from .sampling import choose
from .tokenizer import BEGIN, INPUT, Tokenizer
from .weights import Weights

#: Texts that are written side by side.
ROWS = 24
#: Beginnings of prompts (instruction and examples) whose reading is kept.
PREFIXES = 8


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text to go on with, and how. ``entropy`` seeds the chance of this answer alone."""

    tokens: tuple[int, ...]
    temperature: float
    top_p: float
    max_tokens: int
    entropy: int


@dataclass(slots=True)
class Answer:
    """What was written: tokens without the stop token, and a log-probability for each drawn one."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Literal["stop", "length"] = "length"


class Decoder:
    """The model and its tokenizer; one caller at a time."""

    def __init__(self, weights: Weights) -> None:
        self.tokenizer = Tokenizer(weights.words)
        self.model = Transformer(weights)
        self._prefixes: OrderedDict[tuple[int, ...], Past] = OrderedDict()

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a prompt as the model wants them."""
        return (BEGIN, *self.tokenizer.encode(text))

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Return the answers in the order of ``prompts``. Each depends on its own prompt only."""
        answers = [Answer() for _ in prompts]
        # Neighbours of like length waste the fewest columns.
        waiting = sorted(range(len(prompts)), key=lambda i: len(prompts[i].tokens), reverse=True)
        columns = max((len(p.tokens) + p.max_tokens for p in prompts), default=0)
        batch = Batch(self.model, min(ROWS, len(prompts)), columns)
        drafts: list[_Draft] = []
        while waiting or drafts:
            while waiting and len(drafts) < ROWS:
                index = waiting.pop()
                batch.admit(self.read(prompts[index].tokens))
                drafts.append(_Draft(prompts[index], answers[index]))
            self._write_one(batch, drafts)
        return answers

    def read(self, tokens: tuple[int, ...]) -> Past:
        """Read a prompt. What stands before its last input is shared by the next prompts.

        The two parts are read one after the other even where the first is not known yet, so that
        an answer is the same, to the last bit, whatever was asked before.
        """
        start = _last_input(tokens)
        past = self._read_prefix(tokens[:start]) if start else self.model.empty()
        return self.model.extend(past, tokens[start:])

    def _read_prefix(self, tokens: tuple[int, ...]) -> Past:
        if tokens not in self._prefixes:
            self._prefixes[tokens] = self.model.extend(self.model.empty(), tokens)
            if len(self._prefixes) > PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(tokens)
        return self._prefixes[tokens]

    def _write_one(self, batch: Batch, drafts: list[_Draft]) -> None:
        """Draw one token for every draft, and take out the drafts that are done."""
        probabilities = batch.distribution()
        tokens = choose(probabilities, *_settings(drafts))
        logprobs = self._sureness(probabilities, tokens)
        for row in reversed(range(len(drafts))):
            if drafts[row].write(int(tokens[row]), float(logprobs[row]), self.tokenizer.stop):
                batch.retire(row)
                tokens[row] = tokens[len(drafts) - 1]
                drafts[row] = drafts[-1]
                drafts.pop()
        if drafts:
            batch.advance(tokens[: len(drafts)])

    def _sureness(self, probabilities: Doubles, tokens: Ints) -> Doubles:
        """Return the calibrated log-probabilities of ``tokens``.

        Calibration says how sure the model is and leaves alone what it draws: a flatter
        distribution would spoil the answers of a model that is merely too sure of them.
        """
        temperature = self.model.weights.temperature
        if temperature != 1.0:
            probabilities = probabilities ** (1.0 / temperature)
            probabilities /= probabilities.sum(-1, keepdims=True)
        return np.asarray(np.log(probabilities[np.arange(len(tokens)), tokens]))


class _Draft:
    """An answer that is being written."""

    def __init__(self, prompt: Prompt, answer: Answer) -> None:
        self.prompt = prompt
        self.answer = answer
        self._chance = np.random.default_rng(prompt.entropy).random(prompt.max_tokens)

    @property
    def settings(self) -> tuple[float, float, float]:
        """Temperature, top-p and the chance that decides the next token."""
        chance = self._chance[len(self.answer.logprobs)]
        return self.prompt.temperature, self.prompt.top_p, chance

    def write(self, token: int, logprob: float, stop: int) -> bool:
        """Append one token; say whether the answer is complete."""
        self.answer.logprobs.append(logprob)
        if token == stop:
            self.answer.finish = "stop"
            return True
        self.answer.tokens.append(token)
        return len(self.answer.logprobs) == self.prompt.max_tokens


def _settings(drafts: Sequence[_Draft]) -> tuple[Doubles, Doubles, Doubles]:
    temperature, top_p, chance = np.array([draft.settings for draft in drafts]).T
    return temperature, top_p, chance


def _last_input(tokens: tuple[int, ...]) -> int:
    """Return where the last input begins; 0 where there is none."""
    for place in range(len(tokens) - 1, 0, -1):
        if tokens[place] == INPUT:
            return place
    return 0
