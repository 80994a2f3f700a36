"""Training jobs: begun once, carried on, finished in the ledger, and competing like any other."""

import asyncio
import fcntl
import json
import os
import shutil
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest

import penin_core.training.jobs as job_module
import penin_core.training.service as service_module
from penin_core import (
    BudgetExceeded,
    Candidate,
    ComponentOptions,
    FineTuningUnavailable,
    LedgerInvalid,
    PluginInvalid,
    ProviderAuthError,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
    StateError,
    SuiteError,
    Task,
    TrainedModel,
    TrainingCapabilities,
    TrainingFailed,
    TrainingProgress,
    TrainingStopped,
    finetune_and_evolve,
    finetuning,
)
from penin_core.engine.budget import Budget
from penin_core.engine.wire import Engine
from penin_core.finetuning import finetune, resume
from penin_core.ledger import trained
from penin_core.ledger.trained import lineage_of, store_trained, trained_folder
from penin_core.project import open_project
from penin_core.records import job_status
from penin_core.runners import evaluate
from penin_core.suites import Suite
from penin_core.training.charges import price_bound
from penin_core.training.jobs import Job, find_job, held, is_held, jobs, prepare_job
from penin_core.training.local import Overseer
from penin_core.training.locks import lock
from penin_core.training.plan import left_of
from penin_core.training.planning import plan_training
from penin_core.training.tuned import tuned_candidates

DATA = Path(__file__).parent / "data"
COLOURS = ("red", "green", "blue")
SETTINGS = """
plugins = ["{plugin}"]

[champion]
provider = "{provider}"
model = "{model}"
system = "Name the colour."

[evolve]
challengers = 2
confirm_min = 100
confirm_max = 120
mutators = []

[evolve.margins]
C = 0.9

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


def rows(count, place):
    return [
        {"input": f"paint the {place} number {n} {place} in {COLOURS[n % 3]} for {n} euro today",
         "expected": COLOURS[n % 3]}
        for n in range(count)
    ]  # fmt: skip


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def make(folder, plugin="learner.py", provider="learner", model="l1"):
    text = SETTINGS.format(plugin=DATA / plugin, provider=provider, model=model)
    (folder / "penin.toml").write_text(text, encoding="utf-8")
    tasks = [{"id": f"t{n}", **row} for n, row in enumerate(rows(300, "door"))]
    write(folder / "tasks.jsonl", tasks)
    write(folder / "train.jsonl", rows(30, "boat"))
    return open_project(config=folder / "penin.toml")


@pytest.fixture
def project(tmp_path):
    with closing(make(tmp_path)) as project:
        yield project


class Bench:
    """One project, and short words for what the tests do with it."""

    def __init__(self, project):
        self.project = project
        self.folder = project.settings.folder
        self.seen = []

    def plan(self, **changes):
        given = {"consent": "ours", **changes}
        plan = plan_training(self.project, self.folder / "train.jsonl", **given)
        plan.data.require_usable()
        return plan

    def train(self, *, seconds=None, max_usd=None, **changes):
        plan = self.plan(**changes)
        limits = {"seconds": seconds, "max_usd": max_usd}
        return asyncio.run(finetune(self.project, plan, watch=self.watch, **limits))

    def resume(self, key=None):
        return asyncio.run(self.going_on(key))

    def going_on(self, key=None):
        return resume(self.project, key, watch=self.watch)

    def watch(self, event, about):
        self.seen.append((event, about))

    def jobs(self):
        with self.project.ledger() as ledger:
            return jobs(self.project.state, ledger)

    def events(self):
        with self.project.ledger() as ledger:
            kinds = ("FINETUNE_CREATED", "FINETUNE_FINISHED")
            return [(e.kind, e.body.get("status")) for e in ledger.events(kinds)]


CREATED, FINISHED = ("FINETUNE_CREATED", None), "FINETUNE_FINISHED"


@pytest.fixture
def bench(project):
    return Bench(project)


@pytest.fixture
def tuner(bench):
    return bench.project.finetuner("learner")


# A training in this process


def test_a_training_leaves_a_model_and_two_entries(bench):
    job = bench.train()
    assert job.status == "succeeded"
    assert bench.events() == [CREATED, (FINISHED, "succeeded")]
    folder = trained_folder(bench.project.state, job.config.adapter)
    assert json.loads((folder / "words.json").read_text())["red"]["red"] == 60
    assert not job.work.exists()


def test_the_tuned_model_is_proposed_with_the_prompt_that_it_was_trained_with(bench):
    running = bench.project.settings.champion
    job = bench.train()
    assert job.config.model_copy(update={"adapter": None}) == running


def test_lineage_stands_beside_the_model(bench):
    job = bench.train(seed=5)
    found = lineage_of(bench.project.state, job.config.adapter)
    assert found == {
        "provider": "learner",
        "model": "l1",
        "plugin": job.about["plugin"],
        "data_sha256": bench.plan().data.hash,
        "train": 30,
        "validation": 0,
        "hyperparams": {"n_epochs": 6},
        "seed": 5,
        "consent": {"ours": 30},
        "licenses": {"not stated": 30},
    }


def test_the_loss_curve_is_kept(bench):
    points = bench.train().curve()
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    assert points[0].loss > points[-1].loss > 0


def test_half_a_line_of_the_curve_is_cut_off_before_the_next(tmp_path):
    job = Job(tmp_path, {"job": "x"})
    points = [TrainingProgress(step=n, loss=1 / n) for n in (1, 2, 3)]
    job.note(points[0])
    with (tmp_path / "curve.jsonl").open("a") as file:
        file.write('{"step":2,"lo')
    assert job.curve() == points[:1]
    job.note(points[1])
    assert job.curve() == points[:2]


@pytest.mark.parametrize("damage", [b'{"step":9,"st{"step":9}\n', b"\xff\n", b"\n", b"{}\n"])
def test_a_line_of_the_curve_that_cannot_be_read_is_left_out(tmp_path, damage):
    job = Job(tmp_path, {"job": "x"})
    points = [TrainingProgress(step=n, loss=1 / n) for n in (1, 2)]
    job.note(points[0])
    with (tmp_path / "curve.jsonl").open("ab") as file:
        file.write(damage)
    job.note(points[1])
    assert job.curve() == points


def test_a_point_that_is_told_again_counts_once(tmp_path):
    job = Job(tmp_path, {"job": "x"})
    first, second = (TrainingProgress(step=n, loss=1 / n) for n in (1, 2))
    for point in (first, second, second):
        job.note(point)
    assert job.curve() == [first, second]


def test_a_folder_that_a_killed_process_did_not_finish_is_no_job(bench):
    job = bench.train(seed=1)
    unfinished = job.folder.parent / ".aside-abcdefgh"
    shutil.copytree(job.folder, unfinished)
    about = {**job.about, "job": "0" * 32, "fingerprint": bench.plan().fingerprint}
    (unfinished / "job.json").write_text(json.dumps(about), encoding="utf-8")
    assert [found.key for found in bench.jobs()] == [job.key]
    second = bench.train()
    assert second.folder.is_dir()
    assert unfinished.is_dir(), "it may be what another process is writing"
    os.utime(unfinished, (0, 0))
    assert bench.train() == second
    assert not unfinished.exists()


def test_a_state_directory_that_has_no_room_for_jobs_is_named(bench):
    (bench.project.state / "finetune").write_text("in the way", encoding="utf-8")
    with pytest.raises(StateError, match="cannot be written: File exists"):
        bench.train()
    assert bench.events() == []


def test_the_same_training_is_adopted(bench, monkeypatch, tuner):
    first = bench.train()
    monkeypatch.setattr(type(tuner), "train", None)
    assert bench.train() == first
    assert len(bench.events()) == 2


@pytest.mark.parametrize("changes", [{"seed": 1}, {"hyperparams": {"n_epochs": 2}}], ids=str)
def test_another_training_is_another_job(bench, changes):
    keys = {bench.train().key, bench.train(**changes).key}
    assert len(keys) == len(bench.jobs()) == 2


def stop_after(steps):
    class Stopping(Overseer):
        def __call__(self, progress):
            if progress.step == steps:
                self.stop.set()
            super().__call__(progress)

    return Stopping


def test_a_stopped_training_goes_on_to_the_same_model(bench, monkeypatch, tmp_path_factory):
    with monkeypatch.context() as patched:
        patched.setattr("penin_core.training.local.Overseer", stop_after(3))
        with pytest.raises(TrainingStopped):
            bench.train()
    assert [job.status for job in bench.jobs()] == ["paused"]
    assert bench.events() == [CREATED]
    job = bench.resume()
    assert [point.step for point in job.curve()] == [1, 2, 3, 4, 5, 6]
    with closing(make(tmp_path_factory.mktemp("other"))) as other:
        assert Bench(other).train().config.adapter == job.config.adapter


def test_cancelling_the_task_waits_until_the_thread_has_stopped(bench, tuner, monkeypatch):
    monkeypatch.setenv("LEARNER_SLEEPS", "0.05")

    async def interrupted():
        task = asyncio.create_task(finetune(bench.project, bench.plan(), watch=bench.watch))
        while not any(event == "progress" for event, _ in bench.seen):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(bench.seen)

    told = asyncio.run(interrupted())
    assert [job.status for job in bench.jobs()] == ["paused"]
    assert len(bench.seen) == told
    assert bench.resume().status == "succeeded"


def test_a_time_that_is_no_number_is_refused_before_anything_begins(bench):
    with pytest.raises(ValueError, match="seconds = nan"):
        bench.train(seconds=float("nan"))
    assert bench.events() == []


def test_a_seed_that_is_none_is_refused_before_anything_begins(bench):
    with pytest.raises(ValueError, match="seed = -1"):
        bench.train(seed=-1)
    assert bench.events() == []


def test_time_that_runs_out_leaves_a_job_to_resume(bench):
    with pytest.raises(BudgetExceeded, match="not over"):
        bench.train(seconds=1e-9)
    assert bench.resume().status == "succeeded"


@pytest.mark.parametrize("step", [1, 4], ids=["before the first checkpoint", "after one"])
def test_a_full_disk_loses_nothing(bench, monkeypatch, step):
    monkeypatch.setenv("LEARNER_FAILS", f"{step}:disk")
    with pytest.raises(StateError, match=r"cannot write state\.new: No space left") as caught:
        bench.train()
    assert caught.value.hint == (
        "make room on the disk, then: penin finetune resume; it goes on from the last checkpoint, "
        "or from the start where there is none yet"
    )
    monkeypatch.delenv("LEARNER_FAILS")
    assert bench.events() == [CREATED]
    bench.seen.clear()
    assert bench.resume().status == "succeeded"
    told = [about["progress"].step for event, about in bench.seen if event == "progress"]
    assert told == list(range(step, 7))


def test_checkpoints_go_with_the_job_also_when_the_process_dies_before(bench, monkeypatch):
    first = bench.train()
    assert not first.work.exists()
    with monkeypatch.context() as dying:
        dying.setattr(job_module, "_clear", lambda job: None)
        second = bench.train(seed=1)
    assert (second.work / "words.json").exists()
    bench.train()
    assert not second.work.exists()


def test_a_failed_training_is_recorded_and_the_next_start_is_a_new_job(bench, monkeypatch):
    monkeypatch.setenv("LEARNER_FAILS", "2:nan")
    with pytest.raises(TrainingFailed, match="not finite"):
        bench.train()
    monkeypatch.delenv("LEARNER_FAILS")
    again = bench.train()
    assert [job.status for job in bench.jobs()] == ["failed", "succeeded"]
    assert again.about["attempt"] == 2
    assert bench.jobs()[0].finished["reason"].startswith("the loss is not finite")


def test_a_defect_names_the_fine_tuner(bench, monkeypatch):
    monkeypatch.setenv("LEARNER_FAILS", "1:bug")
    with pytest.raises(TrainingFailed, match="fine-tuner 'learner' failed: RuntimeError: a bug"):
        bench.train()
    assert bench.events() == [CREATED, (FINISHED, "failed")]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [("words", "returned str"), (TrainedModel(files=("none.bin",)), "left no file 'none.bin'")],
)
def test_what_a_fine_tuner_returns_is_checked(bench, tuner, monkeypatch, returned, reason):
    monkeypatch.setattr(type(tuner), "train", lambda self, job, watch: returned)
    with pytest.raises(TrainingFailed, match=reason):
        bench.train()


def test_a_cancelled_training_ends(bench, monkeypatch):
    class Cancelled(Overseer):
        def __call__(self, progress):
            if progress.step == 2:
                self.job.ask_to_cancel()
                self._looked = 0.0
                assert self.job.status == "cancelling"
            super().__call__(progress)

    monkeypatch.setattr("penin_core.training.local.Overseer", Cancelled)
    with pytest.raises(TrainingStopped, match="was cancelled"):
        bench.train()
    assert bench.events() == [CREATED, (FINISHED, "cancelled")]


def test_a_paused_training_is_cancelled_at_once(bench):
    with pytest.raises(BudgetExceeded):
        bench.train(seconds=1e-9)
    job = asyncio.run(finetuning.cancel(bench.project))
    assert job.status == "cancelled"
    assert not job.work.exists()
    for again in (finetuning.cancel(bench.project, job.short), bench.going_on(job.short)):
        with pytest.raises(StateError, match="is over: cancelled"):
            asyncio.run(again)


def test_two_processes_do_not_train_the_same_job(bench):
    with pytest.raises(BudgetExceeded):
        bench.train(seconds=1e-9)
    (job,) = bench.jobs()
    with held(job):
        assert is_held(job.folder)
        with pytest.raises(StateError, match="another process"):
            bench.resume()
    assert not is_held(job.folder)


def test_a_job_without_its_folder_is_named_and_can_be_cancelled(bench):
    with pytest.raises(BudgetExceeded):
        bench.train(seconds=1e-9)
    (job,) = bench.jobs()
    shutil.rmtree(job.folder)
    for go_on in (bench.resume, bench.train):
        with pytest.raises(StateError, match=r"data\.json cannot be read") as caught:
            go_on()
        assert "penin finetune cancel, then start again" in caught.value.hint
    assert asyncio.run(finetuning.cancel(bench.project)).status == "cancelled"
    assert bench.train().status == "succeeded"


def test_a_cancel_counts_that_came_since_the_last_look(bench, monkeypatch):
    class Late(Overseer):
        def __call__(self, progress):
            self._looked = time.monotonic()
            self.ends = 0.0
            self.job.ask_to_cancel()
            super().__call__(progress)

    monkeypatch.setattr("penin_core.training.local.Overseer", Late)
    with pytest.raises(TrainingStopped, match="was cancelled"):
        bench.train()
    assert bench.events() == [CREATED, (FINISHED, "cancelled")]


def test_who_looks_whether_a_job_is_held_holds_nobody_up(tmp_path, monkeypatch):
    with (tmp_path / "lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(tmp_path)
        monkeypatch.setattr("time.sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        with lock(tmp_path) as free:
            assert free
            assert is_held(tmp_path)


def test_data_that_changed_are_not_trained_on(bench):
    with pytest.raises(BudgetExceeded):
        bench.train(seconds=1e-9)
    path = bench.jobs()[0].folder / "data.json"
    path.write_text(path.read_text().replace('"red"', '"pink"'))
    with pytest.raises(StateError, match="not what the job was started with"):
        bench.resume()


def test_a_crash_between_folder_and_entry_is_made_good(bench, monkeypatch):
    monkeypatch.setattr(finetuning, "resume", None)
    with pytest.raises(TypeError):
        bench.train()
    monkeypatch.undo()
    assert [(job.status, job.begun) for job in bench.jobs()] == [("paused", False)]
    assert bench.train().status == "succeeded"
    assert bench.events() == [CREATED, (FINISHED, "succeeded")]


def test_a_job_that_nobody_began_is_discarded(bench, monkeypatch):
    monkeypatch.setattr(finetuning, "resume", None)
    with pytest.raises(TypeError):
        bench.train()
    asyncio.run(finetuning.cancel(bench.project))
    assert bench.jobs() == []


def test_two_starts_at_once_are_one_job(bench, monkeypatch):
    plan = bench.plan()
    with bench.project.ledger() as ledger:
        first = prepare_job(bench.project.state, ledger, plan, "p")
        monkeypatch.setattr(job_module, "jobs", lambda state, ledger: [])
        assert prepare_job(bench.project.state, ledger, plan, "p").folder == first.folder
    assert [path.name for path in first.folder.parent.iterdir()] == [first.key]


def test_other_weights_under_the_same_name_are_another_training(bench, monkeypatch):
    first = bench.train()
    provider = type(bench.project.provider("learner"))
    monkeypatch.setattr(provider, "fingerprint", lambda self, model: "a" * 64)
    second = bench.train()
    assert second.key != first.key
    assert bench.train().key == second.key
    assert lineage_of(bench.project.state, second.config.adapter)["weights"] == "a" * 64
    assert "weights" not in lineage_of(bench.project.state, first.config.adapter)


def test_preferences_reach_the_fine_tuner_whole(bench, tuner, monkeypatch):
    class Hyperparams(type(tuner).Hyperparams):
        method: str = "sft"

    monkeypatch.setattr(type(tuner), "Hyperparams", Hyperparams)
    rows = [
        {"input": f"paint boat number {n}", "chosen": "red", "rejected": "grey"} for n in range(12)
    ]
    write(bench.folder / "train.jsonl", rows)
    job = bench.train(hyperparams={"method": "dpo"})
    train, _ = job.examples()
    assert {(example.answer, example.rejected) for example in train} == {("red", "grey")}
    assert job.about["hyperparams"]["method"] == "dpo"


def test_jobs_are_found_by_the_beginning_of_their_key(bench):
    first, second = bench.train(), bench.train(seed=1)
    with bench.project.ledger() as ledger:
        find = partial(find_job, bench.project.state, ledger)
        assert find(first.key[:4]) == first
        assert find(second.key) == second
        for text, reason in (
            ("", "'': it takes the first 4 characters"),
            (first.key[:3], f"{first.key[:3]!r}: it takes the first 4 characters"),
            ("zzzz", "begins with 'zzzz'"),
            (None, "is unfinished"),
        ):
            with pytest.raises(StateError, match=reason):
                find(text)


# What is refused before anything is spent


def test_a_provider_without_fine_tuner_says_who_has_one(bench):
    with pytest.raises(FineTuningUnavailable, match="'pupil' has no fine-tuner") as caught:
        bench.plan(provider="pupil")
    assert "--provider learner" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"model": "l9"}, FineTuningUnavailable, "'l9' cannot be trained"),
        ({"hyperparams": {"n_epoch": 1}}, SettingsError, "unknown key 'n_epoch'"),
        ({"hyperparams": {"n_epochs": 0}}, SettingsError, "n_epochs = 0"),
        ({"consent": ""}, SuiteError, "30 rows say nothing of consent"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(bench, changes, error, reason):
    with pytest.raises(error, match=reason):
        bench.plan(**changes)
    assert bench.jobs() == []


def test_confirm_tasks_are_refused_with_their_ids(bench):
    confirm = bench.project.suite.split("confirm")[0]
    row = {"input": confirm.input, "expected": confirm.expected}
    write(bench.folder / "train.jsonl", [*rows(30, "boat"), row])
    with pytest.raises(SuiteError, match=f"line 31: it gives away confirm task '{confirm.id}'"):
        bench.plan()


def test_nobody_is_taught_what_shows_how_a_model_does_untaught(bench):
    asked, suite = "whatever the weather brings to us", bench.project.suite
    odd = Task(id="odd", split="ood", input=asked, expected="red")
    bench.project.suite = Suite(suite.definition, [*suite.tasks, odd])
    write(bench.folder / "train.jsonl", [*rows(30, "boat"), {"input": asked, "expected": "red"}])
    with pytest.raises(SuiteError, match="line 31: it gives away ood task 'odd'"):
        bench.plan()


def test_an_example_that_the_model_cannot_take_is_named_with_its_line(bench, tuner, monkeypatch):
    def tokens(self, model, example):
        if "number 7" in example.messages[-1].content:
            raise ProviderRefused("turns in disorder")
        return 1

    monkeypatch.setattr(type(tuner), "tokens", tokens)
    with pytest.raises(SuiteError, match="line 8: turns in disorder"):
        bench.plan()


def test_a_defect_of_a_plan_names_the_fine_tuner(bench, tuner, monkeypatch):
    monkeypatch.setattr(type(tuner), "tokens", lambda self, model, example: 1 / 0)
    with pytest.raises(PluginInvalid, match="fine-tuner 'learner': "):
        bench.plan()


# The trained files


def test_trained_files_are_named_by_content_and_lineage(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"weights")
    store = partial(store_trained, tmp_path / "state", tmp_path, ("w.bin",))
    name = store({"seed": 1})
    assert store({"seed": 1}) == name
    assert store({"seed": 2}) != name
    (tmp_path / "w.bin").write_bytes(b"weights, others")
    assert store({"seed": 1}) != name
    assert (trained_folder(tmp_path / "state", name) / "w.bin").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["../w.bin", "manifest.json", "link", "none", "folder"])
def test_only_plain_files_of_the_folder_are_stored(tmp_path, name):
    (tmp_path / "manifest.json").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "manifest.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="not a plain file"):
        store_trained(tmp_path / "state", tmp_path, (name,), {})
    assert list((tmp_path / "state" / "artifacts").iterdir()) == []


def test_a_full_disk_leaves_no_part_of_an_artifact(tmp_path, monkeypatch):
    (tmp_path / "w.bin").write_bytes(b"weights")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trained.os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        store_trained(tmp_path / "state", tmp_path, ("w.bin",), {})
    assert list((tmp_path / "state" / "artifacts").iterdir()) == []


@pytest.mark.parametrize("file", ["w.bin", "manifest.json"])
@pytest.mark.parametrize("removed", [False, True], ids=["changed", "removed"])
def test_a_damaged_artifact_is_not_used(tmp_path, file, removed):
    (tmp_path / "w.bin").write_bytes(b"weights")
    name = store_trained(tmp_path, tmp_path, ("w.bin",), {})
    folder = trained_folder(tmp_path, name)
    folder.chmod(0o700)
    (folder / file).unlink()
    if not removed:
        (folder / file).write_bytes(b"other")
    with pytest.raises(LedgerInvalid, match=file):
        trained_folder(tmp_path, name)


@pytest.mark.parametrize("name", ["w", "sha256:12", f"sha256:{'0' * 64}", "sha256:../../etc"])
def test_a_trained_model_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(ProviderRefused):
        trained_folder(tmp_path, name)


def test_the_provider_sees_the_folder_and_the_books_the_hash(bench, monkeypatch):
    job = bench.train()
    seen = set()
    provider = bench.project.provider("learner")
    generate = type(provider).generate

    def spied(self, requests):
        seen.update(request.adapter for request in requests)
        return generate(self, requests)

    monkeypatch.setattr(type(provider), "generate", spied)
    measured = asyncio.run(evaluate(bench.project, job.config, count=20))
    assert seen == {str(trained_folder(bench.project.state, job.config.adapter))}
    assert measured.U == 1.0
    seen.clear()
    moved = bench.folder / "moved"
    shutil.copytree(bench.project.state, moved)
    with closing(open_project(config=bench.folder / "penin.toml", state=moved)) as elsewhere:
        asyncio.run(evaluate(elsewhere, job.config, count=20))
    assert seen == set()


# Competing


def candidates(bench, tasks=(), barred=frozenset()):
    with bench.project.ledger() as ledger:
        return [c for _, c in tuned_candidates(bench.project.state, ledger, tasks, barred)]


def test_only_trained_models_compete(bench, monkeypatch):
    monkeypatch.setenv("LEARNER_FAILS", "2:nan")
    with pytest.raises(TrainingFailed):
        bench.train()
    assert candidates(bench) == []
    monkeypatch.delenv("LEARNER_FAILS")
    job = bench.train()
    found, cold = candidates(bench)
    assert isinstance(found, Candidate)
    assert (found.config, found.origin) == (job.config, "finetune")
    assert cold.config == job.config.model_copy(update={"temperature": 0.0})
    assert candidates(bench, barred=frozenset({found.hash})) == [cold]
    assert candidates(bench, barred=frozenset({found.hash, cold.hash})) == []


def test_a_model_that_saw_a_confirm_task_does_not_compete(bench):
    bench.train()
    seen = Task(id="new", input=rows(30, "boat")[4]["input"])
    (found,) = candidates(bench, [seen])
    assert isinstance(found, StateError)
    assert "trained on confirm tasks: new ~ train.jsonl:5" in str(found)


def test_a_model_of_unknown_data_does_not_compete(bench):
    job = bench.train()
    shutil.rmtree(job.folder)
    (found,) = candidates(bench)
    assert isinstance(found, StateError)


def test_a_model_whose_files_are_gone_does_not_compete(bench):
    job = bench.train()
    shutil.rmtree(trained_folder(bench.project.state, job.config.adapter))
    (found,) = candidates(bench)
    assert isinstance(found, ProviderRefused)


def test_money_for_training_and_cycle_is_spent_once(bench):
    plan = replace(bench.plan(), bound_micro_usd=2_000_000)
    assert left_of(5.0, plan) == 3.0
    assert left_of(1.0, plan) == 0.0
    assert left_of(None, plan) is None


def test_a_tuned_model_is_promoted_by_evidence_and_competes_once(bench):
    report = asyncio.run(
        finetune_and_evolve(
            "l1",
            "learner",
            bench.folder / "train.jsonl",
            consent="ours",
            hyperparams={"n_epochs": 2},
            project=bench.project,
        )
    )
    assert (report.verdict, report.confirmation.proved) == ("promote", True)
    assert report.champion.config.adapter.startswith("sha256:")
    assert [run.candidate.origin for run in report.runs] == ["settings", "finetune", "finetune"]
    assert candidates(bench) == []


def test_finetune_and_evolve_refuses_a_suite_that_proves_nothing(bench):
    small = {"id": "a", "input": "x", "expected": "y", "split": "confirm"}
    write(bench.folder / "tasks.jsonl", [small])
    with (
        closing(open_project(config=bench.folder / "penin.toml")) as project,
        pytest.raises(SuiteError, match="a promotion needs"),
    ):
        asyncio.run(finetune_and_evolve(None, None, "train.jsonl", project=project))


# A training at a service


class Service:
    """The service: what it was asked, and what it does next."""

    def __init__(self, state):
        self.state = state
        self.asked, self.jobs, self.slept = [], {}, []
        self.statuses = ["validating_files", "queued", "running", "paused", "dreaming", "SUCCESS"]
        self.lost = self.hidden = self.refused = self.cancelled_at_once = False
        self.error, self.tokens = "", 5000
        self.before_poll = None

    async def sleep(self, seconds):
        self.slept.append(seconds)

    def respond(self, request):
        path, method = request.url.path, request.method
        self.asked.append(f"{method} {path}")
        if path == "/files":
            return httpx2.Response(200, json={"id": f"file-{len(self.asked)}"})
        if (method, path) == ("POST", "/jobs"):
            return self.create(json.loads(request.content))
        if path == "/jobs":
            known = [] if self.hidden else list(self.jobs.values())
            return httpx2.Response(200, json={"jobs": known})
        if method == "DELETE":
            return httpx2.Response(200, json={})
        if path.endswith("/cancel"):
            self.statuses = ["cancelling", "cancelled"][self.cancelled_at_once :]
            return httpx2.Response(200, json={})
        return httpx2.Response(200, json=self.job(path.rpartition("/")[2]))

    def create(self, body):
        if self.refused:
            return httpx2.Response(403, json={"error": {"message": "no training here"}})
        name = f"job-{len(self.jobs) + 1}"
        self.jobs[name] = {"id": name, **body}
        if self.lost:
            self.lost = False
            raise httpx2.ReadError("gone")
        return httpx2.Response(200, json=self.jobs[name])

    def job(self, name):
        assert name in self.jobs
        if self.before_poll:
            self.before_poll()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        losses = [1.0, 0.5, 0.25][: 6 - len(self.statuses)]
        done = {"model": f"ft:{name}", "losses": losses, "tokens": self.tokens}
        return {**self.jobs[name], **done, "status": status, "error": self.error}

    def created(self):
        return self.asked.count("POST /jobs")


@pytest.fixture
def service(tmp_path, monkeypatch):
    service = Service(tmp_path)
    wired = partial(Engine, transport=httpx2.MockTransport(service.respond), sleep=service.sleep)
    monkeypatch.setattr(service_module, "Engine", wired)
    return service


@pytest.fixture
def remote(tmp_path, service):
    with closing(make(tmp_path, "jobs_service.py", "jobs", "base")) as project:
        yield Bench(project)


def reserved(bench):
    budget = Budget(bench.project.state / "budget.db")
    with closing(budget):
        return sum(r.bound_micro_usd for r in budget.open_reservations()), budget.spent_today()


def test_a_job_is_followed_to_its_model(remote, service):
    job = remote.train()
    assert (job.status, job.service_job) == ("succeeded", "job-1")
    assert job.config.model == "ft:job-1"
    assert job.config.adapter is None
    assert service.asked[:3] == ["POST /files", "POST /jobs", "GET /jobs/job-1"]
    assert [point.loss for point in job.curve()] == [1.0, 0.5, 0.25]


def test_preferences_are_not_sent_to_a_service(remote, service, monkeypatch):
    class Hyperparams(ComponentOptions):
        method: str = "dpo"

    monkeypatch.setattr(type(remote.project.finetuner("jobs")), "Hyperparams", Hyperparams)
    with pytest.raises(FineTuningUnavailable, match="sends no preferences") as caught:
        remote.plan()
    assert "--provider hf" in caught.value.hint
    assert service.asked == []


def test_pauses_grow_to_a_minute(remote, service):
    service.statuses = ["queued"] * 12 + ["succeeded"]
    remote.train()
    assert service.slept[:4] == [5.0, 7.5, 11.25, 16.875]
    assert max(service.slept) == service.slept[-1] == 60.0


def test_the_id_is_in_the_ledger_before_the_first_poll(remote, service):
    known = []
    service.before_poll = lambda: known.append([j.service_job for j in remote.jobs() if j.begun])
    remote.train()
    assert known[0] == ["job-1"]


def test_the_most_it_can_cost_is_reserved_before_and_settled_after(remote, service):
    held_back = []
    service.before_poll = lambda: held_back.append(reserved(remote))
    remote.train()
    assert held_back[0] == (30 * 1000 * 3 * 10, 0)
    assert reserved(remote) == (0, 5000 * 10)


def test_what_the_service_does_not_count_is_charged_in_full(remote, service):
    service.tokens = None
    remote.train()
    assert reserved(remote) == (0, 900_000)


def test_no_money_no_upload(remote, service):
    with pytest.raises(BudgetExceeded):
        remote.train(max_usd=0.5)
    assert service.asked == []
    assert remote.resume().status == "succeeded"


@pytest.mark.parametrize("epochs", ["auto", True])
def test_a_price_without_bound_is_refused(remote, epochs):
    with pytest.raises(SettingsError, match="bounds no price"):
        price_bound(TrainingCapabilities(usd_per_million=1.0), 1000, {"n_epochs": epochs})


def test_an_unknown_price_is_refused():
    with pytest.raises(ProviderRefused, match="no price is known"):
        price_bound(TrainingCapabilities(), 1000, {})
    assert price_bound(TrainingCapabilities(usd_per_million=0.0), 9, {}) == 0


def test_a_job_whose_reply_was_lost_is_adopted_at_once(remote, service):
    service.lost = True
    assert remote.train().service_job == "job-1"
    assert (service.created(), service.asked.count("POST /files")) == (1, 1)
    assert reserved(remote)[0] == 0


def test_a_lost_reply_does_not_create_a_second_job(remote, service):
    service.lost = service.hidden = True
    with pytest.raises(ProviderUnavailable):
        remote.train()
    (job,) = remote.jobs()
    assert (job.begun, job.status) == (False, "paused")
    with pytest.raises(StateError, match="nobody knows whether"):
        asyncio.run(finetuning.cancel(remote.project))
    service.hidden = False
    assert remote.train().service_job == "job-1"
    assert service.created() == 1
    assert service.asked.count("POST /files") == 1
    assert reserved(remote)[0] == 0


def test_a_killed_process_adopts_its_job(remote, service, monkeypatch):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    service.before_poll = kill
    with pytest.raises(Killed):
        remote.train()
    service.before_poll = None
    assert remote.train().status == "succeeded"
    assert service.created() == 1


def test_a_refused_job_gives_the_money_back(remote, service):
    service.refused = True
    with pytest.raises(ProviderAuthError, match="no training here"):
        remote.train()
    assert remote.events() == []
    assert reserved(remote) == (0, 0)
    service.refused = False
    assert remote.train().status == "succeeded"


def test_a_service_that_trains_nothing_leaves_no_job(remote, service, monkeypatch):
    def refuse(self, *args):
        raise FineTuningUnavailable("closed since July")
        yield

    monkeypatch.setattr(type(remote.project.finetuner("jobs")), "create_job", refuse)
    with pytest.raises(FineTuningUnavailable, match="closed since July"):
        remote.train()
    assert (remote.jobs(), reserved(remote)) == ([], (0, 0))


def test_a_service_that_cannot_be_asked_for_a_lost_job_creates_none(remote, service, monkeypatch):
    service.lost = service.hidden = True
    with pytest.raises(ProviderUnavailable):
        remote.train()

    def refuse(self, key):
        raise FineTuningUnavailable("it lists no jobs")
        yield

    monkeypatch.setattr(type(remote.project.finetuner("jobs")), "find_job", refuse)
    with pytest.raises(FineTuningUnavailable, match="lists no jobs"):
        remote.train()
    assert service.created() == 1
    assert len(remote.jobs()) == 1
    assert reserved(remote)[0] > 0


def test_a_job_that_fails_says_why(remote, service):
    service.statuses, service.error = ["FAILED_VALIDATION"], "line 3 is bad"
    with pytest.raises(TrainingFailed, match=r"job-1\) failed: line 3 is bad"):
        remote.train()
    assert remote.events() == [CREATED, (FINISHED, "failed")]
    service.statuses = ["succeeded"]
    assert remote.train().about["attempt"] == 2


def test_a_job_that_is_cancelled_elsewhere_ends(remote, service):
    service.statuses = ["running", "CANCELLED"]
    with pytest.raises(TrainingStopped, match="was cancelled"):
        remote.train()
    assert remote.events() == [CREATED, (FINISHED, "cancelled")]


def test_a_job_is_cancelled_at_its_service(remote, service):
    service.before_poll = lambda: (_ for _ in ()).throw(httpx2.ConnectError("down"))
    with pytest.raises(ProviderUnavailable):
        remote.train()
    service.before_poll = None
    job, state = asyncio.run(finetuning.look(remote.project))
    assert (job.status, state.status) == ("paused", "validating")
    assert asyncio.run(finetuning.cancel(remote.project)).status == "paused"
    assert service.statuses == ["cancelled"]
    with pytest.raises(TrainingStopped):
        remote.resume()
    assert remote.events() == [CREATED, (FINISHED, "cancelled")]


def test_a_job_that_stops_at_once_is_over_when_cancel_returns(remote, service):
    service.before_poll = lambda: (_ for _ in ()).throw(httpx2.ConnectError("down"))
    with pytest.raises(ProviderUnavailable):
        remote.train()
    service.before_poll = None
    service.cancelled_at_once = True
    assert asyncio.run(finetuning.cancel(remote.project)).status == "cancelled"
    assert reserved(remote) == (0, 50_000)


def test_time_that_runs_out_leaves_the_job_at_its_service(remote, service):
    service.statuses = ["running"]
    with pytest.raises(BudgetExceeded):
        remote.train(seconds=0.2)
    service.statuses = ["succeeded"]
    assert remote.resume().config.model == "ft:job-1"
    assert service.created() == 1


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("validating_files", "validating"),
        ("VALIDATED", "validated"),
        ("STARTED", "running"),
        ("in_progress", "running"),
        ("CANCELLATION_REQUESTED", "cancelling"),
        ("canceled", "cancelled"),
        ("Succeeded", "succeeded"),
        ("FAILED_VALIDATION", "failed"),
        ("expired", "failed"),
        (None, "unknown"),
    ],
)
def test_statuses_of_services_are_mapped(said, meant):
    assert job_status(said) == meant
