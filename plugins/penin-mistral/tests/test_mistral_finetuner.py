"""Fine-tuning at Mistral: what is sent, how jobs are read, and what a refusal leaves behind."""

from typing import ClassVar

import pytest

from penin_core import Call, FineTuningUnavailable, ProviderRefused, Reply
from penin_core.testing import HttpFineTunerConformance
from penin_mistral.finetuner import MistralFineTuner

KEY = "0123456789abcdef0123456789abcdef"
JOB = {
    "id": "b472ae2a-8c4f-4f3a-9d2f-6b6a5c1f0e11",
    "auto_start": True,
    "hyperparameters": {"epochs": 3.0, "learning_rate": 0.0001},
    "model": "open-mistral-nemo",
    "status": "RUNNING",
    "job_type": "completion",
    "created_at": 1735910000,
    "modified_at": 1735910100,
    "training_files": ["file-1"],
    "validation_files": ["file-2"],
    "object": "job",
    "fine_tuned_model": None,
    "suffix": KEY[:18],
    "trained_tokens": None,
    "events": [{"name": "status-updated", "data": {"status": "RUNNING"}, "created_at": 1735910100}],
    "checkpoints": [
        {
            "metrics": {"train_loss": 0.8, "valid_loss": 0.82, "valid_mean_token_accuracy": 1.6},
            "step_number": 200,
            "created_at": 1735910300,
        },
        {
            "metrics": {"train_loss": 0.81, "valid_loss": None},
            "step_number": 100,
            "created_at": 1735910200,
        },
    ],
}
TUNED = "ft:open-mistral-nemo:3f1a:20260101:0123456789abcdef01:b472ae2a"


class TestMistralFineTuner(HttpFineTunerConformance):
    component = MistralFineTuner
    model = "open-mistral-nemo"
    job_id = JOB["id"]
    trained = TUNED
    expected_failures: ClassVar = {
        "test_job_is_created_once": "a suffix has room for the first 18 characters of the key"
    }
    replies: ClassVar = {
        "upload_data": [
            {"object": "list", "total": 0, "data": []},
            {"id": "file-1", "object": "file"},
            {"id": "file-2", "object": "file"},
        ],
        "create_job": [JOB],
        "find_job": [{"object": "list", "total": 1, "data": [JOB]}],
        "get_job": [JOB],
        "get_model": [{**JOB, "status": "SUCCESS", "fine_tuned_model": TUNED}],
        "cancel": [{**JOB, "status": "CANCELLATION_REQUESTED"}],
    }


def created():
    hyperparams = {"n_epochs": 2.0, "learning_rate": 1e-5}
    return MistralFineTuner().create_job(
        "open-mistral-nemo", ("file-1", "file-2"), hyperparams, KEY
    )


def state(job):
    steps = MistralFineTuner().get_job("job-1")
    next(steps)
    with pytest.raises(StopIteration) as stopped:
        steps.send(Reply(status=200, body=job))
    return stopped.value.value


def test_a_job_carries_what_its_key_has_room_for():
    assert next(created()) == Call(
        path="/fine_tuning/jobs",
        body={
            "model": "open-mistral-nemo",
            "training_files": [{"file_id": "file-1", "weight": 1}],
            "validation_files": ["file-2"],
            "hyperparameters": {"epochs": 2.0, "learning_rate": 1e-5},
            "suffix": KEY[:18],
            "auto_start": True,
        },
    )


GONE = pytest.mark.parametrize("status", [403, 404, 405, 410])


def refused(status):
    refusal = ProviderRefused("Not Found")
    refusal.status = status
    return refusal


@GONE
def test_where_the_jobs_are_gone_nothing_is_uploaded(status):
    steps = MistralFineTuner().upload_data(b"{}", None)
    assert next(steps) == Call(method="GET", path="/fine_tuning/jobs?page_size=1")
    with pytest.raises(FineTuningUnavailable, match=r"withdrawn .*Not Found"):
        steps.throw(refused(status))


@GONE
def test_where_only_creating_is_over_it_is_said_as_well(status):
    steps = created()
    next(steps)
    with pytest.raises(FineTuningUnavailable, match=r"withdrawn .*Not Found") as caught:
        steps.throw(refused(status))
    assert "penin-hf" in caught.value.hint


def test_a_job_that_is_wrong_is_another_matter():
    steps = created()
    next(steps)
    refusal = ProviderRefused("hyperparameters: epochs is too large")
    refusal.status = 422
    with pytest.raises(ProviderRefused, match="epochs is too large"):
        steps.throw(refusal)


@pytest.mark.parametrize(
    ("status", "read"),
    [
        ("QUEUED", "queued"),
        ("STARTED", "running"),
        ("VALIDATING", "validating"),
        ("VALIDATED", "validated"),
        ("RUNNING", "running"),
        ("FAILED_VALIDATION", "failed"),
        ("FAILED", "failed"),
        ("SUCCESS", "succeeded"),
        ("CANCELLED", "cancelled"),
        ("CANCELLATION_REQUESTED", "cancelling"),
        ("SOMETHING_NEW", "unknown"),
    ],
)
def test_every_status_is_read(status, read):
    assert state({**JOB, "status": status}).status == read


def test_checkpoints_are_the_loss_curve_in_order():
    assert [(p.step, p.loss, p.validation_loss) for p in state(JOB).points] == [
        (100, 0.81, None),
        (200, 0.8, 0.82),
    ]


def test_the_reason_of_a_failure_stands_in_its_last_event():
    failed = {"name": "status-updated", "data": {"status": "FAILED", "error": "no room"}}
    assert state({**JOB, "status": "FAILED", "events": [*JOB["events"], failed]}).message == (
        "no room"
    )


def test_a_suffix_of_somebody_else_is_not_the_key():
    jobs = [{**JOB, "suffix": suffix} for suffix in (KEY[:1], KEY[:17], "", None)]
    steps = MistralFineTuner().find_job(KEY)
    next(steps)
    with pytest.raises(StopIteration) as stopped:
        steps.send(Reply(status=200, body={"data": jobs}))
    assert stopped.value.value is None


def test_what_happened_is_told_in_order():
    late = {"name": "status-updated", "data": {"status": "SUCCESS"}, "created_at": 1735910400}
    assert state({**JOB, "events": [late, *JOB["events"]]}).events == ("RUNNING", "SUCCESS")


def test_a_loss_that_ran_away_is_no_reason_to_lose_sight_of_the_job():
    wild = {"metrics": {"train_loss": float("nan"), "valid_loss": 2.0}, "step_number": 1}
    (point,) = state({**JOB, "checkpoints": [wild]}).points
    assert (point.loss, point.validation_loss) == (None, 2.0)
