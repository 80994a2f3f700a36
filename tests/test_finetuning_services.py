"""Trainings at OpenAI and Mistral, against servers that speak as they do: nothing is paid twice."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

import penin_core.training.service as service_module
from penin_core import (
    BudgetExceeded,
    FineTuningUnavailable,
    ProviderAuthError,
    ProviderBadReply,
    ProviderRefused,
    ProviderUnavailable,
    StateError,
    TrainingFailed,
    TrainingStopped,
    finetuning,
)
from penin_core.engine.budget import Budget
from penin_core.engine.wire import Engine
from penin_core.finetuning import finetune, plan_training, resume
from penin_core.project import open_project
from penin_core.testing.loopback import RESET, Answer, Loopback
from penin_core.training.jobs import Job, jobs
from penin_core.training.service import MOST_MISSED

ROOT = Path(__file__).parent.parent
SETTINGS = """
[champion]
provider = "{provider}"
model = "{model}"
system = "Name the colour."

[providers.{provider}]
base_url = "{url}/v1"

[finetuners.{provider}]
usd_per_million = 2.0

[suite]
name = "colours"
tasks = "tasks.jsonl"
calibration = "not_applicable"
groups = "not_applicable"
consent = "not_applicable"

[suite.reasons]
calibration = "a test"
groups = "a test"
consent = "a test"
"""
#: Trains as ``penin finetune start`` does, without waiting; dies after it wrote a certain file.
TRAINER = """
import asyncio, os, sys
from functools import partial
from pathlib import Path
import penin_core.training.service as service
from penin_core.engine.wire import Engine
from penin_core.finetuning import finetune, plan_training
from penin_core.project import open_project
folder, last_words = Path(sys.argv[1]), sys.argv[2]
async def at_once(seconds): pass
def written(path, value, write=service.write_whole):
    write(path, value)
    if path.name == last_words: os.kill(os.getpid(), 9)
service.Engine, service.write_whole = partial(Engine, sleep=at_once), written
project = open_project(config=folder / "penin.toml")
plan = plan_training(project, folder / "train.jsonl", folder / "valid.jsonl", consent="ours")
job = asyncio.run(finetune(project, plan, watch=lambda event, about: None))
print(job.status, job.config.model)
"""


def _services():
    path = Path(__file__).parent / "data" / "training_services.py"
    spec = importlib.util.spec_from_file_location("penin_test_training_services", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


services = _services()


@pytest.fixture(params=[services.OpenAIJobs, services.MistralJobs], ids=lambda kind: kind.provider)
def service(request, monkeypatch):
    pytest.importorskip(f"penin_{request.param.provider}", reason="the plugin is not installed")
    monkeypatch.setenv(request.param.key_env, "sk-test-12345678")
    return request.param()


class Bench:
    """A project that trains at one service, and short words for what the tests do with it."""

    def __init__(self, folder, service, url):
        self.folder, self.service, self.slept, self.seen = folder, service, [], []
        text = SETTINGS.format(provider=service.provider, model=service.model, url=url)
        (folder / "penin.toml").write_text(text, encoding="utf-8")
        self.write("tasks", "door", 300)
        self.write("train", "boat", 30)
        self.write("valid", "roof", 10)
        self.project = open_project(config=folder / "penin.toml")

    def write(self, name, place, count):
        rows = [
            {"input": f"paint {place} {n} of the {place}s for {n} euro", "expected": str(n)}
            for n in range(count)
        ]
        rows = [{"id": f"{name}{n}", **row} for n, row in enumerate(rows)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")

    async def sleep(self, seconds):
        self.slept.append(seconds)

    def watch(self, event, about):
        self.seen.append((event, about))

    def train(self, **limits):
        data = (self.folder / "train.jsonl", self.folder / "valid.jsonl")
        plan = plan_training(self.project, *data, consent="ours")
        return asyncio.run(finetune(self.project, plan, watch=self.watch, **limits))

    def resume(self):
        return asyncio.run(resume(self.project, watch=self.watch))

    def cancel(self):
        return asyncio.run(finetuning.cancel(self.project))

    def states(self):
        return [about["state"] for event, about in self.seen if event == "state"]

    def jobs(self):
        with self.project.ledger() as ledger:
            return jobs(self.project.state, ledger)

    def events(self):
        with self.project.ledger() as ledger:
            kinds = ("FINETUNE_CREATED", "FINETUNE_FINISHED")
            return [(e.kind.removeprefix("FINETUNE_"), e.body.get("status"))
                    for e in ledger.events(kinds)]  # fmt: skip

    def money(self):
        """Return what is held back and what was spent, in micro-USD."""
        with closing(Budget(self.project.state / "budget.db")) as budget:
            held = sum(r.bound_micro_usd for r in budget.open_reservations())
            return held, budget.spent_today()


@pytest.fixture
def bench(tmp_path, service, monkeypatch):
    with Loopback(service.respond) as server:
        bench = Bench(tmp_path, service, server.url)
        monkeypatch.setattr(service_module, "Engine", partial(Engine, sleep=bench.sleep))
        with closing(bench.project):
            yield bench


DONE = [("CREATED", None), ("FINISHED", "succeeded")]
PAID = services.TOKENS * 2


# A job goes its way


def test_a_training_goes_through_every_status_to_a_model(bench, service):
    service.statuses = ["validating", "validated", "queued", "running", "paused", "running",
                        "reticulating", "succeeded"]  # fmt: skip
    job = bench.train()
    assert job.config.model.startswith(f"ft:{service.model}:acme:")
    assert [state.status for state in bench.states()] == [
        "validating", "validated", "queued", "running", "paused", "running", "unknown", "succeeded"
    ]  # fmt: skip
    assert bench.events() == DONE
    assert bench.money() == (0, PAID)
    assert [point.loss for point in job.curve()] == [1.0, 0.5, 1 / 3]


def test_both_files_are_uploaded_whole_and_once(bench, service):
    bench.train()
    assert service.done.count("POST files") == 2
    train, valid = service.files.values()
    assert (len(train.splitlines()), len(valid.splitlines())) == (30, 10)


def test_what_the_service_said_last_lies_beside_the_job(bench, service):
    job = bench.train()
    said = json.loads((job.folder / "service.json").read_text())
    assert said["status"] == "succeeded"
    assert len(said["events"]) == (3 if service.provider == "openai" else 1)
    if service.provider == "openai":
        assert [found["step"] for found in said["checkpoints"]] == [2, 3]
        assert said["files"] == ["file-results"]


@pytest.mark.parametrize(
    ("status", "error", "recorded"),
    [
        ("failed", TrainingFailed, "failed"),
        ("expired", TrainingFailed, "failed"),
        ("cancelled", TrainingStopped, "cancelled"),
    ],
)
def test_a_job_that_ends_without_a_model_is_over(bench, service, status, error, recorded):
    service.statuses, service.error = ["running", status], "line 3 is bad"
    with pytest.raises(error):
        bench.train()
    assert bench.events() == [("CREATED", None), ("FINISHED", recorded)]
    held, spent = bench.money()
    assert held == 0
    assert spent > 0
    with_reason = bench.jobs()[0].finished["reason"]
    assert "line 3 is bad" in with_reason
    service.statuses, service.error = ["succeeded"], ""
    assert bench.train().about["attempt"] == 2


# The service is in trouble


def test_polls_that_fail_for_a_while_are_forgiven(bench, service):
    broken = Answer(500, {"error": {"message": "boom", "type": "server_error"}})
    service.faults["GET job"] = [broken] * 12 + [RESET, RESET]
    assert bench.train().status == "succeeded"
    assert service.created() == 1


def test_a_service_that_stays_down_leaves_the_job_to_resume(bench, service):
    broken = Answer(503, "<html>bad gateway</html>", {"content-type": "text/html"})
    service.faults["GET job"] = [broken] * (5 * (MOST_MISSED + 1))
    with pytest.raises(ProviderUnavailable, match="answered 503"):
        bench.train()
    assert bench.events() == [("CREATED", None)]
    assert bench.resume().status == "succeeded"
    assert service.created() == 1
    assert bench.money() == (0, PAID)


def test_retry_after_is_obeyed(bench, service):
    slow = Answer(429, {"message": "Rate limit exceeded"}, {"retry-after": "37"})
    service.faults["POST jobs"] = [slow]
    service.faults["GET job"] = [slow]
    bench.train()
    assert bench.slept.count(37.0) == 2
    assert service.created() == 1


def test_a_job_whose_reply_was_lost_is_adopted(bench, service):
    service.faults["POST jobs"] = [(None, RESET)]
    assert bench.train().status == "succeeded"
    assert service.created() == 1
    assert bench.events() == DONE


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_create_that_broke_down_is_not_repeated_blindly(bench, service, status):
    broken = Answer(status, "<html>upstream</html>", {"content-type": "text/html"})
    service.faults["POST jobs"] = [(None, broken)]
    assert bench.train().status == "succeeded"
    assert service.created() == 1
    assert service.done.count("POST jobs") == 1


def test_a_lost_job_that_is_not_listed_yet_waits_for_the_next_start(bench, service):
    service.faults["POST jobs"] = [(None, RESET)]
    service.hidden = True
    with pytest.raises(ProviderUnavailable):
        bench.train()
    assert bench.money()[0] > 0
    service.hidden = False
    assert bench.resume().status == "succeeded"
    assert service.created() == 1
    assert bench.money() == (0, PAID)


def test_a_create_that_never_arrived_is_sent_again_by_the_next_start(bench, service):
    service.faults["POST jobs"] = [RESET]
    with pytest.raises(ProviderUnavailable):
        bench.train()
    assert bench.train().status == "succeeded"
    assert (service.created(), service.done.count("POST files")) == (1, 2)


def test_an_upload_that_fails_half_way_leaves_nothing_behind(bench, service):
    service.faults["POST files"] = [None, Answer(500, {"message": "boom"})]
    with pytest.raises(ProviderUnavailable):
        bench.train()
    assert service.files == {}
    assert bench.train().status == "succeeded"
    assert len(service.files) == 2


# The service refuses


def test_where_training_has_ended_nothing_is_left_behind(bench, service):
    service.faults["POST jobs"] = [service.refuse_to_train()]
    with pytest.raises(FineTuningUnavailable, match="deleted again") as caught:
        bench.train()
    assert "penin-hf" in caught.value.hint
    assert (service.files, bench.jobs(), bench.events()) == ({}, [], [])
    assert bench.money() == (0, 0)


def test_uploads_that_cannot_be_deleted_are_named(bench, service):
    service.faults["POST jobs"] = [service.refuse_to_train()]
    service.faults["DELETE file"] = [Answer(409, {"message": "busy"})] * 5
    with pytest.raises(FineTuningUnavailable) as caught:
        bench.train()
    (left,) = service.files
    assert f"these uploads are still there: {left}" in str(caught.value)


def test_files_that_expired_meanwhile_are_uploaded_again(bench, service):
    service.faults["POST jobs"] = [RESET]
    with pytest.raises(ProviderUnavailable):
        bench.train()
    service.files.clear()
    with pytest.raises(ProviderRefused, match="does not exist"):
        bench.resume()
    assert bench.money() == (0, 0)
    assert bench.resume().status == "succeeded"
    assert service.created() == 1


def test_a_wrong_key_sends_no_data(bench, service):
    refusal = Answer(401, {"detail": "Unauthorized"})
    place = "GET jobs" if service.provider == "mistral" else "POST files"
    service.faults[place] = [refusal]
    with pytest.raises(ProviderAuthError, match="Unauthorized"):
        bench.train()
    assert (service.files, bench.money()) == ({}, (0, 0))


def test_a_reply_of_another_service_is_one_clear_error(bench, service):
    service.faults["POST files"] = [Answer(200, {"hello": "world"})]
    with pytest.raises(ProviderBadReply, match="field 'id' is missing") as caught:
        bench.train()
    assert "base_url" in caught.value.hint


def test_time_that_runs_out_leaves_the_job_at_its_service(bench, service):
    service.statuses = ["running"]
    with pytest.raises(BudgetExceeded):
        bench.train(seconds=0.5)
    service.statuses = ["succeeded"]
    assert bench.resume().status == "succeeded"
    assert service.created() == 1


@pytest.mark.parametrize("name", ["files.json", "sent.json"])
def test_a_full_disk_creates_no_job(bench, service, monkeypatch, name):
    whole = service_module.write_whole

    def full(path, value):
        if path.name == name:
            raise OSError(28, "No space left on device")
        whole(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(service_module, "write_whole", full)
        with pytest.raises(StateError, match=f"{name} cannot be written: No space left") as caught:
            bench.train()
    assert "no job was created" in caught.value.hint
    assert service.created() == 0
    assert bench.resume().status == "succeeded"
    assert service.created() == 1


def test_what_is_only_kept_to_be_read_stops_nothing(bench, service, monkeypatch):
    whole = service_module.write_whole

    def full(path, value):
        if path.name == "service.json":
            raise OSError(28, "No space left on device")
        whole(path, value)

    monkeypatch.setattr(service_module, "write_whole", full)
    assert bench.train().status == "succeeded"


def test_a_reason_of_the_service_stays_one_printable_line(bench, service):
    service.statuses, service.error = ["failed"], "line 3:\n\x1b[31mbad\x1b[0m " + 900 * "x"
    with pytest.raises(TrainingFailed) as caught:
        bench.train()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# A job disappears, or is cancelled


def begun(bench, service):
    """Leave a job that runs at its service, and that nobody follows."""
    service.faults["GET job"] = [Answer(400, {"message": "not now"})]
    with pytest.raises(ProviderRefused):
        bench.train()
    (name,) = service.jobs
    return name


def test_a_job_that_the_service_does_not_know_is_an_error_that_says_so(bench, service):
    name = begun(bench, service)
    kept = service.jobs.pop(name)
    with pytest.raises(ProviderRefused, match=f"knows no training job {name}") as caught:
        bench.resume()
    assert "penin finetune cancel gives it up" in caught.value.hint
    service.jobs[name] = kept
    assert bench.resume().status == "succeeded"


def test_a_job_that_is_gone_can_be_given_up(bench, service):
    service.jobs.pop(begun(bench, service))
    job = bench.cancel()
    assert job.status == "cancelled"
    assert "given up" in job.finished["reason"]
    held, spent = bench.money()
    assert held == 0
    assert spent > PAID


def test_a_job_is_not_given_up_while_the_service_lists_it(bench, service):
    name = begun(bench, service)
    service.faults["POST cancel"] = [service.no_such(name)]
    with pytest.raises(ProviderRefused):
        bench.cancel()
    assert bench.jobs()[0].finished is None


def test_a_job_is_cancelled_at_its_service(bench, service):
    begun(bench, service)
    assert bench.cancel().status == "cancelled"
    assert service.done.count("POST cancel") == 1


def test_cancelling_what_is_over_already_takes_its_model(bench, service):
    name = begun(bench, service)
    service.jobs[name]["at"], service.statuses = "succeeded", ["succeeded"]
    assert bench.cancel().status == "succeeded"
    assert bench.events() == DONE


# A job is cancelled by another process, before the service knows of it


def left(bench, service):
    return service.created(), service.files, bench.jobs(), bench.events(), bench.money()


NOTHING = (0, {}, [], [], (0, 0))


def test_a_job_that_is_cancelled_during_the_upload_is_never_created(bench, service):
    service.faults["POST files"] = [(bench.cancel, None)]
    with pytest.raises(TrainingStopped, match=r"before it was created .* deleted again"):
        bench.train()
    assert left(bench, service) == NOTHING
    assert bench.train().status == "succeeded"


def test_a_job_that_is_cancelled_while_it_is_created_is_stopped_at_its_service(bench, service):
    service.faults["POST jobs"] = [(bench.cancel, None)]
    with pytest.raises(TrainingStopped, match="was cancelled"):
        bench.train()
    assert (service.created(), service.done.count("POST cancel")) == (1, 1)
    assert bench.events() == [("CREATED", None), ("FINISHED", "cancelled")]
    assert bench.money()[0] == 0


def test_a_service_that_stops_a_job_in_its_own_time_is_asked_once(bench, service, monkeypatch):
    def slowly(asked, name):
        service.statuses = ["cancelling", "cancelling", "cancelled"]
        return Answer(body=service.job(name))

    monkeypatch.setattr(service, "post_cancel", slowly)
    service.faults["POST jobs"] = [(bench.cancel, None)]
    with pytest.raises(TrainingStopped, match="was cancelled"):
        bench.train()
    assert service.done.count("POST cancel") == 1


def test_a_job_that_is_stopping_already_needs_no_stopping(bench, service, monkeypatch):
    def once(asked, name):
        if service.done.count("POST cancel") > 1:
            return service.refusal(400, "it is being cancelled", "invalid_request")
        service.statuses = ["cancelling"] * 3 + ["cancelled"]
        return Answer(body=service.job(name))

    monkeypatch.setattr(service, "post_cancel", once)
    service.faults["POST jobs"] = [(bench.cancel, None)]
    service.faults["GET job"] = [None] + [Answer(500, {"message": "boom"})] * 5
    with pytest.raises(TrainingStopped, match="was cancelled"):
        bench.train()
    assert service.done.count("POST cancel") == 2


def test_a_cancelled_job_that_the_service_refuses_leaves_nothing(bench, service):
    service.faults["POST jobs"] = [(bench.cancel, service.refusal(400, "no", "invalid_request"))]
    with pytest.raises(ProviderRefused, match="deleted again"):
        bench.train()
    assert (service.files, bench.jobs(), bench.money()) == ({}, [], (0, 0))


def test_a_cancelled_job_whose_reply_was_lost_is_stopped_once_it_is_found(bench, service):
    service.faults["POST jobs"] = [(bench.cancel, RESET)]
    service.hidden = True
    with pytest.raises(ProviderUnavailable):
        bench.train()
    service.hidden = False
    with pytest.raises(TrainingStopped, match="was cancelled"):
        bench.resume()
    assert (service.created(), service.done.count("POST cancel")) == (1, 1)
    assert bench.events() == [("CREATED", None), ("FINISHED", "cancelled")]


def test_a_cancelled_upload_that_fails_leaves_nothing(bench, service):
    down = Answer(503, {"message": "down"})
    service.faults["POST files"] = [(bench.cancel, down)] + [down] * 9
    with pytest.raises(TrainingStopped, match="before it was created"):
        bench.train()
    assert (service.created(), bench.jobs(), bench.money()) == (0, [], (0, 0))


def test_a_cancelled_job_whose_process_died_uploads_nothing_more(bench, service):
    service.faults["POST files"] = [Answer(503, {"message": "down"})] * 5
    with pytest.raises(ProviderUnavailable):
        bench.train()
    bench.jobs()[0].ask_to_cancel()
    tried = service.done.count("POST files")
    with pytest.raises(TrainingStopped, match="before it was created"):
        bench.resume()
    assert service.done.count("POST files") == tried
    assert left(bench, service) == NOTHING


def test_cancelling_what_could_not_be_uploaded_gives_the_money_back(bench, service):
    service.faults["POST files"] = [Answer(503, {"message": "down"})] * 10
    with pytest.raises(ProviderUnavailable):
        bench.train()
    assert bench.money()[0] > 0
    assert bench.cancel().status == "cancelled"
    assert left(bench, service) == NOTHING


def test_cancelling_what_was_uploaded_only_deletes_the_uploads(bench, service, monkeypatch):
    def full(path, value, whole=service_module.write_whole):
        if path.name == "sent.json":
            raise OSError(28, "No space left on device")
        whole(path, value)

    monkeypatch.setattr(service_module, "write_whole", full)
    with pytest.raises(StateError):
        bench.train()
    assert len(service.files) == 2
    assert "deleted again" in bench.cancel().finished["reason"]
    assert left(bench, service) == NOTHING


# A loss curve that was cut off


def test_half_a_line_of_the_curve_stops_no_job(bench, service):
    service.statuses = ["running"]
    service.faults["GET job"] = [None, Answer(400, {"message": "not now"})]
    with pytest.raises(ProviderRefused):
        bench.train()
    (job,) = bench.jobs()
    curve = job.folder / "curve.jsonl"
    curve.write_bytes(curve.read_bytes()[:-9] if curve.exists() else b'{"step":1,"st')
    service.statuses = ["succeeded"]
    assert [point.loss for point in bench.resume().curve()] == [1.0, 0.5, 1 / 3]


def test_a_curve_that_cannot_be_written_stops_no_job(bench, monkeypatch):
    def full(self, progress):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Job, "note", full)
    assert bench.train().status == "succeeded"


# A process that is killed


def test_a_process_that_is_killed_again_and_again_launches_one_job(bench, service):
    def trainer(last_words=""):
        command = [sys.executable, "-c", TRAINER, str(bench.folder), last_words]
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)

    def killed(process):
        assert process.wait(60) == -9
        process.stdout.close()

    def killed_after(call):
        process = trainer()
        service.faults[call] = [(process.kill, RESET)]
        killed(process)

    killed(trainer("files.json"))
    assert (len(service.files), service.created()) == (2, 0)
    killed(trainer("sent.json"))
    assert service.created() == 0
    killed_after("POST jobs")
    assert service.created() == 1
    killed_after("GET job")
    assert bench.events() == [("CREATED", None)]
    with trainer() as process:
        said, _ = process.communicate(timeout=60)
    assert said.startswith("succeeded ft:")
    assert (service.created(), service.done.count("POST files")) == (1, 2)
    assert bench.events() == DONE
    assert bench.money() == (0, PAID)
