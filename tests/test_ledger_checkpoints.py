"""Checkpoints: signed once, never inconsistent; what was rewritten with the key is found since."""

import errno
import json
import shutil
import sqlite3
import stat
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger import checkpoints
from penin_core.ledger.champion import sync_champion
from penin_core.ledger.checkpoints import read_kept, roots_at, seal
from penin_core.ledger.keys import SigningKey, signer_text
from penin_core.ledger.leaves import digest
from penin_core.ledger.merkle import leaf_hash, root
from penin_core.ledger.notes import Checkpoint, Note, sign_note
from penin_core.ledger.policy import first_policy, parse_policy
from penin_core.ledger.rows import derive
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.verify import verify

KEY = SigningKey("penin.example/ledger/test", bytes(range(32)))


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", signer_text(KEY.public.name, bytes(range(32))))


def append(state, count, note="x"):
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_many([("TUNE", {"n": n, "note": note}) for n in range(count)])


def sealed(state):
    with WORMLedger(state / "ledger.db") as ledger:
        return seal(state, ledger)


def size_of(note):
    return Checkpoint.parse(note.text).size


def forge(state, change):
    """Change the entries as somebody does who owns the machine, and fill the views anew."""
    with WORMLedger(state / "ledger.db") as ledger:
        leaves = list(ledger.leaves())
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (state / name).unlink(missing_ok=True)
    changed = change([json.loads(leaf) for leaf in leaves])
    if changed:
        with WORMLedger(state / "ledger.db") as ledger:
            ledger.record_many([(leaf["kind"], leaf["body"]) for leaf in changed])


def resign(state):
    """Make the checkpoints anew with the real key, as if there had never been others."""
    for name in (checkpoints.CHECKPOINT, checkpoints.HISTORY, checkpoints.FRONTIER):
        (state / name).unlink(missing_ok=True)
    return sealed(state)


def test_a_checkpoint_covers_the_whole_ledger_and_is_signed(tmp_path):
    append(tmp_path, 5)
    done = sealed(tmp_path)
    assert done.reason == ""
    assert (tmp_path / "ledger/checkpoint").read_text() == str(done.note)
    assert done.note.signers([KEY.public]) == [KEY.public]
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        assert done.note.text == Checkpoint(KEY.public.name, 5, bytes.fromhex(ledger.root())).text
    assert (tmp_path / "ledger/policy.txt").read_bytes() == first_policy(KEY.public)
    assert stat.S_IMODE((tmp_path / "ledger").stat().st_mode) == 0o700


def test_what_is_signed_already_is_not_signed_again(tmp_path):
    append(tmp_path, 5)
    first = sealed(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger").iterdir()}
    assert sealed(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger").iterdir()} == before


def test_every_checkpoint_is_kept(tmp_path):
    for _ in range(4):
        append(tmp_path, 3)
        sealed(tmp_path)
    assert [size_of(note) for note in read_kept(tmp_path).notes] == [3, 6, 9, 12]
    found = verify(tmp_path)
    assert (found.valid, found.signed.size, found.signed.keys) == (True, 12, (KEY.public.name,))


def test_an_empty_ledger_is_not_signed_and_makes_no_key(tmp_path, monkeypatch):
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    done = sealed(tmp_path)
    assert (done.note, done.reason) == (None, "nothing was recorded yet")
    assert {path.name for path in tmp_path.iterdir()} <= {"ledger.lock"}


def test_a_key_is_made_on_first_use(tmp_path, monkeypatch):
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    append(tmp_path, 2)
    done = sealed(tmp_path)
    assert Checkpoint.parse(done.note.text).origin.startswith("penin.local/ledger/")
    append(tmp_path, 2)
    assert size_of(sealed(tmp_path).note) == 4
    assert verify(tmp_path).signed.size == 4


def test_without_a_key_nothing_is_signed_and_nobody_pretends(tmp_path, monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", "nonsense")
    append(tmp_path, 2)
    done = sealed(tmp_path)
    assert done.note is None
    assert "PENIN_SIGNING_KEY" in done.reason
    assert not (tmp_path / "ledger").exists()
    found = verify(tmp_path)
    assert (found.valid, found.signed) == (True, None)


def test_without_its_key_the_older_checkpoint_stays(tmp_path, monkeypatch):
    append(tmp_path, 2)
    first = sealed(tmp_path)
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    append(tmp_path, 3)
    done = sealed(tmp_path)
    assert (done.note, done.reason) == (
        first.note,
        f"the key of {KEY.public.name} is not here; set PENIN_SIGNING_KEY",
    )
    found = verify(tmp_path)
    assert (found.valid, found.signed.size) == (True, 2)
    assert found.warnings == ("entries 2 to 4 are not signed yet",)


def test_a_policy_that_is_gone_is_not_replaced_by_a_new_one(tmp_path):
    append(tmp_path, 2)
    sealed(tmp_path)
    (tmp_path / "ledger/policy.txt").unlink()
    append(tmp_path, 2)
    done = sealed(tmp_path)
    assert (size_of(done.note), done.reason) == (2, "ledger/policy.txt is missing")
    assert verify(tmp_path).signed is None
    assert "ledger/policy.txt is missing" in verify(tmp_path).warnings[0]


def test_another_key_signs_once_the_policy_knows_it(tmp_path, monkeypatch):
    append(tmp_path, 2)
    sealed(tmp_path)
    monkeypatch.setenv("PENIN_SIGNING_KEY", signer_text(KEY.public.name, bytes(32)))
    append(tmp_path, 2)
    assert "no log of ledger/policy.txt" in sealed(tmp_path).reason
    path = tmp_path / "ledger/policy.txt"
    path.write_text(f"log {SigningKey(KEY.public.name, bytes(32)).public}\n{path.read_text()}")
    assert size_of(sealed(tmp_path).note) == 4
    assert verify(tmp_path).valid


def test_a_folder_that_cannot_be_written_is_a_reason(tmp_path):
    append(tmp_path, 2)
    (tmp_path / "ledger").write_text("a file")
    done = sealed(tmp_path)
    assert done.note is None
    assert str(tmp_path / "ledger") in done.reason


def test_only_what_is_new_is_read_for_the_next_checkpoint(tmp_path, monkeypatch):
    append(tmp_path, 20)
    sealed(tmp_path)
    append(tmp_path, 5)
    hashed = []
    monkeypatch.setattr(
        checkpoints, "leaf_hash", lambda leaf: hashed.append(leaf) or leaf_hash(leaf)
    )
    done = sealed(tmp_path)
    assert len(hashed) == 5
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        assert Checkpoint.parse(done.note.text).root.hex() == ledger.root()


@pytest.mark.parametrize("content", [None, b"", b"x" * 64, bytes(64), b"y" * 3200])
def test_a_frontier_that_does_not_lead_to_the_last_root_is_not_used(tmp_path, content):
    append(tmp_path, 20)
    sealed(tmp_path)
    path = tmp_path / checkpoints.FRONTIER
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    append(tmp_path, 1)
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        note = seal(tmp_path, ledger).note
        assert Checkpoint.parse(note.text).root.hex() == ledger.root()


def test_a_ledger_that_lost_its_end_is_not_signed_again(tmp_path):
    append(tmp_path, 5)
    sealed(tmp_path)
    forge(tmp_path, lambda leaves: leaves[:3])
    with pytest.raises(LedgerInvalid, match="covers 5 entries, but the ledger has only 3"):
        sealed(tmp_path)
    found = verify(tmp_path)
    assert (found.valid, found.first_bad) == (False, 3)
    assert found.reason == "a checkpoint covers 5 entries, but there are only 3"


def test_a_ledger_that_lost_everything_is_not_signed_again(tmp_path):
    append(tmp_path, 5)
    sealed(tmp_path)
    forge(tmp_path, lambda leaves: [])
    with pytest.raises(LedgerInvalid, match="has only 0"):
        sealed(tmp_path)
    assert not verify(tmp_path).valid


def test_a_ledger_that_was_rewritten_is_not_signed_again(tmp_path):
    append(tmp_path, 5)
    sealed(tmp_path)
    forge(tmp_path, lambda leaves: [*leaves, leaves[0]])
    (tmp_path / checkpoints.FRONTIER).unlink()
    with pytest.raises(LedgerInvalid, match="the first 5 entries are not those"):
        sealed(tmp_path)
    assert not verify(tmp_path).valid


def test_the_first_changed_entry_is_between_two_checkpoints(tmp_path):
    leaves = []
    for count in (3, 1, 4):
        append(tmp_path, count)
        sealed(tmp_path)
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        leaves = list(ledger.leaves())
    notes = read_kept(tmp_path).notes
    for changed, bad, words in [
        (2, None, "an entry from 0 to 2 is not what the checkpoint of size 3 covers"),
        (3, 3, "entry 3 is not what the checkpoint of size 4 covers"),
        (6, None, "an entry from 4 to 7 is not what the checkpoint of size 8 covers"),
    ]:
        other = tmp_path / f"other{changed}"
        (other / "ledger").mkdir(parents=True)
        for name in ("policy.txt", "checkpoint", "checkpoints.jsonl"):
            (other / "ledger" / name).write_bytes((tmp_path / "ledger" / name).read_bytes())
        copy_with(other, leaves, changed)
        found = verify(other)
        assert (found.valid, found.first_bad, found.reason) == (False, bad, words)
    assert len(notes) == 3


def copy_with(state, leaves, changed):
    """Write the same leaves to another ledger but for one, times and all."""
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_event("TUNE", {})
    forge(state, lambda _: [])
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_many([("TUNE", {}) for _ in leaves])
    connection = sqlite3.connect(state / "ledger.db", isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    kept = triggers.fetchall()
    for name, _ in kept:
        connection.execute(f"DROP TRIGGER {name}")
    for idx, leaf in enumerate(leaves):
        data = leaf.replace(b'"note":"x"', b'"note":"y"') if idx == changed else leaf
        connection.execute("UPDATE entries SET leaf = ? WHERE idx = ?", (data, idx))
        ts, kind, run_id, body, hexadecimal = derive(data).values
        connection.execute(
            "UPDATE events SET ts = ?, kind = ?, run_id = ?, body = ?, leaf_hash = ? WHERE idx = ?",
            (ts, kind, run_id, body, hexadecimal, idx),
        )
    for _, sql in kept:
        connection.execute(sql)
    connection.close()


# Against somebody who has the key


def cut(leaves):
    return leaves[:-2]


def change(leaves):
    leaves[2]["body"]["note"] = "better"
    return leaves


def fork(leaves):
    return [*leaves[:4], *({**leaf, "body": {"fork": 1}} for leaf in leaves[4:]), leaves[0]]


def insert(leaves):
    return [*leaves[:1], leaves[0], *leaves[1:]]


@pytest.mark.parametrize("rewrite", [cut, change, fork, insert], ids=lambda f: f.__name__)
def test_a_rewrite_with_the_key_is_found_by_a_checkpoint_that_was_kept_elsewhere(tmp_path, rewrite):
    append(tmp_path, 6)
    old = str(sealed(tmp_path).note)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(old)
    append(tmp_path, 2)
    sealed(tmp_path)
    forge(tmp_path, lambda leaves: rewrite(leaves[:6]))
    resign(tmp_path)
    assert verify(tmp_path).valid, "with the key everything agrees with itself"
    for since in (old, elsewhere):
        found = verify(tmp_path, since)
        assert not found.valid
        assert found.since is None


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_rewrite_with_the_key_is_found_since(tmp_path_factory, data):
    state = tmp_path_factory.mktemp("state")
    count = data.draw(st.integers(1, 12))
    append(state, count)
    old = str(sealed(state).note)
    bodies = data.draw(st.lists(st.integers(0, 2), max_size=14))
    forge(state, lambda leaves: [{"kind": "TUNE", "body": {"b": body}} for body in bodies])
    resign(state)
    assert not verify(state, old).valid


def test_a_return_to_an_earlier_signed_state_is_found_only_since(tmp_path):
    state, earlier = tmp_path / "state", tmp_path / "earlier"
    state.mkdir()
    append(state, 3)
    sealed(state)
    shutil.copytree(state, earlier)
    append(state, 3)
    later = str(sealed(state).note)
    assert verify(earlier).valid
    found = verify(earlier, later)
    assert (found.valid, found.first_bad) == (False, 3)


def test_a_ledger_that_only_grew_extends_every_older_checkpoint(tmp_path):
    kept = []
    for _ in range(6):
        append(tmp_path, 3)
        kept.append(str(sealed(tmp_path).note))
    for number, old in enumerate(kept, 1):
        found = verify(tmp_path, old)
        assert (found.valid, found.since, found.warnings) == (True, number * 3, ())


def test_an_older_checkpoint_by_a_stranger_is_refused(tmp_path):
    append(tmp_path, 3)
    text = sealed(tmp_path).note.text
    stranger = sign_note(text, SigningKey(KEY.public.name, bytes(32)))
    found = verify(tmp_path, str(stranger))
    assert not found.valid
    assert found.reason.startswith("the older checkpoint: no known log signed")


def test_an_older_checkpoint_that_nobody_signed_still_has_a_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", "none")
    append(tmp_path, 3)
    old = Checkpoint("any name", 3, bytes.fromhex(verify(tmp_path).root)).text
    append(tmp_path, 2)
    found = verify(tmp_path, old)
    assert (found.valid, found.since, found.signed) == (True, 3, None)
    assert found.warnings == (
        "nobody's signature on the older checkpoint was checked; its root was",
    )
    assert not verify(tmp_path, Checkpoint("any name", 3, bytes(32)).text).valid
    assert not verify(tmp_path, Checkpoint("any name", 6, bytes(32)).text).valid


@pytest.mark.parametrize("bad", ["", "nonsense", "a\n1\nAAAA\n", "a\n\n— b AAAA\n"])
def test_what_is_no_checkpoint_is_an_error_in_words(tmp_path, bad):
    append(tmp_path, 3)
    with pytest.raises(StateError, match="the checkpoint is not a checkpoint"):
        verify(tmp_path, bad)
    with pytest.raises(StateError, match="cannot be read"):
        verify(tmp_path, tmp_path / "absent")


def test_no_bit_of_an_older_checkpoint_can_be_flipped(tmp_path):
    append(tmp_path, 3)
    data = bytearray(str(sealed(tmp_path).note).encode())
    path = tmp_path / "old"
    for bit in range(0, len(data) * 8, 13):
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with suppress(StateError):
            assert not verify(tmp_path, path).valid, f"bit {bit}"
        data[bit // 8] ^= 1 << bit % 8


# What lies in the state directory


def test_a_full_disk_is_a_reason_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    append(tmp_path, 3)
    first = sealed(tmp_path)
    append(tmp_path, 3)
    before = {path: path.read_bytes() for path in (tmp_path / "ledger").iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "ledger/frontier")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.os, "replace", full)
        done = sealed(tmp_path)
    assert (done.note, done.reason) == (first.note, "ledger/frontier: No space left on device")
    assert {path: path.read_bytes() for path in (tmp_path / "ledger").iterdir()} == before
    assert size_of(sealed(tmp_path).note) == 6


@pytest.mark.parametrize("line", [b"{", b"1", b'"no note"', b'"a\\n\\n\xe2\x80\x94 b AAAAAAA=\\n"'])
def test_a_damaged_line_of_the_history_is_named(tmp_path, line):
    append(tmp_path, 3)
    sealed(tmp_path)
    path = tmp_path / checkpoints.HISTORY
    path.write_bytes(path.read_bytes() + line + b"\n")
    found = verify(tmp_path)
    assert not found.valid
    assert found.reason.startswith("ledger/checkpoints.jsonl: line 2 is damaged: ")
    with pytest.raises(LedgerInvalid, match="line 2 is damaged"):
        sealed(tmp_path)


def test_a_checkpoint_that_is_no_file_is_an_error_in_words(tmp_path):
    append(tmp_path, 3)
    (tmp_path / "ledger/checkpoint").mkdir(parents=True)
    with pytest.raises(StateError, match=r"ledger/checkpoint cannot be read"):
        verify(tmp_path)


@pytest.mark.parametrize("name", ["checkpoint", "checkpoints.jsonl", "policy.txt"])
@pytest.mark.parametrize(
    "change", [lambda d: d[:-3], lambda d: d.replace(b"penin", b"benin"), lambda d: b""]
)
def test_a_damaged_file_of_a_signed_ledger_is_invalid_or_told(tmp_path, name, change):
    append(tmp_path, 3)
    sealed(tmp_path)
    path = tmp_path / "ledger" / name
    data = path.read_bytes()
    path.write_bytes(change(data))
    assert path.read_bytes() != data
    found = verify(tmp_path)
    if name == "checkpoints.jsonl" and path.read_bytes()[-1:] != b"\n":
        assert found.valid, "a line without its end was never shown; the checkpoint has it"
    else:
        assert not found.valid
        assert "ledger/" in found.reason
        append(tmp_path, 1)
        if name == "checkpoint":
            with pytest.raises(LedgerInvalid):
                sealed(tmp_path)


def test_an_interrupted_write_of_the_history_is_taken_back(tmp_path):
    append(tmp_path, 3)
    sealed(tmp_path)
    path = tmp_path / checkpoints.HISTORY
    path.write_bytes(path.read_bytes() + b'"penin.exam')
    assert verify(tmp_path).valid
    append(tmp_path, 3)
    sealed(tmp_path)
    assert [size_of(note) for note in read_kept(tmp_path).notes] == [3, 6]
    assert path.read_bytes().count(b"\n") == 2


def test_a_crash_before_the_checkpoint_was_replaced_loses_nothing(tmp_path):
    append(tmp_path, 3)
    first = (sealed(tmp_path), (tmp_path / checkpoints.CHECKPOINT).read_bytes())
    append(tmp_path, 3)
    second = sealed(tmp_path)
    (tmp_path / checkpoints.CHECKPOINT).write_bytes(first[1])
    assert read_kept(tmp_path).last == second.note
    (tmp_path / checkpoints.CHECKPOINT).unlink()
    assert verify(tmp_path).signed.size == 6
    assert sealed(tmp_path) == second
    assert (tmp_path / checkpoints.CHECKPOINT).read_text() == str(second.note)


def test_an_inconsistent_checkpoint_in_the_history_is_found(tmp_path):
    append(tmp_path, 6)
    sealed(tmp_path)
    checkpoints.keep(tmp_path, sign_note(Checkpoint(KEY.public.name, 4, bytes(32)).text, KEY))
    found = verify(tmp_path)
    assert (found.valid, found.reason) == (
        False,
        "an entry from 0 to 3 is not what the checkpoint of size 4 covers",
    )


def test_a_policy_from_elsewhere_must_be_satisfied_whole(tmp_path):
    append(tmp_path, 3)
    mine = parse_policy(first_policy(KEY.public))
    other = parse_policy(first_policy(SigningKey(KEY.public.name, bytes(32)).public))
    found = verify(tmp_path, policy=mine)
    assert not found.valid
    assert found.reason.startswith("there is no checkpoint")
    sealed(tmp_path)
    assert verify(tmp_path, policy=mine).signed.size == 3
    assert not verify(tmp_path, policy=other).valid


def test_the_pointer_and_the_runs_are_still_checked(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        ledger.record_event("BOOTSTRAP", {"config": {}, "config_hash": digest({})})
        sync_champion(tmp_path, ledger)
        seal(tmp_path, ledger)
    (tmp_path / "champion.json").unlink()
    found = verify(tmp_path)
    assert (found.valid, found.signed.size) == (True, 1)
    assert found.warnings[0].startswith("champion.json is missing")


def test_roots_are_those_of_the_tree(tmp_path):
    append(tmp_path, 9)
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        hashes = [leaf_hash(leaf) for leaf in ledger.leaves()]
        assert roots_at(ledger, {0, 1, 4, 9, 10}) == {n: root(hashes[:n]) for n in (0, 1, 4, 9)}
        assert roots_at(ledger, []) == {}
        assert list(ledger.leaves(3, 5)) == list(ledger.leaves())[3:5]


def test_reading_leaves_past_a_gap_is_an_error(tmp_path):
    append(tmp_path, 9)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("DROP TRIGGER entries_no_delete")
    connection.execute("PRAGMA foreign_keys = 0")
    connection.execute("DELETE FROM entries WHERE idx = 4")
    connection.commit()
    connection.close()
    missing = pytest.raises(LedgerInvalid, match="an entry between 0 and 8 is missing")
    with WORMLedger(tmp_path / "ledger.db") as ledger, missing:
        list(ledger.leaves())


def test_a_note_that_is_kept_is_the_latest(tmp_path):
    append(tmp_path, 3)
    note = sealed(tmp_path).note
    checkpoints.keep(
        tmp_path, note.plus(sign_note(note.text, SigningKey("w", bytes(32))).signatures)
    )
    last = read_kept(tmp_path).last
    assert len(last.signatures) == 2
    assert Note.parse((tmp_path / checkpoints.CHECKPOINT).read_bytes()) == last
