"""Fine-tuning at OpenAI: what is sent, how jobs are read, and what a refusal leaves behind."""

from typing import ClassVar

import pytest

from penin_core import Call, FineTuningUnavailable, ProviderAuthError, ProviderRefused, Reply
from penin_core.testing import HttpFineTunerConformance
from penin_openai.finetuner import OpenAIFineTuner, OpenAIHyperparams

JOB = {
    "id": "ftjob-abc123",
    "object": "fine_tuning.job",
    "created_at": 1721764800,
    "error": {"code": None, "message": None, "param": None},
    "fine_tuned_model": None,
    "finished_at": None,
    "hyperparameters": None,
    "model": "gpt-4.1-mini-2025-04-14",
    "organization_id": "org-123",
    "result_files": [],
    "seed": 7,
    "status": "validating_files",
    "trained_tokens": None,
    "training_file": "file-1",
    "metadata": {"penin": "{key}"},
}
TUNED = "ft:gpt-4.1-mini-2025-04-14:acme:slots:7p4lURel"
EVENTS = [
    {"id": "e3", "type": "message", "message": "The job has successfully completed"},
    {
        "id": "e2",
        "type": "metrics",
        "data": {"step": 2, "total_steps": 88, "train_loss": 0.21, "valid_loss": 0.3},
    },
    {"id": "e1", "type": "metrics", "data": {"step": 1, "total_steps": 88, "train_loss": 0.67}},
]


class TestOpenAIFineTuner(HttpFineTunerConformance):
    component = OpenAIFineTuner
    model = "gpt-4.1-mini-2025-04-14"
    job_id = "ftjob-abc123"
    trained = TUNED
    replies: ClassVar = {
        "upload_data": [{"id": "file-1", "object": "file"}, {"id": "file-2", "object": "file"}],
        "create_job": [JOB],
        "find_job": [{"object": "list", "data": [{**JOB, "metadata": None}, JOB]}],
        "get_job": [JOB, {"object": "list", "data": EVENTS}],
        "get_model": [{**JOB, "status": "succeeded", "fine_tuned_model": TUNED}],
        "cancel": [{**JOB, "status": "cancelled"}],
    }


def finished(steps, *replies):
    """Drive ``steps`` with replies, or errors, and return its result."""
    next(steps)
    for reply in replies:
        try:
            if isinstance(reply, Exception):
                steps.throw(reply)
            else:
                steps.send(Reply(status=200, body=reply))
        except StopIteration as stop:
            return stop.value
    raise AssertionError("it is not finished")


def state(job, events=(), checkpoints=()):
    steps = OpenAIFineTuner().get_job("ftjob-abc123")
    over = job["status"] in ("succeeded", "failed", "cancelled")
    lists = [events, checkpoints][: 1 + over]
    return finished(steps, job, *({"data": list(each)} for each in lists))


def created(**hyperparams):
    chosen = OpenAIHyperparams(**hyperparams).model_dump()
    return OpenAIFineTuner().create_job("gpt-4.1-mini", ("file-1", "file-2"), chosen, "k")


def test_a_job_is_supervised_and_carries_its_key():
    assert next(created(n_epochs=4, batch_size=8)) == Call(
        path="/fine_tuning/jobs",
        body={
            "model": "gpt-4.1-mini",
            "training_file": "file-1",
            "validation_file": "file-2",
            "method": {
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {
                        "n_epochs": 4,
                        "batch_size": 8,
                        "learning_rate_multiplier": "auto",
                    }
                },
            },
            "metadata": {"penin": "k"},
        },
    )


def test_where_training_is_over_the_refusal_is_explained():
    steps = created()
    next(steps)
    refusal = ProviderAuthError("OpenAI is winding down the fine-tuning platform")
    refusal.code = "training_not_available"
    with pytest.raises(FineTuningUnavailable, match="winding down") as caught:
        steps.throw(refusal)
    assert "penin-hf" in caught.value.hint


def test_another_refusal_is_passed_on():
    steps = created()
    next(steps)
    with pytest.raises(ProviderRefused, match="no such file"):
        steps.throw(ProviderRefused("no such file"))


@pytest.mark.parametrize(
    ("status", "read"),
    [
        ("validating_files", "validating"),
        ("queued", "queued"),
        ("running", "running"),
        ("paused", "paused"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("reticulating", "unknown"),
    ],
)
def test_every_status_is_read(status, read):
    assert state({**JOB, "status": status}).status == read


def test_an_error_without_code_and_message_is_none():
    assert state(JOB).message == ""
    assert state({**JOB, "error": {}}).message == ""
    error = {"code": "invalid_training_file", "message": "Line 3 is empty.", "param": None}
    assert state({**JOB, "error": error}).message == "invalid_training_file: Line 3 is empty."


def test_the_loss_curve_runs_forward():
    points = state({**JOB, "trained_tokens": 5768}, EVENTS).points
    assert [(p.step, p.steps, p.loss, p.validation_loss) for p in points] == [
        (1, 88, 0.67, None),
        (2, 88, 0.21, 0.3),
    ]


def test_a_job_that_is_over_lists_its_checkpoints_and_its_files():
    metrics = {"step": 88, "train_loss": 0.47, "valid_loss": 10.1, "full_valid_loss": 0.56}
    listed = [
        {"fine_tuned_model_checkpoint": TUNED, "step_number": 176, "metrics": {}},
        {
            "fine_tuned_model_checkpoint": f"{TUNED}:ckpt-step-88",
            "step_number": 88,
            "metrics": metrics,
        },
    ]
    done = {**JOB, "status": "succeeded", "result_files": ["file-9"]}
    found = state(done, EVENTS, listed)
    assert [(c.model, c.step, c.loss, c.validation_loss) for c in found.checkpoints] == [
        (f"{TUNED}:ckpt-step-88", 88, 0.47, 0.56),
        (TUNED, 176, None, None),
    ]
    assert found.files == ("file-9",)
    assert found.events == ("The job has successfully completed",)


def test_without_its_events_a_job_is_still_seen():
    steps = OpenAIFineTuner().get_job("ftjob-abc123")
    found = finished(steps, {**JOB, "status": "running"}, ProviderRefused("no events today"))
    assert (found.status, found.points) == ("running", ())


def test_a_loss_that_ran_away_is_no_reason_to_lose_sight_of_the_job():
    wild = {"type": "metrics", "data": {"step": 3, "train_loss": float("nan")}}
    assert [point.loss for point in state(JOB, [wild]).points] == [None]


def test_a_job_that_nobody_created_is_not_found():
    assert finished(OpenAIFineTuner().find_job("k"), {"data": [JOB]}) is None


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-4.1-nano", "o4-mini-2025-04-16", "gpt-6-luna"])
def test_a_model_that_cannot_be_trained_is_refused_before_anything_is_sent(model):
    with pytest.raises(FineTuningUnavailable, match="2027-01-06"):
        OpenAIFineTuner().capabilities(model)
