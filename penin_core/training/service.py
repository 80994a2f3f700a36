"""Carry out a training at a service: create the job once, follow it, and settle what it cost."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penin_core.contracts import HttpFineTuner, Steps
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.replies import UNREADABLE, plugin_failure, shorten
from penin_core.engine.wire import Engine
from penin_core.errors import (
    BudgetExceeded,
    FineTuningUnavailable,
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRefused,
    StateError,
    TrainingFailed,
    TrainingStopped,
)
from penin_core.ledger.store import WORMLedger
from penin_core.project import Project
from penin_core.records import JobState, Wait
from penin_core.training.charges import Charge
from penin_core.training.data import chat_lines
from penin_core.training.jobs import CREATED, OVER, Job, finish, write_whole

Watch = Callable[[str, Mapping[str, object]], None]

#: Seconds between two looks at a job: at first, at most, and by how much they grow.
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 5.0, 60.0, 1.5
#: So many looks in a row may fail: with their own retries, a few minutes.
MOST_MISSED = 5
_UNKNOWN = 404

_FILES, _SENT = "files.json", "sent.json"
#: The last that the service said: its events, checkpoints and files with results among it.
_SAID = "service.json"


@dataclass
class Service:
    """One job at a service, and the engine that reaches it."""

    job: Job
    tuner: HttpFineTuner
    engine: Engine
    charge: Charge
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
        """Ask the service to stop the job; return what it says then.

        A job that is over or stopping already, or that the service does not know any more, needs
        no stopping.
        """
        state: JobState = await self._drive(self._stopped(self.job.service_job or ""))
        return state

    async def give_up(self) -> TrainingStopped:
        """Remove a job that no service knows, its money and its uploads; return what to say."""
        rest = await self._withdraw()
        discard(self.job)
        words = f"training job {self.job.short} was cancelled before it was created at the service"
        return TrainingStopped(
            f"{words}; {rest}" if rest else words, hint="penin finetune start begins it anew"
        )

    async def conclude(self, service_job: str, state: JobState) -> None:
        """Write down a job that is over, and beside it all that the service says about it.

        Raises:
            TrainingStopped, TrainingFailed: it has no model.
        """
        job, config = self.job, None
        if state.status == "succeeded":
            model = await self._drive(self.tuner.get_model(service_job))
            if not isinstance(model, str) or not model:
                raise ProviderBadReply(f"job {service_job} succeeded, but its model has no name")
            config = job.config.model_copy(update={"model": model})
        with suppress(OSError):
            write_whole(job.folder / _SAID, state.model_dump(mode="json"))
        self.charge.settle(state.tokens, self._price())
        finish(self.ledger, job, state.status, state.message, config=config, tokens=state.tokens)
        if state.status == "cancelled":
            raise TrainingStopped(
                f"training job {job.short} ({service_job}) was cancelled",
                hint="penin finetune start begins it anew",
            )
        if state.status != "succeeded":
            raise TrainingFailed(
                f"training job {job.short} ({service_job}) failed: "
                f"{shorten(state.message) or 'the service gives no reason'}",
                hint="correct what the service names; penin finetune start begins it anew",
            )

    async def _create(self) -> str:
        """Return the id of the job at the service. It is in the ledger when this returns."""
        job = self.job
        self.charge.reserve(job.about["bound_micro_usd"])
        service_job = None
        if was_sent(job.folder):
            service_job = await self._drive(self.tuner.find_job(job.key))
        if service_job is None:
            service_job = await self._launched()
        if not isinstance(service_job, str) or not service_job:
            raise ProviderBadReply("the service created a job and did not say its id")
        self.ledger.record_event(CREATED, {**job.about, "service_job": service_job})
        self.watch("created", {"job": job, "service_job": service_job})
        return service_job

    async def _launched(self) -> object:
        """Upload the data, create the job and return its id; look for it where the reply is lost.

        It is looked for, never created again: who asks later may find what is not listed yet.
        """
        job, about = self.job, self.job.about
        try:
            await self._require_wanted()
            files = await self._uploaded()
            # An upload takes its time, and somebody may have cancelled meanwhile.
            await self._require_wanted()
            _keep(job.folder / _SENT, True)
            steps = self.tuner.create_job(about["model"], files, about["hyperparams"], job.key)
            return await self._drive(steps)
        except (ProviderRefused, ProviderAuthError) as error:
            rest = await self._withdraw()
            error.args = (f"{error}; {rest}" if rest else str(error),)
            if job.cancelling or isinstance(error, FineTuningUnavailable):
                discard(job)
            raise
        except ProviderError:
            found = None
            if not was_sent(job.folder):
                await self._require_wanted()
            if was_sent(job.folder):
                with suppress(ProviderError):
                    found = await self._drive(self.tuner.find_job(job.key))
            if found is None:
                raise
            return found

    async def _require_wanted(self) -> None:
        """Give the job up where somebody cancelled it before the service knew of it.

        Raises:
            TrainingStopped: it was cancelled, and nothing is left of it.
        """
        if self.job.cancelling:
            raise await self.give_up()

    async def _withdraw(self) -> str:
        """Give back the money, and delete what was uploaded; say what became of the uploads."""
        files = self.job.folder / _FILES
        self.charge.release()
        (self.job.folder / _SENT).unlink(missing_ok=True)
        if not files.exists():
            return ""
        sent = json.loads(files.read_text(encoding="utf-8"))
        left = sent
        with suppress(BudgetExceeded):
            left = await self._drive(self.tuner.delete_data(sent))
        files.unlink()
        if left:
            return f"these uploads are still there: {', '.join(left)}"
        return "the uploaded files were deleted again"

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
        _keep(path, list(files))
        return files

    def _polled(self, service_job: str) -> Steps:
        """Look until the job is over; a service may be out of reach, or late to list, for a while.

        A job that somebody cancelled while it was being created is stopped here.

        Raises:
            ProviderError: it is so for longer, or it says that there is no such job.
        """
        pause, missed, stopped = FIRST_PAUSE, 0, False
        while True:
            try:
                state = yield from self._looked(service_job)
                if self.job.cancelling and not stopped and state.status not in OVER:
                    state = yield from self._stopped(service_job)
                    stopped = True
            except ProviderError as error:
                missed += 1
                if error.status == _UNKNOWN and missed > MOST_MISSED:
                    raise _no_such(service_job, error) from error
                if missed > MOST_MISSED or not (error.transient or error.status == _UNKNOWN):
                    raise
            else:
                missed = 0
                if state.status in OVER:
                    return state
            yield Wait(seconds=pause)
            pause = min(LONGEST_PAUSE, GROWTH * pause)

    def _stopped(self, service_job: str) -> Steps:
        try:
            yield from self.tuner.cancel(service_job)
        except ProviderRefused as error:
            if error.status == _UNKNOWN and (yield from self.tuner.find_job(self.job.key)):
                raise
            if error.status == _UNKNOWN:
                return JobState(status="cancelled", message=f"given up: {error}")
            state = yield from self._looked(service_job)
            if state.status not in (*OVER, "cancelling"):
                raise
            return state
        return (yield from self._looked(service_job))

    def _looked(self, service_job: str) -> Steps:
        state = yield from self.tuner.get_job(service_job)
        if not isinstance(state, JobState):
            raise ProviderBadReply(
                f"get_job of fine-tuner {self.tuner.name!r} returned {type(state).__name__}"
            )
        last = max((point.step for point in self.job.curve()), default=-1)
        for point in state.points:
            # The curve is only kept to be read: a full disk must not lose sight of a paid job.
            if point.step > last:
                with suppress(OSError):
                    self.job.note(point)
        self.watch("state", {"job": self.job, "state": state})
        return state

    def _price(self) -> float | None:
        # A fine-tuner of today may know no more of a model that it began to train.
        with suppress(ProviderError):
            return self.tuner.capabilities(self.job.about["model"]).usd_per_million
        return None

    async def _drive(self, steps: Steps) -> Any:
        return await self.engine.drive(self.tuner.name, _contained(self.tuner.name, steps))


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
        yield Service(job, tuner, engine, Charge(budget, job.key), ledger, watch)
    finally:
        await engine.aclose()


def _keep(path: Path, value: Any) -> None:
    try:
        write_whole(path, value)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}",
            hint="make room on the disk, then penin finetune resume; no job was created",
        ) from error


def _contained(name: str, steps: Steps) -> Steps:
    """Carry out ``steps``; a reply that their author did not expect is an error with a name."""
    try:
        return (yield from steps)
    except UNREADABLE as error:
        raise ProviderBadReply(
            f"the reply cannot be read by fine-tuner {name!r}: {plugin_failure(error)}",
            hint="check that base_url leads to the service that it is written for",
        ) from error


def _no_such(service_job: str, error: ProviderError) -> ProviderRefused:
    return ProviderRefused(
        f"the service knows no training job {service_job}: {error}",
        hint="check that key and base_url are those it was started with; "
        "penin finetune cancel gives it up",
    )


def was_sent(folder: Path) -> bool:
    """Return whether a job may exist at the service although its id was never written down."""
    return (folder / _SENT).exists()


def discard(job: Job) -> None:
    """Remove a job that nobody began."""
    shutil.rmtree(job.folder, ignore_errors=True)
