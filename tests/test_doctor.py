"""The doctor names what is wrong around a ledger, and repairs nothing."""

import fcntl
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from penin_core import doctor
from penin_core.canonical import digest
from penin_core.cli.doctor import command
from penin_core.doctor import examine, sqlite_finding
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.champion import sync_champion
from penin_core.ledger.store import WORMLedger


def run_body(run_id, **more):
    return {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": "ab",
        "verdict": "fail",
        "dry_run": False,
        **more,
    }


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("PENIN_SIGNING_KEY", raising=False)


@pytest.fixture
def state(tmp_path):
    """A state directory with a run, a champion and its pointer."""
    found = tmp_path / "state"
    found.mkdir(mode=0o700)
    manifest = write_run(found, "r1", {"config.json": b"{}"})
    config = {"model": "a"}
    body = {"config": config, "config_hash": digest(config), "run_id": "r1"}
    run = run_body("r1", artifacts_path="runs/r1", manifest_sha256=manifest)
    with WORMLedger(found / "ledger.db") as ledger:
        ledger.record_many([("RUN", run), ("PROMOTE", body)])
        sync_champion(found, ledger)
    return found


def found(state, check, now=None):
    """The finding of one check; None if there is none."""
    findings = {finding.check: finding for finding in examine(state, now)}
    return findings.get(check)


def levels(state):
    return {finding.check: finding.level for finding in examine(state)}


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


def test_in_a_good_place_nothing_is_wrong_and_nothing_is_changed(state):
    before = contents(state)
    found_levels = levels(state)
    # Which SQLite there is, and how much space, is up to the machine.
    assert found_levels.pop("sqlite") in {"ok", "note"}
    assert found_levels.pop("space") in {"ok", "note"}
    assert found_levels == {
        "locks": "ok",
        "key": "note",
        "ledger": "ok",
        "pointer": "ok",
        "clock": "ok",
        "orphans": "ok",
    }
    assert contents(state) == before


def test_a_directory_that_is_not_there_yet_is_a_note(tmp_path):
    assert levels(tmp_path / "nothing")["state"] == "note"
    assert list(tmp_path.iterdir()) == []


def test_a_state_directory_that_is_a_file_is_wrong(tmp_path):
    (tmp_path / "state").write_text("mine")
    assert levels(tmp_path / "state")["state"] == "wrong"


def test_an_empty_directory_is_a_note(tmp_path):
    assert found(tmp_path, "ledger").message == "nothing was recorded yet"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trace", ["champion.json", "ledger/checkpoint"])
def test_a_ledger_that_left_traces_and_is_gone_is_wrong(tmp_path, trace):
    (tmp_path / "ledger").mkdir()
    (tmp_path / trace).write_text("{}")
    finding = found(tmp_path, "ledger")
    assert finding.level == "wrong"
    assert finding.message == f"ledger.db is missing, though {trace} was written after its entries"


def test_what_a_killed_first_cycle_leaves_is_no_lost_ledger(tmp_path):
    write_run(tmp_path, "r1", {"config.json": b"{}"})
    assert found(tmp_path, "ledger").level == "note"


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 40, 1), "note"),
        ((3, 44, 5), "note"),
        ((3, 44, 6), "ok"),
        ((3, 45, 0), "note"),
        ((3, 50, 6), "note"),
        ((3, 50, 7), "ok"),
        ((3, 51, 2), "note"),
        ((3, 51, 3), "ok"),
        ((3, 52, 0), "ok"),
    ],
)
def test_versions_of_sqlite_with_the_race_are_known(version, level):
    finding = sqlite_finding(version)
    assert finding.level == level
    assert ("affected, mitigated by lock" in finding.message) == (level == "note")


def test_a_file_system_that_ignores_locks_is_wrong(state, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    finding = doctor.lock_finding(state)
    assert (finding.level, "ignores locks" in finding.message) == ("wrong", True)


def test_a_file_system_without_locks_is_wrong(state, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    finding = doctor.lock_finding(state)
    assert (finding.level, finding.message) == (
        "wrong",
        f"{state} cannot be locked: Operation not supported",
    )


def test_a_network_file_system_is_wrong(state, monkeypatch):
    monkeypatch.setattr(doctor, "_file_system", lambda _: "nfs4")
    assert doctor.lock_finding(state).level == "wrong"


@pytest.mark.parametrize(
    ("free", "level"), [(1 << 20, "wrong"), (100 << 20, "note"), (1 << 40, "ok")]
)
def test_space_that_runs_out_is_seen(state, monkeypatch, free, level):
    there = SimpleNamespace(f_files=9, f_favail=9, f_frsize=4096, f_bavail=free // 4096)
    monkeypatch.setattr(os, "statvfs", lambda _: there)
    assert doctor.space_finding(state).level == level


def test_a_file_system_without_room_for_more_files_is_wrong(state, monkeypatch):
    monkeypatch.setattr(
        os, "statvfs", lambda _: SimpleNamespace(f_files=9, f_favail=0, f_frsize=1, f_bavail=9)
    )
    assert doctor.space_finding(state).level == "wrong"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_change_is_wrong(state, mode):
    state.chmod(mode)
    assert found(state, "permissions").level == "wrong"


@pytest.mark.parametrize(("mode", "level"), [(0o600, "ok"), (0o640, "wrong"), (0o604, "wrong")])
def test_a_key_that_others_may_read_is_wrong(state, mode, level):
    (state / "keys").mkdir(mode=0o700)
    (state / "keys" / "ledger.key").write_text("secret")
    (state / "keys" / "ledger.key").chmod(mode)
    finding = found(state, "key")
    assert finding.level == level
    assert "secret" not in str(finding)


def test_a_key_in_a_directory_that_others_may_change_is_wrong(state):
    (state / "keys").mkdir(mode=0o700)
    (state / "keys" / "ledger.key").touch(mode=0o600)
    (state / "keys").chmod(0o777)
    assert found(state, "key").level == "wrong"


def test_a_key_may_come_from_the_environment(state, monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", "PRIVATE+KEY+secret")
    finding = found(state, "key")
    assert finding.level == "ok"
    assert "secret" not in str(finding)


def test_a_damaged_ledger_is_wrong_and_kept(state):
    (state / "ledger.db").write_bytes(b"dear diary " * 100)
    assert "is damaged" in found(state, "ledger").message
    assert found(state, "ledger").level == "wrong"
    assert (state / "ledger.db").read_bytes() == b"dear diary " * 100


def test_a_missing_pointer_is_a_note(state):
    (state / "champion.json").unlink()
    assert found(state, "pointer").level == "note"
    assert not (state / "champion.json").exists()


def test_a_pointer_that_cannot_be_read_is_a_note(state):
    (state / "champion.json").write_text("{")
    assert "cannot be read" in found(state, "pointer").message


def test_a_pointer_that_is_behind_is_a_note(state):
    config = {"model": "b"}
    body = {"config": config, "config_hash": digest(config), "run_id": "r1"}
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_event("PROMOTE", body)
    assert found(state, "pointer").level == "note"


@pytest.mark.parametrize("change", [{"idx": 9}, {"run_id": "r2"}])
def test_a_pointer_that_says_something_else_is_wrong(state, change):
    pointer = json.loads((state / "champion.json").read_bytes())
    text = json.dumps(pointer | change, sort_keys=True, separators=(",", ":"))
    (state / "champion.json").write_text(text)
    assert found(state, "pointer").level == "wrong"


def test_a_clock_behind_the_last_entry_is_wrong(state):
    now = datetime.now(UTC)
    assert found(state, "clock", now).level == "ok"
    assert found(state, "clock", now - timedelta(hours=1)).level == "wrong"


def test_a_clock_that_went_back_between_entries_is_a_note(state, monkeypatch):
    with WORMLedger(state / "ledger.db") as ledger:
        for seconds in (100, 0):
            moment = datetime.now(UTC) + timedelta(seconds=seconds)
            clock = SimpleNamespace(now=lambda _, moment=moment: moment)
            monkeypatch.setattr("penin_core.ledger.drafts.datetime", clock)
            ledger.record_event("TUNE", {})
    finding = found(state, "clock")
    assert finding.level == "note"
    assert "went back 100 s before entry 3" in finding.message


def test_a_directory_without_an_entry_is_a_note(state):
    write_run(state, "r2", {"config.json": b"{}"})
    (state / "runs" / "r3").mkdir()
    finding = found(state, "orphans")
    assert finding.level == "note"
    assert "2 directories (r2, r3)" in finding.message


def test_a_run_without_files_is_wrong(state):
    shutil.rmtree(state / "runs" / "r1")
    finding = found(state, "runs")
    assert finding.level == "wrong"
    assert "1 run (r1)" in finding.message


def test_what_a_broken_swap_left_is_a_note(state):
    (state / ".champion.json-0011").touch()
    assert found(state, "leftovers").level == "note"


def invoked(state, *args):
    return CliRunner().invoke(command, ["--state-dir", str(state), *args])


def test_notes_exit_with_0_and_what_is_wrong_with_1(state):
    (state / "champion.json").unlink()
    done = invoked(state)
    assert done.exit_code == 0, done.output
    assert "note: champion.json is missing" in done.output
    state.chmod(0o777)
    done = invoked(state)
    assert done.exit_code == 1
    assert "wrong:" in done.output
    assert f"chmod go-w {state}" in done.output


def test_json_has_every_finding(state):
    data = json.loads(invoked(state, "--json").output)
    assert data["ok"] is True
    assert {"check", "level", "message", "hint"} == data["findings"][0].keys()
    assert {finding["check"] for finding in data["findings"]} >= {"sqlite", "locks", "clock"}
