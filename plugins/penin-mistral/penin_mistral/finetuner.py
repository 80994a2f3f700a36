"""Mistral's fine-tuning jobs, for those whose account still reaches them.

The service withdrew them from its product: the documentation calls them deprecated, and the
endpoints left the public description on 2026-07-15. Source of the shapes: mistralai 2.5.1, the last
client with ``fine_tuning.jobs``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from penin_core import (
    Call,
    ComponentOptions,
    FineTuningUnavailable,
    HttpFineTuner,
    JobState,
    ProviderError,
    Steps,
    TrainingCapabilities,
    TrainingProgress,
)

#: What the documentation last named as trainable.
BASES = (
    "open-mistral-7b",
    "open-mistral-nemo",
    "mistral-small-latest",
    "mistral-large-latest",
    "ministral-3b-latest",
    "ministral-8b-latest",
    "codestral-latest",
    "pixtral-12b-latest",
)
#: A suffix has room for so many characters.
KEY_PART = 18
INSTEAD = "train an open model yourself (penin-hf, or the embedded model)"
_GONE = (403, 404, 405, 410)
_JOBS = "/fine_tuning/jobs"


class MistralTrainingOptions(ComponentOptions):
    """``[finetuners.mistral]``."""

    usd_per_million: float | None = Field(
        default=None,
        ge=0.0,
        description="Price of a million tokens trained; without it, nothing is started.",
    )


class MistralHyperparams(ComponentOptions):
    """What can be set for a training."""

    n_epochs: float = Field(default=3.0, gt=0.0, le=100.0)
    learning_rate: float = Field(default=1e-4, ge=1e-8, le=1.0)


class MistralFineTuner(HttpFineTuner):
    """Mistral's fine-tuning jobs, where the service still answers."""

    name = "mistral"
    Options = MistralTrainingOptions
    options: MistralTrainingOptions
    Hyperparams: ClassVar[type[ComponentOptions]] = MistralHyperparams

    def capabilities(self, model: str) -> TrainingCapabilities:
        """Say what can be trained on ``model``; the service may still answer that nothing is."""
        if model not in BASES:
            raise FineTuningUnavailable(
                f"Mistral trains no {model!r}; it trained {', '.join(BASES)}",
                hint=INSTEAD,
            )
        return TrainingCapabilities(usd_per_million=self.options.usd_per_million)

    def upload_data(self, train: bytes, validation: bytes | None) -> Steps:
        """Upload one file or two, where there are jobs at all; return their ids."""
        yield from _asked(Call(method="GET", path=f"{_JOBS}?page_size=1"))
        return (yield from super().upload_data(train, validation))

    def create_job(
        self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any], key: str
    ) -> Steps:
        """Start a job; return its id.

        Raises:
            FineTuningUnavailable: the service trains nothing for this account any more.
        """
        body = {
            "model": model,
            "training_files": [{"file_id": files[0], "weight": 1}],
            "validation_files": list(files[1:]),
            "hyperparameters": {
                "epochs": hyperparams["n_epochs"],
                "learning_rate": hyperparams["learning_rate"],
            },
            "suffix": key[:KEY_PART],
            "auto_start": True,
        }
        return (yield from _asked(Call(path=_JOBS, body=body))).body["id"]

    def find_job(self, key: str) -> Steps:
        """Return the id of the job whose suffix is the beginning of ``key``, or None."""
        reply = yield Call(method="GET", path=f"{_JOBS}?suffix={key[:KEY_PART]}")
        jobs = reply.body.get("data") or []
        found = [job["id"] for job in jobs if job.get("suffix") == key[:KEY_PART]]
        return found[0] if found else None

    def get_job(self, job_id: str) -> Steps:
        """Return the state of the job; its checkpoints are the loss curve."""
        job = (yield Call(method="GET", path=f"{_JOBS}/{job_id}")).body
        events = sorted(job.get("events") or [], key=lambda event: event.get("created_at") or 0)
        problems = [(event.get("data") or {}).get("error") for event in events]
        return JobState(
            status=job["status"],
            message=str(next((found for found in reversed(problems) if found), "")),
            points=tuple(_points(job.get("checkpoints") or [])),
            tokens=job.get("trained_tokens"),
            events=tuple(map(_words, events)),
        )

    def get_model(self, job_id: str) -> Steps:
        """Return the name of the trained model."""
        return (yield Call(method="GET", path=f"{_JOBS}/{job_id}")).body["fine_tuned_model"]

    def cancel(self, job_id: str) -> Steps:
        """Ask the service to stop the job."""
        yield Call(path=f"{_JOBS}/{job_id}/cancel")


def _asked(call: Call) -> Steps:
    """Return the reply to ``call``; say so where the service has no such jobs any more."""
    try:
        return (yield call)
    except ProviderError as error:
        if error.status not in _GONE:
            raise
        raise FineTuningUnavailable(
            f"Mistral has withdrawn fine-tuning jobs: {error}", hint=INSTEAD
        ) from error


def _points(checkpoints: Sequence[Mapping[str, Any]]) -> list[TrainingProgress]:
    by_step = {found["step_number"]: found.get("metrics") or {} for found in checkpoints}
    return [
        TrainingProgress(
            step=step,
            loss=_finite(metrics.get("train_loss")),
            validation_loss=_finite(metrics.get("valid_loss")),
        )
        for step, metrics in sorted(by_step.items())
    ]


def _finite(value: float | None) -> float | None:
    """Return a loss; one that ran away is none that a curve can show."""
    return value if value is not None and math.isfinite(value) else None


def _words(event: Mapping[str, Any]) -> str:
    """Return what one event says: the status that it brought, and what went wrong."""
    data = event.get("data") or {}
    said = (data.get("status") or event.get("name"), data.get("error"))
    return ": ".join(str(part) for part in said if part)
