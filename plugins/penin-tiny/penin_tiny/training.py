"""The loop: seeded, resumable to the last bit, stopped early, calibrated at the end.

What an epoch shows the model follows from the seed and the epoch's number alone. A training that
was killed therefore goes on from its last checkpoint as if nothing had happened.

Several models are trained one after the other, each from the base and on rows in another order, and
their mean is kept, which as a rule errs a little less than they do.

Source: Wortsman et al., "Model soups", ICML 2022 (arXiv 2203.05482).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penin_core import TrainingFailed, TrainingProgress, TrainingStopped

from . import adapting, archives, calibration, tuned, weights
from .augmenting import Augmenter
from .gradients import Batch, Gradients, Parameters, Reals, added, loss_and_gradients
from .lessons import Lesson, Row, lesson, portions
from .optimizer import Optimizer, rate_at
from .threads import one_blas_thread

CHECKPOINT = "checkpoint.npz"
#: Seconds of work that a killed process may lose.
SECONDS = 20.0
#: Changes of this code that change results: a checkpoint of another version is not gone on from.
VERSION = 5
#: How far a model goes from the base towards what was learnt: less forgets less, and is surer on
#: texts that few examples are like.
WAY = np.float32(0.7)
#: The fewest validation answers that a temperature is fitted on; fewer leave it at 1.
ENOUGH = 50

#: What overflows is noticed by its result, and needs no warning too.
_QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}

Watch = Callable[[TrainingProgress], None]


@dataclass(frozen=True, slots=True)
class Course:
    """All that a training depends on."""

    rows: tuple[Row, ...]
    replay: tuple[Row, ...]  # rows of the base model's own tasks, mixed in against forgetting
    validation: tuple[Row, ...]
    method: str  # "full" or "lora"
    rank: int
    members: int  # models whose mean is taken
    epochs: int  # of each of them
    patience: int  # epochs in a row that are not good enough to be kept before training stops
    rate: float
    batch: int
    spelling: float
    exchange: float
    seed: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it, of the base and of this code's version."""
        text = json.dumps([VERSION, weights.SHA256, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Training:
    """One training in one folder, begun or gone on with."""

    def __init__(self, course: Course, folder: Path) -> None:
        """Raises TrainingFailed for a checkpoint in ``folder`` that is damaged or not its own."""
        description, self._base = tuned.base()
        self._n_heads: int = description["cfg"]["h"]
        self._window: int = description["cfg"]["maxT"]
        self._tokenizer = tuned.tokenizer()
        self._course = course
        self._path = folder / CHECKPOINT
        self._validation = [lesson(row, self._tokenizer) for row in course.validation]
        self._optimizer = Optimizer(self._begin())
        self._sum = {name: np.zeros_like(value) for name, value in self._optimizer.average.items()}
        self._best = tuned.rounded(self._optimizer.average)
        with one_blas_thread():
            self._before = calibration.fit(self._base, self._n_heads, self._validation)
        self._curve: list[tuple[float, float, float]] = []
        self._losses: list[float] = []
        self._per_epoch = -(-(len(course.rows) + len(course.replay)) // course.batch)
        self._steps = course.epochs * self._per_epoch  # of one member
        self._resume()

    def run(self, watch: Watch) -> dict[str, float]:
        """Train to the end, leave the tuned model in the folder and return the figures.

        Raises TrainingStopped as ``watch`` does, with a checkpoint left behind; TrainingFailed
        where the loss is not finite; OSError where the disk is full, with the last checkpoint left
        whole.
        """
        watch(self._progress())
        with ThreadPoolExecutor(2) as workers:
            while not self._done():
                self._learn_epoch(watch, workers)
        watch(self._progress())
        return self._finish()

    def _learn_epoch(self, watch: Watch, workers: Executor) -> None:
        saved = time.monotonic()
        for batch in self._epoch():
            self._step(batch, workers)
            try:
                watch(self._progress())
            except TrainingStopped:
                with suppress(OSError):
                    self._save()
                raise
            if time.monotonic() - saved > SECONDS:
                self._save()
                saved = time.monotonic()
        self._close_epoch()
        self._save()

    def _begin(self) -> dict[str, Reals]:
        if self._course.method == "full":
            return adapting.everything(self._base)
        rng = np.random.default_rng(self._course.seed)
        return adapting.low_rank(self._base, self._course.rank, rng)

    def _done(self) -> bool:
        done, course = len(self._curve), self._course
        return done == course.members * course.epochs or done - self._kept() >= course.patience

    def _kept(self) -> int:
        """Return which epoch is kept, 0 for the base.

        It is the last of those that are better than the base and within one standard error of the
        best: right answers of a few validation rows cannot tell such epochs apart, and to take the
        best of many would be to take the luckiest. Equal ones are told apart from the base by loss.
        """
        before = (self._before.right, -self._before.loss)
        best, kept = self._before.right, 0
        for epoch, (_, loss, right) in enumerate(self._curve, 1):
            best = max(best, right)
            error = math.sqrt(best * (1.0 - best) / len(self._validation))
            if (right, -loss) > before and right >= best - error:
                kept = epoch
        return kept

    def _epoch(self) -> Iterator[Sequence[Lesson]]:
        """Yield the batches of the present epoch that are still to be learnt from."""
        batches = self._batches(len(self._curve))
        yield from batches[len(self._losses) :]

    def _batches(self, epoch: int) -> list[list[Lesson]]:
        """Return an epoch's batches: rows drawn anew, lessons of like length side by side."""
        course = self._course
        rng = np.random.default_rng([course.seed, epoch])
        augmenter = Augmenter(
            self._tokenizer,
            self._window,
            rng,
            spelling=course.spelling,
            exchange=course.exchange,
            rows=course.rows,
        )
        rows = course.rows + course.replay
        lessons = [augmenter.lesson(rows[index]) for index in rng.permutation(len(rows))]
        batches: list[list[Lesson]] = []
        for start in range(0, len(lessons), 8 * course.batch):
            near = sorted(lessons[start : start + 8 * course.batch], key=len)
            batches += [near[i : i + course.batch] for i in range(0, len(near), course.batch)]
        return [batches[index] for index in rng.permutation(len(batches))]

    def _step(self, lessons: Sequence[Lesson], workers: Executor) -> None:
        optimizer, batches = self._optimizer, portions(lessons)
        with one_blas_thread(), np.errstate(**_QUIET):
            parameters = adapting.applied(self._base, optimizer.trained)
            # Always the same halves, so that the result does not depend on the machine's cores.
            halves = [half for half in (batches[0::2], batches[1::2]) if half]
            found = list(workers.map(lambda half: self._gradients(parameters, half), halves))
            loss, gradients = added(found)
            if not math.isfinite(loss):
                raise _diverged(f"the loss is {loss} at step {optimizer.steps + 1}")
            rate = self._course.rate * rate_at(optimizer.steps + 1, self._steps)
            optimizer.step(adapting.projected(gradients, optimizer.trained), rate)
        self._losses.append(loss)

    def _gradients(
        self, parameters: Parameters, batches: Sequence[Batch]
    ) -> tuple[float, Gradients]:
        # Each thread has settings of its own for what overflows.
        with np.errstate(**_QUIET):
            return added(loss_and_gradients(parameters, self._n_heads, b) for b in batches)

    def _close_epoch(self) -> None:
        """Measure the mean of the members so far, blended with the base, on the validation rows.

        The loss does not choose: it grows with a few rows that the model gets wrong and is ever
        surer of, while it gets others right.
        """
        finished, average = len(self._curve) // self._course.epochs, self._optimizer.average
        mean = {k: (self._sum[k] + average[k]) / np.float32(finished + 1) for k in average}
        stored = tuned.rounded(adapting.blended(self._base, mean, WAY))
        if not all(np.isfinite(value).all() for value in stored.values()):
            raise _diverged("the trained parameters are too large to be stored")
        with one_blas_thread(), np.errstate(**_QUIET):
            found = calibration.fit(self._parameters(stored), self._n_heads, self._validation)
        train_loss = sum(self._losses) / len(self._losses)
        self._curve.append((train_loss, found.loss, found.right))
        self._losses = []
        if self._kept() == len(self._curve):
            self._best = stored
        if len(self._curve) % self._course.epochs == 0:
            self._sum = {k: self._sum[k] + average[k] for k in average}
            self._optimizer = Optimizer(self._begin())

    def _finish(self) -> dict[str, float]:
        trained, before = self._best, self._before
        with one_blas_thread():
            after = calibration.fit(self._parameters(trained), self._n_heads, self._validation)
        enough = len(self._validation) >= ENOUGH
        temperature = after.temperature if enough else 1.0
        tuned.write(self._path.parent, trained, temperature)
        return {
            "epochs": float(len(self._curve)),
            "kept_epoch": float(self._kept()),
            "steps": float(self._progress().step),
            "trained_parameters": float(sum(value.size for value in trained.values())),
            "train_loss": self._curve[-1][0],
            "validation_loss_before": before.loss,
            "validation_loss": after.loss,
            "validation_right_before": before.right,
            "validation_right": after.right,
            "temperature": temperature,
        }

    def _parameters(self, stored: Mapping[str, Any]) -> Parameters:
        singles = {name: value.astype(np.float32) for name, value in stored.items()}
        return adapting.applied(self._base, singles)

    def _progress(self) -> TrainingProgress:
        members, epochs = self._course.members, self._course.epochs
        step = len(self._curve) // epochs * self._steps + self._optimizer.steps
        return TrainingProgress(
            step=step,
            steps=step if self._done() else members * self._steps,
            loss=self._losses[-1] if self._losses else None,
            validation_loss=self._curve[-1][1] if self._curve else None,
            note=self._stand(members * epochs),
        )

    def _stand(self, most: int) -> str:
        """Return in words which epoch it is, and at the end which one is kept."""
        if not self._done():
            return f"epoch {len(self._curve) + 1} of at most {most}"
        kept = self._kept()
        return f"epoch {kept} of {len(self._curve)} is kept" if kept else "no epoch beats the base"

    def _save(self) -> None:
        meta = {
            "job": self._course.fingerprint,
            "steps": self._optimizer.steps,
            "curve": self._curve,
            "losses": self._losses,
        }
        best = {f"best/{name}": value for name, value in self._best.items()}
        total = {f"sum/{name}": value for name, value in self._sum.items()}
        archives.write(self._path, meta, {**self._optimizer.state(), **total, **best})

    def _resume(self) -> None:
        try:
            meta, arrays = archives.read(self._path)
        except FileNotFoundError:
            return
        except archives.Damaged as error:
            raise TrainingFailed(
                f"the checkpoint cannot be gone on from: {error}",
                hint="begin anew, in an empty folder: penin finetune start does",
            ) from error
        self._check_owner(meta)
        self._optimizer.restore(arrays, meta["steps"])
        self._best = {name: arrays[f"best/{name}"] for name in self._best}
        self._sum = {name: arrays[f"sum/{name}"] for name in self._sum}
        self._curve = [(loss, found, right) for loss, found, right in meta["curve"]]
        self._losses = list(meta["losses"])

    def _check_owner(self, meta: Mapping[str, Any]) -> None:
        if meta.get("job") != self._course.fingerprint:
            raise TrainingFailed(
                f"the checkpoint {self._path} belongs to another training",
                hint="its data, its settings or penin-tiny changed; begin anew, in an empty "
                "folder: penin finetune start does",
            )


def _diverged(message: str) -> TrainingFailed:
    return TrainingFailed(message, hint="train again with a lower learning_rate")
