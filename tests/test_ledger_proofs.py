"""Proof files: the published one, every entry of every tree, and nothing that was changed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.ledger.keys import SigningKey
from penin_core.ledger.merkle import inclusion_proof, root
from penin_core.ledger.notes import Checkpoint, sign_note
from penin_core.ledger.policy import first_policy, parse_policy
from penin_core.ledger.proofs import TlogProof, prove
from penin_core.ledger.tiles import entry_hashes

KEY = SigningKey("penin.example/ledger/test", bytes(range(32)))
POLICY = parse_policy(first_policy(KEY.public))


def vectors():
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "vectors" / "rfc6962_vectors.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set PENIN_SHARED to the folder that holds vectors/")
    return json.loads(path.read_text())


def leaves(count):
    return [f"leaf {number}".encode() for number in range(count)]


def log(count):
    hashes = entry_hashes(leaves(count))
    return hashes, sign_note(Checkpoint(KEY.public.name, count, root(hashes)).text, KEY)


def path_of(index, hashes):
    return inclusion_proof(index, len(hashes), lambda low, high: root(hashes[low:high]))


def proof_of(index, count):
    hashes, note = log(count)
    return prove(index, leaves(count)[index], path_of(index, hashes), note)


def test_the_published_proof_is_read_written_and_accepted():
    known = vectors()["c2sp_generated"]
    text, policy = known["tlog_proof_index_5"], parse_policy(known["policy"].encode())
    proof = TlogProof.parse(text.encode())
    leaf = bytes.fromhex(vectors()["leaf_inputs"][5])
    assert str(proof) == text
    assert proof.extra is None
    assert proof.verify(leaf, policy).checkpoint.size == 8
    with pytest.raises(ValueError, match="this is not entry 5"):
        proof.verify(leaf + b"x", policy)


def test_the_published_proof_is_made_again():
    known = vectors()
    text = known["c2sp_generated"]["tlog_proof_index_5"]
    entries = [bytes.fromhex(leaf) for leaf in known["leaf_inputs"]]
    note = TlogProof.parse(text.encode()).note
    made = prove(5, entries[5], path_of(5, entry_hashes(entries)), note)
    assert str(replace(made, extra=None)) == text


@pytest.mark.parametrize("count", range(1, 20))
def test_every_entry_of_every_small_tree_is_proved(count):
    for index in range(count):
        proof = TlogProof.parse(str(proof_of(index, count)).encode())
        assert proof.extra == leaves(count)[index]
        assert proof.verify(proof.extra, POLICY).checkpoint.size == count


def accepted(data):
    try:
        proof = TlogProof.parse(data)
        proof.verify(proof.extra or b"", POLICY)
    except ValueError:
        return False
    return True


def test_no_bit_of_a_proof_can_be_flipped():
    data = bytearray(str(proof_of(2, 5)).encode())
    assert accepted(bytes(data))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert not accepted(bytes(data)), f"bit {bit}"
        data[bit // 8] ^= 1 << bit % 8


@given(st.integers(1, 40), st.data())
def test_a_proof_with_another_index_length_or_leaf_is_refused(count, data):
    index = data.draw(st.integers(0, count - 1))
    proof = proof_of(index, count)
    other = data.draw(st.integers(0, 2**40).filter(lambda n: n != index))
    wrong = [
        replace(proof, index=other),
        replace(proof, hashes=(*proof.hashes, bytes(32))),
        replace(proof, hashes=(bytes(32), *proof.hashes)),
        replace(proof, extra=proof.extra + b"\0"),
        replace(proof, extra=proof.extra[:-1]),
    ]
    wrong += [replace(proof, hashes=proof.hashes[1:])] if proof.hashes else []
    assert proof.verify(proof.extra, POLICY)
    assert not any(accepted(str(one).encode()) for one in wrong)


def test_a_proof_under_a_strangers_checkpoint_is_refused():
    stranger = SigningKey(KEY.public.name, bytes(32))
    proof = proof_of(2, 5)
    wrong = replace(proof, note=sign_note(proof.note.text, stranger))
    with pytest.raises(ValueError, match="no known log signed"):
        wrong.verify(proof.extra, POLICY)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("@v1", "@v2"),
        lambda text: text.replace("index 2", "index 02"),
        lambda text: text.replace("index 2", "index +2"),
        lambda text: text.replace("index 2\n", ""),
        lambda text: text.replace("extra ", "extra  "),
        lambda text: text.replace("\n\n", "\n", 1),
        lambda text: text.replace("\nindex", "\nindex 2\nindex"),
        lambda text: text.partition("\n\n")[0],
        lambda text: text.replace("\n\n", "\nAAAA\n\n", 1),
        lambda text: text.replace("\n\n", "\n" + ("A" * 43 + "=\n") * 64 + "\n", 1),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "",
    ],
)
def test_a_proof_in_another_form_is_refused(change):
    with pytest.raises(ValueError, match=r"."):
        TlogProof.parse(change(str(proof_of(2, 5))).encode())


def test_nothing_is_proved_that_the_checkpoint_does_not_cover():
    hashes, note = log(5)
    for index, leaf, path in [
        (2, leaves(5)[2], path_of(2, hashes[:4])),
        (5, b"", path_of(2, hashes)),
        (2, b"another", path_of(2, hashes)),
        (3, leaves(5)[2], path_of(2, hashes)),
    ]:
        with pytest.raises(ValueError, match="does not lead to the root"):
            prove(index, leaf, path, note)


def test_sigstore_reads_the_checkpoint_and_follows_the_proof_to_its_root():
    checkpoint = pytest.importorskip("sigstore._internal.rekor.checkpoint")
    merkle = pytest.importorskip("sigstore._internal.merkle")
    for index, count in [(0, 1), (4, 7), (6, 7), (200, 301)]:
        proof = proof_of(index, count)
        note = checkpoint.SignedNote.from_text(str(proof.note))
        read = checkpoint.LogCheckpoint.from_text(note.note)
        assert (read.origin, read.log_size) == (KEY.public.name, count)
        assert note.signatures[0].sig_hash == KEY.public.key_id
        inner = merkle._decomp_inclusion_proof(index, count)[0]
        for leaf, agrees in [(proof.extra, True), (proof.extra + b"x", False)]:
            start = merkle._chain_inner(merkle._hash_leaf(leaf), proof.hashes[:inner], index)
            end = merkle._chain_border_right(start, proof.hashes[inner:])
            assert (end.hex() == read.log_hash) == agrees
