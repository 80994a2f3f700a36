"""What a plugin does when it is imported stays its own: it ends in time, and changes nothing."""

import builtins
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import penin_core.contracts
from penin_core import PluginInvalid, SettingsError
from penin_core.installed import Entry, plain
from penin_core.loading import (
    bounded,
    contained,
    load,
    load_file,
    prints_on_stderr,
    reason_of,
    time_limit,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture
def quick(monkeypatch):
    """An import may take a third of a second."""
    monkeypatch.setenv("PENIN_IMPORT_SECONDS", "0.3")


def entry(value):
    return Entry("penin", "x", value, "penin-x", "1.0")


def test_load_follows_attributes_and_ignores_extras():
    assert load(entry("os.path:join")) is os.path.join
    assert load(entry("os.path")) is os.path
    assert load(entry("json [extra]")).__name__ == "json"


@pytest.mark.parametrize("value", ["no_such_module_x", "os:no_such", "", ":x", "os:path.nothing"])
def test_load_names_what_is_wrong(value):
    with pytest.raises(PluginInvalid, match="Error"):
        load(entry(value))


# Time

HANGING = {
    "sleeps": "import time\ntime.sleep(60)",
    "waits": "import threading\nthreading.Event().wait()",
    "swallows": "while True:\n    try:\n        import time; time.sleep(0.01)\n"
    "    except BaseException:\n        pass",
}


@pytest.mark.parametrize("way", HANGING)
def test_an_import_that_hangs_is_left_behind(tmp_path, quick, way):
    file = tmp_path / f"{way}.py"
    # After the test it ends, so that nothing runs on beside the other tests.
    end = f"not __import__('os').path.exists({str(tmp_path / 'end')!r})"
    file.write_text(HANGING[way].replace("True", end))
    started = time.monotonic()
    with pytest.raises(PluginInvalid, match=r"not imported after 0\.3 s") as caught:
        load_file(file)
    assert time.monotonic() - started < 20
    assert "PENIN_IMPORT_SECONDS" in caught.value.hint
    (tmp_path / "end").touch()


@pytest.mark.parametrize("given", ["0", "-1", "inf", "nan", "soon"])
def test_a_time_limit_that_is_none_is_a_wrong_setting(monkeypatch, given):
    monkeypatch.setenv("PENIN_IMPORT_SECONDS", given)
    with pytest.raises(SettingsError, match=f"PENIN_IMPORT_SECONDS = '{given}'"):
        time_limit()


def test_the_time_limit_is_thirty_seconds(monkeypatch):
    monkeypatch.delenv("PENIN_IMPORT_SECONDS", raising=False)
    assert time_limit() == 30.0


# Exits


def test_ctrl_c_is_never_contained():
    with pytest.raises(KeyboardInterrupt), contained():
        raise KeyboardInterrupt


def test_a_plugin_cannot_pretend_that_the_user_pressed_ctrl_c(tmp_path):
    (tmp_path / "rude.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(PluginInvalid, match="KeyboardInterrupt"):
        load_file(tmp_path / "rude.py")


def test_an_error_whose_message_fails_is_contained():
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError("no message for you")

    with pytest.raises(PluginInvalid, match=r"^Nasty$"), contained():
        raise Nasty


def test_a_reason_cannot_drive_a_terminal():
    error = ValueError("\x1b[31mred\x1b[0m\x07 and " + "long " * 500)
    assert reason_of(error).isprintable()
    assert len(reason_of(error)) == 300


def test_plain_text_is_one_short_line():
    assert plain("a\nb\x1b[1mc") == "a b [1mc"
    assert plain("x" * 20, 5) == "xxxx…"


# Output


def test_what_a_plugin_prints_goes_to_stderr(tmp_path, capsys):
    (tmp_path / "loud.py").write_text("print('hello')")
    load_file(tmp_path / "loud.py")
    assert capsys.readouterr() == ("", "hello\n")


def test_what_children_and_native_code_print_goes_to_stderr(tmp_path, capfd):
    (tmp_path / "deep.py").write_text(
        "import os, subprocess\nos.write(1, b'one\\n')\nsubprocess.run(['echo', 'two'])"
    )
    load_file(tmp_path / "deep.py")
    print("three")
    out, err = capfd.readouterr()
    assert (out, err) == ("three\n", "one\ntwo\n")


def test_what_a_plugin_at_work_prints_goes_to_stderr_from_any_thread(capfd):
    with prints_on_stderr():
        sys.__stdout__.write("zero\n")
        thread = threading.Thread(target=lambda: (print("one"), os.write(1, b"two\n")))
        thread.start()
        thread.join()
    print("three")
    out, err = capfd.readouterr()
    assert (out, sorted(err.split())) == ("three\n", ["one", "two", "zero"])


def test_streams_that_were_taken_are_given_back(tmp_path):
    before = sys.stdout, sys.stderr
    (tmp_path / "thief.py").write_text("import sys\nsys.stdout = sys.stderr = None")
    load_file(tmp_path / "thief.py")
    assert (sys.stdout, sys.stderr) == before


# Files


def test_a_failed_file_leaves_no_module(tmp_path):
    (tmp_path / "half.py").write_text("raise SystemExit(3)")
    with pytest.raises(PluginInvalid, match="SystemExit: 3"):
        load_file(tmp_path / "half.py")
    assert not [name for name in sys.modules if name.endswith("_half")]


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metric.py").write_text(f"WHERE = {folder!r}")
    first, second = (load_file(tmp_path / folder / "metric.py") for folder in ("a", "b"))
    assert (first.WHERE, second.WHERE) == ("a", "b")
    assert first.__name__ != second.__name__


def test_a_file_that_is_no_python_is_refused(tmp_path):
    (tmp_path / "plugin.txt").write_text("")
    with pytest.raises(PluginInvalid, match="not a Python file"):
        load_file(tmp_path / "plugin.txt")


# Changes

CHANGES = {
    "method": ("contracts.Guard.check = None", "penin_core.contracts.Guard.check"),
    "function": ("checks.check_api = print", "penin_core.checks.check_api"),
    "removed": ("del contracts.CONTRACTS", "penin_core.contracts.CONTRACTS"),
    "constant": ("hookspecs.PLUGIN_API = 9", "penin_core.hookspecs.PLUGIN_API"),
    "built-in": ("import builtins; builtins.print = None", "builtins.print"),
    "module": (
        "import sys; sys.modules['penin_core.contracts'] = sys",
        "penin_core.contracts",
    ),
    "folder": ("import os; os.chdir('/')", "the working directory"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_plugin_that_changes_what_is_not_its_own_is_refused_and_undone(tmp_path, case):
    source, what = CHANGES[case]
    head = "from penin_core import checks, contracts, hookspecs\n"
    (tmp_path / "patch.py").write_text(head + source)
    before = dict(vars(penin_core.contracts)), dict(vars(builtins)), Path.cwd()
    check = penin_core.contracts.Guard.check
    with pytest.raises(PluginInvalid, match=f"it changes {what}"):
        load_file(tmp_path / "patch.py")
    assert (dict(vars(penin_core.contracts)), dict(vars(builtins)), Path.cwd()) == before
    assert penin_core.contracts.Guard.check is check


def test_what_a_failing_plugin_changed_is_undone(tmp_path, monkeypatch):
    monkeypatch.setenv("PENIN_TEST_MARK", "here")
    source = "import os, builtins as b\nos.environ.clear()\nb.len = b.isinstance = None\n1 / 0"
    (tmp_path / "worse.py").write_text(source)
    with pytest.raises(PluginInvalid):
        load_file(tmp_path / "worse.py")
    assert os.environ["PENIN_TEST_MARK"] == "here"
    assert len("two") == 3


def test_adding_is_allowed(tmp_path, monkeypatch):
    monkeypatch.delitem(os.environ, "PENIN_TEST_MARK", raising=False)
    (tmp_path / "adds.py").write_text(
        "import os, builtins, penin_core.suites\n"
        "os.environ['PENIN_TEST_MARK'] = '1'\nbuiltins._ = str"
    )
    load_file(tmp_path / "adds.py")
    assert os.environ.pop("PENIN_TEST_MARK") == "1"
    del builtins._


# Threads


def test_a_thread_of_a_plugin_is_a_daemon(tmp_path):
    (tmp_path / "busy.py").write_text(
        "import threading\n"
        "T = threading.Thread(target=threading.Event().wait, args=(1,))\nT.start()"
    )
    assert load_file(tmp_path / "busy.py").T.daemon


def test_bounded_runs_in_another_thread():
    assert bounded(threading.current_thread) is not threading.current_thread()


def test_a_thread_that_never_ends_does_not_keep_a_command(tmp_path):
    (tmp_path / "stay.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=False).start()\npenin_api = 1\n"
    )
    (tmp_path / "penin.toml").write_text('plugins = ["./stay.py"]')
    done = subprocess.run(
        [sys.executable, "-c", "from penin_core.cli import main; main()", "plugins", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("]")
