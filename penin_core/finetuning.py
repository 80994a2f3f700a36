"""Fine-tuning: check the data, train, and let the tuned model take the same road as any other.

A training is begun, carried on and finished through the ledger: whoever asks for the same one again
adopts it, a killed process goes on where it was, and nothing is started or paid twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from penin_core.contracts import FineTuner, HttpFineTuner, LocalFineTuner
from penin_core.errors import StateError, TrainingStopped
from penin_core.ledger.checkpoints import seal
from penin_core.ledger.store import WORMLedger
from penin_core.project import Project
from penin_core.records import CycleReport, JobState
from penin_core.runners import evolve_one_cycle, opened, require_valid
from penin_core.settings import Settings
from penin_core.training.jobs import (
    OVER,
    Job,
    clear_finished,
    find_job,
    finish,
    held,
    jobs,
    prepare_job,
)
from penin_core.training.local import train
from penin_core.training.locks import is_held
from penin_core.training.plan import Plan, left_of
from penin_core.training.planning import fine_tuner, plan_training
from penin_core.training.service import discard, reach, was_sent

Watch = Callable[[str, Mapping[str, object]], None]


async def finetune_and_evolve(
    base_model: str | None,
    provider: str | None,
    training_data_path: Path | str,
    validation_data_path: Path | str | None = None,
    hyperparams: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    consent: str = "",
    licence: str = "",
    n_challengers: int = 8,
    budget_minutes: float = 30,
    max_usd: float | None = None,
    profile: str | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    state_dir: Path | None = None,
    project: Project | None = None,
    watch: Watch | None = None,
) -> CycleReport:
    """Fine-tune ``base_model`` at ``provider``, then run one cycle in which it competes.

    The tuned model is a challenger like any other: it becomes champion only if the rule on point
    values, every guard and the evidence on fresh tasks agree. ``base_model`` and ``provider`` None
    are those of the champion, ``hyperparams`` None the fine-tuner's own. ``budget_minutes`` and
    ``max_usd`` are for training and cycle together. ``consent`` and ``licence`` speak for the rows
    that say nothing themselves. Called again after an interruption, it goes on where it was.

    Raises:
        SuiteError: the data cannot be used; nothing was sent, spent or recorded.
        FineTuningUnavailable: nothing of the kind can be trained there.
        TrainingFailed, TrainingStopped: the training ended without a model.
        BudgetExceeded: time or money ended during the training, which can be resumed.
        SettingsError, PluginError, StateError, EvaluationFailed: as ``evolve_one_cycle``.
    """
    ends = time.monotonic() + 60.0 * budget_minutes
    with opened(project, settings, state_dir) as project:
        project.require_provable()
        plan = plan_training(
            project,
            Path(training_data_path),
            Path(validation_data_path) if validation_data_path else None,
            provider=provider,
            model=base_model,
            hyperparams=hyperparams or {},
            seed=seed,
            consent=consent,
            licence=licence,
        )
        plan.data.require_usable()
        limits = {"seconds": 60.0 * budget_minutes, "max_usd": max_usd}
        await finetune(project, plan, watch=watch or _ignore, **limits)
        return await evolve_one_cycle(
            n_challengers,
            (ends - time.monotonic()) / 60.0,
            max_usd=left_of(max_usd, plan),
            profile=profile,
            dry_run=dry_run,
            project=project,
            watch=watch,
        )


async def finetune(
    project: Project,
    plan: Plan,
    *,
    seconds: float | None = None,
    max_usd: float | None = None,
    watch: Watch,
) -> Job:
    """Carry out a training and return it, done. One that is known already is adopted.

    Raises: as ``resume``.
    """
    plugin = str(project.plugins.origin("finetuners", plan.provider))
    with project.ledger() as ledger:
        require_valid(ledger.verify())
        job = prepare_job(project.state, ledger, plan, plugin)
    return await resume(project, job.key, seconds=seconds, max_usd=max_usd, watch=watch)


async def resume(
    project: Project,
    key: str | None = None,
    *,
    seconds: float | None = None,
    max_usd: float | None = None,
    watch: Watch,
) -> Job:
    """Go on with the training whose key begins so, None for the only one that is not over.

    Raises:
        StateError: there is no such job, it is over without a model, another process works on it,
            or the disk is full.
        TrainingFailed, TrainingStopped: it ended without a model.
        BudgetExceeded, ProviderError: it is not over and can be resumed.
    """
    with project.ledger() as ledger:
        clear_finished(project.state, ledger)
        job = find_job(project.state, ledger, key)
        _require_of_use(job)
        watch("job", {"job": job})
        if job.finished is None:
            with held(job):
                # Somebody may have finished it before the lock was ours.
                job = find_job(project.state, ledger, job.key)
                if job.finished is None:
                    await _carry_on(project, ledger, job, seconds, max_usd, watch)
                    seal(project.state, ledger, owner=project.settings.ledger.owner)
        done = find_job(project.state, ledger, job.key)
    _require_of_use(done)
    return done


def _require_of_use(job: Job) -> None:
    """Raise StateError for a job that failed or was cancelled: nothing more comes of it."""
    if job.finished is not None and job.status != "succeeded":
        raise StateError(
            f"training job {job.short} is over: {job.status}",
            hint="penin finetune start begins it anew",
        )


async def _carry_on(
    project: Project,
    ledger: WORMLedger,
    job: Job,
    seconds: float | None,
    max_usd: float | None,
    watch: Watch,
) -> None:
    tuner = fine_tuner(project, job.about["provider"])
    if isinstance(tuner, LocalFineTuner):
        await train(project, ledger, job, tuner, watch=watch, seconds=seconds)
    else:
        limits = {"seconds": seconds, "max_usd": max_usd}
        async with reach(project, ledger, job, _remote(tuner), watch=watch, **limits) as service:
            await service.follow()


async def look(project: Project, key: str | None = None) -> tuple[Job, JobState | None]:
    """Return a job, and what its service says about it now; nothing is recorded."""
    with project.ledger() as ledger:
        job = find_job(project.state, ledger, key)
        if job.finished is not None or job.service_job is None:
            return job, None
        tuner = _remote(fine_tuner(project, job.about["provider"]))
        async with reach(project, ledger, job, tuner, watch=_ignore) as service:
            return job, await service.look()


async def cancel(project: Project, key: str | None = None) -> Job:
    """Cancel a training. One that another process carries out, or a service, stops in a while.

    Nothing is left of one that was not begun yet: neither money nor uploads are held back.

    Raises:
        StateError: there is no such job, it is over, or nobody knows whether it was created.
        ProviderError: the service does not do it.
    """
    with project.ledger() as ledger:
        job = find_job(project.state, ledger, key)
        if job.finished is not None:
            raise StateError(
                f"training job {job.short} is over: {job.status}",
                hint="penin finetune list shows all of them",
            )
        if job.service_job is not None:
            await _cancel_at_service(project, ledger, job)
        elif is_held(job.folder):
            job.ask_to_cancel()
        else:
            job = await _cancel_here(project, ledger, job)
        return next((j for j in jobs(project.state, ledger) if j.key == job.key), job)


async def _cancel_here(project: Project, ledger: WORMLedger, job: Job) -> Job:
    if was_sent(job.folder):
        raise StateError(
            f"nobody knows whether training job {job.short} was created at the service",
            hint="penin finetune resume finds out; then cancel it",
        )
    with held(job):
        # Somebody may have gone on with it before the lock was ours.
        if find_job(project.state, ledger, job.key) != job:
            raise StateError(
                f"training job {job.short} went on meanwhile",
                hint="penin finetune status shows how far it is",
            )
        if job.begun:
            finish(ledger, job, "cancelled", "on request")
            return job
        reason = await _cancel_unbegun(project, ledger, job)
    return replace(job, finished={"status": "cancelled", "reason": reason})


async def _cancel_unbegun(project: Project, ledger: WORMLedger, job: Job) -> str:
    tuner = fine_tuner(project, job.about["provider"])
    if isinstance(tuner, LocalFineTuner):
        discard(job)
        return "on request"
    async with reach(project, ledger, job, _remote(tuner), watch=_ignore) as service:
        return str(await service.give_up())


async def _cancel_at_service(project: Project, ledger: WORMLedger, job: Job) -> None:
    tuner = _remote(fine_tuner(project, job.about["provider"]))
    async with reach(project, ledger, job, tuner, watch=_ignore) as service:
        state = await service.cancel()
        if state.status in OVER and not is_held(job.folder):
            with held(job), suppress(TrainingStopped):
                await service.conclude(str(job.service_job), state)


def _remote(tuner: FineTuner) -> HttpFineTuner:
    assert isinstance(tuner, HttpFineTuner)
    return tuner


def _ignore(event: str, about: Mapping[str, object]) -> None:
    return
