"""The champion follows the ledger; its pointer is repaired when behind, never when it lies."""

import json
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger import champion as module
from penin_core.ledger.champion import (
    champions,
    current_champion,
    last_good,
    quarantined,
    read_pointer,
    sync_champion,
)
from penin_core.ledger.leaves import digest
from penin_core.ledger.store import WORMLedger


@pytest.fixture
def ledger(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as opened:
        yield opened


def config(name):
    return {"model": name, "temperature": 1.2}


def move(ledger, kind, name):
    """Append an event after which the configuration ``name`` is the champion."""
    body = {"config": config(name), "config_hash": digest(config(name)), "run_id": f"run-{name}"}
    return ledger.record_event(kind, body)


def names(*found):
    return [champion and champion.config["model"] for champion in found]


def pointer_of(path):
    return json.loads((path / "champion.json").read_text())


def test_there_is_no_champion_before_the_first_bootstrap(tmp_path, ledger):
    ledger.record_event("TUNE", {})
    assert current_champion(ledger) is last_good(ledger) is sync_champion(tmp_path, ledger) is None
    assert not (tmp_path / "champion.json").exists()


def test_the_last_of_the_three_kinds_is_the_champion(ledger):
    for kind, name in [("BOOTSTRAP", "a"), ("PROMOTE", "b"), ("ROLLBACK", "a"), ("PROMOTE", "c")]:
        move(ledger, kind, name)
        ledger.record_event("OVERRIDE", {"config": config("z"), "config_hash": "0"})
        assert names(current_champion(ledger)) == [name]
    assert names(*champions(ledger)) == ["a", "b", "a", "c"]


def test_the_pointer_has_the_promised_fields(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    ledger.record_event("TUNE", {})
    entry = move(ledger, "PROMOTE", "b")
    returned = sync_champion(tmp_path, ledger)
    assert pointer_of(tmp_path) == {
        "idx": 2,
        "leaf_hash": entry.leaf_hash,
        "config_digest": digest(config("b")),
        "run_id": "run-b",
        "size": 3,
        "config": config("b"),
        "previous_run_id": "run-a",
        "updated_at": entry.ts,
    }
    assert read_pointer(tmp_path) == returned == current_champion(ledger)
    assert (tmp_path / "champion.json").stat().st_mode & 0o777 == 0o600


def test_a_crash_between_entry_and_pointer_is_repaired(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    sync_champion(tmp_path, ledger)
    move(ledger, "PROMOTE", "b")
    assert pointer_of(tmp_path)["idx"] == 0
    assert names(sync_champion(tmp_path, ledger)) == ["b"]
    assert pointer_of(tmp_path)["idx"] == 1


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[1]", b"{}", b'{"idx":0}', b"\xff", b"[" * 100_000]
)
def test_a_pointer_that_cannot_be_read_is_made_again(tmp_path, ledger, content):
    move(ledger, "BOOTSTRAP", "a")
    if content is not None:
        (tmp_path / "champion.json").write_bytes(content)
    assert read_pointer(tmp_path) is None
    sync_champion(tmp_path, ledger)
    assert pointer_of(tmp_path)["config"] == config("a")


def test_a_pointer_that_is_a_link_is_replaced_and_not_followed(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "champion.json").symlink_to(tmp_path / "mine")
    sync_champion(tmp_path, ledger)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "champion.json").is_symlink()


def test_a_pointer_that_is_right_is_left_alone(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    sync_champion(tmp_path, ledger)
    before = (tmp_path / "champion.json").stat()
    ledger.record_event("TUNE", {})
    sync_champion(tmp_path, ledger)
    assert (tmp_path / "champion.json").stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("leaf_hash", "0" * 64),
        ("config_digest", "0" * 64),
        ("config", {"model": "evil"}),
        ("run_id", "run-x"),
        ("run_id", None),
        ("previous_run_id", "run-x"),
        ("size", 7),
        ("updated_at", "2020-01-01T00:00:00.000000Z"),
    ],
)
@pytest.mark.parametrize("behind", [False, True])
def test_a_pointer_that_differs_from_its_entry_is_refused(tmp_path, ledger, field, value, behind):
    move(ledger, "BOOTSTRAP", "a")
    sync_champion(tmp_path, ledger)
    if behind:
        move(ledger, "PROMOTE", "b")
    changed = pointer_of(tmp_path) | {field: value}
    (tmp_path / "champion.json").write_text(json.dumps(changed, sort_keys=True, separators=",:"))
    with pytest.raises(LedgerInvalid, match=rf"champion\.json differs from entry 0 in {field}"):
        sync_champion(tmp_path, ledger)
    assert pointer_of(tmp_path) == changed


def test_a_pointer_to_an_entry_that_made_no_champion_is_refused(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    sync_champion(tmp_path, ledger)
    ledger.record_event("TUNE", {})
    changed = pointer_of(tmp_path) | {"idx": 1}
    (tmp_path / "champion.json").write_text(json.dumps(changed, sort_keys=True, separators=",:"))
    with pytest.raises(LedgerInvalid, match="names entry 1, which made nothing the champion"):
        sync_champion(tmp_path, ledger)


def test_a_pointer_ahead_of_the_ledger_is_refused(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "older.db")
    move(ledger, "PROMOTE", "b")
    sync_champion(tmp_path, ledger)
    with (
        WORMLedger(tmp_path / "older.db") as older,
        pytest.raises(LedgerInvalid, match="names entry 1, but the ledger has only 1 entries"),
    ):
        sync_champion(tmp_path, older)


def test_a_pointer_without_a_ledger_is_refused(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    sync_champion(tmp_path, ledger)
    ledger.close()
    (tmp_path / "ledger.db").unlink()
    with (
        WORMLedger(tmp_path / "ledger.db") as empty,
        pytest.raises(LedgerInvalid, match="names entry 0, but the ledger has only 0 entries"),
    ):
        sync_champion(tmp_path, empty)


def test_a_failed_replacement_leaves_the_old_pointer_and_no_rest(tmp_path, ledger, monkeypatch):
    move(ledger, "BOOTSTRAP", "a")
    sync_champion(tmp_path, ledger)
    move(ledger, "PROMOTE", "b")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(StateError, match="cannot be written: No space left on device"):
        sync_champion(tmp_path, ledger)
    assert pointer_of(tmp_path)["config"] == config("a")
    assert not list(tmp_path.glob(".*"))


def test_readers_see_the_old_or_the_new_pointer_and_nothing_else(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a0")
    sync_champion(tmp_path, ledger)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set() or (29, "a29") not in seen:
            pointer = read_pointer(tmp_path)
            seen.add(pointer and (pointer.idx, pointer.config["model"]))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for number in range(1, 30):
            move(ledger, "PROMOTE", f"a{number}")
            sync_champion(tmp_path, ledger)
        done.set()
        reader.result(30)
    assert (29, "a29") in seen <= {(number, f"a{number}") for number in range(30)}


def test_last_good_is_the_latest_other_champion_that_never_failed(ledger):
    assert last_good(ledger) is None
    expected = [
        ("BOOTSTRAP", "a", None, set()),
        ("PROMOTE", "b", "a", set()),
        ("PROMOTE", "c", "b", set()),
        ("ROLLBACK", "b", "a", {"c"}),
        ("PROMOTE", "d", "b", {"c"}),
        ("ROLLBACK", "a", "b", {"c", "d"}),
        ("PROMOTE", "e", "a", {"c", "d"}),
        ("PROMOTE", "e", "a", {"c", "d"}),
        ("ROLLBACK", "e", "a", {"c", "d"}),
    ]
    for kind, name, good, bad in expected:
        move(ledger, kind, name)
        assert names(last_good(ledger)) == [good], name
        assert quarantined(ledger) == {digest(config(each)) for each in bad}


def test_a_rollback_of_the_bootstrap_leaves_no_last_good(ledger):
    move(ledger, "BOOTSTRAP", "a")
    move(ledger, "ROLLBACK", "b")
    assert last_good(ledger) is None


def test_whole_numbers_do_not_change_the_digest(tmp_path, ledger):
    given = {"model": "a", "temperature": 1.0}
    ledger.record_event("BOOTSTRAP", {"config": given, "config_hash": digest(given)})
    assert sync_champion(tmp_path, ledger).run_id is None
    assert sync_champion(tmp_path, ledger).config == given
    assert pointer_of(tmp_path)["config_digest"] == digest(given)


def test_the_champion_comes_from_the_entries_not_from_the_view(tmp_path, ledger):
    move(ledger, "BOOTSTRAP", "a")
    connection = sqlite3.connect(ledger.path)
    connection.execute("DROP TRIGGER events_no_update")
    connection.execute("UPDATE events SET body = '{}', run_id = 'x'")
    connection.commit()
    connection.close()
    assert names(current_champion(ledger)) == ["a"]


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (b"{}", "entry 0 cannot be read: the leaf is not an object with body"),
        (
            b'{"body":{},"kind":"BOOTSTRAP","ts":"2026-11-22T07:35:01.123456Z","v":1}',
            "entry 0 names no champion",
        ),
    ],
)
def test_an_entry_that_was_changed_makes_no_champion(tmp_path, ledger, leaf, words):
    move(ledger, "BOOTSTRAP", "a")
    connection = sqlite3.connect(ledger.path)
    connection.execute("DROP TRIGGER entries_no_update")
    connection.execute("UPDATE entries SET leaf = ?", (leaf,))
    connection.commit()
    connection.close()
    with pytest.raises(LedgerInvalid, match=words):
        sync_champion(tmp_path, ledger)
