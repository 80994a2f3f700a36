"""The whole state directory is verified: changes make it invalid, missing things are told."""

import json
import shutil
import sqlite3

import pytest

from penin_core.errors import LedgerInvalid
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.champion import sync_champion
from penin_core.ledger.leaves import digest
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.verify import verify


def record(state, ledger, run_id, promote=False):
    """Write a run and its entries the way a cycle does; the pointer is left to the caller."""
    manifest = write_run(state, run_id, {"config.json": run_id.encode(), "gates.json": b"{}"})
    run = {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": "ab",
        "verdict": "promote" if promote else "rollback",
        "dry_run": False,
        "artifacts_path": f"runs/{run_id}",
        "manifest_sha256": manifest,
    }
    config = {"model": run_id}
    event = {"config": config, "config_hash": digest(config), "run_id": run_id}
    ledger.record_many([("RUN", run), *([("PROMOTE", event)] if promote else [])])


@pytest.fixture
def state(tmp_path):
    """Entries: 0 bootstrap, 1 run r1, 2 run r2, 3 its promotion, 4 run r3."""
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        ledger.record_event("BOOTSTRAP", {"config": {}, "config_hash": digest({})})
        record(tmp_path, ledger, "r1")
        record(tmp_path, ledger, "r2", promote=True)
        sync_champion(tmp_path, ledger)
        record(tmp_path, ledger, "r3")
    return tmp_path


def test_a_state_directory_that_nobody_touched_is_valid(state):
    found = verify(state)
    assert (found.valid, found.size, found.first_bad, found.reason) == (True, 5, None, "")
    assert found.warnings == ()
    with WORMLedger(state / "ledger.db") as ledger:
        assert found.root == ledger.root()


def test_an_empty_state_directory_is_valid_and_stays_empty(tmp_path):
    assert verify(tmp_path).valid
    assert list(tmp_path.iterdir()) == []


def test_a_changed_entry_is_named(state):
    connection = sqlite3.connect(state / "ledger.db")
    connection.execute("DROP TRIGGER runs_no_update")
    connection.execute("UPDATE runs SET verdict = 'promote' WHERE id = 'r1'")
    connection.commit()
    connection.close()
    found = verify(state)
    assert (found.valid, found.first_bad) == (False, 1)
    assert found.reason == "entry 1: runs.verdict differs from the entry"


def test_a_removed_tail_is_found_through_the_champion_pointer(state):
    connection = sqlite3.connect(state / "ledger.db", isolation_level=None)
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    triggers = connection.execute(query).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for table in ("runs", "events", "entries"):
        connection.execute(f"DELETE FROM {table} WHERE idx >= 3")
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()
    with WORMLedger(state / "ledger.db") as ledger:
        assert ledger.verify().valid
        with pytest.raises(LedgerInvalid, match="names entry 3, but the ledger has only 3"):
            sync_champion(state, ledger)
    found = verify(state)
    assert (found.valid, found.size, found.first_bad) == (False, 3, 3)
    assert found.reason == "champion.json names entry 3, but the ledger has only 3 entries"


def test_a_changed_pointer_is_found(state):
    path = state / "champion.json"
    changed = json.loads(path.read_text()) | {"config": {"model": "evil"}}
    path.write_text(json.dumps(changed, sort_keys=True, separators=(",", ":")))
    found = verify(state)
    assert (found.valid, found.first_bad) == (False, 3)
    assert found.reason == "champion.json differs from entry 3 in config"


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (None, "champion.json is missing; it is made again from the ledger at the next start"),
        ("{", "champion.json cannot be read; it is made again from the ledger at the next start"),
    ],
)
def test_a_pointer_that_can_be_made_again_is_a_warning(state, content, warning):
    (state / "champion.json").unlink()
    if content:
        (state / "champion.json").write_text(content)
    found = verify(state)
    assert (found.valid, found.warnings) == (True, (warning,))


def test_a_pointer_behind_the_ledger_is_a_warning(state):
    with WORMLedger(state / "ledger.db") as ledger:
        record(state, ledger, "r4", promote=True)
    found = verify(state)
    assert found.valid
    assert found.warnings == ("champion.json is behind the ledger; it follows at the next start",)


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_changed_file_of_a_run_is_named_by_its_entry(state, name):
    path = state / "runs" / "r2" / name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data.replace(b"r2", b"r9"))
    found = verify(state)
    assert (found.valid, found.first_bad) == (False, 2)
    assert f"runs/r2/{name} differs" in found.reason


def test_a_removed_file_of_a_run_is_a_change(state):
    (state / "runs" / "r1" / "gates.json").unlink()
    found = verify(state)
    assert (found.valid, found.first_bad) == (False, 1)
    assert "gates.json is gone" in found.reason


def test_a_removed_run_directory_is_a_warning(state):
    shutil.rmtree(state / "runs" / "r1")
    found = verify(state)
    assert found.valid
    (warning,) = found.warnings
    assert warning.startswith("entry 1: ")
    assert warning.endswith("runs/r1 cannot be read: No such file or directory")


def test_a_run_directory_that_was_replaced_by_a_link_is_a_change(state):
    (state / "runs" / "r1").rename(state / "elsewhere")
    (state / "runs" / "r1").symlink_to(state / "elsewhere")
    found = verify(state)
    assert (found.valid, found.first_bad) == (False, 1)


def test_a_file_that_no_manifest_names_is_a_warning(state):
    (state / "runs" / "r1" / "approval.json").write_text("{}")
    found = verify(state)
    assert found.valid
    assert found.warnings == ("runs/r1: its manifest does not name 'approval.json'",)


def test_what_an_interrupted_cycle_leaves_is_a_warning(state):
    write_run(state, "r8", {})
    (state / "runs" / "r9").mkdir()
    found = verify(state)
    assert found.valid
    assert found.warnings == (
        "runs/r8: the ledger has no such run",
        "runs/r9: it has no manifest",
    )


def test_a_run_without_files_is_valid(state):
    run = {"kind": "baseline", "candidate_cfg_hash": "ab", "verdict": "fail", "dry_run": True}
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_run(run | {"id": "r7"})
    assert verify(state).warnings == ()
