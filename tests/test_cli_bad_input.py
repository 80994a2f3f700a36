"""Wrong input: one clear error with its exit code, and nothing written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from penin_core.cli import run

ROOT = Path(__file__).parent.parent

SETTINGS = """
plugins = ["./fakes.py"]
[champion]
provider = "echo"
model = "e1"
[suite]
tasks = "tasks.jsonl"
metrics = ["exact_match"]
evaluators = ["robustness", "cost", "reuse", "secrets"]
groups = "not_applicable"
consent = "not_applicable"
calibration = "not_applicable"
[suite.reasons]
groups = "none"
consent = "none"
calibration = "none"
"""
FAKES = "from penin_core.testing.fakes import penin_api, penin_register_providers\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project whose model is the echo."""
    for name in ("PENIN_CONFIG", "PENIN_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fakes.py").write_text(FAKES)
    (tmp_path / "penin.toml").write_text(SETTINGS)
    rows = ({"id": f"t{n}", "input": f"say {n}", "expected": f"say {n}"} for n in range(300))
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


@pytest.fixture
def penin(capsys):
    def call(*args):
        code = run([str(arg) for arg in args])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


def refused(folder, said, words, code=2):
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert sum(line.startswith("error: ") for line in said.err.splitlines()) == 1
    assert "Traceback" not in said.err
    assert not (folder / ".penin").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--budget", "30"), "--budget: '30' is not a duration"),
        (("--budget", "-5m"), "'-5m' is not a duration"),
        (("--budget", "0m"), "'0m' is not a duration"),
        (("--budget", "soon"), "30m"),
        (("--max-usd", "-1"), "--max-usd: '-1' is no amount of money above 0"),
        (("--max-usd", "0"), "2.50"),
        (("--max-usd", "nan"), "'nan' is no amount"),
        (("--max-usd", "much"), "'much' is no amount"),
        (("--n", "0"), "0 is not in the range 1<=x<=256"),
        (("--n", "-1"), "-1 is not in the range"),
        (("--n", "few"), "'few'"),
        (("--cycles", "0"), "0 is not in the range"),
        (("--seed", "-1"), "-1 is not in the range"),
        (("--profile", "lax"), "'lax' is not one of"),
        (("--provider", "ecco"), "did you mean 'echo'?"),
        (("--suite", "basics"), "no suite 'basics'"),
        (("--suite", "none.toml"), "cannot be read"),
        (("--config", "none.toml"), "settings file 'none.toml' does not exist"),
        (("--state-dir", ""), "--state-dir: no directory is named"),
        (("--state-dir", "tasks.jsonl"), "is a file"),
        (("--state-dir", "tasks.jsonl/below"), "lies in 'tasks.jsonl', which is a file"),
        (("--state-dir", "/proc/penin"), "cannot be used"),
    ],
)
def test_evolve_refuses_flags(folder, penin, flags, words):
    code = 1 if flags[0] == "--state-dir" and flags[1] else 2
    refused(folder, penin("evolve", *flags), words, code)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('provider = "echo"', 'provider = "ecco"', "did you mean 'echo'?"),
        ("[suite]", "[evolve]\nchallangers = 3\n[suite]", "did you mean 'evolve.challengers'?"),
        ("[suite]", "[budget]\ndaily_usd = -1\n[suite]", "budget.daily_usd = -1"),
        ("[suite]", "[budget]\ndaily_usd = 1e300\n[suite]", "budget.daily_usd = 1e+300"),
        ("[suite]", "[budget]\ndaily_usd = inf\n[suite]", "budget.daily_usd = inf"),
        ("[suite]", "[evolve.margins]\nU = nan\n[suite]", "evolve.margins.U = nan"),
        ("[suite]", '[budget]\ntime = "30"\n[suite]', "budget.time: '30' is not a duration"),
        ("[suite]", "[suite", "line 6"),
        ('model = "e1"', 'model = "e1"\nprompt = "{{question}}"', "{{question}}"),
        ("exact_match", "exact_mach", "did you mean 'exact_match'?"),
        ("[suite]", '[guards]\nuse = ["sigmas"]\n[suite]', "did you mean 'sigma'?"),
        ("[suite]", "[guards]\nuse = []\n[suite]", "nothing is promoted without one"),
        ("[suite]", '[evolve]\nmutators = ["few"]\n[suite]', "no mutator named 'few'"),
        ("[suite]", "[providers.echo]\nloud = true\n[suite]", "loud"),
        ('groups = "none"\n', "", "declares groups not applicable without a reason"),
        ("./fakes.py", "./none.py", "none.py"),
    ],
)
def test_evolve_refuses_settings(folder, penin, old, new, words):
    assert old in SETTINGS
    (folder / "penin.toml").write_text(SETTINGS.replace(old, new, 1))
    refused(folder, penin("evolve"), words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no task"),
        ('{"id": "a", "input": "b", "expected": "c"}\n{"id"', "line 2: "),
        ('{"id": "a", "input": "b", "expected": "c"}', "a promotion needs at least"),
    ],
)
def test_evolve_refuses_tasks(folder, penin, text, words):
    (folder / "tasks.jsonl").write_text(text)
    refused(folder, penin("evolve"), words)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--model", "echo"), "neither provider:model nor"),
        (("--model", "ecco:e1"), "did you mean 'echo'?"),
        (("--model", "none.json"), "none.json: cannot be read"),
        (("--model", "list.json"), "not a JSON object"),
        (("--model", "half.json"), "half.json"),
        (("--model", "wrong.toml"), "temprature"),
        (("--tasks", "0"), "0 is not in the range"),
    ],
)
def test_evaluate_refuses(folder, penin, flags, words):
    (folder / "list.json").write_text("[1]")
    (folder / "half.json").write_text('{"provider": ')
    (folder / "wrong.toml").write_text('provider = "echo"\nmodel = "e"\ntemprature = 1.0\n')
    refused(folder, penin("evaluate", *flags), words)


@pytest.mark.parametrize(
    "args", [["champion"], ["why", "abc"], ["promote", "abc"], ["rollback"], ["ledger", "verify"]]
)
def test_what_was_never_recorded_is_an_error(folder, penin, args):
    refused(folder, penin(*args), "there is no ledger in", 1)


@pytest.mark.parametrize("args", [["champion"], ["status"], ["rollback"], ["ledger", "verify"]])
def test_a_state_directory_that_is_a_file_is_named(folder, penin, args):
    refused(folder, penin(*args, "--state-dir", "tasks.jsonl"), "is a file", 1)


@pytest.mark.parametrize("time", ["-5m", "0s"])
def test_a_plan_refuses_the_time_that_a_cycle_refuses(folder, penin, time):
    settings = folder / "penin.toml"
    settings.write_text(settings.read_text() + f'\n[budget]\ntime = "{time}"\n')
    refused(folder, penin("evolve", "--plan"), f"budget.time: '{time}' is not a duration")


def test_a_gain_that_is_no_number_is_refused(folder, penin):
    refused(folder, penin("selftest", "power", "--gain", "nan"), "nan is no gain")


def test_settings_that_cannot_be_read_are_named_once(folder, penin):
    (folder / "suite.toml").mkdir()
    said = penin("evolve", "--suite", "suite.toml")
    refused(folder, said, "suite.toml: cannot be read (Is a directory)")
    assert said.err.count("suite.toml") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("args", [["status"], ["evolve", "--n", "1", "--quiet"]])
def test_output_that_cannot_be_written_is_one_clear_error(folder, args):
    code = f"import sys; from penin_core.cli import main; sys.argv[1:] = {args}; main()"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=env
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    first, second = done.stderr.splitlines()[-2:]
    assert first == "error: the output cannot be written: No space left on device"
    assert second.startswith("hint: ")


def test_status_of_nothing_is_an_answer_and_writes_nothing(folder, penin):
    said = penin("status")
    assert said.code == 0
    assert "none yet: penin evolve makes the first one" in said.out
    assert json.loads(penin("status", "--json").out)["champion"] is None
    assert not (folder / ".penin").exists()


# What is right works


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_evaluate_measures_a_configuration_from_a_file(folder, penin, suffix):
    table = {"provider": "echo", "model": "e2", "prompt": "{{input}}"}
    toml = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    Path(f"mine.{suffix}").write_text(json.dumps(table) if suffix == "json" else toml)
    said = penin("evaluate", "--model", f"mine.{suffix}", "--tasks", 20, "--json")
    assert said.code == 0, said.err
    data = json.loads(said.out)
    assert (data["configuration"]["model"], data["measurement"]["U"]) == ("e2", 1.0)
    assert (data["measurement"]["n_tasks"], data["measurement"]["rows"]) == (20, [])
    assert data["measurement"]["C"] is None


def test_evaluate_keeps_all_but_the_model(folder, penin):
    champion = '"e1"\nprompt = "say {{input}}"'
    (folder / "penin.toml").write_text(SETTINGS.replace('"e1"', champion, 1))
    said = penin("evaluate", "--model", "echo:other", "--tasks", 20, "--json")
    assert json.loads(said.out)["configuration"]["prompt"] == "say {{input}}"
    text = penin("evaluate", "--tasks", 20).out
    assert "echo:e1" in text
    assert "cost needs a baseline" in text
