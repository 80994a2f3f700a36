"""Models of OldFinetuner, and training them: files, jobs, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from penin_core import (
    Call,
    ChatCompletionsProvider,
    ComponentOptions,
    FilePart,
    FineTuner,
    FineTuningUnavailable,
    HttpFineTuner,
    JobState,
    Provider,
    Steps,
    TrainingCapabilities,
    TrainingExample,
    hookimpl,
)

penin_api = 1

#: Model -> the longest example in tokens, US dollars for a million tokens trained.
TRAINABLE = {"small": (8_192, 3.0)}


class OldFinetuner(ChatCompletionsProvider):
    """Models of OldFinetuner, by its chat completions API."""

    name = "old-finetuner"
    base_url = "https://api.old-finetuner.example/v1"
    base_url_env = "OLD_FINETUNER_BASE_URL"
    key_env = "OLD_FINETUNER_API_KEY"


class OldFinetunerFineTuner(HttpFineTuner):
    """Fine-tuning at OldFinetuner."""

    name = "old-finetuner"

    class Hyperparams(ComponentOptions):
        """What can be set for a training."""

        n_epochs: int = Field(default=3, ge=1, le=20)

    def capabilities(self, model: str) -> TrainingCapabilities:
        """Say which models can be trained."""
        if model not in TRAINABLE:
            raise FineTuningUnavailable(f"OldFinetuner does not train {model!r}")
        context, price = TRAINABLE[model]
        return TrainingCapabilities(context_tokens=context, usd_per_million=price)

    def tokens(self, model: str, example: TrainingExample) -> int:
        """Count high: a token has at least two characters, and each message a few more."""
        texts = [example.system, *(turn.content for turn in example.messages), example.answer]
        return sum(len(text.encode()) // 2 + 8 for text in texts)

    def upload_data(self, train: bytes, validation: bytes | None) -> Steps:
        """Upload one file, or two."""
        ids = []
        for name, content in (("train.jsonl", train), ("validation.jsonl", validation)):
            if content is not None:
                part = FilePart(name="file", filename=name, content=content)
                reply = yield Call(path="/files", files=(part,))
                assert reply is not None
                ids.append(reply.body["id"])
        return tuple(ids)

    def create_job(
        self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any], key: str
    ) -> Steps:
        """Start a job that carries ``key`` as its metadata."""
        body: dict[str, Any] = {"model": model, "training_file": files[0], **hyperparams}
        if len(files) > 1:
            body["validation_file"] = files[1]
        reply = yield Call(path="/jobs", body={**body, "metadata": {"penin": key}})
        assert reply is not None
        return reply.body["id"]

    def find_job(self, key: str) -> Steps:
        """Look for ``key`` in the newest jobs."""
        reply = yield Call(method="GET", path="/jobs?limit=100")
        assert reply is not None
        jobs = reply.body["data"]
        return next((job["id"] for job in jobs if job["metadata"].get("penin") == key), None)

    def get_job(self, job_id: str) -> Steps:
        """Read the state of a job."""
        reply = yield Call(method="GET", path=f"/jobs/{job_id}")
        assert reply is not None
        return JobState(status=reply.body["status"], tokens=reply.body.get("trained_tokens"))

    def get_model(self, job_id: str) -> Steps:
        """Read the name of the trained model."""
        reply = yield Call(method="GET", path=f"/jobs/{job_id}")
        assert reply is not None
        return reply.body["fine_tuned_model"]

    def cancel(self, job_id: str) -> Steps:
        """Stop a job."""
        yield Call(path=f"/jobs/{job_id}/cancel")


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Return the provider that serves what is trained."""
    return [OldFinetuner]


@hookimpl
def penin_register_finetuners() -> list[type[FineTuner]]:
    """Return the fine-tuner."""
    return [OldFinetunerFineTuner]
