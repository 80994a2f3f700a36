"""How sure the model may be: the loss on examples kept aside, and the temperature that suits it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .gradients import Batch, Parameters, Reals, distributions
from .lessons import Lesson, collate
from .model import Ints
from .tokenizer import N_CONTROL

#: The temperatures that are tried, .82 to 3.07 in steps of 5 %. A few examples that all come out
#: right would ask for ever sharper ones, and say nothing of the examples to come.
TEMPERATURES = 1.05 ** np.arange(-4, 24)
#: Lessons that are read side by side.
_ROWS = 4


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a model answers: a temperature, the loss at it, and the share of whole answers.

    ``loss`` is the mean of -log p of an answer's tokens, in nats for one token; ``right`` is how
    many answers the model would write just so, taking the most likely token each time.
    """

    temperature: float
    loss: float
    right: float


def fit(parameters: Parameters, n_heads: int, lessons: Sequence[Lesson]) -> Fit:
    """Return the temperature t at which p^(1/t), normalised, gives ``lessons`` the least loss.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599),
    section 4.2.
    """
    totals, tokens, right = np.zeros(len(TEMPERATURES)), 0, 0
    for log_p, batch, first in _answers(parameters, n_heads, lessons):
        wanted = log_p[np.arange(len(batch.targets)), batch.targets]
        right += int(np.logical_and.reduceat(log_p.argmax(-1) == batch.targets, first).sum())
        tokens += len(batch.targets)
        for index, temperature in enumerate(TEMPERATURES):
            mass = np.exp(log_p / np.float32(temperature)).sum(-1)
            totals[index] += float((np.log(mass) - wanted / temperature).sum())
    best = int(totals.argmin())
    return Fit(float(TEMPERATURES[best]), float(totals[best]) / tokens, right / len(lessons))


def _answers(
    parameters: Parameters, n_heads: int, lessons: Sequence[Lesson]
) -> Iterator[tuple[Reals, Batch, Ints]]:
    """Yield log-probabilities, without the control tokens, and where each answer begins in them."""
    ordered = sorted(lessons, key=len)
    for start in range(0, len(ordered), _ROWS):
        part = ordered[start : start + _ROWS]
        batch = collate(part)
        found = distributions(parameters, n_heads, batch)
        found[:, :N_CONTROL] = 0.0
        found /= found.sum(-1, keepdims=True)
        first = np.cumsum([0, *(len(item.answer) for item in part[:-1])])
        yield np.log(np.maximum(found, 1e-9)), batch, first
