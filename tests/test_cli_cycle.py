"""A whole cycle from the command line, and every command that looks at it or takes it back.

The model is a plain-file plugin: told which answers there are it knows nearly all of them, and told
nothing it knows half of them.
"""

import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from penin_core import CycleReport
from penin_core.cli import run
from penin_core.cli.reporting import report_in_words
from penin_core.cli.why import _in_words, explained
from penin_core.cli.wording import sources
from penin_core.ledger.store import WORMLedger
from penin_core.omega.evidence import campaign_alpha, smallest_provable_gain
from penin_core.resuming import Asked, keep
from penin_core.state import exclusive

ROOT = Path(__file__).parent.parent
TASKS = 1200
SPLITS = ("confirm", "select")
ESCAPE = "\x1b[31m"

PUPIL = '''
import hashlib, os, time
from penin_core import LocalProvider, hookimpl
from penin_core.testing.fakes import Scripted

penin_api = 1
COLOURS = ("red", "green", "blue")


def answer(request):
    question = request.messages[-1].content.lower()
    right = next(colour for colour in COLOURS if colour in question)
    told = "one of" in request.system
    chance = hashlib.sha256(f"{request.seed} {question}".encode()).digest()[0] / 256
    return right if chance < (0.95 if told else 0.5) else "grey"


class Pupil(LocalProvider):
    """Knows colours, and more of them when it is told which there are."""

    name = "pupil"

    def __init__(self, options=None):
        super().__init__(options)
        self.script = Scripted(Scripted.Options(answer=answer))

    def capabilities(self, model):
        return self.script.capabilities(model)

    def generate(self, requests):
        time.sleep(float(os.environ.get("PUPIL_SLEEPS", "0")))
        if "PUPIL_TALKS" in os.environ:
            print("thinking about", len(requests))
        return self.script.generate(requests)


@hookimpl
def penin_register_providers():
    return [Pupil]
'''

SETTINGS = """
plugins = ["./pupil.py"]

[champion]
provider = "pupil"
model = "p1"
system = "Name\\u001b[31m the colour."

[suite]
name = "colours"
tasks = "tasks.jsonl"
axes = ["U", "S", "C", "L"]
metrics = ["exact_match", "token_f1"]
evaluators = ["robustness", "cost", "reuse", "agreement", "secrets"]
calibration = "not_applicable"
groups = "not_applicable"
consent = "not_applicable"

[suite.reasons]
calibration = "the pupil says no probabilities"
groups = "colours belong to nobody"
consent = "nobody is asked"

[evolve.margins]
C = 0.9
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def call(*args):
    """Run penin in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(arg) for arg in args])
    return Said(code, out.getvalue(), err.getvalue())


def task(number):
    colour = ("red", "green", "blue")[number % 3]
    split = "confirm" if number % 4 else "select"
    text = f"Somebody describes item {number} at length, and in passing calls it {colour} today."
    return {"id": f"t{number}", "input": text, "expected": colour, "split": split}


def written(folder, tasks):
    """Write a project with these tasks, and return its folder."""
    (folder / "pupil.py").write_text(PUPIL)
    (folder / "penin.toml").write_text(SETTINGS)
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    return folder


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    """A project after one cycle, and what that cycle said."""
    folder = written(tmp_path_factory.mktemp("project"), map(task, range(TASKS)))
    said = call("evolve", "--config", folder / "penin.toml", "--seed", 1)
    assert said.code == 0, said.err
    return folder, said


@pytest.fixture
def project(evolved, tmp_path):
    """A copy of it, and a function that runs a command there."""
    shutil.copytree(evolved[0], tmp_path / "p")

    def there(*args):
        return call(*args, "--config", tmp_path / "p" / "penin.toml")

    there.state = tmp_path / "p" / ".penin"
    return there


def run_ids(project):
    with sqlite3.connect(project.state / "ledger.db") as ledger:
        rows = ledger.execute("SELECT verdict, kind, id FROM runs ORDER BY idx").fetchall()
    ledger.close()
    return {
        verdict: [i for v, k, i in rows if v == verdict and k == "challenger"]
        for verdict, *_ in rows
    }


# The cycle


def test_evolve_reports_the_promotion_on_one_screen(evolved):
    lines = evolved[1].out.splitlines()
    assert len(lines) <= 24
    assert lines[0].startswith("PROMOTED: better, proved on ")
    assert any(re.match(r"gain +\+0\.\d{3} exact_match, 95 % interval \+0\.", x) for x in lines)
    assert any(re.match(r"U utility +0\.\d{3} +0\.\d{3}$", x) for x in lines)
    assert next(x.split()[1] for x in lines if " pass " in x or " open " in x) == "sigma"
    assert lines[-1].split() == ["penin", "rollback"]


def test_evolve_says_on_stderr_what_is_at_stake_and_little_more(evolved):
    err = evolved[1].err
    assert "suite colours: 300 tasks to search on, 900 of 900 left to confirm on" in err
    assert re.search(r"a confirmation on 500 of them can prove a gain of about \d+ points", err)
    assert "8 challengers to pupil:p1, at most 30 min and $5.00 a day" in err
    assert err.index("at most 30 min") < err.index("measuring what runs today")
    assert len(err.splitlines()) <= 15


def test_nothing_that_is_printed_can_drive_a_terminal(evolved, project):
    said = [evolved[1], project("champion"), project("status"), project("ledger", "show")]
    said += [project("why", run_id) for run_id in run_ids(project)["promote"]]
    assert all(ESCAPE not in text and "\x1b" not in text for s in said for text in (s.out, s.err))


def test_json_of_evolve_is_the_report_and_nothing_else(project):
    said = project("evolve", "--json", "--dry-run", "--n", 2)
    assert said.code == 0
    report = CycleReport.model_validate(said.json)
    assert report.dry_run
    assert len(report.runs) == 3


def test_what_a_plugin_says_about_its_failure_cannot_drive_a_terminal(project):
    said = project("evolve", "--json", "--dry-run", "--n", 2).json
    failure = {"component": "guard g", "plugin": "p", "error": ESCAPE, "consequence": "it vetoes"}
    report = CycleReport.model_validate({**said, "failures": [failure]})
    text = report_in_words(report, ("exact_match",))
    assert "guard g (p):" in text
    assert "\x1b" not in text


def test_a_dry_run_moves_nothing(project):
    before = project("champion", "--json").json
    said = project("evolve", "--dry-run", "--n", 2)
    assert said.code == 0
    assert "\nPROMOTED" not in f"\n{said.out}"
    assert project("champion", "--json").json == before


def test_a_first_dry_run_says_that_no_champion_was_made_and_what_is_next(project, tmp_path):
    there = ("--state-dir", tmp_path / "new")
    said = project("evolve", "--dry-run", "--n", 1, *there)
    assert said.code == 0
    first, *_, last = said.out.splitlines()
    assert first.startswith("WOULD BE PROMOTED (dry run, no champion was made or moved): ")
    assert last.strip() == "penin evolve without --dry-run, which proposes and proves anew"
    assert "uses up confirm tasks like any cycle" in said.err
    assert "penin evolve --plan forecasts and asks nothing" in said.err
    assert "if this dry run proves a gain" not in said.err
    assert "there is no champion yet" in project("champion", *there).err


def test_a_dry_run_that_uses_up_the_last_tasks_leaves_nobody_in_a_circle(tmp_path):
    folder = written(tmp_path, [{**task(n), "split": SPLITS[n < 60]} for n in range(210)])
    there = ("--config", folder / "penin.toml")
    dry = call("evolve", "--dry-run", "--n", 2, *there)
    assert dry.code == 0, dry.err
    assert "up to 150 of the 150 fresh confirm tasks are used up" in dry.err
    *_, add, again = dry.out.splitlines()
    assert add.strip() == "add confirm tasks: 0 fresh ones are left, a promotion needs 100"
    assert again.strip() == "penin evolve without --dry-run, which proposes and proves anew"
    with WORMLedger(folder / ".penin" / "ledger.db") as ledger:
        run_id = ledger.runs(limit=1)[0]["id"]
    refused = call("promote", run_id, *there)
    assert refused.code == 1
    assert "it was a dry run, and there is no champion yet" in refused.err
    assert "penin evolve, without --dry-run, makes the first champion" in refused.err
    written(tmp_path, [{**task(n), "split": SPLITS[n < 60]} for n in range(360)])
    said = call("evolve", "--n", 2, *there)
    assert said.code == 0, said.err
    assert said.out.startswith("PROMOTED")


@pytest.mark.parametrize("verdict", ["canary", "rollback", "fail"])
def test_a_dry_run_that_would_not_promote_says_so(project, verdict):
    said = project("evolve", "--json", "--dry-run", "--n", 1).json
    report = CycleReport.model_validate({**said, "verdict": verdict})
    first, *_, last = report_in_words(report, ("exact_match",)).splitlines()
    assert first.startswith("WOULD NOT BE PROMOTED (dry run, no champion was made or moved): ")
    assert "without --dry-run" in last


def test_several_cycles_are_a_list_of_reports(project):
    said = project("evolve", "--json", "--cycles", 2, "--n", 1)
    assert said.code == 0
    assert [len(report["runs"]) for report in said.json] == [2, 2]


def test_a_budget_that_ends_a_cycle_is_exit_code_4_and_still_a_report(project):
    said = project("evolve", "--json", "--budget", "0.001s")
    assert said.code == 4
    assert said.json["reason"].startswith("budget_exhausted")
    assert project("ledger", "verify").code == 0


def test_what_the_screen_says_after_a_budget_ended_goes_on_with_that_cycle(project):
    cut = project("evolve", "--budget", "0.001s")
    assert cut.code == 4
    assert cut.out.splitlines()[-1].strip().startswith("penin evolve --resume, with more time")
    said = project("evolve", "--resume", "--budget", "5m", "--max-usd", 1)
    assert said.code == 0, said.err
    with WORMLedger(project.state / "ledger.db") as ledger:
        cycles = {run["cycle_id"]: run["seed"] for run in ledger.runs()}
    newest, before, _ = cycles.values()
    assert newest == before
    assert "no cycle was interrupted" in project("evolve", "--resume").err


def test_a_budget_that_ends_before_the_first_champion_is_exit_code_4(project, tmp_path):
    said = project("evolve", "--budget", "0.001s", "--state-dir", tmp_path / "new")
    assert (said.code, said.out) == (4, "")
    assert said.err.splitlines()[-2].startswith("error: ")


def test_two_cycles_do_not_share_a_state_directory(project):
    with exclusive(project.state):
        for args in (["evolve"], ["rollback"], ["promote", run_ids(project)["rollback"][0]]):
            said = project(*args)
            assert said.code == 1
            assert "is in use by another cycle" in said.err


def test_used_up_confirm_tasks_are_refused_before_anything_is_asked(project):
    kept = [t for t in map(task, range(TASKS)) if t["split"] == "select"]
    few = [t for t in map(task, range(TASKS)) if t["split"] == "confirm"]
    tasks = project.state.parent / "tasks.jsonl"
    tasks.write_text("\n".join(json.dumps(t) for t in [*kept, *few[:100]]))
    entries = project("status", "--json").json["ledger"]["size"]
    said = project("evolve")
    assert said.code == 2
    assert re.search(r"error: \d+ fresh confirm tasks are left in suite 'colours'", said.err)
    assert "NOTHING CAN BE PROMOTED" in project("status").out
    assert project("status", "--json").json["ledger"]["size"] == entries


# Looking at it


def test_why_explains_the_promoted_run_by_the_end_of_its_id(project):
    (run_id,) = run_ids(project)["promote"]
    said = project("why", run_id[-8:])
    assert said.code == 0
    for words in ("promote: better, proved on", "one of: blue, green, red", "tau 0.", "needed 40"):
        assert words in said.out
    data = project("why", run_id, "--json").json
    assert data["run"]["id"] == run_id
    assert data["detail"]["confirmation"]["proved"] is True
    assert data["config"]["system"] != data["champion_config"]["system"]


def test_why_explains_a_run_that_dropped_out_and_one_whose_files_are_gone(project):
    run_id = run_ids(project)["rollback"][0]
    assert "place " in project("why", run_id).out
    for path in (project.state / "runs" / run_id).iterdir():
        path.chmod(0o600)
    shutil.rmtree(project.state / "runs" / run_id)
    said = project("why", run_id)
    assert said.code == 0
    assert "cannot be read" in said.out


@pytest.mark.parametrize("text", ["20", "2026", "zzzzzzzz"])
def test_an_id_that_names_no_single_run_is_refused(project, text):
    said = project("why", text if text != "2026" else run_ids(project)["promote"][0][:4])
    assert (said.code, said.out) == (1, "")
    assert "is not in the ledger" in said.err or "fits " in said.err


def test_status_counts_cycles_evidence_and_entries(project):
    data = project("status", "--json").json
    assert data["cycles"]["count"] == 1
    assert data["cycles"]["last"][0]["verdict"] == "promote"
    assert data["evidence"]["confirmations"] == 1
    assert data["evidence"]["fresh"] < data["evidence"]["confirm"] == 900
    assert data["ledger"]["valid"] is True
    assert data["champion"]["run_id"] == data["cycles"]["last"][0]["run_id"]
    assert "500 of 900 left to confirm on" in project("status").out


def leave_open(project):
    """Declare a confirmation that nobody closes."""
    body = {"t": 2, "alpha": 0.05 / 6, "claim": "better", "n_tasks": 500, "answer_seed": 7}
    with WORMLedger(project.state / "ledger.db") as ledger:
        ledger.record_event("CONFIRM", {**body, "marks": [], "finalist": "f" * 64})


def test_status_shows_a_confirmation_that_stands_open_and_how_to_go_on(project):
    assert project("status", "--json").json["interrupted"] is None
    assert "stands open" not in project("status").out
    leave_open(project)
    told = project("status").out
    assert "confirmation 2 stands open (claim better, alpha 0.008333): if it is left" in told
    assert "confirmation 2, which stands open, alpha 0.008333" in project("evolve", "--plan").out
    assert "penin evolve --seed 7 goes on with the cycle of seed 7" in told
    keep(project.state, Asked(2, 7, False, None, None))
    assert "penin evolve --resume goes on with the cycle of seed 7" in project("status").out
    assert project("status", "--json").json["interrupted"] == {
        "seed": 7,
        "resumes": True,
        "confirmation": {
            "t": 2,
            "alpha": 0.05 / 6,
            "claim": "better",
            "n_tasks": 500,
            "finalist": "f" * 64,
        },
    }


def test_status_shows_a_cycle_that_was_interrupted_before_its_confirmation(project):
    keep(project.state, Asked(2, 3, False, None, None))
    told = project("status")
    assert "penin evolve --resume goes on with the cycle of seed 3" in told.out
    assert "stands open" not in told.out


def test_status_says_no_more_than_it_checked(project):
    assert "entries and the pointer are valid" in project("status").out
    assert "penin ledger verify checks the files of the runs" in project("status").out
    pointer = project.state / "champion.json"
    pointer.write_text(pointer.read_text().replace('"size":', '"size":1'))
    assert "INVALID: champion.json differs from entry" in project("status").out
    assert project("ledger", "verify").code == 5


@pytest.mark.parametrize("gone", [(), ("champion.json",)])
def test_a_lost_ledger_looks_healthy_to_nobody(project, gone):
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", *gone):
        (project.state / name).unlink(missing_ok=True)
    assert "INVALID: ledger.db is missing" in project("status").out
    assert project("status", "--json").json["ledger"]["valid"] is False
    doctor = project("doctor")
    assert (doctor.code, "wrong: ledger.db is missing" in doctor.out) == (1, True)
    assert "hint: restore it from a copy" in project("champion").err


def test_status_works_where_the_tasks_are_gone(project):
    (project.state.parent / "tasks.jsonl").unlink()
    said = project("status")
    assert said.code == 0
    assert "tasks.jsonl" in said.out


def test_champion_shows_the_configuration_and_its_history(project):
    data = project("champion", "--json").json
    assert [past["by"] for past in data["history"]] == ["BOOTSTRAP", "PROMOTE"]
    assert "one of: blue, green, red" in data["champion"]["config"]["system"]
    assert "pupil:p1" in project("champion").out


def test_reading_needs_neither_the_plugin_nor_a_writable_file(project):
    (project.state.parent / "pupil.py").unlink()
    for args in (["status"], ["champion"], ["why", run_ids(project)["promote"][0]]):
        assert project(*args).code == 0
    assert project("ledger", "verify").code == 0


def test_ledger_show_has_the_last_entries(project):
    entries = project("ledger", "show", "--last", 1, "--json").json
    assert [entry["kind"] for entry in entries] == ["PROMOTE"]
    assert len(project("ledger", "show", "--last", 3).out.splitlines()) == 4


# Taking it back, and moving it by hand


def test_rollback_returns_to_the_first_champion_once(project):
    first, second = (past["config"] for past in project("champion", "--json").json["history"])
    said = project("rollback", "--json", "--reason", "it was rude")
    assert said.code == 0
    assert (said.json["before"]["config"], said.json["champion"]["config"]) == (second, first)
    assert project("champion", "--json").json["champion"]["reason"] == "it was rude"
    again = project("rollback")
    assert (again.code, again.out) == (1, "")
    assert "no earlier champion" in again.err
    assert project("ledger", "verify").code == 0


def test_rollback_to_a_run_that_never_was_champion_is_refused(project):
    said = project("rollback", "--to", run_ids(project)["rollback"][0])
    assert said.code == 1
    assert "never was the champion" in said.err


def test_promoting_a_run_that_dropped_out_is_refused_and_moves_nothing(project):
    before = project("champion", "--json").json
    said = project("promote", run_ids(project)["rollback"][0])
    assert (said.code, said.out) == (3, "")
    assert "not proved" in said.err
    assert project("champion", "--json").json == before


def test_an_override_needs_a_reason_and_is_recorded(project):
    run_id = run_ids(project)["rollback"][0]
    assert project("promote", run_id, "--force").code == 3
    assert project("promote", run_id, "--force", "--reason", "by order").code == 0
    kinds = [e["kind"] for e in project("ledger", "show", "--last", 2, "--json").json]
    assert kinds == ["OVERRIDE", "PROMOTE"]
    assert project("champion", "--json").json["champion"]["run_id"] == run_id


# The ledger


def test_an_edited_ledger_is_exit_code_5_and_names_the_entry(project):
    ledger = sqlite3.connect(project.state / "ledger.db")
    with ledger:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = ledger.execute(query).fetchall()
        for name, _ in triggers:
            ledger.execute(f"DROP TRIGGER {name}")
        ledger.execute("UPDATE runs SET reason = 'better' WHERE idx = 5")
        for _, sql in triggers:
            ledger.execute(sql)
    ledger.close()
    said = project("ledger", "verify")
    assert said.code == 5
    assert said.out.startswith("INVALID")
    assert "entry 5: runs.reason differs from the entry" in said.out
    data = project("ledger", "verify", "--json")
    assert (data.code, data.json["valid"], data.json["first_bad"]) == (5, False, 5)
    assert "INVALID" in project("status").out


def test_a_file_that_is_no_ledger_is_exit_code_5_in_json_too(project):
    (project.state / "ledger.db").write_bytes(b"x" * 5000)
    said = project("ledger", "verify", "--json")
    assert (said.code, said.json["valid"]) == (5, False)


# Explanations


def test_why_counts_no_looks_where_the_files_are_gone_and_replay_says_what_to_do(project):
    run_id = run_ids(project)["promote"][0]
    assert "looks, enough after" in project("why", run_id).out
    shutil.rmtree(project.state / "runs" / run_id)
    told = project("why", run_id).out
    assert "e-value of the" not in told
    assert "cannot be read: No such file" in told
    assert "hint: Restore it from a copy" in project("replay", run_id).err


def test_why_says_what_set_l_infinity_to_zero(project):
    run_id = run_ids(project)["promote"][0]
    with WORMLedger(project.state / "ledger.db") as ledger:
        data = explained(project.state, ledger, ledger.run(run_id))
    vetoed = {"guard": "sigma", "ok": False, "reason": "no"}
    run = {**data["run"], "linf": 0.0}
    told = _in_words({**data, "run": run, "detail": {**data["detail"], "guards": [vetoed]}})
    assert "is needed; a veto sets L∞ to 0" in told
    assert "a veto sets" not in _in_words(data)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["proof", 999], "the ledger has no entry 999"),
        (["verify", "nofile"], "nofile does not exist"),
        (["witness", "http://localhost:1", "--key", "foo+1234"], "--key: 'foo+1234' is not a key"),
    ],
)
def test_what_the_ledger_cannot_show_is_an_error_with_a_hint(project, words, why):
    error = project("ledger", *words).err.splitlines()
    assert why in error[0]
    assert error[1].startswith("hint: ")


# What plugins print


def test_what_a_plugin_prints_while_it_works_is_no_data(project, monkeypatch):
    monkeypatch.setenv("PUPIL_TALKS", "1")
    said = project("evaluate", "--tasks", 25, "--json")
    assert said.json["measurement"]["n_tasks"] >= 25
    assert "thinking" in said.err
    said = project("evolve", "--n", 1, "--seed", 77)
    assert "thinking" not in said.out
    assert "thinking" in said.err


def test_evaluate_asks_no_more_tasks_repeatedly_than_it_was_told_to_use(project, monkeypatch):
    monkeypatch.setenv("PUPIL_TALKS", "1")
    said = project("evaluate", "--model", "pupil:p2", "--tasks", 2, "--json")
    calls = sum(map(int, re.findall(r"thinking about (\d+)", said.err)))
    # Each of them as it stands, perturbed and repeated, and not the 60 of the fixed subset.
    assert 2 < calls <= 20
    assert said.json["measurement"]["raw"]["S"]["agreement"] is not None


# Ctrl-C


def test_an_interrupted_cycle_leaves_a_valid_state_and_can_go_on(project):
    place = ["--config", str(project.state.parent / "penin.toml")]
    code = "import sys; from penin_core.cli import main; main()"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PUPIL_SLEEPS": "0.1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "evolve", *place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
    )
    with process:
        for line in process.stderr:
            if line.startswith("race:"):
                break
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert project("ledger", "verify").code == 0
    assert project("evolve", "--n", 2).code == 0


# What is said before, and instead of, a cycle


def test_a_plan_says_what_can_be_proved_and_asks_nothing(project, monkeypatch):
    monkeypatch.setenv("PUPIL_SLEEPS", "1000")
    before = (project.state / "ledger.db").read_bytes()
    said = project("evolve", "--plan")
    assert said.code == 0
    assert "it can prove a gain of" in said.out
    assert "nothing was asked and nothing was spent" in said.out
    found = project("evolve", "--plan", "--json").json
    assert found["t"] == 2
    assert found["calls"][0] == found["race_calls"] > 0
    assert (project.state / "ledger.db").read_bytes() == before
    assert not (project.state / "cycle.json").exists()


def test_where_tasks_stand_in_clusters_the_plan_and_the_greeting_count_clusters(project):
    folder = project.state.parent
    rows = [task(number) for number in range(TASKS)]
    lines = [json.dumps({**row, "doc": f"{row['split']}{n // 40}"}) for n, row in enumerate(rows)]
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    settings = (folder / "penin.toml").read_text()
    (folder / "penin.toml").write_text(settings.replace("[suite]", '[suite]\nclusters = "doc"'))
    shutil.rmtree(project.state)
    count = (
        "tasks with the same 'doc' count as one, which makes 16, and fewer than 100 prove large "
        "gains only: add tasks with another 'doc'"
    )
    gain = 100 * smallest_provable_gain(16, campaign_alpha(1))
    told = project("evolve", "--plan").out
    assert f"on 480 tasks it can prove a gain of {gain:.1f} points; {count}" in told
    assert "with 500 different 'doc' a gain of 8.1 points" in told
    err = project("evolve", "--budget", "0.000001s").err
    assert f"on 480 of them can prove a gain of about {gain:.0f} points; {count}" in err
    assert sources(100, "doc") == "; tasks with the same 'doc' count as one, which makes 100"
    assert sources(99, "doc").endswith(" another 'doc'")
    assert sources(16, None) == ""


def test_nothing_is_resumed_where_nothing_was_interrupted(project):
    said = project("evolve", "--resume")
    assert (said.code, "no cycle was interrupted" in said.err) == (1, True)


@pytest.mark.parametrize("option", [("--n", 2), ("--seed", 1), ("--dry-run",), ("--cycles", 2)])
def test_resume_takes_the_options_of_the_interrupted_cycle(project, option):
    said = project("evolve", "--resume", *option)
    assert said.code == 2
    assert f"{option[0]} cannot stand beside --resume" in said.err


def test_a_cycle_that_time_cut_short_is_resumed(project):
    assert project("evolve", "--budget", "0.000001s", "--n", 2, "--seed", 9).code == 4
    assert (project.state / "cycle.json").exists()
    said = project("evolve", "--resume", "--json")
    assert said.code == 0, said.err
    assert len(said.json["runs"]) == 3
    assert not (project.state / "cycle.json").exists()


def test_a_dry_run_that_is_resumed_is_announced_as_one(project):
    assert project("evolve", "--budget", "0.000001s", "--n", 2, "--seed", 9, "--dry-run").code == 4
    said = project("evolve", "--resume", "--json")
    assert said.json["dry_run"] is True
    assert "dry run: it asks, pays" in said.err


def test_a_rehearsal_of_equals_and_of_a_gain(project):
    kinds = sqlite_count(project)
    said = project("selftest", "aa", "--trials", 20, "--repeats", 2)
    assert said.code == 0, said.err
    assert "of 20 confirmations between the champion and itself were promoted" in said.out
    found = project("selftest", "power", "--gain", 0.01, "--trials", 20, "--repeats", 2, "--json")
    assert (found.code, found.json["trials"]) == (0, 20), found.err
    assert sqlite_count(project) == kinds


def test_planned_looks_that_no_cycle_would_take_are_not_rehearsed(tmp_path):
    folder = written(tmp_path, [{**task(n), "split": SPLITS[n < 120]} for n in range(420)])
    with (folder / "penin.toml").open("a") as file:
        file.write('[evolve]\nevidence = "horizon"\n')
    said = call("selftest", "aa", "--trials", 20, "--config", folder / "penin.toml")
    assert said.code == 2
    assert 'evidence = "horizon" takes at least 300 tasks' in said.err
    assert "one confirmation on select tasks would have 120" in said.err
    assert not (folder / ".penin").exists()


def sqlite_count(project):
    with sqlite3.connect(project.state / "ledger.db") as ledger:
        (count,) = ledger.execute("SELECT count(*) FROM entries").fetchone()
    ledger.close()
    return count
