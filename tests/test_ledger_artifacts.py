"""Run directories are written once, complete at the end, and checked when they are read."""

import hashlib
import json
import os
import string
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger import artifacts
from penin_core.ledger.artifacts import check_run_id, new_run_id, orphans, read_run, write_run

ID_CHARACTERS = string.ascii_lowercase + string.digits + "_-"
NOW = datetime(2026, 11, 22, 7, 35, 1, 123456, tzinfo=UTC)
FILES = {"config.json": b'{"model":"a"}', "responses.jsonl": b"\xff\x00\n" * 5000, "empty": b""}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_id_is_the_time_and_some_chance():
    assert new_run_id(NOW, bytes.fromhex("1a2b3c4d")) == "20261122t073501-123456z-1a2b3c4d"
    assert check_run_id(new_run_id()) != new_run_id()


def test_a_run_id_is_in_utc_and_sorts_by_time():
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert new_run_id(east, bytes(4)) == new_run_id(NOW, bytes(4))
    moments = [NOW + timedelta(microseconds=10**n) for n in range(14)]
    ids = [new_run_id(moment, os.urandom(4)) for moment in moments]
    assert ids == sorted(ids)


@pytest.mark.parametrize(("now", "entropy"), [(NOW.replace(tzinfo=None), b"1234"), (NOW, b"123")])
def test_a_run_id_without_zone_or_entropy_is_refused(now, entropy):
    with pytest.raises(ValueError, match=r"without a time zone|3 bytes, expected 4"):
        new_run_id(now, entropy)


@given(st.text(st.sampled_from(f"{ID_CHARACTERS}AZ./é\n \0"), max_size=66))
def test_an_id_is_1_to_64_plain_characters(text):
    plain = 1 <= len(text) <= 64 and set(text) <= set(ID_CHARACTERS) and text[0] not in "_-"
    if plain:
        assert check_run_id(text) == text
    else:
        with pytest.raises(StateError, match="is not valid"):
            check_run_id(text)


@pytest.mark.parametrize("run_id", ["", "..", ".", "a/b", "A", "a\n", "-a", "a" * 65, "ａ", "a\0"])
def test_an_id_that_could_leave_the_folder_is_refused_everywhere(tmp_path, run_id):
    with pytest.raises(StateError, match="is not valid"):
        write_run(tmp_path, run_id, FILES)
    with pytest.raises(StateError, match="is not valid"):
        read_run(tmp_path, run_id)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_read_as_it_was_written(tmp_path):
    manifest = write_run(tmp_path, "r1", FILES)
    assert read_run(tmp_path, "r1", manifest) == FILES
    folder = tmp_path / "runs" / "r1"
    assert names_in(folder) == sorted([*FILES, "manifest.json"])
    assert names_in(tmp_path / "runs") == ["r1"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}


def test_the_manifest_has_hash_and_size_of_each_file(tmp_path):
    recorded = write_run(tmp_path, "r1", FILES)
    data = (tmp_path / "runs" / "r1" / "manifest.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == recorded
    assert json.loads(data) == {
        "v": 1,
        "run_id": "r1",
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in FILES.items()
        },
    }


def test_a_run_directory_is_never_replaced(tmp_path):
    manifest = write_run(tmp_path, "r1", FILES)
    with pytest.raises(StateError, match="runs/r1 exists"):
        write_run(tmp_path, "r1", {"config.json": b"other"})
    assert read_run(tmp_path, "r1", manifest) == FILES
    assert names_in(tmp_path / "runs") == ["r1"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    link = os.link

    def slower(source, target):
        target.write_bytes(b"first")
        link(source, target)

    monkeypatch.setattr(artifacts.os, "link", slower)
    with pytest.raises(StateError, match="cannot be written: File exists"):
        write_run(tmp_path, "r1", FILES)
    assert (tmp_path / "runs" / "r1" / "config.json").read_bytes() == b"first"
    assert names_in(tmp_path / "runs") == ["r1"]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_run_that_was_interrupted_is_incomplete_and_cannot_be_read(tmp_path, monkeypatch, after):
    link, done = os.link, []

    def interrupted(source, target):
        if len(done) == after:
            raise OSError(28, "No space left on device")
        done.append(target)
        link(source, target)

    monkeypatch.setattr(artifacts.os, "link", interrupted)
    with pytest.raises(StateError, match="cannot be written: No space left on device"):
        write_run(tmp_path, "r1", FILES)
    with pytest.raises(StateError, match="runs/r1 cannot be read: No such file"):
        read_run(tmp_path, "r1")
    assert orphans(tmp_path, {"r1"}) == {"r1": "it has no manifest"}


@pytest.mark.parametrize("name", ["", "..", "a/b", "manifest.json", ".x", "A.json", "a.b.c", "a\n"])
def test_a_file_name_that_is_not_plain_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name of a file of a run"):
        write_run(tmp_path, "r1", {name: b""})
    assert list(tmp_path.iterdir()) == []


def replace_file(path, data):
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_found(tmp_path, name):
    write_run(tmp_path, "r1", FILES)
    replace_file(tmp_path / "runs" / "r1" / name, FILES[name] + b" ")
    with pytest.raises(LedgerInvalid, match=f"{name} differs from its manifest"):
        read_run(tmp_path, "r1")


def test_a_removed_file_is_found(tmp_path):
    write_run(tmp_path, "r1", FILES)
    (tmp_path / "runs" / "r1" / "config.json").unlink()
    with pytest.raises(LedgerInvalid, match=r"config\.json is gone, its manifest names it"):
        read_run(tmp_path, "r1")


def test_a_file_that_became_a_link_is_not_followed(tmp_path):
    write_run(tmp_path, "r1", FILES)
    path = tmp_path / "runs" / "r1" / "config.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerInvalid, match=r"config\.json is no longer what was written"):
        read_run(tmp_path, "r1")


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_a_file_that_became_a_pipe_or_a_folder_is_found(tmp_path, name):
    for make in (os.mkfifo, os.mkdir):
        write_run(tmp_path, make.__name__, FILES)
        path = tmp_path / "runs" / make.__name__ / name
        path.unlink()
        make(path)
        with pytest.raises(LedgerInvalid, match=f"{name} is no longer what was written"):
            read_run(tmp_path, make.__name__)


def test_a_directory_that_became_a_link_is_not_followed(tmp_path):
    write_run(tmp_path, "r1", FILES)
    (tmp_path / "runs" / "r2").symlink_to(tmp_path / "runs" / "r1")
    with pytest.raises(LedgerInvalid, match="runs/r2 is no longer what was written"):
        read_run(tmp_path, "r2")


def test_another_manifest_is_found_by_the_hash_from_the_ledger(tmp_path):
    recorded = write_run(tmp_path, "r1", FILES)
    folder = tmp_path / "runs" / "r1"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    write_run(tmp_path, "r1", {"config.json": b"other"})
    assert read_run(tmp_path, "r1") == {"config.json": b"other"}
    with pytest.raises(LedgerInvalid, match=r"manifest\.json differs from what its ledger entry"):
        read_run(tmp_path, "r1", recorded)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"files":{},"run_id":"r1"}',
        b'{"files":{},"run_id":"r2","v":1}',
        b'{"files":{"../r2/a":{}},"run_id":"r1","v":1}',
        b'{"files":5,"run_id":"r1","v":1}',
        b'{"files": {},"run_id":"r1","v":1}',
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path, content):
    write_run(tmp_path, "r1", FILES)
    replace_file(tmp_path / "runs" / "r1" / "manifest.json", content)
    with pytest.raises(LedgerInvalid, match=r"manifest\.json is not a manifest"):
        read_run(tmp_path, "r1")


def test_what_the_ledger_does_not_know_is_listed(tmp_path):
    assert orphans(tmp_path, set()) == {}
    write_run(tmp_path, "r1", FILES)
    write_run(tmp_path, "r2", FILES)
    (tmp_path / "runs" / "r3").mkdir()
    assert orphans(tmp_path, {"r1"}) == {
        "r2": "the ledger has no such run",
        "r3": "it has no manifest",
    }


def test_a_state_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "state").write_text("mine")
    with pytest.raises(StateError, match="cannot be written: Not a directory"):
        write_run(tmp_path / "state", "r1", FILES)


def test_runs_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(StateError, match="runs/r1 cannot be written: File exists"):
        write_run(tmp_path, "r1", FILES)
