"""The fine-tuner ``tiny``: the embedded model learns a narrow job from a few hundred examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from penin_core import (
    ComponentOptions,
    FineTuningUnavailable,
    LocalFineTuner,
    TrainedModel,
    TrainingCapabilities,
    TrainingExample,
    TrainingFailed,
    TrainingJob,
    TrainingProgress,
)

from .provider import CONTEXT_TOKENS, MODELS, chat_text

if TYPE_CHECKING:
    from .lessons import Row
    from .training import Course

#: The fewest examples that a training takes.
MIN_EXAMPLES = 20
#: Of examples without validation examples, one in :data:`HELD_BACK` is held back for them; of few,
#: as many as a temperature needs, but not more than one in :data:`HELD_BACK_OF_FEW`.
HELD_BACK, HELD_BACK_OF_FEW = 10, 5
#: With fewer examples than these a training is shorter and slower: few rows, learnt fast and
#: often, cost the model more of what it knows than they teach it.
PLENTY = 512
#: The most epochs and the highest learning rate where nothing else is said, with plenty of rows.
EPOCHS, RATE = 12, 3e-4
#: How many models a full training takes the mean of. Means of low-rank factors mean nothing.
MEMBERS = 2

_REPLAY = Path(__file__).with_name("replay.jsonl")


class TinyHyperparams(ComponentOptions):
    """What can be set for a training.

    ``method``: "full" changes every parameter, "lora" adds changes of ``rank`` to the matrices.
    After ``patience`` epochs in a row that are not good enough to be kept, training ends.
    ``replay`` is how many rows of the base model's own tasks are mixed in, against forgetting.
    ``spelling`` is the share of the examples in which some known words are spelled letter by
    letter. ``exchange`` is the share of those whose answer is a JSON object of texts out of the
    input that get some values of other examples, in input and answer alike. ``n_epochs`` (at most)
    and ``learning_rate`` follow from the number n of examples where they are not given: EPOCHS and
    RATE, times sqrt(n / PLENTY) where n is smaller than that.
    """

    method: Literal["full", "lora"] = "full"
    rank: int = Field(default=8, ge=1, le=64)
    n_epochs: int | None = Field(default=None, ge=1, le=200)
    patience: int = Field(default=8, ge=1, le=200)
    learning_rate: float | None = Field(default=None, ge=1e-6, le=0.01)
    batch_size: int = Field(default=16, ge=1, le=256)
    replay: int = Field(default=96, ge=0, le=128)
    spelling: float = Field(default=0.3, ge=0.0, le=1.0)
    exchange: float = Field(default=0.5, ge=0.0, le=1.0)


class TinyFineTuner(LocalFineTuner):
    """Trains the embedded model in NumPy, on this machine: no key, no network, no price."""

    name = "tiny"
    Hyperparams = TinyHyperparams

    def capabilities(self, model: str) -> TrainingCapabilities:
        """Say what can be trained. Raises FineTuningUnavailable for a model that does not exist."""
        if model not in MODELS:
            close = get_close_matches(model, MODELS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(MODELS)}"
            raise FineTuningUnavailable(f"fine-tuner tiny has no model {model!r}", hint=hint)
        return TrainingCapabilities(
            context_tokens=CONTEXT_TOKENS, usd_per_million=0.0, min_examples=MIN_EXAMPLES
        )

    def tokens(self, model: str, example: TrainingExample) -> int:
        """Return how many tokens ``example`` has, its beginning and its end included.

        Raises FineTuningUnavailable for a model that does not exist, ProviderRefused where turns
        are not as the model knows them, or where the answer has a line break.
        """
        from .lessons import check_answer
        from .tuned import tokenizer

        self.capabilities(model)
        check_answer(example.answer)
        text = chat_text(example.system, example.messages)
        return len(tokenizer().encode(text)) + len(tokenizer().encode(example.answer)) + 2

    def train(self, job: TrainingJob, watch: Callable[[TrainingProgress], None]) -> TrainedModel:
        """Train ``job.model``, or go on from the checkpoint in ``job.folder``.

        The result is the same, to the last bit, whether or how often it was interrupted. Without
        validation examples, some of the training examples are held back by ``job.seed``.

        Raises TrainingFailed for examples that cannot be learnt from, naming them, and for a loss
        that is not finite; TrainingStopped as ``watch`` does; OSError for a full disk.
        """
        from .training import Training
        from .tuned import FILE

        self.capabilities(job.model)
        figures = Training(course_of(job), job.folder).run(watch)
        return TrainedModel(files=(FILE,), figures=figures)


def course_of(job: TrainingJob) -> Course:
    """Check a job's examples and settings and return what is to be trained.

    Raises TrainingFailed for too few examples, or too few different ones, for examples longer than
    the window, and for equal inputs with different answers; pydantic's ValidationError for
    settings out of range.
    """
    from .lessons import check_agreement, check_lengths, lesson, rows_of
    from .training import Course
    from .tuned import tokenizer

    settings = TinyHyperparams.model_validate(job.hyperparams)
    if len(job.train) < MIN_EXAMPLES:
        raise TrainingFailed(
            f"there are {len(job.train)} training examples, {job.model} needs {MIN_EXAMPLES}",
            hint="collect more; a few hundred make a difference",
        )
    rows, validation = rows_of(job.train, "training"), rows_of(job.validation, "validation")
    for name, part in (("training", rows), ("validation", validation)):
        check_agreement(part, name)
        check_lengths([lesson(row, tokenizer()) for row in part], CONTEXT_TOKENS, name)
    if not validation:
        rows, validation = _held_back(rows, job.seed)
    gentle = min(1.0, len(job.train) / PLENTY) ** 0.5
    return Course(
        rows=tuple(rows),
        replay=tuple(_replay(settings.replay)),
        validation=tuple(validation),
        method=settings.method,
        rank=settings.rank,
        members=MEMBERS if settings.method == "full" else 1,
        epochs=settings.n_epochs or round(EPOCHS * gentle),
        patience=settings.patience,
        rate=settings.learning_rate or RATE * gentle,
        batch=settings.batch_size,
        spelling=settings.spelling,
        exchange=settings.exchange,
        seed=job.seed,
    )


def _held_back(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Divide ``rows`` into those to learn from and those to validate on, each of these once.

    Raises TrainingFailed for too few different rows: none that is learnt from may validate.
    """
    import numpy as np

    from .training import ENOUGH

    drawn = np.random.default_rng(seed).permutation(len(rows)).tolist()
    different = list(dict.fromkeys(rows[index] for index in drawn))
    count = min(len(different) // HELD_BACK_OF_FEW, max(ENOUGH, len(rows) // HELD_BACK))
    if not count:
        raise TrainingFailed(
            f"there are {len(different)} different training examples, {HELD_BACK_OF_FEW} are "
            "needed to hold one back",
            hint="collect more, or give validation examples",
        )
    aside = set(different[:count])
    return (
        [row for row in rows if row not in aside],
        [row for row in dict.fromkeys(rows) if row in aside],
    )


def _replay(count: int) -> list[Row]:
    """Return the first ``count`` of the rows that ship with the model."""
    from .lessons import Row

    lines = _REPLAY.read_text(encoding="utf-8").splitlines()[:count]
    return [Row(*json.loads(line)) for line in lines]
