"""The fine-tuner ``hf``: LoRA adapters for open models, trained on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from penin_core import (
    FineTuningUnavailable,
    LocalFineTuner,
    ProviderRefused,
    TrainedModel,
    TrainingCapabilities,
    TrainingExample,
    TrainingFailed,
    TrainingJob,
    TrainingProgress,
)

from . import folders
from .course import Course, HFHyperparams
from .lessons import Lesson, check_lengths, lesson
from .loading import device_of, load_tokenizer
from .options import ModelOptions

if TYPE_CHECKING:
    import torch

#: Of examples without validation examples, one in this many is held back for them.
HELD_BACK = 5

_INSTALL = "pip install './plugins/penin-hf[train]' in the folder of penin's repository"


class HFFineTuner(LocalFineTuner):
    """Trains LoRA adapters with TRL and PEFT on this machine, by examples or by preferences."""

    name = "hf"
    Options = ModelOptions
    Hyperparams = HFHyperparams

    def __init__(self, options: ModelOptions | None = None) -> None:
        super().__init__(options)
        self._options = options if options is not None else ModelOptions()
        self._tokenizer = lru_cache(maxsize=2)(self._load_tokenizer)

    def capabilities(self, model: str) -> TrainingCapabilities:
        """Say what can be trained.

        Raises FineTuningUnavailable where the model is not there, where the GPU that the settings
        ask for is not there, and where the libraries that train are not installed.
        """
        _require_libraries()
        try:
            folder = folders.locate(model)
            _require_first(device_of(self._options))
            self._tokenizer(model)
        except ProviderRefused as error:
            hint = error.hint.replace("[providers.hf]", "[finetuners.hf]")
            raise FineTuningUnavailable(str(error), hint=hint) from error
        return TrainingCapabilities(context_tokens=folders.window(folder), usd_per_million=0.0)

    def tokens(self, model: str, example: TrainingExample) -> int:
        """Return how many tokens ``example`` has, the end of the answer included.

        Raises ProviderRefused where the model's chat template does not take the conversation.
        """
        return len(lesson(self._tokenizer(model), 0, example))

    def train(self, job: TrainingJob, watch: Callable[[TrainingProgress], None]) -> TrainedModel:
        """Train an adapter for ``job.model``, or go on from the checkpoint in ``job.folder``.

        On one machine the result is the same, to the last bit on a CPU, whether or how often it
        was interrupted. Without validation examples, a fifth of the training examples is held
        back by ``job.seed``.

        Raises TrainingFailed for examples and settings that do not fit the model, where memory is
        short, and for a loss that is not finite; TrainingStopped as ``watch`` does; OSError for a
        full disk.
        """
        self.capabilities(job.model)
        # Here, because torch and TRL take seconds to load.
        from .training import Training
        from .tuned import FILES

        course = self._course(job)
        with warnings.catch_warnings():
            # Of the libraries about each other; nothing that a user could act on.
            warnings.simplefilter("ignore")
            figures = Training(course, job.folder).run(watch)
        return TrainedModel(files=FILES, figures=figures)

    def _load_tokenizer(self, model: str) -> Any:
        return load_tokenizer(model, self._options)

    def _course(self, job: TrainingJob) -> Course:
        settings = HFHyperparams.model_validate(job.hyperparams)
        tokenizer = self._tokenizer(job.model)
        end = _end(tokenizer, job.model)
        folder = folders.locate(job.model)
        parts = []
        for name, examples in (("training", job.train), ("validation", job.validation)):
            _check_method(examples, settings.method, name)
            lessons = [lesson(tokenizer, end, example) for example in examples]
            check_lengths(lessons, folders.window(folder), name)
            parts.append(lessons)
        train, validation = parts if parts[1] else _held_back(parts[0], job.seed)
        return Course(
            model=job.model,
            base=folders.weights_digest(folder),
            options=self._options,
            settings=settings,
            train=tuple(train),
            validation=tuple(validation),
            seed=job.seed % 2**32,
        )


def _require_libraries() -> None:
    from importlib.util import find_spec

    if lacking := [
        name for name in ("trl", "peft", "datasets", "accelerate") if not find_spec(name)
    ]:
        raise FineTuningUnavailable(
            f"penin-hf trains with libraries that are not installed: {', '.join(lacking)}",
            hint=_INSTALL,
        )


def _require_first(device: torch.device) -> None:
    if device.index:
        raise FineTuningUnavailable(
            f"penin-hf trains on the first GPU that it sees, not on {device}",
            hint=f'run penin with CUDA_VISIBLE_DEVICES={device.index} and device = "cuda"',
        )


def _end(tokenizer: Any, model: str) -> int:
    end = tokenizer.eos_token_id
    if end is None:
        raise TrainingFailed(
            f"the tokenizer of {model} names no token that ends an answer",
            hint="set eos_token in its tokenizer_config.json",
        )
    return int(end)


def _check_method(examples: Sequence[TrainingExample], method: str, part: str) -> None:
    wrong = sum(bool(example.rejected) != (method == "dpo") for example in examples)
    if wrong:
        has = "no worse answer" if method == "dpo" else "a worse answer"
        raise TrainingFailed(
            f"{wrong} {part} examples have {has}, and the method is {method}",
            hint="dpo learns from rows with chosen and rejected, sft from rows with an answer",
        )


def _held_back(lessons: Sequence[Lesson], seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """Divide ``lessons`` into those to learn from and those to validate on, each of these once.

    Raises TrainingFailed where all are alike: none that is learnt from may validate.
    """
    drawn = np.random.default_rng(seed).permutation(len(lessons)).tolist()
    different = list(dict.fromkeys(lessons[index] for index in drawn))
    if len(different) < 2:
        raise TrainingFailed(
            "all training examples are alike, and one has to be held back",
            hint="collect more, or give validation examples",
        )
    aside = set(different[: min(len(different) - 1, max(1, len(lessons) // HELD_BACK))])
    return (
        [each for each in lessons if each not in aside],
        [each for each in dict.fromkeys(lessons) if each in aside],
    )
