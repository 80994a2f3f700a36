"""Carry out a training at a service: create the job once, follow it, and settle what it cost."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penin_core.contracts import HttpFineTuner, Steps
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.errors import (
    FineTuningUnavailable,
    ProviderAuthError,
    ProviderBadReply,
    ProviderRefused,
    SettingsError,
    TrainingFailed,
    TrainingStopped,
)
from penin_core.ledger.store import WORMLedger
from penin_core.project import Project
from penin_core.records import JobState, TrainingCapabilities, Wait
from penin_core.training.data import chat_lines
from penin_core.training.jobs import CREATED, OVER, Job, finish, write_whole

Watch = Callable[[str, Mapping[str, object]], None]

#: Seconds between two looks at a job: at first, at most, and by how much they grow.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 5.0, 60.0, 1.5

_FILES, _SENT = "files.json", "sent.json"


def price_bound(capabilities: TrainingCapabilities, tokens: int, given: Mapping[str, Any]) -> int:
    """Return the most micro-USD that a training on ``tokens`` can cost.

    Raises:
        ProviderRefused: nobody knows the price.
        SettingsError: the number of passes over the data is not bounded.
    """
    price = capabilities.usd_per_million
    if price is None:
        raise ProviderRefused(
            "no price is known for training this model",
            hint="let capabilities() of the fine-tuner state usd_per_million, 0 where it is free",
        )
    epochs = given.get("n_epochs", 1)
    if price and (isinstance(epochs, bool) or not isinstance(epochs, int | float)):
        raise SettingsError(
            f"n_epochs = {epochs!r} bounds no price: every pass over the data is paid",
            hint="say how many passes, such as --set n_epochs=3",
        )
    return math.ceil(tokens * epochs * price) if price else 0


@dataclass
class Service:
    """One job at a service, and the engine that reaches it."""

    job: Job
    tuner: HttpFineTuner
    engine: Engine
    budget: Budget
    ledger: WORMLedger
    watch: Watch

    async def follow(self) -> None:
        """Create the job where it does not exist yet, wait for its end, and write that down.

        Raises:
            TrainingStopped, TrainingFailed: it was cancelled, or it failed.
            BudgetExceeded, ProviderError: the job goes on at the service, and can be resumed.
        """
        service_job = self.job.service_job or await self._create()
        state = await self._drive(self._polled(service_job))
        await self.conclude(service_job, state)

    async def look(self) -> JobState:
        """Return what the service says now."""
        state: JobState = await self._drive(self._looked(self.job.service_job or ""))
        return state

    async def cancel(self) -> JobState:
        """Ask the service to stop the job; return what it says then."""
        service_job = self.job.service_job or ""
        await self._drive(self.tuner.cancel(service_job))
        return await self.look()

    async def conclude(self, service_job: str, state: JobState) -> None:
        """Write down a job that is over.

        Raises:
            TrainingStopped, TrainingFailed: it has no model.
        """
        job, config = self.job, None
        if state.status == "succeeded":
            model = await self._drive(self.tuner.get_model(service_job))
            if not isinstance(model, str) or not model:
                raise ProviderBadReply(f"job {service_job} succeeded, but its model has no name")
            config = job.config.model_copy(update={"model": model})
        self._settle(state)
        finish(self.ledger, job, state.status, state.message, config=config, tokens=state.tokens)
        if state.status == "cancelled":
            raise TrainingStopped(
                f"training job {job.short} ({service_job}) was cancelled",
                hint="penin finetune start begins it anew",
            )
        if state.status != "succeeded":
            raise TrainingFailed(
                f"training job {job.short} ({service_job}) failed: "
                f"{state.message or 'the service gives no reason'}",
                hint="correct what the service names; penin finetune start begins it anew",
            )

    async def _create(self) -> str:
        """Return the id of the job at the service. It is in the ledger when this returns."""
        job = self.job
        self._reserve()
        sent = job.folder / _SENT
        service_job, asked = None, sent.exists()
        try:
            if asked:
                service_job = await self._drive(self.tuner.find_job(job.key))
                asked = False
            if service_job is None:
                files = await self._uploaded()
                write_whole(sent, True)
                about = job.about
                steps = self.tuner.create_job(about["model"], files, about["hyperparams"], job.key)
                service_job = await self._drive(steps)
        except (ProviderRefused, ProviderAuthError) as error:
            # Nothing was created now; an earlier attempt may have, until the service was asked.
            if not asked:
                self._release()
                sent.unlink(missing_ok=True)
                if isinstance(error, FineTuningUnavailable):
                    discard(job)
            raise
        if not isinstance(service_job, str) or not service_job:
            raise ProviderBadReply("the service created a job and did not say its id")
        self.ledger.record_event(CREATED, {**job.about, "service_job": service_job})
        self.watch("created", {"job": job, "service_job": service_job})
        return service_job

    async def _uploaded(self) -> tuple[str, ...]:
        """Return the ids of the files at the service, which are sent once."""
        path = self.job.folder / _FILES
        if path.exists():
            return tuple(json.loads(path.read_text(encoding="utf-8")))
        train, validation = self.job.examples()
        steps = self.tuner.upload_data(
            chat_lines(train), chat_lines(validation) if validation else None
        )
        files = tuple(await self._drive(steps))
        write_whole(path, list(files))
        return files

    def _polled(self, service_job: str) -> Steps:
        pause = FIRST_PAUSE
        while True:
            state = yield from self._looked(service_job)
            if state.status in OVER:
                return state
            yield Wait(seconds=pause)
            pause = min(LONGEST_PAUSE, GROWTH * pause)

    def _looked(self, service_job: str) -> Steps:
        state = yield from self.tuner.get_job(service_job)
        if not isinstance(state, JobState):
            raise ProviderBadReply(
                f"get_job of fine-tuner {self.tuner.name!r} returned {type(state).__name__}"
            )
        last = max((point.step for point in self.job.curve()), default=-1)
        for point in state.points:
            if point.step > last:
                self.job.note(point)
        self.watch("state", {"job": self.job, "state": state})
        return state

    async def _drive(self, steps: Steps) -> Any:
        return await self.engine.drive(self.tuner.name, steps)

    @property
    def _purpose(self) -> str:
        return f"finetune {self.job.key}"

    def _reserved(self) -> list[int]:
        return [r.id for r in self.budget.open_reservations() if r.key == self._purpose]

    def _reserve(self) -> None:
        if not self._reserved():
            self.budget.reserve(self.job.about["bound_micro_usd"], self._purpose)

    def _release(self) -> None:
        for reservation in self._reserved():
            self.budget.release(reservation)

    def _settle(self, state: JobState) -> None:
        """Charge what was trained; all that was reserved where the service does not say."""
        price = self.tuner.capabilities(self.job.about["model"]).usd_per_million
        paid = None
        if state.tokens is not None and price is not None:
            paid = math.ceil(state.tokens * price)
        for reservation in self._reserved():
            self.budget.settle(reservation, paid)


@asynccontextmanager
async def reach(
    project: Project,
    ledger: WORMLedger,
    job: Job,
    tuner: HttpFineTuner,
    *,
    watch: Watch,
    seconds: float | None = None,
    max_usd: float | None = None,
) -> AsyncIterator[Service]:
    """Open an engine for one job, and close it again."""
    budget = Budget(project.state / "budget.db", project.settings.budget.daily_usd, max_usd)
    cache = ResponseCache(project.state / "cache" / "responses.db")
    engine = Engine(
        project.provider,
        budget=budget,
        cache=cache,
        deadline_s=seconds,
        private_hosts=project.settings.network.private_hosts,
    )
    try:
        yield Service(job, tuner, engine, budget, ledger, watch)
    finally:
        await engine.aclose()


def was_sent(folder: Path) -> bool:
    """Return whether a job may exist at the service although its id was never written down."""
    return (folder / _SENT).exists()


def discard(job: Job) -> None:
    """Remove a job that nobody began."""
    shutil.rmtree(job.folder, ignore_errors=True)
