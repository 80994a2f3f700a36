"""Answers of a weights file, with how sure it was of each, by the plugin's own runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path

import numpy as np

from penin_tiny.decoding import Decoder, Prompt
from penin_tiny.provider import CONTEXT_TOKENS
from penin_tiny.threads import one_blas_thread
from penin_tiny.weights import PATH, load

#: Requests that are answered together.
CHUNK = 96


@dataclass(frozen=True)
class Given:
    """An answer and its probability; no answer, and 0, where the prompt was too long."""

    text: str
    probability: float


def decoder(path: Path = PATH) -> Decoder:
    """Load any weights file of the plugin, whatever its hash."""
    return Decoder(load(path, hashlib.sha256(path.read_bytes()).hexdigest()))


def answers(
    model: Decoder, prompts: Sequence[str], temperature: float = 0.0, seed: int = 7
) -> list[Given]:
    """Answer every prompt; the same seed gives the same answers."""
    given: list[Given] = []
    for start in range(0, len(prompts), CHUNK):
        given += _answers(model, prompts[start : start + CHUNK], temperature, seed + start)
    return given


def _answers(model: Decoder, prompts: Sequence[str], temperature: float, seed: int) -> list[Given]:
    tokens = [model.tokenize(prompt) for prompt in prompts]
    fitting = [place for place, ids in enumerate(tokens) if len(ids) <= CONTEXT_TOKENS]
    entropy = np.random.SeedSequence(seed).generate_state(len(prompts)).tolist()
    with one_blas_thread():
        written = model.answer(
            [Prompt(tokens[place], temperature, 1.0, 96, entropy[place]) for place in fitting]
        )
    given = [Given("", 0.0)] * len(prompts)
    for place, answer in zip(fitting, written, strict=True):
        text = model.tokenizer.decode(answer.tokens)
        given[place] = Given(text, exp(sum(answer.logprobs)))
    return given


def calibration_error(given: Sequence[Given], right: Sequence[bool]) -> float:
    """Return the mean distance of confidence and accuracy over ten equal bins of confidence.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for answer, hit in zip(given, right, strict=True):
        bins.setdefault(min(9, int(answer.probability * 10)), []).append((answer.probability, hit))
    gaps = (abs(sum(p for p, _ in rows) - sum(hit for _, hit in rows)) for rows in bins.values())
    return sum(gaps) / len(given)
