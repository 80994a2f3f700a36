"""The state directory is usable or refused, and one cycle at a time has it."""

import os
import subprocess
import sys

import pytest

from penin_core import StateError
from penin_core.state import exclusive, prepare

HOLDER = """
import sys
from pathlib import Path
from penin_core.state import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_missing_directory_is_made_with_its_parents(tmp_path):
    assert prepare(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert prepare(tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_way_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="is a file"):
        prepare(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StateError, match="cannot be used"):
        prepare(tmp_path)


def test_a_second_cycle_in_the_same_process_is_refused_while_the_first_runs(tmp_path):
    with exclusive(tmp_path), pytest.raises(StateError, match=f"process {os.getpid()}"):  # noqa: SIM117
        with exclusive(tmp_path):
            pass
    with exclusive(tmp_path):
        pass


def test_an_error_inside_gives_the_directory_free(tmp_path):
    with pytest.raises(RuntimeError), exclusive(tmp_path):
        raise RuntimeError
    with exclusive(tmp_path):
        pass


def test_a_killed_process_leaves_no_lock_behind(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateError, match=f"process {holder.pid}"), exclusive(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with exclusive(tmp_path):
        pass


def test_a_directory_that_is_gone_is_named(tmp_path):
    with pytest.raises(StateError, match="gone"), exclusive(tmp_path / "gone"):
        pass
