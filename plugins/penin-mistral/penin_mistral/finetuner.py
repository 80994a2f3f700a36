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
    FilePart,
    FineTuningUnavailable,
    HttpFineTuner,
    JobState,
    ProviderError,
    Steps,
    TrainingCapabilities,
    TrainingExample,
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
_GONE = (403, 404, 405, 410)
_JOBS = "/fine_tuning/jobs"
_PER_MESSAGE = 8


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
                hint="train an open model yourself (penin-hf, or the embedded model)",
            )
        return TrainingCapabilities(usd_per_million=self.options.usd_per_million)

    def tokens(self, model: str, example: TrainingExample) -> int:
        """Return a high count: half a token for each byte of UTF-8."""
        texts = [example.system, *(turn.content for turn in example.messages), example.answer]
        return sum(math.ceil(len(text.encode()) / 2) + _PER_MESSAGE for text in texts)

    def upload_data(self, train: bytes, validation: bytes | None) -> Steps:
        """Upload one file or two; return their ids."""
        ids = []
        for name, content in (("train", train), ("validation", validation)):
            if content is not None:
                part = FilePart(name="file", filename=f"{name}.jsonl", content=content)
                reply = yield Call(path="/files", body={"purpose": "fine-tune"}, files=(part,))
                ids.append(reply.body["id"])
        return tuple(ids)

    def create_job(
        self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any], key: str
    ) -> Steps:
        """Start a job; return its id. Where the service has none any more, the files are deleted.

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
        try:
            reply = yield Call(path=_JOBS, body=body)
        except ProviderError as error:
            if error.status not in _GONE:
                raise
            refused = error
        else:
            return reply.body["id"]
        for file in files:
            yield Call(method="DELETE", path=f"/files/{file}")
        raise FineTuningUnavailable(
            f"Mistral has withdrawn fine-tuning jobs ({refused}); the uploaded files were deleted",
            hint="train an open model yourself (penin-hf, or the embedded model)",
        )

    def find_job(self, key: str) -> Steps:
        """Return the id of the job whose suffix is the beginning of ``key``, or None."""
        reply = yield Call(method="GET", path=f"{_JOBS}?suffix={key[:KEY_PART]}")
        jobs = reply.body.get("data") or []
        found = [job["id"] for job in jobs if job.get("suffix") and key.startswith(job["suffix"])]
        return found[0] if found else None

    def get_job(self, job_id: str) -> Steps:
        """Return the state of the job; its checkpoints are the loss curve."""
        job = (yield Call(method="GET", path=f"{_JOBS}/{job_id}")).body
        events = job.get("events") or []
        return JobState(
            status=job["status"],
            message=str((events[-1].get("data") or {}).get("error") or "") if events else "",
            points=tuple(_points(job.get("checkpoints") or [])),
            tokens=job.get("trained_tokens"),
        )

    def get_model(self, job_id: str) -> Steps:
        """Return the name of the trained model."""
        return (yield Call(method="GET", path=f"{_JOBS}/{job_id}")).body["fine_tuned_model"]

    def cancel(self, job_id: str) -> Steps:
        """Ask the service to stop the job."""
        yield Call(path=f"{_JOBS}/{job_id}/cancel")


def _points(checkpoints: Sequence[Mapping[str, Any]]) -> list[TrainingProgress]:
    in_order = sorted(checkpoints, key=lambda found: found["step_number"])
    return [
        TrainingProgress(
            step=found["step_number"],
            loss=found["metrics"].get("train_loss"),
            validation_loss=found["metrics"].get("valid_loss"),
        )
        for found in in_order
    ]
