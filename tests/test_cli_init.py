"""A new project, with the echo as its model: tasks whose answer is the question."""

import json
import os
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from penin_core.cli import init, run
from penin_core.ledger.store import WORMLedger
from penin_core.settings import load_settings
from penin_core.testing.fakes import write_distribution


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory; the fakes are installed as a plugin named ``echo``."""
    write_distribution(
        tmp_path / "site", "penin-echo", plugins={"echo": "penin_core.testing.fakes"}
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("PENIN_CONFIG", "PENIN_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def penin(capsys):
    def call(*args):
        code = run([str(arg) for arg in args])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


def write_tasks(path, count=300, **fields):
    rows = (
        {"id": f"t{n}", "input": f"please say {n}", "expected": f"please say {n}"}
        for n in range(count)
    )
    path.write_text("\n".join(json.dumps({**row, **fields}) for row in rows), encoding="utf-8")
    return path


ECHO = ("--provider", "echo", "--model", "e1")


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_file_declares_what_can_be_measured_and_freezes_the_start(folder, penin):
    tasks = write_tasks(folder / "tasks.jsonl")
    said = penin("init", "--tasks", tasks, *ECHO, "--system", "Repeat.", "--json")
    assert said.code == 0, said.err
    settings = load_settings()
    assert (settings.champion.provider, settings.champion.model) == ("echo", "e1")
    assert (settings.champion.system, settings.champion.max_tokens) == ("Repeat.", 64)
    assert (settings.suite.name, settings.suite.tasks) == ("tasks", "tasks.jsonl")
    assert set(settings.suite.reasons) == {"groups", "consent"}
    assert settings.suite.baseline.tokens > 0
    assert settings.evolve.tau == json.loads(said.out)["tau"] >= 0.5
    assert json.loads(said.out)["measured"]["U"] == 1.0


def test_the_screen_says_what_was_declared_and_what_comes_next(folder, penin):
    said = penin("init", "--tasks", write_tasks(folder / "t.jsonl"), *ECHO)
    lines = said.out.splitlines()
    assert lines[0].split() == ["wrote", "penin.toml"]
    assert "U utility           1.000" in said.out
    assert "consent: the tasks carry no consent register" in said.out
    assert lines[-1].split() == ["next", "penin", "evolve"]
    assert "measuring what runs today" in said.err


def test_the_first_cycle_asks_nothing_again_that_was_measured(folder, penin):
    penin("init", "--tasks", write_tasks(folder / "t.jsonl"), *ECHO)
    said = penin("evolve", "--dry-run", "--budget", "0.0001s")
    assert said.code == 4
    assert "race: " in said.err
    assert ", 0 calls, " in said.out


def test_odd_characters_survive(folder, penin):
    odd = folder / "tâsks \"x\" 'y' # \\ [z].jsonl"
    write_tasks(odd)
    system = 'He said: "C:\\new" \t # no\nsecond line \x7f \u2028 😀'
    said = penin(
        "init", "--tasks", odd, *ECHO, "--system", system, "--name", 'n"\\', "--no-measure"
    )
    assert said.code == 0, said.err
    settings = load_settings()
    assert settings.champion.system == system
    assert settings.suite.tasks == odd.name
    assert settings.suite.name == 'n"\\'
    assert "\x7f" not in said.out


def test_without_measuring_nothing_but_the_file_is_written(folder, penin):
    tasks = write_tasks(folder / "t.jsonl")
    said = penin("init", "--tasks", tasks, *ECHO, "--no-measure")
    assert said.code == 0
    assert everything(folder) == ["penin.toml", "t.jsonl"]
    assert "tau" not in tomllib.loads((folder / "penin.toml").read_text()).get("evolve", {})


def test_an_existing_file_is_kept_unless_forced(folder, penin):
    tasks = write_tasks(folder / "t.jsonl")
    (folder / "penin.toml").write_text("# mine\n")
    said = penin("init", "--tasks", tasks, *ECHO, "--no-measure")
    assert said.code == 2
    assert "exists already" in said.err
    assert (folder / "penin.toml").read_text() == "# mine\n"
    assert penin("init", "--tasks", tasks, *ECHO, "--no-measure", "--force").code == 0
    assert load_settings().champion.provider == "echo"


def test_a_ledger_that_exists_is_pointed_out_for_its_champion_stays(folder, penin):
    tasks = write_tasks(folder / "tasks.jsonl")
    first = penin("init", "--tasks", tasks, *ECHO, "--no-measure")
    assert "ledger" not in first.out
    (folder / ".penin").mkdir(exist_ok=True)
    with WORMLedger(folder / ".penin" / "ledger.db") as ledger:
        ledger.record_event("CONFIRM", {"t": 1})
    said = penin("init", "--tasks", tasks, *ECHO, "--no-measure", "--force")
    assert "its champion, threshold and costs stay; begin anew with --state-dir" in said.out
    again = penin("init", "--tasks", tasks, *ECHO, "--no-measure", "--force", "--json")
    assert json.loads(again.out)["recorded"] is True


def test_config_says_where_the_file_goes_and_tasks_are_found_from_there(folder, penin):
    tasks = write_tasks(folder / "t.jsonl")
    (folder / "sub").mkdir()
    said = penin("init", "--tasks", tasks, *ECHO, "--no-measure", "--config", "sub/p.toml")
    assert said.code == 0, said.err
    assert load_settings(Path("sub/p.toml")).suite.tasks == "../t.jsonl"


def test_tasks_that_bring_an_instruction_keep_it(folder, penin):
    tasks = write_tasks(folder / "t.jsonl", system="Repeat after me.")
    penin("init", "--tasks", tasks, *ECHO, "--no-measure")
    assert load_settings().champion.system == "{{system}}"


def test_rows_without_consent_beside_others_with_it_are_a_warning(folder, penin):
    tasks = write_tasks(folder / "t.jsonl")
    extra = {"id": "x", "input": "a", "expected": "a", "consent": True}
    tasks.write_text(tasks.read_text() + "\n" + json.dumps(extra))
    said = penin("init", "--tasks", tasks, *ECHO, "--no-measure")
    assert said.code == 0
    assert "Σ-Guard will veto every promotion" in said.out


def test_without_tasks_the_shipped_suite_is_used(folder, penin):
    said = penin("init", *ECHO, "--no-measure")
    assert said.code == 0, said.err
    settings = load_settings()
    assert (settings.suite.name, settings.suite.tasks) == ("basic", None)
    assert settings.champion.system == "Process this text."


def test_on_a_terminal_and_without_flags_it_asks(folder, penin, monkeypatch):
    write_tasks(folder / "t.jsonl")
    answers = iter(["t.jsonl", "echo", "e1", "Say it.", "0.5"])
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(init, "sys", SimpleNamespace(stdin=terminal, stderr=terminal))
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    said = penin("init")
    assert said.code == 0, said.err
    champion = load_settings().champion
    assert (champion.provider, champion.system, champion.temperature) == ("echo", "Say it.", 0.5)


# What is refused, before anything is measured or written

BAD_TASKS = {
    "empty": ("", "holds no task"),
    "broken": ('{"id": "a", "input":\n', "line 1: "),
    "no input": ('{"id": "a", "expected": "b"}', "line 1: input: field required"),
    "no object": ("[1]", "line 1: not a JSON object"),
    "no answer": ('{"id": "a", "input": "b"}', "has no 'expected'"),
    "few": ('{"id": "a", "input": "b", "expected": "c"}', "a promotion needs at least"),
    "twice": ('{"id": "a", "input": "b"}\n' * 2, "occurs twice"),
}


@pytest.mark.parametrize("name", BAD_TASKS)
def test_bad_tasks_are_one_clear_error(folder, penin, name):
    text, words = BAD_TASKS[name]
    (folder / "t.jsonl").write_text(text)
    said = penin("init", "--tasks", "t.jsonl", *ECHO)
    assert said.code == 2
    assert words in said.err
    assert said.err.splitlines()[-2].startswith("error: ")
    assert everything(folder) == ["t.jsonl"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--provider", "ecco"), "did you mean 'echo'?"),
        (("--provider", "echo"), "--model"),
        ((*ECHO, "--temperature", "9"), "temperature = 9.0"),
        ((*ECHO, "--temperature", "nan"), "temperature = nan"),
        ((*ECHO, "--temperature", "warm"), "'warm' is not a valid float"),
        ((*ECHO, "--max-tokens", "0"), "max_tokens = 0"),
        ((*ECHO, "--prompt", "{{question}}"), "{{question}}"),
        ((*ECHO, "--system", os.fsdecode(b"\xff")), "not valid Unicode"),
        ((*ECHO, "--tasks", "none.jsonl"), "cannot be read"),
        ((*ECHO, "--config", "none/penin.toml", "--no-measure"), "cannot be written"),
    ],
)
def test_bad_flags_are_one_clear_error(folder, penin, flags, words):
    tasks = write_tasks(folder / "t.jsonl")
    said = penin("init", "--tasks", tasks, *flags)
    assert said.code == 2
    assert words in said.err
    assert everything(folder) == ["t.jsonl"]


def test_options_of_the_provider_are_used_and_written(folder, penin):
    tasks = write_tasks(folder / "tasks.jsonl")
    scripted = ("--provider", "scripted", "--model", "s1", "--no-measure")
    options = ("--set", "default=yes", "--set", "confidence=0.9")
    said = penin("init", "--tasks", tasks, *scripted, *options)
    assert said.code == 0, said.err
    written = tomllib.loads((folder / "penin.toml").read_text())
    assert written["providers"] == {"scripted": {"default": "yes", "confidence": 0.9}}
    assert "calibration" in written["suite"]["evaluators"]


@pytest.mark.parametrize(
    ("option", "words"), [("loud=true", "loud"), ("confidence", "is not NAME=VALUE")]
)
def test_options_that_the_provider_does_not_have_write_nothing(folder, penin, option, words):
    said = penin("init", "--provider", "scripted", "--model", "s1", "--set", option)
    assert said.code == 2
    assert words in said.err
    assert everything(folder) == []
