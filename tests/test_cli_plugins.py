"""penin plugins: what it lists, writes, checks, explains and locks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from penin_core import PluginConflict, PluginNotFound, SettingsError, errors
from penin_core.cli import penin
from penin_core.cli.plugin_check import render
from penin_core.syncing import wheel_files
from penin_core.testing.fakes import write_distribution

ROOT = Path(__file__).parent.parent
EVALUATOR = """
from penin_core import Evaluator, hookimpl

penin_api = 1

class Short(Evaluator):
    "1 for a short answer."
    name = "{name}"
    axis = "U"
    def score(self, task, completions):
        return {score}

@hookimpl
def penin_register_evaluators():
    return [Short]
"""
SOUND = EVALUATOR.replace("{score}", "1.0 / max(1, len(completions[0].text))")
LOUD = EVALUATOR.replace("{score}", "2.0")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, and a folder of distributions; nothing of the user's is read."""
    for variable in ("PENIN_CONFIG", "PENIN_STATE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "penin.toml").write_text("")
    monkeypatch.chdir(folder)
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def install(project, name, source, **more):
    module = f"penin_cli_{name}"
    site = project.parent / "site"
    plugins = {name: module}
    write_distribution(site, f"penin-{name}", plugins=plugins, modules={module: source}, **more)


def invoke(*words):
    result = CliRunner().invoke(penin, ["plugins", *words])
    if isinstance(result.exception, errors.PeninError):
        raise result.exception
    return result


# What imports no plugin at all


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["--version"], {}),
        (["--help"], {}),
        (["status"], {}),
        (["champion"], {}),
        ([], {"_PENIN_COMPLETE": "bash_complete", "COMP_WORDS": "penin s", "COMP_CWORD": "1"}),
    ],
    ids=["version", "help", "status", "champion", "completion"],
)
def test_it_imports_no_plugin(project, words, variables):
    mark = project.parent / "imported"
    site = project.parent / "site"
    source = f"open({str(mark)!r}, 'w')"
    for name in ("tiny", "spy"):
        commands = {f"do-{name}": f"penin_cli_spy_{name}:command"}
        modules = {f"penin_cli_spy_{name}": source}
        plugins = {name: f"penin_cli_spy_{name}"}
        write_distribution(
            site, f"penin-spy-{name}", plugins=plugins, commands=commands, modules=modules
        )
    done = subprocess.run(
        [sys.executable, "-c", "from penin_core.cli import main; main()", *words],
        env={**os.environ, **variables, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    assert "status" in done.stdout or words != []
    assert not mark.exists()


# new


def test_new_names_the_files_that_it_writes(project):
    result = invoke("new", "acme", "--kind", "guard", "--into", "plugins")
    assert result.exit_code == 0
    assert "plugins/penin-acme/penin_acme.py" in result.stdout.splitlines()
    assert "next: cd plugins/penin-acme && python -m pytest" in result.stderr
    with pytest.raises(PluginConflict):
        invoke("new", "acme", "--kind", "guard", "--into", "plugins")


def test_new_needs_a_kind(project):
    assert invoke("new", "acme").exit_code == 2
    assert invoke("new", "acme", "--kind", "toaster").exit_code == 2


def test_a_folder_that_cannot_be_written_is_an_error_in_words(project):
    (project / "file").write_text("")
    with pytest.raises(errors.PluginError, match="cannot be written"):
        invoke("new", "acme", "--kind", "guard", "--into", "file/sub")


# why


def test_why_explains_a_plugin_by_its_name_or_by_a_component(project):
    install(project, "short", SOUND.replace("{name}", "brief"))
    (project / "penin.toml").write_text('[suite]\nmetrics = ["exact_match", "brief"]')
    for name in ("short", "brief"):
        found = json.loads(invoke("why", name, "--json").stdout)
        assert (found["name"], found["state"]) == ("short", "loaded")
        assert found["used"] == ["suite.metrics names brief"]
        assert found["lock"] == "there is no penin.lock"


def test_why_says_where_a_broken_plugin_failed(project):
    install(project, "torn", "x = 1\n\nx / 0\n")
    text = invoke("why", "torn").stdout
    assert "state:     broken: it cannot be used; everything else works" in text
    assert "because:   ZeroDivisionError: division by zero" in text
    assert "penin_cli_torn.py:3" in text


def test_why_says_that_nothing_names_a_plugin(project):
    install(project, "idle", SOUND.replace("{name}", "idle"))
    assert "nothing names it, so it changes nothing" in invoke("why", "idle").stdout


def test_why_of_an_unknown_name_suggests_one(project):
    with pytest.raises(PluginNotFound) as caught:
        invoke("why", "sigmo")
    assert caught.value.hint == "did you mean 'sigma'?"


# lock and sync


def test_a_locked_plugin_is_explained_and_a_changed_one_refused(project):
    install(project, "short", SOUND.replace("{name}", "short"))
    rows = json.loads(invoke("lock", "--json").stdout)
    assert ("penin-short", 3) in [(row["distribution"], row["files"]) for row in rows]
    assert "as penin.lock says" in invoke("why", "short").stdout
    (project.parent / "site" / "penin_cli_short.py").write_text("raise SystemExit")
    found = json.loads(invoke("why", "short", "--json").stdout)
    assert found["state"] == "broken"
    assert "penin_cli_short.py of penin-short is not what its RECORD says" in found["reason"]
    assert found["lock"].startswith("differs from penin.lock: ")


def test_a_damaged_lock_stops_what_loads_plugins(project):
    (project / "penin.lock").write_text("{}")
    with pytest.raises(SettingsError, match=r"penin\.lock"):
        invoke("list")


def test_sync_needs_a_lock(project):
    with pytest.raises(PluginNotFound, match=r"has no penin\.lock"):
        invoke("sync")


def test_sync_of_what_is_installed_installs_nothing(project):
    install(project, "short", SOUND.replace("{name}", "short"))
    invoke("lock")
    assert "installed 0" in invoke("sync").stderr


def test_a_file_that_is_no_wheel_is_named(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"PK")
    with pytest.raises(errors.PluginInvalid, match=r"x\.whl is not a wheel"):
        wheel_files(tmp_path / "x.whl")


# check


def test_check_holds_a_plugin_against_its_contract(project, monkeypatch):
    install(project, "short", SOUND.replace("{name}", "short"))
    install(project, "loud", LOUD.replace("{name}", "loud"))
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    good = invoke("check", "short", "--json")
    rows = json.loads(good.stdout)
    assert good.exit_code == 0
    assert {row["outcome"] for row in rows} == {"passed"}
    assert {row["kit"] for row in rows} == {"distribution", "TestPlugin", "Test_evaluators_short"}
    bad = invoke("check", "loud")
    assert bad.exit_code == 1
    assert "score stays in unit" in bad.stdout


def test_check_says_why_a_plugin_cannot_be_loaded(project, monkeypatch):
    install(project, "torn", "1 / 0")
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    result = invoke("check", "torn", "--json")
    (failed,) = [row for row in json.loads(result.stdout) if row["outcome"] == "failed"]
    assert result.exit_code == 1
    assert "ZeroDivisionError: division by zero" in failed["reason"]


def test_check_of_an_unknown_plugin_suggests_one(project):
    install(project, "short", SOUND.replace("{name}", "short"))
    with pytest.raises(PluginNotFound, match="no plugin 'shirt' is installed"):
        invoke("check", "shirt")


def test_what_is_unchecked_is_counted_apart():
    row = {"plugin": "p", "kit": "Test_x", "clause": "test_a_b", "reason": "needs y"}
    rows = [{**row, "outcome": outcome} for outcome in ("skipped", "skipped", "passed")]
    broken = {**row, "clause": "test_c_d", "outcome": "failed", "reason": "1 \x1b is 2"}
    first, _, _, *told = render([*rows, broken]).splitlines()
    assert first == "p: 1 met, 1 broken, 2 unchecked"
    assert [" ".join(line.split()) for line in told] == [
        "p x c d broken 1 is 2",
        "p x 2 clauses unchecked needs y",
    ]


def test_what_nobody_can_contain_is_named_by_debug(project):
    install(project, "gone", "import os\nos._exit(9)\n")
    done = subprocess.run(
        [sys.executable, "-c", "from penin_core.cli import main; main()", "--debug", "plugins"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project.parent / 'site'}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 9
    assert done.stderr.splitlines()[-1].endswith("loading plugin gone (penin-gone 1.0)")
