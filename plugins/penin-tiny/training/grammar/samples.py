"""Whole training texts: an instruction and one or more examples of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from .chance import weighted
from .instructions import instruct
from .tasks import TASKS, answer, draw_ask, write

#: Shares of the tasks in training: the harder, the more.
TASK_WEIGHTS = dict(zip(TASKS, (0.24, 0.12, 0.07, 0.085, 0.095, 0.28, 0.11), strict=True))
LEVEL_WEIGHTS = {"clear": 0.73, "partial": 0.07, "vague": 0.2}
#: How many examples stand before the last one, by level.
SHOT_WEIGHTS = {
    "clear": {0: 0.4, 1: 0.17, 2: 0.16, 3: 0.19, 4: 0.08},
    "partial": {0: 0.55, 1: 0.2, 2: 0.15, 3: 0.1},
    "vague": {0: 0.32, 1: 0.24, 2: 0.21, 3: 0.17, 4: 0.06},
}


@dataclass(frozen=True)
class Sample:
    """An instruction, texts with their answers, and how they were drawn."""

    instruction: str
    pairs: tuple[tuple[str, str], ...]
    task: str
    level: str
    form: str

    @property
    def text(self) -> str:
        """The sample as the model reads it."""
        return self.instruction + "".join(
            f"\nInput: {text}\nOutput: {answer}\n" for text, answer in self.pairs
        )


def sample(rng: Random, task: str = "", level: str = "", shots: int | None = None) -> Sample:
    """Draw a sample; what is not given is drawn, too."""
    task = task or weighted(rng, TASK_WEIGHTS)
    level = level or weighted(rng, LEVEL_WEIGHTS)
    ask = draw_ask(rng, task, level == "vague")
    instruction, form = instruct(rng, ask, level)
    shots = weighted(rng, SHOT_WEIGHTS[level]) if shots is None else shots
    documents = (write(rng, ask) for _ in range(shots + 1))
    pairs = tuple((document.text, answer(document, ask, form)) for document in documents)
    return Sample(instruction, pairs, task, level, form)


def samples(seed: int | str, count: int) -> Iterable[Sample]:
    """Draw ``count`` samples from a stream of its own."""
    rng = Random(seed)
    return (sample(rng) for _ in range(count))
