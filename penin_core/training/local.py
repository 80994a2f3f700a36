"""Carry out a training in this process: in a thread of its own, stopped and resumed cleanly."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from penin_core.contracts import LocalFineTuner
from penin_core.errors import (
    BudgetExceeded,
    PeninError,
    StateError,
    TrainingFailed,
    TrainingStopped,
)
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.trained import store_trained
from penin_core.project import Project
from penin_core.records import TrainedModel, TrainingJob, TrainingProgress
from penin_core.training.jobs import CREATED, Job, finish

Watch = Callable[[str, Mapping[str, object]], None]
T = TypeVar("T")

#: How often, in seconds, a training looks whether somebody cancelled it.
LOOK_EVERY = 0.5
_LINEAGE = (
    *("provider", "model", "plugin", "data_sha256", "train", "validation"),
    *("hyperparams", "seed", "consent", "licenses"),
)


@dataclass
class Overseer:
    """What a fine-tuner calls after every step: it notes, tells, and stops it where it has to."""

    job: Job
    watch: Watch
    ends: float = float("inf")
    stop: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    late: bool = False
    _looked: float = 0.0

    def __call__(self, progress: TrainingProgress) -> None:
        """Take over one step; raise TrainingStopped where it is the last one for now."""
        self.job.note(progress)
        self.watch("progress", {"job": self.job, "progress": progress})
        now = time.monotonic()
        self.late = now > self.ends
        if now - self._looked >= LOOK_EVERY:
            self._looked, self.cancelled = now, self.job.cancelling
        if self.stop.is_set() or self.cancelled or self.late:
            raise TrainingStopped(
                f"training job {self.job.short} was stopped",
                hint="penin finetune resume goes on with it",
            )


async def train(
    project: Project,
    ledger: WORMLedger,
    job: Job,
    tuner: LocalFineTuner,
    *,
    watch: Watch,
    seconds: float | None,
) -> None:
    """Train, keep the model, and write down what came of it.

    Raises:
        TrainingStopped: it was cancelled.
        TrainingFailed: it ended without a model.
        BudgetExceeded: ``seconds`` are over; the job can be resumed.
        StateError: the disk is full, or the job's folder is damaged; the job can be resumed.
    """
    if seconds is not None and math.isnan(seconds):
        raise ValueError(f"seconds = {seconds} must be a number")
    if not job.begun:
        ledger.record_event(CREATED, {**job.about, "service_job": None})
    ends = float("inf") if seconds is None else time.monotonic() + seconds
    overseer = Overseer(job, watch, ends)
    given = _given(job)
    try:
        trained = await _in_thread(lambda: _trained(tuner, given, overseer), overseer.stop)
    except TrainingFailed as error:
        finish(ledger, job, "failed", str(error))
        raise
    except TrainingStopped as error:
        raise _stopped(ledger, job, overseer, error) from error
    adapter = store_trained(project.state, job.work, trained.files, lineage(job))
    config = job.config.model_copy(update={"adapter": adapter})
    finish(ledger, job, "succeeded", config=config, figures=trained.figures)


def lineage(job: Job) -> dict[str, Any]:
    """Return what a trained model is made from; the same training has the same lineage."""
    weights = {"weights": job.about["weights"]} if "weights" in job.about else {}
    return {name: job.about[name] for name in _LINEAGE} | weights


def _given(job: Job) -> TrainingJob:
    examples, validation = job.examples()
    job.work.mkdir(exist_ok=True)
    return TrainingJob(
        model=job.about["model"],
        train=examples,
        validation=validation,
        hyperparams=job.about["hyperparams"],
        seed=job.about["seed"],
        folder=job.work.absolute(),
    )


def _trained(tuner: LocalFineTuner, given: TrainingJob, overseer: Overseer) -> TrainedModel:
    """Call the plugin. What it raises leaves this as an error with a name."""
    try:
        trained = tuner.train(given, overseer)
    except PeninError:
        raise
    except OSError as error:
        raise StateError(
            f"training job {overseer.job.short} cannot write {error.filename or given.folder}: "
            f"{error.strerror or error}",
            hint="make room on the disk, then: penin finetune resume; it goes on from the last "
            "checkpoint, or from the start where there is none yet",
        ) from error
    except Exception as error:
        raise _defect(tuner, f"{type(error).__name__}: {error}") from error
    if not isinstance(trained, TrainedModel):
        raise _defect(tuner, f"train() returned {type(trained).__name__}, not TrainedModel")
    if missing := [name for name in trained.files if not (given.folder / name).is_file()]:
        raise _defect(tuner, f"it left no file {missing[0]!r}")
    return trained


def _defect(tuner: LocalFineTuner, what: str) -> TrainingFailed:
    return TrainingFailed(
        f"fine-tuner {tuner.name!r} failed: {what}",
        hint="this is a defect of the fine-tuner; report it to its author",
    )


def _stopped(
    ledger: WORMLedger, job: Job, overseer: Overseer, error: TrainingStopped
) -> PeninError:
    """Return what a stop means to the user; one that was asked for by name ends the job."""
    # It may have been asked for since the training looked last.
    if overseer.cancelled or job.cancelling:
        finish(ledger, job, "cancelled", "on request")
        return TrainingStopped(
            f"training job {job.short} was cancelled",
            hint="penin finetune start begins it anew",
        )
    if overseer.late:
        return BudgetExceeded(
            f"the time of this run is used up, training job {job.short} is not over",
            hint="penin finetune resume goes on with it",
        )
    return error


async def _in_thread(work: Callable[[], T], stop: threading.Event) -> T:
    """Return what ``work`` returns. Whoever cancels this waits until ``work`` has stopped, too."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            # Looked at, so that nobody warns of an error that nobody saw.
            task.exception()
        raise
