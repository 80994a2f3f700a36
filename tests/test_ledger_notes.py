"""Signed notes, checkpoints, cosignatures: published vectors, and nothing but the one spelling."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.ledger.keys import SigningKey
from penin_core.ledger.notes import (
    COSIGNATURE,
    ED25519,
    MLDSA44,
    SIGNATURE_LIMIT,
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    cosigned_at,
    parse_signatures,
    read_size,
    sign_note,
    tobase64,
    unbase64,
)

# The example of the signed-note specification (C2SP, BSD-1-Clause).
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ON"
    "ncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def vectors():
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "vectors" / "rfc6962_vectors.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set PENIN_SHARED to the folder that holds vectors/")
    return json.loads(path.read_text())


KEY = SigningKey("penin.example/ledger/test", bytes(range(32)))
TEXT = Checkpoint(KEY.public.name, 5, bytes(32)).text


def test_the_published_note_is_valid():
    note = Note.parse(EXAMPLE.encode())
    assert note.text == "This is an example message.\n"
    assert note.signers([VerifierKey.parse(VKEY)]) == [VerifierKey.parse(VKEY)]
    assert str(note) == EXAMPLE


def test_the_example_is_the_one_of_the_vectors():
    known = vectors()["signed_note"]
    assert (known["vkey"], known["note"]) == (VKEY, EXAMPLE)


def test_the_published_checkpoint_is_made_again_bit_by_bit():
    known = vectors()["c2sp_generated"]
    key = SigningKey(known["origin"], bytes.fromhex(known["log_seed_hex"]))
    root = bytes.fromhex(vectors()["roots_by_size"][8])
    assert str(key.public) == known["vkey"]
    note = sign_note(Checkpoint(known["origin"], 8, root).text, key)
    assert str(note) == known["checkpoint"]


@pytest.mark.parametrize("name", ["witness_vkey", "mldsa44_vkey"])
def test_published_cosignatures_are_valid_and_dated(name):
    known = vectors()["c2sp_generated"]
    key = VerifierKey.parse(known[name])
    assert str(key) == known[name]
    note = Note.parse(known["checkpoint_cosigned"].encode())
    assert note.signers([key]) == [key]
    (line,) = [one for one in note.signatures if one.is_of(key)]
    assert cosigned_at(line.data) == known["timestamp"]


@pytest.mark.parametrize("name", ["witness_vkey", "mldsa44_vkey"])
def test_a_cosignature_covers_its_time_and_the_checkpoint(name):
    known = vectors()["c2sp_generated"]
    key = VerifierKey.parse(known[name])
    note = Note.parse(known["checkpoint_cosigned"].encode())
    (line,) = [one for one in note.signatures if one.is_of(key)]
    later = (known["timestamp"] + 1).to_bytes(8, "big") + line.data[8:]
    other = Checkpoint(known["origin"], 9, bytes(32)).text
    assert key.verify(note.text, line.data)
    assert not key.verify(note.text, later)
    assert not key.verify(other, line.data)
    assert not key.verify("not a checkpoint\n", line.data)
    assert not key.verify(note.text, line.data[:8])
    assert not key.verify(note.text, bytes(8) + line.data[8:])


def signers(data):
    try:
        return Note.parse(data).signers([VerifierKey.parse(VKEY)])
    except ValueError:
        return []


def test_no_bit_of_a_note_can_be_flipped():
    data = bytearray(EXAMPLE.encode())
    assert signers(bytes(data))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert signers(bytes(data)) == [], f"bit {bit}"
        data[bit // 8] ^= 1 << bit % 8


@given(st.binary(max_size=200))
def test_what_is_no_note_is_refused_and_what_is_one_is_written_back_as_it_was(data):
    try:
        note = Note.parse(data)
    except ValueError:
        return
    assert str(note).encode() == data


@pytest.mark.parametrize(
    "text",
    [
        "no blank line\n",
        "text\n\n",
        "text\n\n— a AAAAAAA=",
        "text\n\n— a AAAA\n",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— a\u00a0b AAAAAAA=\n",
        "text\n\n— a AAAAAAB=\n",
        "text\n\n— a AAAAAAA\n",
        "te\txt\n\n— a AAAAAAA=\n",
        "text\r\n\n— a AAAAAAA=\n",
        "text\n\n" + "— a AAAAAAA=\n" * (SIGNATURE_LIMIT + 1),
    ],
)
def test_a_note_in_another_form_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Note.parse(text.encode())


def test_a_note_that_is_too_long_or_not_utf8_is_refused():
    with pytest.raises(ValueError, match="at most"):
        Note.parse(b"a" * ((1 << 20) + 1))
    with pytest.raises(ValueError, match="utf-8"):
        Note.parse(b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n")


def test_empty_lines_belong_to_the_text():
    signed = str(sign_note("a\n\n\nb\n", KEY))
    assert Note.parse(signed.encode()).text == "a\n\n\nb\n"


def test_a_wrong_signature_by_a_known_key_is_refused_and_one_of_a_stranger_passed_over():
    note = sign_note(TEXT, KEY)
    stranger = SigningKey("somebody.else", bytes(32))
    both = note.plus(sign_note(TEXT, stranger).signatures)
    assert both.signers([KEY.public]) == [KEY.public]
    assert both.signers([stranger.public]) == [stranger.public]
    wrong = both.plus([Signature(KEY.public.name, KEY.public.key_id, bytes(64))])
    with pytest.raises(ValueError, match="is not valid"):
        wrong.signers([KEY.public])
    twice = Note(TEXT, (*note.signatures, *wrong.signatures))
    with pytest.raises(ValueError, match="is not valid"):
        twice.signers([KEY.public])


def test_a_new_signature_replaces_the_one_by_the_same_key():
    note = sign_note(TEXT, KEY)
    assert note.plus(note.signatures) == note


@pytest.mark.parametrize("text", ["no end", "a\tb\n", "a\x00\n"])
def test_what_cannot_be_the_text_of_a_note_is_not_signed(text):
    with pytest.raises(ValueError, match="ends with a newline"):
        sign_note(text, KEY)


@given(
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_a_checkpoint_is_read_as_it_was_written(origin, size, root):
    checkpoint = Checkpoint(origin, size, root)
    assert Checkpoint.parse(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n5\n",
        "\n5\n" + tobase64(bytes(32)) + "\n",
        "origin\n05\n" + tobase64(bytes(32)) + "\n",
        "origin\n-5\n" + tobase64(bytes(32)) + "\n",
        "origin\n٥\n" + tobase64(bytes(32)) + "\n",
        "origin\n9223372036854775808\n" + tobase64(bytes(32)) + "\n",
        "origin\n5\n" + tobase64(bytes(31)) + "\n",
        "origin\n5\n" + tobase64(bytes(32)),
        "origin\n5\n" + tobase64(bytes(32)) + "\nextension\n",
        "origin\n5\n" + tobase64(bytes(32))[:-2] + "B=\n",
    ],
)
def test_a_checkpoint_in_another_form_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Checkpoint.parse(text)


@given(st.binary(max_size=40))
def test_base64_has_one_spelling(data):
    assert unbase64(tobase64(data)) == data


@pytest.mark.parametrize("text", ["QQ", "QR==", "QQ==\n", "Q Q=", "Q-_=", "é"])
def test_other_spellings_of_base64_are_refused(text):
    with pytest.raises(ValueError, match="not base64"):
        unbase64(text)


@pytest.mark.parametrize("text", ["", "+1", "1_0", " 1", "1\n", "00", "1" * 5000])
def test_other_spellings_of_a_size_are_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        read_size(text)


def test_a_verifier_key_is_read_as_it_was_written():
    assert str(VerifierKey.parse(str(KEY.public))) == str(KEY.public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("example.com/foo", "example.com/fop"),
        VKEY.replace("+A", "+B"),
        VKEY[:-4],
        f"+{VKEY.partition('+')[2]}",
        "name+530d903a+",
    ],
)
def test_what_is_no_verifier_key_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        VerifierKey.parse(text)


def test_the_same_public_key_has_another_id_for_every_use():
    public = KEY.public.public
    ids = {VerifierKey("name", kind, public).key_id for kind in (ED25519, COSIGNATURE)}
    assert len(ids) == 2
    with pytest.raises(ValueError, match="wrong size"):
        VerifierKey("name", MLDSA44, public)


def test_lines_of_signatures_without_an_end_are_refused():
    line = str(sign_note(TEXT, KEY).signatures[0])
    assert parse_signatures(line * 2)
    for text in ("", line + "x", line.removesuffix("\n"), "\n" + line):
        with pytest.raises(ValueError, match=r"signature"):
            parse_signatures(text)
