"""The course of a training: watched step by step, validated each epoch, gone on with when killed.

TRL does the learning. This decides, after every step and in a fixed order, what that step was
worth, whether it is time for a checkpoint, and whether it was the last one. So a checkpoint of any
step holds all that the next step depends on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from penin_core import TrainingFailed, TrainingProgress, TrainingStopped

from . import checkpoints, scoring, tuned
from .course import Course
from .learners import learner, set_weights, weights_of
from .scoring import Score

#: Seconds of work that a killed process may lose.
SECONDS = 30.0
#: The fewest validation examples that a temperature is fitted on.
ENOUGH = 50
BEST = "best.safetensors"

Watch = Callable[[TrainingProgress], None]


class Training:
    """One training in one folder, begun or gone on with."""

    def __init__(self, course: Course, folder: Path) -> None:
        """Raises TrainingFailed for a checkpoint in ``folder`` that is damaged or not its own."""
        self._course, self._folder = course, folder
        self._job = course.fingerprint
        self._found = checkpoints.newest(folder, self._job)
        self._trainer = learner(course, folder, self._after_step)
        self._watch: Watch = lambda progress: None
        self._saved = time.monotonic()
        self._losses: list[float] = []
        self._curve: list[tuple[float, Score]] = []
        self._best = weights_of(self._trainer.model)
        if self._found:
            self._restore(*self._found)
        else:
            self._before = self._score()

    def run(self, watch: Watch) -> dict[str, float]:
        """Train to the end, leave the adapter in the folder and return the figures.

        Raises TrainingStopped as ``watch`` does, with a checkpoint left behind; TrainingFailed
        where the loss is not finite or memory is short; OSError where the disk is full, with the
        last checkpoint left whole.
        """
        self._watch = watch
        watch(self._progress())
        if not self._done():
            try:
                self._trainer.train(str(self._found[0]) if self._found else None)
            except torch.OutOfMemoryError as error:
                raise TrainingFailed(
                    f"{self._course.model} and a batch of {self._course.settings.batch_size} do "
                    "not fit into the memory of the device",
                    hint="train again with a smaller batch_size, shorter rows or a smaller rank",
                ) from error
        return self._finish()

    def _after_step(self, loss: float) -> bool:
        """Take over one step; return whether it was the last one."""
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the loss is {loss} at step {self._step + 1}",
                hint="train again with a lower learning_rate",
            )
        self._losses.append(loss)
        if len(self._losses) == self._course.steps_per_epoch:
            self._close_epoch()
        try:
            self._watch(self._progress(loss))
        except TrainingStopped:
            with suppress(OSError):
                self._save()
            raise
        if time.monotonic() - self._saved > SECONDS:
            self._save()
        return self._done()

    @property
    def _step(self) -> int:
        return len(self._curve) * self._course.steps_per_epoch + len(self._losses)

    def _done(self) -> bool:
        ranks = [self._before.rank, *(score.rank for _, score in self._curve)]
        idle = len(self._curve) - ranks.index(max(ranks))
        settings = self._course.settings
        return len(self._curve) == settings.n_epochs or idle >= settings.patience

    def _close_epoch(self) -> None:
        """Measure the adapter on the validation examples, and keep the best, the base among them.

        Of equals, the first counts.
        """
        score = self._score()
        best = max([self._before.rank, *(other.rank for _, other in self._curve)])
        if score.rank > best:
            self._best = weights_of(self._trainer.model)
        self._curve.append((math.fsum(self._losses) / len(self._losses), score))
        self._losses = []

    def _score(self) -> Score:
        if self._course.settings.method == "dpo":
            return scoring.preferences(self._trainer)
        return scoring.answers(self._trainer.model, self._course.validation)

    def _finish(self) -> dict[str, float]:
        model, validation = self._trainer.model, self._course.validation
        set_weights(model, self._best)
        after = self._score()
        fitted = self._course.settings.method == "sft" and len(validation) >= ENOUGH
        warmth = {"temperature": scoring.temperature(model, validation)} if fitted else {}
        described = {"base_model_name_or_path": self._course.model, "inference_mode": True}
        config = model.peft_config["default"].to_dict() | described
        tuned.write(self._folder, self._best, config, self._course.base)
        return {
            "epochs": float(len(self._curve)),
            "steps": float(self._step),
            "trained_parameters": float(sum(value.numel() for value in self._best.values())),
            "train_loss": self._curve[-1][0],
            "validation_loss_before": self._before.loss,
            "validation_loss": after.loss,
            "validation_right_before": self._before.right,
            "validation_right": after.right,
            **warmth,
        }

    def _progress(self, loss: float | None = None) -> TrainingProgress:
        settings = self._course.settings
        epoch = min(len(self._curve) + 1, settings.n_epochs)
        kind = "preferences, " if settings.method == "dpo" else ""
        return TrainingProgress(
            step=self._step,
            steps=self._course.steps,
            loss=loss,
            validation_loss=self._curve[-1][1].loss if self._curve else None,
            note=f"{kind}epoch {epoch} of at most {settings.n_epochs}",
        )

    def _save(self) -> None:
        notes = {
            "job": self._job,
            "step": self._step,
            "before": self._before,
            "curve": self._curve,
            "losses": self._losses,
        }
        checkpoints.save(self._folder, self._write, notes)
        self._saved = time.monotonic()

    def _write(self, folder: Path) -> None:
        self._trainer.write_checkpoint(folder)
        save_file(self._best, folder / BEST)

    def _restore(self, path: Path, notes: dict[str, Any]) -> None:
        self._before = Score(*notes["before"])
        self._curve = [(loss, Score(*score)) for loss, score in notes["curve"]]
        self._losses = list(notes["losses"])
        self._best = load_file(path / BEST)
