"""OpenAI's fine-tuning jobs, which end on 2027-01-06.

Sources: https://developers.openai.com/api/docs/deprecations, and openai-python 3.54.0 for shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

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

from .provider import base_of

#: What supervised fine-tuning is left for. They and what is tuned from them end on 2027-01-14.
BASES = ("gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini")
#: How the service says that this organisation may train nothing any more.
NOT_AVAILABLE = "training_not_available"
#: What a conversation and each turn cost beside their text, in tokens, counted high.
_PER_MESSAGE = 8

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
        """Start a job; return its id. Where training is not available, the files are deleted.

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
            reply = yield Call(path="/fine_tuning/jobs", body=body)
        except ProviderError as error:
            if error.code != NOT_AVAILABLE:
                raise
            refused = error
        else:
            return reply.body["id"]
        for file in files:
            yield Call(method="DELETE", path=f"/files/{file}")
        raise FineTuningUnavailable(
            f"{refused}; the uploaded files were deleted again",
            hint="train an open model yourself (penin-hf, or the embedded model)",
        )

    def find_job(self, key: str) -> Steps:
        """Return the id of the job whose metadata carry ``key``, or None."""
        reply = yield Call(method="GET", path=f"/fine_tuning/jobs?limit=100&metadata[penin]={key}")
        found = [job["id"] for job in reply.body["data"] if _key_of(job) == key]
        return found[0] if found else None

    def get_job(self, job_id: str) -> Steps:
        """Return the state of the job, with its loss curve."""
        job = (yield Call(method="GET", path=f"/fine_tuning/jobs/{job_id}")).body
        path = f"/fine_tuning/jobs/{job_id}/events?limit=100"
        events = (yield Call(method="GET", path=path)).body["data"]
        return JobState(
            status=job["status"],
            message=_problem(job),
            points=tuple(_points(events)),
            tokens=job.get("trained_tokens"),
        )

    def get_model(self, job_id: str) -> Steps:
        """Return the name of the trained model."""
        reply = yield Call(method="GET", path=f"/fine_tuning/jobs/{job_id}")
        return reply.body["fine_tuned_model"]

    def cancel(self, job_id: str) -> Steps:
        """Ask the service to stop the job."""
        yield Call(path=f"/fine_tuning/jobs/{job_id}/cancel")


def _key_of(job: Mapping[str, Any]) -> object:
    return (job.get("metadata") or {}).get("penin")


def _problem(job: Mapping[str, Any]) -> str:
    """Return why a job failed; a healthy one carries an error without a code or a message."""
    error = job.get("error") or {}
    return ": ".join(str(error[name]) for name in ("code", "message") if error.get(name))


def _points(events: Sequence[Mapping[str, Any]]) -> list[TrainingProgress]:
    """Return the losses that events report, oldest first; the service lists the newest first."""
    measured = [event.get("data") or {} for event in events if event.get("type") == "metrics"]
    return [
        TrainingProgress(
            step=data["step"],
            steps=data.get("total_steps"),
            loss=data.get("train_loss"),
            validation_loss=data.get("valid_loss"),
        )
        for data in reversed(measured)
        if "step" in data
    ]
