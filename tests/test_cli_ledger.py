"""penin ledger: what it says, what it writes, and its exit codes."""

import json

import pytest

from penin_core.cli import run
from penin_core.cli.ledger import _verdict
from penin_core.ledger import witness
from penin_core.ledger.keys import SigningKey, signer_text
from penin_core.ledger.leaves import digest
from penin_core.ledger.notes import COSIGNATURE, Note, Signature, VerifierKey
from penin_core.ledger.store import WORMLedger

SEED = bytes(range(32))
KEY = SigningKey("penin.example/ledger/test", SEED)
ROW = {"kind": "challenger", "candidate_cfg_hash": digest({}), "verdict": "fail", "dry_run": False}


@pytest.fixture
def ledger(tmp_path, monkeypatch, capsys):
    """A state directory with three runs; call it with the words after ``penin ledger``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENIN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PENIN_SIGNING_KEY", signer_text(KEY.public.name, SEED))
    (tmp_path / "state").mkdir()
    append("aaaa-1", "bbbb-2", "cccc-3", state=tmp_path / "state")

    def call(*words):
        capsys.readouterr()
        code = run(["ledger", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    call.state = tmp_path / "state"
    return call


def append(*ids, state):
    with WORMLedger(state / "ledger.db") as made:
        made.record_many([("RUN", {**ROW, "id": name}) for name in ids])


def test_an_unsigned_ledger_says_so(ledger):
    code, out, _ = ledger("verify")
    assert code == 0
    assert out.splitlines()[1] == "unsigned: keep size and root in a place that others control"
    assert json.loads(ledger("verify", "--json")[1])["signed"] is None


def test_a_ledger_that_was_removed_is_invalid_where_something_vouches_for_it(ledger):
    ledger("export", "out")
    for path in ledger.state.glob("ledger.db*"):
        path.unlink()
    code, out, _ = ledger("verify")
    assert code == 5
    assert out.startswith("INVALID at entry 0: a checkpoint covers 3 entries, but there are only 0")


def test_the_key_is_named_after_the_owner_in_the_settings(ledger, tmp_path, monkeypatch):
    monkeypatch.delenv("PENIN_SIGNING_KEY")
    (tmp_path / "penin.toml").write_text('[champion]\nprovider = "tiny"\nmodel = "tiny-5"\n')
    with (tmp_path / "penin.toml").open("a") as file:
        file.write('[ledger]\nowner = "acme.example"\n')
    code, out, _ = ledger("export", "out")
    assert code == 0
    assert out.startswith("exported: 3 entries of penin.acme.example/ledger/")


def test_an_export_is_verified_without_the_ledger(ledger, tmp_path):
    code, out, err = ledger("export", "out")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "exported: 3 entries of penin.example/ledger/test to out",
        "files: 4, of which 4 are new; attestations: 3",
        f"key, to be handed out in another way: {KEY.public}",
    ]
    (tmp_path / "policy").write_text(f"log {KEY.public}\nquorum none\n")
    code, out, _ = ledger("verify", "out", "--policy", "policy", "--state-dir", "nowhere")
    assert code == 0
    assert out.splitlines()[1] == "signed: all entries, by penin.example/ledger/test"
    path = tmp_path / "out" / "tile/entries/000.p/3"
    path.write_bytes(path.read_bytes().replace(b"bbbb-2", b"bbbb-9"))
    code, out, _ = ledger("verify", "out", "--policy", "policy")
    assert code == 5
    assert out.startswith("INVALID: ")


def test_an_export_is_data_too(ledger):
    data = json.loads(ledger("export", "out", "--json")[1])
    assert (data["size"], data["files"], data["keys"]) == (3, 4, [str(KEY.public)])


def test_what_was_handed_out_is_not_verified_without_a_policy(ledger):
    ledger("export", "out")
    code, _, err = ledger("verify", "out")
    assert code == 2
    assert "--policy FILE" in err


@pytest.mark.parametrize("which", ["1", "bbbb-2", "bbbb"])
def test_a_proof_is_written_once_and_verified(ledger, tmp_path, which):
    code, out, _ = ledger("proof", which, "-o", "run.tlog-proof")
    assert (code, out) == (0, "entry 1: written to run.tlog-proof\n")
    (tmp_path / "policy").write_text(f"log {KEY.public}\nquorum none\n")
    assert ledger("verify", "run.tlog-proof", "--policy", "policy")[0] == 0
    code, _, err = ledger("proof", which, "-o", "run.tlog-proof")
    assert code == 1
    assert err.startswith("error: run.tlog-proof exists\n")


def test_a_proof_goes_to_stdout_byte_by_byte(ledger):
    text = ledger("proof", "0")[1]
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert json.loads(ledger("proof", "0", "--json")[1])["proof"] == text


@pytest.mark.parametrize("which", ["3", "9999999", "99999999", "zzzz"])
def test_a_proof_of_what_is_not_there_is_an_error(ledger, which):
    code, out, err = ledger("proof", which)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("count", "last"), [(5, "warning: w4"), (6, "and 1 more warning"), (8, "and 3 more warnings")]
)
def test_the_first_five_warnings_are_shown_and_the_others_counted(count, last):
    warnings = [f"w{number}" for number in range(count)]
    found = {"valid": True, "size": 1, "root": "r", "signed": None, "since": None}
    assert _verdict({**found, "warnings": warnings}).splitlines()[-1] == last


def test_an_older_checkpoint_is_compared(ledger, tmp_path):
    ledger("export", "out")
    append("dddd-4", state=ledger.state)
    code, out, _ = ledger("verify", "--since", "out/checkpoint")
    assert code == 0
    assert out.splitlines()[1:] == [
        "signed: the first 3 entries, by penin.example/ledger/test",
        "extends the checkpoint of 3 entries",
        "warning: entry 3 is not signed yet",
    ]
    for path in ledger.state.glob("ledger*/c*"):
        path.unlink()
    for path in ledger.state.glob("ledger.db*"):
        path.unlink()
    append("aaaa-1", "bbbb-9", "cccc-3", state=ledger.state)
    assert ledger("verify")[0] == 0
    code, out, _ = ledger("verify", "--since", "out/checkpoint")
    assert code == 5
    assert out.startswith("INVALID: an entry from 0 to 2 is not what the checkpoint of size 3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verify", "--since", "absent"], "absent cannot be read"),
        (["verify", "--policy", "absent"], "absent cannot be read"),
        (["verify", "--policy", "empty"], "the policy has no quorum line"),
        (["verify", "--since", "empty"], "empty is not a checkpoint"),
        (["witness", "ftp://x"], "'ftp://x' is not the address of a witness"),
        (["witness", "https://x.example"], "the key of the witness at https://x.example is not"),
        (["export", "empty"], "empty is not a folder"),
    ],
)
def test_what_cannot_be_done_is_two_lines(ledger, tmp_path, words, message):
    (tmp_path / "empty").write_text("")
    code, out, err = ledger(*words)
    assert (code, out) == (1, "")
    assert message in err.splitlines()[0]
    assert len(err.splitlines()) <= 2


def test_an_unsigned_ledger_hands_out_nothing(ledger, monkeypatch):
    monkeypatch.setenv("PENIN_SIGNING_KEY", "PRIVATE+KEY+secret")
    for words in (["export", "out"], ["proof", "0"], ["witness", "https://x.example"]):
        code, out, err = ledger(*words)
        assert (code, out) == (1, "")
        assert "PENIN_SIGNING_KEY: it is not a note signer key" in err
        assert "secret" not in err


def test_a_witness_cosigns(ledger, monkeypatch):
    signer = SigningKey("witness.example/w1", bytes(32))
    key = VerifierKey(signer.public.name, COSIGNATURE, signer.public.public)

    def post(url, body):
        text = Note.parse(body.partition(b"\n\n")[2]).text
        time = (1_700_000_000).to_bytes(8, "big")
        data = time + signer.sign(f"cosignature/v1\ntime 1700000000\n{text}".encode())
        return 200, str(Signature(key.name, key.key_id, data)).encode()

    monkeypatch.setattr(witness, "post_http", post)
    code, out, _ = ledger("witness", "https://witness.example", "--key", key)
    assert code == 0
    assert out == "cosigned: 3 entries of penin.example/ledger/test by witness.example/w1\n"
    assert ledger("verify")[1].splitlines()[1].endswith(", cosigned by witness.example/w1")
    monkeypatch.setattr(witness, "post_http", lambda url, body: (422, b""))
    append("dddd-4", state=ledger.state)
    code, _, err = ledger("witness", "https://witness.example")
    assert code == 5
    assert "saw another ledger under this name" in err
