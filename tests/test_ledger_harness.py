"""Power cuts, failing system calls and killed writers, by the commands of bench/, made short."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "bench"

pytestmark = pytest.mark.skipif(not BENCH.is_dir(), reason="bench/ is not part of the package")


def measured(command, *arguments):
    """Run a command of bench/; return its exit code and what it found."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(BENCH / command), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "strace cannot attach" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


needs_apsw = pytest.mark.skipif(find_spec("apsw") is None, reason="apsw is not installed")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_apsw
def test_no_power_cut_loses_an_entry_and_weaker_settings_do():
    code, found = measured("crash.py", "--cuts", 150, "--weaker", 40)
    assert code == 0, found
    assert found["FULL"]["whole"] == 150
    assert found["NORMAL"]["lost"] > 0
    assert found["OFF"]["corrupt"] > 0


@needs_strace
def test_no_failing_system_call_loses_an_entry_or_stops_the_next_start():
    code, found = measured("faults.py", "--sample", 100)
    assert found["violations"] == {}
    assert code == 0
    assert sum(found["injected"].values()) == 100
    assert found["planned"] >= 250


@needs_strace
def test_a_pointer_that_is_moved_in_place_and_too_early_is_found():
    code, found = measured("faults.py", "--careless", "--only", "KILL", "--sample", 60)
    assert code == 1
    assert found["violations"]


def test_killed_writers_lose_nothing_and_tear_no_pointer():
    code, found = measured("kills.py", "--kills", 15, "--reads", 10_000)
    assert code == 0, found
    assert found["acknowledged"] > 0
    assert found["champions_seen"] > 0
