"""penin finetune from the command line: start, interrupt, go on, cancel, list, export."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penin_core import BudgetExceeded, TrainingProgress
from penin_core.cli import run
from penin_core.cli.training import Curve, job_in_words, sparkline

LEARNER = Path(__file__).parent / "data" / "learner.py"
COLOURS = ("red", "green", "blue")
SETTINGS = f"""
plugins = ["{LEARNER}"]

[champion]
provider = "learner"
model = "l1"
system = "Name the colour."

[evolve]
challengers = 1
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
START = ("finetune", "start", "--train", "train.jsonl", "--consent", "ours")


def rows(count, place):
    return [
        {
            "input": f"paint the {place} number {n} {place} in {COLOURS[n % 3]} for {n} euro today",
            "expected": COLOURS[n % 3],
        }
        for n in range(count)
    ]


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "penin.toml").write_text(SETTINGS, encoding="utf-8")
    write(tmp_path / "tasks.jsonl", [{"id": f"t{n}", **r} for n, r in enumerate(rows(300, "door"))])
    write(tmp_path / "train.jsonl", rows(30, "boat"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def penin(capsys):
    def penin(*args):
        code = run([*args])
        out, err = capsys.readouterr()
        return code, out, err

    return penin


def status(penin, *args):
    return json.loads(penin("finetune", "status", *args, "--json")[1])


def test_the_whole_road(penin, folder):
    code, out, err = penin(*START)
    assert (code, "succeeded" in out, "penin evolve lets it compete" in out) == (0, True, True)
    assert "step 6 of 6" in err
    code, out, err = penin("evolve", "--json")
    assert json.loads(out)["verdict"] == "promote"
    (job,) = json.loads(penin("finetune", "list", "--json")[1])
    assert (job["status"], job["verdict"]) == ("succeeded", "promote")
    assert job["tuned"] in penin("champion")[1]
    code, out, err = penin("finetune", "export", "--output", "new.jsonl")
    assert (code, " rows in new.jsonl" in out) == (0, True)
    exported = [json.loads(line) for line in (folder / "new.jsonl").read_text().splitlines()]
    assert {"task", "run", "config", "utility"} == exported[0]["lineage"].keys()
    assert penin("rollback")[0] == 0
    assert job["tuned"] in penin("rollback", "--to", job["run"])[1]
    assert penin("ledger", "verify")[0] == 0


def test_what_is_exported_can_be_trained_on(penin, folder):
    assert penin("evolve", "--quiet")[0] == 0
    assert penin("finetune", "export", "--output", "new.jsonl")[0] == 0
    code, out, _ = penin(*START[:3], "new.jsonl", "--consent", "ours", "--plan", "--json")
    plan = json.loads(out)
    assert (code, plan["problems"]) == (0, [])
    lines = (folder / "new.jsonl").read_text().splitlines()
    assert plan["train"] == len(lines) > 20
    code, out, err = penin("finetune", "export", "--output", "new.jsonl")
    assert (code, out, err.splitlines()[-1]) == (2, "", "hint: name a new file")


def test_tasks_that_measure_what_nobody_taught_are_not_exported(penin, folder):
    tasks = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
    special = {f"x{split}{n}": split for split in ("ood", "composed") for n in range(5)}
    extra = [
        {"id": name, "split": split, **row}
        for (name, split), row in zip(special.items(), rows(10, "roof"), strict=True)
    ]
    write(folder / "tasks.jsonl", tasks + extra)
    assert penin("evolve", "--quiet")[0] == 0
    assert penin("finetune", "export", "--output", "new.jsonl", "--least", "0")[0] == 0
    exported = {json.loads(line)["id"] for line in (folder / "new.jsonl").read_text().splitlines()}
    assert exported
    assert not exported & special.keys()


@pytest.mark.parametrize("least", ["nan", "inf", "-inf", "-0.1", "1.01"])
def test_a_least_utility_that_is_none_is_refused(penin, folder, least):
    code, out, err = penin("finetune", "export", "--output", "new.jsonl", f"--least={least}")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("error: --least: ")
    assert second.startswith("hint: ")
    assert not (folder / "new.jsonl").exists()


def test_an_answer_that_nobody_scored_or_that_harms_is_not_exported(penin, monkeypatch):
    answers = [
        {"task": f"t{n}", "text": "red", "utility": utility, "harmful": harmful}
        for n in range(300)
        for utility, harmful in ((None, None), (0.5, False), (None, None), (1.0, True))
    ]
    assert penin("evolve", "--quiet")[0] == 0
    monkeypatch.setattr("penin_core.training.export._answers", lambda state, run: answers)
    assert penin("finetune", "export", "--output", "new.jsonl", "--least", "0")[0] == 0
    rows = [json.loads(line) for line in Path("new.jsonl").read_text().splitlines()]
    assert {row["lineage"]["utility"] for row in rows} == {0.5}


def test_nothing_to_export_is_said(penin):
    code, _, err = penin("finetune", "export", "--output", "new.jsonl")
    assert (code, "no recorded answer has a utility" in err) == (1, True)


def test_a_plan_spends_nothing(penin, folder):
    code, out, _ = penin(*START, "--plan")
    assert code == 0
    assert "30 to train on" in out
    assert "ours 30" in out
    assert not (folder / ".penin").exists()


def test_start_and_cycle_in_one(penin):
    code, out, _ = penin(*START, "--evolve", "--json")
    data = json.loads(out)
    assert (code, data["cycle"]["verdict"]) == (0, "promote")
    assert data["job"]["tuned"] == data["cycle"]["champion"]["config"]["adapter"]


def test_training_and_cycle_share_one_budget(penin, monkeypatch):
    given = []

    def cycles(project, count, *, budget, **_):
        given.append(budget)
        raise BudgetExceeded("no time is left")

    monkeypatch.setattr("penin_core.cli.evolve.cycles", cycles)
    assert penin(*START, "--evolve", "--budget", "10m")[0] == 4
    assert 0 < given[0] < 600


def test_a_suite_that_proves_nothing_is_refused_before_the_training(penin, folder):
    write(folder / "tasks.jsonl", [{"id": "a", "input": "x", "expected": "y", "split": "confirm"}])
    code, out, err = penin(*START, "--evolve")
    assert (code, out, "a promotion needs" in err) == (2, "", True)
    assert not (folder / ".penin").exists()


def test_a_second_start_adopts(penin):
    penin(*START)
    code, _, err = penin(*START)
    assert (code, "is known: it succeeded" in err) == (0, True)
    assert len(json.loads(penin("finetune", "list", "--json")[1])) == 1


def test_a_job_that_was_never_begun_and_cannot_be_read_is_named(penin):
    penin(*START)
    (broken := Path(".penin/finetune/abcdef12")).mkdir()
    (broken / "job.json").write_text("{")
    code, _, err = penin("finetune", "list")
    assert (code, "abcdef12/job.json cannot be read" in err) == (1, True), err
    assert "hint: its training never began: remove the folder" in err


def test_no_training_yet(penin):
    assert "no training yet" in penin("finetune", "list")[1]
    for command in ("resume", "status", "cancel"):
        code, _, err = penin("finetune", command)
        assert (code, "no training job is unfinished" in err) == (1, True)


def test_every_problem_is_listed(penin, folder):
    with (folder / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"input": 3\n[]\n')
    code, out, err = penin(*START)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert "train.jsonl, line 31: not JSON: Expecting ',' delimiter, at character 12" in lines
    assert "train.jsonl, line 32: not a JSON object" in lines
    assert lines[-2].startswith("error: the training data cannot be used: train.jsonl, line 31")
    assert not (folder / ".penin").exists()
    code, out, _ = penin(*START, "--json")
    assert (code, [p["line"] for p in json.loads(out)["problems"]]) == (2, [31, 32])


def test_problems_cannot_drive_a_terminal(penin, folder):
    write(folder / "train.jsonl", [*rows(12, "boat"), {"input": "\x1b[31m", "expected": "a"}] * 2)
    write(folder / "other.jsonl", [{"input": "\x1b[31m", "expected": "\x1b[32mb"}])
    code, _, err = penin(*START, "--validation", "other.jsonl")
    assert (code, "\x1b" in err, "contradicts" in err) == (2, False, True)
    write(folder / "train.jsonl", [{**row, "\x1b[31m": 1} for row in rows(12, "boat")])
    code, _, err = penin(*START)
    assert (code, "\x1b" in err, "are not used" in err) == (0, False, True)


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        (("--set", "n_epoch=3"), 2, "unknown key 'n_epoch'"),
        (("--set", "n_epochs=0"), 2, "n_epochs = 0"),
        (("--set", "n_epochs"), 2, "is not NAME=VALUE"),
        (("--set", "n_epochs=1", "--set", "n_epochs=2"), 2, "is given twice"),
        (("--provider", "nobody"), 1, "provider 'nobody' has no fine-tuner"),
        (("--model", "l9"), 1, "'l9' cannot be trained"),
        (("--validation", "none.jsonl"), 2, "none.jsonl: cannot be read"),
        (("--budget", "5"), 2, "--budget: '5' is not a duration"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_mistakes_are_two_lines(penin, args, code, reason):
    given, out, err = penin(*START, *args)
    assert (given, out) == (code, "")
    assert reason in err
    assert err.splitlines()[-1].startswith("hint: ")


def test_a_full_disk_is_two_lines_and_can_be_resumed(penin, monkeypatch):
    monkeypatch.setenv("LEARNER_FAILS", "3:disk")
    code, _, err = penin(*START)
    assert (code, "cannot write state.new: No space left on device" in err) == (1, True)
    monkeypatch.delenv("LEARNER_FAILS")
    found = status(penin)
    assert (found["status"], [p["step"] for p in found["curve"]]) == ("paused", [1, 2])
    assert penin("finetune", "resume")[0] == 0
    assert status(penin)["status"] == "succeeded"


def test_time_that_runs_out_ends_with_4(penin):
    code, _, err = penin(*START, "--budget", "0.000001s")
    assert (code, "penin finetune resume" in err) == (4, True)


# Other processes


def spawn(*args, sleeps):
    command = [sys.executable, "-c", "from penin_core.cli import main; main()", *args]
    return subprocess.Popen(
        command,
        env={**os.environ, "LEARNER_SLEEPS": str(sleeps)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process, text):
    """Read what a process says until ``text`` comes."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def test_ctrl_c_leaves_a_job_that_the_same_command_goes_on_with(penin):
    process = spawn(*START, sleeps=0.3)
    said(process, "step 1 of 6")
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, "run the same command to go on" in rest) == (130, True)
    assert status(penin)["status"] == "paused"
    code, _, err = penin(*START)
    assert (code, "goes on: step" in err) == (0, True)


def test_a_killed_training_goes_on(penin):
    process = spawn(*START, sleeps=0.3)
    said(process, "step 1 of 6")
    process.kill()
    process.communicate(timeout=60)
    assert status(penin)["status"] == "paused"
    reached = status(penin)["curve"][-1]["step"]
    assert f"reached    step {reached} of 6" in penin("finetune", "status")[1]
    assert penin("finetune", "resume")[0] == 0
    assert [point["step"] for point in status(penin)["curve"]] == [1, 2, 3, 4, 5, 6]


def test_a_training_is_cancelled_from_elsewhere(penin):
    process = spawn(*START, sleeps=5.0)
    said(process, "step 1 of 6")
    assert status(penin)["status"] == "running"
    assert json.loads(penin("finetune", "cancel", "--json")[1])["status"] == "cancelling"
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was cancelled" in rest
    assert json.loads(penin("finetune", "list", "--json")[1])[0]["status"] == "cancelled"


# The curve


def test_a_sparkline_goes_from_low_to_high():
    assert sparkline([]) == ""
    assert sparkline([1.0]) == sparkline([5.0]) == "▁"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline(range(1000), width=3) == "▁▄█"
    assert len(sparkline(range(33))) == 32


def test_steps_that_come_again_after_a_crash_replace_what_was_lost():
    curve = Curve()
    for step, loss in ((1, 0.9), (2, 0.8), (3, 0.7), (1, 0.9), (1, 0.9), (2, 0.6)):
        curve.step(TrainingProgress(step=step, steps=4, loss=loss))
    assert curve.losses == [0.9, 0.6]
    assert "to go" in curve.text()


def test_figures_are_shown_whole():
    known = {"job": "a" * 32, "provider": "p", "model": "m", "train": 20, "validation": 0}
    unset = dict.fromkeys(("service_job", "reason", "tuned", "verdict"))
    figures = {f"a_figure_of_some_length_{n}": n + 0.5 for n in range(9)} | {"size": 896_190.0}
    job = {**known, **unset, "status": "succeeded", "hyperparams": {"rank": None}}
    shown = job_in_words({**job, "figures": figures})
    assert "a_figure_of_some_length_8 8.5, size 896,190" in shown
    assert "rank by default" in shown


def test_a_curve_says_how_it_stands():
    curve = Curve()
    assert curve.text() == ""
    curve.step(TrainingProgress(step=0, steps=None, note="\x1b[31mred"))
    assert "\x1b" not in curve.text()
    curve.step(TrainingProgress(step=5, steps=1000, loss=0.5, validation_loss=0.7))
    assert curve.text().startswith("step 5 of 1,000, loss 0.500, validation 0.700, ")
