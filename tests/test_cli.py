"""The command line: help that imports nothing, errors of two lines, exit codes with a meaning."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import penin_core
from penin_core import cli, errors
from penin_core.cli import COMMANDS, output, penin, run
from penin_core.cli.output import emit, printable, table, to_json
from penin_core.installed import Entry
from penin_core.testing.fakes import write_distribution

ROOT = Path(__file__).parent.parent
HEAVY = [
    "numpy",
    "pydantic",
    "pluggy",
    "httpx2",
    "importlib.metadata",
    "rich",
    "asyncio",
    "sqlite3",
    "tomllib",
]
MAIN = "import sys; sys.argv[0] = 'penin'; from penin_core.cli import main; main()"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """Leave the user's cache alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def env(tmp_path):
    """The environment of a penin that is run in a process of its own."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONSAFEPATH": "1",
    }


def penin_process(env, *args, code=MAIN, cwd=None, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
        timeout=30,
        **kwargs,
    )


@pytest.fixture
def command(monkeypatch):
    """Make the body of a command named ``probe``."""

    def make(body):
        probe = click.Command("probe", callback=body)
        monkeypatch.setattr(cli, "_of_plugins", lambda: {"probe": [ENTRY]})
        monkeypatch.setattr(cli, "_load", lambda entries: probe)

    return make


ENTRY = Entry("penin.commands", "probe", "probe:probe", "penin-probe", "1.0")


# Help


def test_help_lists_every_command_in_order(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert list(COMMANDS) == (
        [
            "init",
            "evolve",
            "evaluate",
            "promote",
            "rollback",
            "canary",
            "champion",
            "status",
            "why",
            "replay",
            "report",
            "finetune",
            "doctor",
            "ledger",
            "tasks",
            "tune",
            "selftest",
            "plugins",
        ]
    )


@pytest.mark.parametrize("args", [["--help"], ["--version"], []], ids=["help", "version", "bare"])
def test_help_and_version_import_nothing_heavy(env, args, tmp_path):
    code = (
        "import sys\nfrom penin_core.cli import run\ncode = run(sys.argv[1:])\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    for _ in range(40):
        result = penin_process(env, *args, code=code, cwd=tmp_path)
        if "HEAVY []" in result.stderr:
            break
    assert result.stderr.splitlines()[-1] == "HEAVY []"


def test_version_is_that_of_the_package(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"penin, version {penin_core.__version__}\n"


def test_no_arguments_show_help_and_are_a_usage_error(capsys):
    assert run([]) == 2
    assert "Usage: penin" in capsys.readouterr().err


def present(name):
    return (ROOT / "penin_core" / "cli" / f"{name}.py").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    if not present(name):
        pytest.skip(f"cli/{name}.py does not exist yet")
    assert run([name, "--help"]) == 0
    assert f"Usage: penin {name}" in capsys.readouterr().out


def test_completion_imports_no_command(env):
    completing = {
        **env,
        "_PENIN_COMPLETE": "bash_complete",
        "COMP_WORDS": "penin e",
        "COMP_CWORD": "1",
    }
    code = (
        "import atexit, sys\nfrom penin_core.cli import penin\n"
        "loaded = lambda: [name for name in sys.modules if name.startswith('penin_core.cli.')]\n"
        "atexit.register(lambda: print(loaded()))\n"
        "penin.main(prog_name='penin')"
    )
    lines = penin_process(completing, code=code).stdout.split()
    assert lines == ["plain,evolve", "plain,evaluate", "[]"]


# Errors and exit codes


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["evlove"], "no such command: 'evlove'", "did you mean 'evolve'?"),
        (["zzz"], "no such command: 'zzz'", "see penin --help"),
        (["--colour"], "No such option", "see penin --help"),
        (["plugins", "--jsom"], "--jsom", "see penin plugins --help"),
        (["plugins", "lisst"], "No such command 'lisst'", "see penin plugins --help"),
    ],
)
def test_usage_mistakes_are_two_lines_and_exit_2(args, message, hint, capsys):
    assert run(args) == 2
    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert second == f"hint: {hint}"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("name", "package"), [("serve", "penin-gateway"), ("dashboard", "penin-dashboard")]
)
@pytest.mark.parametrize("args", [[], ["--help"], ["--port", "9"]], ids=" ".join)
def test_a_command_that_is_not_installed_names_its_package(
    monkeypatch, capsys, name, package, args
):
    monkeypatch.setattr(cli, "_of_plugins", dict)
    assert run([name, *args]) == 2
    assert capsys.readouterr() == (
        "",
        f"error: command {name!r} comes with {package}, which is not installed\n"
        f"hint: pip install ./plugins/{package} in the folder of penin's repository\n",
    )


def test_a_command_that_is_not_installed_is_near_its_misspelling(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_of_plugins", dict)
    assert run(["dashbord"]) == 2
    assert "hint: did you mean 'dashboard'?" in capsys.readouterr().err


def test_packages_of_commands_bring_them():
    for name, package in cli.OPTIONAL.items():
        written = (ROOT / "plugins" / package / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(written)["project"]
        assert project["name"] == package
        assert name in project["entry-points"]["penin.commands"]


def concrete(base):
    for error in base.__subclasses__():
        if error.__module__ == errors.__name__:
            yield error
            yield from concrete(error)


@pytest.mark.parametrize("error", [errors.PeninError, *concrete(errors.PeninError)])
def test_every_error_is_two_lines_and_its_exit_code(command, capsys, error):
    def body():
        raise error("broke\nin two", hint="mend\nit")

    command(body)
    assert run(["probe"]) == error.exit_code
    assert capsys.readouterr() == ("", "error: broke in two\nhint: mend it\n")


def test_an_error_without_hint_is_one_line(command, capsys):
    def body():
        raise errors.LedgerInvalid("entry 3 does not verify")

    command(body)
    assert run(["probe"]) == 5
    assert capsys.readouterr().err == "error: entry 3 does not verify\n"


def test_debug_keeps_the_traceback_of_an_error(command):
    def body():
        raise errors.StateError("no")

    command(body)
    with pytest.raises(errors.StateError):
        run(["--debug", "probe"])


def test_a_bug_keeps_its_traceback(command):
    command(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(["probe"])


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (3, 3), ("text", 0)])
def test_a_command_may_return_its_exit_code(command, returned, code):
    command(lambda: returned)
    assert run(["probe"]) == code


def test_a_command_may_exit(command):
    command(lambda: click.get_current_context().exit(4))
    assert run(["probe"]) == 4


def test_ctrl_c_says_that_the_state_is_valid(command, capsys):
    def body():
        raise KeyboardInterrupt

    command(body)
    assert run(["probe"]) == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "valid" in line
    assert "run the same command" in line


def test_a_refused_question_changes_nothing(command, capsys):
    command(lambda: click.confirm("sure?", abort=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("click.termui.visible_prompt_func", lambda text: "n")
        assert run(["probe"]) == 1
    assert "aborted" in capsys.readouterr().err


def test_sigint_ends_a_running_command_with_130(env, tmp_path):
    write_distribution(
        tmp_path,
        "penin-slow",
        commands={"slow": "penin_slow:slow"},
        modules={
            "penin_slow": "import click, time\n@click.command()\ndef slow():\n"
            "    click.echo('started')\n    time.sleep(20)\n"
        },
    )
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "slow"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_goes_away_leaves_no_traceback(env):
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.3)\n" + MAIN, "--help"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=10) == 1


# Commands of plugins

SOUND = "import click\n@click.command()\ndef cmd():\n    click.echo('hello')\n"
BROKEN = {
    "raising": "raise RuntimeError('boom')",
    "exiting": "raise SystemExit(0)",
    "printing": "print('noise')\nimport no_such_module_here",
    "mistyped": "cmd = 'no command'",
    "nothing": "",
}


@pytest.fixture
def commands(tmp_path, env):
    """Distributions that bring one sound command and five broken ones."""
    site = tmp_path / "site"
    for name, source in {"greet": SOUND, **BROKEN}.items():
        module = f"penin_cmd_{name}"
        write_distribution(
            site,
            f"penin-{name}",
            "2.0",
            commands={name: f"{module}:cmd"},
            modules={module: source},
        )
    write_distribution(site, "penin-thief", commands={"evolve": "nowhere:cmd"})
    for distribution in ("penin-one", "penin-two"):
        write_distribution(site, distribution, commands={"twice": "penin_cmd_greet:cmd"})
    env["PYTHONPATH"] += os.pathsep + str(site)
    return env


def test_help_lists_commands_of_plugins_after_the_core(commands):
    result = penin_process(commands, "--help")
    core, others = result.stdout.split("Commands of plugins:")
    assert result.returncode == 0
    others = re.sub(" +", " ", others)
    assert "greet from penin-greet 2.0" in others
    assert "twice from penin-one 1.0 and penin-two 1.0" in others
    assert "thief" not in core + others
    assert result.stderr == ""


def test_a_command_of_a_plugin_runs(commands):
    assert penin_process(commands, "greet").stdout == "hello\n"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_command_names_its_plugin(commands, name):
    result = penin_process(commands, name)
    assert result.returncode == 2
    assert result.stdout == ""
    error, hint = result.stderr.removeprefix("noise\n").splitlines()
    assert error.startswith(f"error: command {name} (penin-{name} 2.0) ")
    assert hint == f"hint: update or uninstall penin-{name}; every other command works"


def test_a_command_that_two_plugins_bring_is_refused(commands):
    result = penin_process(commands, "twice")
    assert result.returncode == 2
    assert "penin-one 1.0 and penin-two 1.0" in result.stderr


# penin plugins


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project folder as working directory; nothing of the user's is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENIN_CONFIG", raising=False)
    return tmp_path


@pytest.mark.parametrize("args", [["--json"], ["list", "--json"], ["--json", "list"]], ids=" ".join)
def test_plugins_are_listed_as_json(project, args):
    result = CliRunner().invoke(penin, ["plugins", *args])
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["guards"]["state"] == "loaded"
    assert rows["guards"]["distribution"] == "penin-core"
    assert {"contractive", "sigma"} <= {part["name"] for part in rows["guards"]["components"]}


def test_plugins_are_listed_as_a_table(project):
    (project / "my_metric.py").write_text("1 / 0")
    (project / "penin.toml").write_text('plugins = ["./my_metric.py", "absent"]')
    result = CliRunner().invoke(penin, ["plugins"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "name",
        "distribution",
        "version",
        "API",
        "provides",
        "state",
        "reason",
    ]
    (broken,) = [line for line in lines if line.startswith("my_metric")]
    assert broken.split()[-5:] == ["broken", "ZeroDivisionError:", "division", "by", "zero"]
    (absent,) = [line for line in lines if line.startswith("absent")]
    assert "missing" in absent
    assert any(line.startswith("guards") and "sigma" in line and "Σ" in line for line in lines)


def test_plugins_reads_the_settings_that_are_named(project):
    (project / "other.toml").write_text('plugins = ["./gone.py"]')
    result = CliRunner().invoke(penin, ["plugins", "--config", "other.toml"])
    assert isinstance(result.exception, errors.SettingsError)
    assert "gone.py" in str(result.exception)


HOSTILE = (
    "raise RuntimeError('boom')",
    "import sys; sys.exit(0)",
    "print('{')",
    "import os; os.environ.clear(); raise OSError('cleared')",
    "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    "import sys; sys.stdout = sys.stderr = None; raise ValueError",
    "import builtins; builtins.print = None",
    "penin_api = 1\nfrom penin_core import hookimpl\n@hookimpl\ndef penin_register_guards():\n"
    "    return 5",
    "raise BaseException('base')",
    "def __getattr__(name):\n    raise SystemExit(name)",
    "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
    "import sys; sys.modules[__name__] = 3",
)


def test_with_twelve_hostile_plugins_every_command_exits_as_it_should(project, env):
    site = project / "site"
    for number, source in enumerate(HOSTILE):
        module = f"penin_hostile_{number}"
        write_distribution(
            site,
            f"penin-h{number}",
            plugins={f"h{number}": module},
            commands={f"h{number}": f"{module}:cmd"},
            modules={module: source},
        )
    env["PYTHONPATH"] += os.pathsep + str(site)
    assert penin_process(env, "--help").returncode == 0
    assert penin_process(env, "--version").returncode == 0
    listed = penin_process(env, "plugins", "--json", cwd=project)
    assert listed.returncode == 0, listed.stderr
    hostile = {f"h{number}" for number in range(len(HOSTILE))}
    states = [(row["name"], row["state"]) for row in json.loads(listed.stdout)]
    assert {name for name, state in states if name in hostile and state == "broken"} == hostile
    assert penin_process(env, "h1").returncode == 2


# What commands say


def test_json_is_sorted_and_ends_in_a_newline(capsys):
    emit({"b": 1, "a": "σ"}, True, str)
    assert capsys.readouterr().out == '{\n  "a": "\\u03c3",\n  "b": 1\n}\n'


def test_text_is_what_the_command_words(capsys):
    emit([1, 2], False, lambda data: f"{len(data)} things")
    assert capsys.readouterr().out == "2 things\n"


def test_records_are_json():
    price = penin_core.Price(input_per_million=1.0, output_per_million=2.0)
    assert json.loads(to_json([price])) == [{"input_per_million": 1.0, "output_per_million": 2.0}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_is_no_number_is_no_json(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(value)


def test_what_is_no_data_is_no_json():
    with pytest.raises(TypeError, match="object is no JSON"):
        to_json(object())


def test_progress_goes_to_stderr(capsys):
    output.progress("half way")
    assert capsys.readouterr() == ("", "half way\n")


def test_columns_are_aligned_and_numbers_end_flush():
    text = table(("name", "n"), [("a", 5), ("longer", None), ("b", 120)])
    assert text.splitlines() == ["name      n", "a         5", "longer    -", "b       120"]


def test_an_empty_table_is_its_header():
    assert table(("a", "b"), []) == "a  b"


def test_a_row_of_another_length_is_a_bug():
    with pytest.raises(ValueError, match="zip"):
        table(("a", "b"), [("x",)])


def test_data_cannot_drive_the_terminal():
    assert printable("a\x1b[2J\nb\u202e") == "a [2J b "
    assert "\x1b" not in table(("\x68",), [("\x1b[31m",)])
