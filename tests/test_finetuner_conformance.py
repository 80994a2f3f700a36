"""The kits for fine-tuners: they hold for good ones, and each clause catches its own defect."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from penin_core import JobState, TrainedModel, TrainingProgress
from penin_core.testing import HttpFineTunerConformance, LocalFineTunerConformance


def loaded(name):
    path = Path(__file__).parent / "data" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"penin_test_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


Learner = loaded("learner").LearnerTuner
Jobs = loaded("jobs_service").JobsTuner


class TestLearner(LocalFineTunerConformance):
    component = Learner
    model = "l1"
    hyperparams = {"n_epochs": 4}


class TestJobs(HttpFineTunerConformance):
    component = Jobs
    model = "base"
    trained = "ft:1"
    expected_failures = {
        "test_longer_example_has_more_tokens": "every row of this service costs the same"
    }
    job = {"id": "job-conformance-1", "status": "SUCCESS", "error": "", "tokens": 9, "losses": []}
    replies = {
        "upload_data": [{"id": "file-1"}, {"id": "file-2"}],
        "create_job": [{"id": "job-conformance-1"}],
        "find_job": [{"jobs": [{"id": "other", "key": "x"}, {**job, "key": "{key}"}]}],
        "get_job": [job],
        "get_model": [{**job, "model": "ft:1"}],
        "cancel": [{}],
    }


# Each defect is caught


class Forgetful(Learner):
    """Starts from the beginning, but adds to what it had."""

    def train(self, job, watch):
        state = job.folder / "state.json"
        if state.exists():
            state.write_text(json.dumps([0, json.loads(state.read_text())[1]]))
        return super().train(job, watch)


class Deaf(Learner):
    """Goes on when it is told to stop."""

    def train(self, job, watch):
        def quietly(progress):
            try:
                watch(progress)
            except Exception:
                return

        return super().train(job, quietly)


class Random(Learner):
    """Leaves something else each time."""

    def train(self, job, watch):
        trained = super().train(job, watch)
        with (job.folder / "words.json").open("a") as file:
            file.write(" " * (id(job) % 97) + str(job.folder))
        return trained


class Lazy(Learner):
    """Does not look at the data."""

    def train(self, job, watch):
        watch(TrainingProgress(step=1, steps=1, loss=1.0))
        (job.folder / "words.json").write_text("{}")
        return TrainedModel(files=("words.json",))


class Silent(Learner):
    """Says nothing of its losses."""

    def train(self, job, watch):
        return super().train(
            job, lambda progress: watch(progress.model_copy(update={"loss": None}))
        )


class Curt(Learner):
    """Does not count the answer."""

    def tokens(self, model, example):
        return len(example.messages[-1].content)


class Eager(Jobs):
    """Changes something in order to look."""

    def get_job(self, job_id):
        yield from self.cancel(job_id)
        return JobState(status="running")


class Keyless(Jobs):
    """Forgets the key."""

    def create_job(self, model, files, hyperparams, key):
        return super().create_job(model, files, hyperparams, "")

    def find_job(self, key):
        return super().find_job("x")


@pytest.mark.parametrize(
    ("kit", "defect", "clause"),
    [
        (TestLearner, Forgetful, "test_stop_is_passed_on_and_resumed"),
        (TestLearner, Forgetful, "test_finished_job_is_not_damaged_by_another_call"),
        (TestLearner, Deaf, "test_stop_is_passed_on_and_resumed"),
        (TestLearner, Random, "test_same_job_same_files"),
        (TestLearner, Lazy, "test_other_data_other_files"),
        (TestLearner, Silent, "test_progress_is_told"),
        (TestJobs, Eager, "test_state_is_read"),
        (TestJobs, Keyless, "test_job_is_created_once"),
        (TestJobs, Keyless, "test_job_is_found_by_its_key"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_defect_is_caught(kit, defect, clause, tmp_path):
    case = type(f"Bad{defect.__name__}", (kit,), {"component": defect, "expected_failures": {}})()
    given = tmp_path if issubclass(defect, Learner) else defect()
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(case, clause)(given)


def test_a_count_without_the_answer_is_caught():
    case = type("BadCurt", (TestLearner,), {"component": Curt})()
    with pytest.raises(AssertionError):
        case.test_longer_example_has_more_tokens(Curt())
