"""Real processes on one ledger: nothing lost, no gaps, no waiting readers, whatever is killed."""

import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import penin_core
from penin_core.ledger.store import WORMLedger

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(penin_core.__file__).parents[1])}
WRITER = """
import sys
from penin_core.ledger.store import WORMLedger
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with WORMLedger(path) as ledger:
    for number in range(count):
        if number % 3:
            entry = ledger.record_event("TUNE", {"by": name, "n": number})
        else:
            entry = ledger.record_run({
                "id": f"{name}-{number}", "kind": "challenger", "candidate_cfg_hash": "ab",
                "verdict": "fail", "dry_run": False, "n_tasks": number,
            })
        print(entry.idx, entry.leaf_hash, flush=True)
"""


@contextmanager
def writer(path, name, count):
    command = [sys.executable, "-W", "error", "-c", WRITER, str(path), name, str(count)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(text):
    """The index and leaf hash of each whole line that a writer printed after its append."""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [(int(idx), leaf_hash) for idx, leaf_hash in map(str.split, lines)]


def test_processes_that_append_together_lose_nothing_and_leave_no_gap(tmp_path):
    path = tmp_path / "ledger.db"
    with (
        writer(path, "a", 60) as one,
        writer(path, "b", 60) as two,
        writer(path, "c", 60) as three,
    ):
        outputs = [process.communicate(timeout=60)[0] for process in (one, two, three)]
    acked = [acknowledged(output) for output in outputs]
    assert [len(entries) for entries in acked] == [60, 60, 60]
    assert sorted(idx for entries in acked for idx, _ in entries) == list(range(180))
    with WORMLedger(path) as ledger:
        found = ledger.verify()
        assert (found.valid, found.size) == (True, 180)
        for entries in acked:
            assert all(ledger.entry(idx).leaf_hash == leaf_hash for idx, leaf_hash in entries)


def test_a_killed_writer_leaves_a_valid_ledger_with_all_that_it_acknowledged(tmp_path):
    path, chance, promised = tmp_path / "ledger.db", random.Random(7), []
    for life in range(6):
        with writer(path, f"w{life}", 10**6) as process:
            first = process.stdout.readline()
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
            promised += acknowledged(first + process.stdout.read())
    with WORMLedger(path) as ledger:
        found = ledger.verify()
        assert found.valid, found.reason
        # A killed process may have appended one entry that it could no longer report.
        assert 6 <= len(promised) <= found.size <= len(promised) + 6
        assert all(ledger.entry(idx).leaf_hash == leaf_hash for idx, leaf_hash in promised)
        assert ledger.record_event("TUNE", {}).idx == found.size


def test_a_reader_sees_a_valid_growing_ledger_while_another_process_writes(tmp_path):
    path = tmp_path / "ledger.db"
    with writer(path, "w", 10**6) as process, WORMLedger(path) as ledger:
        process.stdout.readline()
        seen = []
        until = time.monotonic() + 20
        while len(seen) < 10 or (seen[-1] < seen[0] + 20 and time.monotonic() < until):
            found = ledger.verify()
            assert found.valid, found.reason
            assert len(ledger.runs()) + len(ledger.events()) >= found.size
            seen.append(found.size)
        process.kill()
    assert seen == sorted(seen)
    assert seen[-1] >= seen[0] + 20


def test_a_killed_holder_gives_the_lock_back(tmp_path):
    path = tmp_path / "ledger.db"
    code = f"""
import time
from penin_core.ledger.store import WORMLedger
with WORMLedger({str(path)!r}) as ledger, ledger.lock:
    print("held", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        process.kill()
        with WORMLedger(path) as ledger:
            assert ledger.record_event("TUNE", {}).idx == 0
