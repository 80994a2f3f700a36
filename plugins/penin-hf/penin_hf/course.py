"""What is to be trained, complete: all that the result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from pydantic import Field

from penin_core import ComponentOptions

from .lessons import Lesson
from .options import ModelOptions

#: Changes of this code that change results: a checkpoint of another version is not gone on from.
VERSION = 1
#: The learning rate where none is given. Preferences need a gentler one.
RATES: Mapping[str, float] = {"sft": 2e-4, "dpo": 5e-5}


class HFHyperparams(ComponentOptions):
    """What can be set for a training.

    ``method``: "sft" learns to write the answers, "dpo" learns to prefer ``chosen`` to
    ``rejected``, with ``beta`` against drifting from the base model. ``rank`` and ``alpha``: LoRA
    adds B A alpha / rank to the matrices named in ``target_modules`` ("all-linear": every one but
    the output's); ``alpha`` is twice the rank where it is not given. ``dropout`` is that of LoRA.
    ``learning_rate`` falls linearly to 0; it is that of RATES where it is not given. After
    ``patience`` epochs without a better result on the validation examples, training ends.

    Source: Hu et al. 2021, arXiv 2106.09685 (LoRA); Rafailov et al. 2023, arXiv 2305.18290 (DPO).
    """

    method: Literal["sft", "dpo"] = "sft"
    rank: int = Field(default=16, ge=1, le=512)
    alpha: float | None = Field(default=None, gt=0.0, le=4096.0)
    dropout: float = Field(default=0.0, ge=0.0, le=0.9)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    learning_rate: float | None = Field(default=None, ge=1e-8, le=0.1)
    n_epochs: int = Field(default=3, ge=1, le=1000)
    batch_size: int = Field(default=8, ge=1, le=1024)
    patience: int = Field(default=2, ge=1, le=1000)
    beta: float = Field(default=0.1, ge=1e-3, le=10.0)


@dataclass(frozen=True)
class Course:
    """All that a training depends on."""

    model: str
    base: str  # digest of the base model's weights
    options: ModelOptions
    settings: HFHyperparams
    train: tuple[Lesson, ...]
    validation: tuple[Lesson, ...]
    seed: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it, of this code's version and of the libraries that train."""
        libraries = [version(name) for name in ("torch", "transformers", "peft", "trl")]
        about: list[Any] = [VERSION, libraries, self.base, self.seed]
        about += [self.settings.model_dump(mode="json"), self.options.device, self.options.dtype]
        about += [[asdict(each) for each in part] for part in (self.train, self.validation)]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    @property
    def rate(self) -> float:
        """The learning rate at the first step."""
        return self.settings.learning_rate or RATES[self.settings.method]

    @property
    def steps_per_epoch(self) -> int:
        """How often the adapter changes in one pass over the data."""
        return -(-len(self.train) // self.settings.batch_size)

    @property
    def steps(self) -> int:
        """How often the adapter changes at most."""
        return self.steps_per_epoch * self.settings.n_epochs
