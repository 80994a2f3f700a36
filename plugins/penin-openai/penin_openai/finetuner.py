"""OpenAI's fine-tuning jobs, which end on 2027-01-06.

Sources: https://developers.openai.com/api/docs/deprecations, and openai-python 3.54.0 for shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from penin_core import (
    Call,
    ComponentOptions,
    FineTuningUnavailable,
    HttpFineTuner,
    JobState,
    ProviderError,
    Steps,
    TrainedCheckpoint,
    TrainingCapabilities,
    TrainingProgress,
)

from .provider import base_of

#: What supervised fine-tuning is left for. They and what is tuned from them end on 2027-01-14.
BASES = ("gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini")
#: How the service says that this organisation may train nothing any more.
NOT_AVAILABLE = "training_not_available"
INSTEAD = "train an open model yourself (penin-hf, or the embedded model)"
_JOBS = "/fine_tuning/jobs"

Auto = Literal["auto"]


class OpenAITrainingOptions(ComponentOptions):
    """``[finetuners.openai]``."""

    usd_per_million: float | None = Field(
        default=None,
        ge=0.0,
        description="Price of a million tokens trained; without it, nothing is started.",
    )


class OpenAIHyperparams(ComponentOptions):
    """What can be set for a supervised training."""

    n_epochs: int = Field(default=3, ge=1, le=50)
    batch_size: Auto | Annotated[int, Field(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0.0)] = "auto"


class OpenAIFineTuner(HttpFineTuner):
    """OpenAI's supervised fine-tuning jobs."""

    name = "openai"
    Options = OpenAITrainingOptions
    options: OpenAITrainingOptions
    Hyperparams: ClassVar[type[ComponentOptions]] = OpenAIHyperparams

    def capabilities(self, model: str) -> TrainingCapabilities:
        """Say what can be trained on ``model``; the service may still refuse the organisation."""
        if base_of(model) not in BASES:
            raise FineTuningUnavailable(
                f"OpenAI trains no {model!r}: supervised fine-tuning is left for "
                f"{', '.join(BASES)}, until 2027-01-06",
                hint=INSTEAD,
            )
        return TrainingCapabilities(usd_per_million=self.options.usd_per_million)

    def create_job(
        self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any], key: str
    ) -> Steps:
        """Start a job; return its id.

        Raises:
            FineTuningUnavailable: the service trains nothing for this organisation any more.
        """
        body: dict[str, Any] = {
            "model": model,
            "training_file": files[0],
            "method": {"type": "supervised", "supervised": {"hyperparameters": dict(hyperparams)}},
            "metadata": {"penin": key},
        }
        if len(files) > 1:
            body["validation_file"] = files[1]
        try:
            reply = yield Call(path=_JOBS, body=body)
        except ProviderError as error:
            if error.code != NOT_AVAILABLE:
                raise
            raise FineTuningUnavailable(str(error), hint=INSTEAD) from error
        return reply.body["id"]

    def find_job(self, key: str) -> Steps:
        """Return the id of the job whose metadata carry ``key``, or None."""
        reply = yield Call(method="GET", path=f"{_JOBS}?limit=100&metadata[penin]={key}")
        found = [job["id"] for job in reply.body["data"] if _key_of(job) == key]
        return found[0] if found else None

    def get_job(self, job_id: str) -> Steps:
        """Return the state of the job, with its loss curve; once it is over, its checkpoints."""
        job = (yield Call(method="GET", path=f"{_JOBS}/{job_id}")).body
        events = yield from _listed(f"{_JOBS}/{job_id}/events")
        over = job["status"] in ("succeeded", "failed", "cancelled")
        checkpoints = (yield from _listed(f"{_JOBS}/{job_id}/checkpoints")) if over else []
        return JobState(
            status=job["status"],
            message=_problem(job),
            points=tuple(_points(events)),
            tokens=job.get("trained_tokens"),
            events=tuple(str(event["message"]) for event in events if event.get("message")),
            checkpoints=tuple(_checkpoints(checkpoints)),
            files=tuple(job.get("result_files") or ()),
        )

    def get_model(self, job_id: str) -> Steps:
        """Return the name of the trained model."""
        reply = yield Call(method="GET", path=f"{_JOBS}/{job_id}")
        return reply.body["fine_tuned_model"]

    def cancel(self, job_id: str) -> Steps:
        """Ask the service to stop the job."""
        yield Call(path=f"{_JOBS}/{job_id}/cancel")


def _key_of(job: Mapping[str, Any]) -> object:
    return (job.get("metadata") or {}).get("penin")


def _problem(job: Mapping[str, Any]) -> str:
    """Return why a job failed; a healthy one carries an error without a code or a message."""
    error = job.get("error") or {}
    return ": ".join(str(error[name]) for name in ("code", "message") if error.get(name))


def _listed(path: str) -> Steps:
    """Return up to a hundred of what a job lists, oldest first; the service has the newest first.

    They say more about a job than its state, and are no reason to lose sight of it.
    """
    try:
        reply = yield Call(method="GET", path=f"{path}?limit=100")
    except ProviderError:
        return []
    return (reply.body.get("data") or [])[::-1]


def _points(events: Sequence[Mapping[str, Any]]) -> list[TrainingProgress]:
    """Return the losses that events report."""
    measured = [event.get("data") or {} for event in events if event.get("type") == "metrics"]
    return [
        TrainingProgress(
            step=data["step"],
            steps=data.get("total_steps"),
            loss=_finite(data.get("train_loss")),
            validation_loss=_finite(data.get("valid_loss")),
        )
        for data in measured
        if "step" in data
    ]


def _checkpoints(listed: Sequence[Mapping[str, Any]]) -> Iterator[TrainedCheckpoint]:
    for found in listed:
        metrics = found.get("metrics") or {}
        if name := found.get("fine_tuned_model_checkpoint"):
            yield TrainedCheckpoint(
                model=name,
                step=found.get("step_number") or 0,
                loss=_finite(metrics.get("train_loss")),
                validation_loss=_finite(metrics.get("full_valid_loss", metrics.get("valid_loss"))),
            )


def _finite(value: float | None) -> float | None:
    """Return a loss; one that ran away is none that a curve can show."""
    return value if value is not None and math.isfinite(value) else None
