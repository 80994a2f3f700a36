"""Policies: the published one, the grammar, and quorums that cannot be met by half."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.ledger.keys import SigningKey
from penin_core.ledger.notes import COSIGNATURE, Checkpoint, Note, Signature, VerifierKey, sign_note
from penin_core.ledger.policy import (
    Group,
    Policy,
    Witness,
    first_policy,
    parse_policy,
    with_witness,
)

LOG = SigningKey("penin.example/ledger/test", bytes(range(32)))
SIGNERS = [SigningKey(f"witness.example/w{n}", bytes([n]) * 32) for n in range(6)]
COSIGNERS = [VerifierKey(key.public.name, COSIGNATURE, key.public.public) for key in SIGNERS]
TEXT = Checkpoint(LOG.public.name, 5, bytes(32)).text


def vectors():
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "vectors" / "rfc6962_vectors.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set PENIN_SHARED to the folder that holds vectors/")
    return json.loads(path.read_text())["c2sp_generated"]


def cosignature(number, text=TEXT, time=1_795_500_000):
    message = f"cosignature/v1\ntime {time}\n{text}".encode()
    key = COSIGNERS[number]
    return Signature(key.name, key.key_id, time.to_bytes(8, "big") + SIGNERS[number].sign(message))


def policy_of(*lines):
    known = [f"log {LOG.public}"]
    known += [f"witness w{number} {key}" for number, key in enumerate(COSIGNERS)]
    return parse_policy("".join(f"{line}\n" for line in [*known, *lines]).encode())


def test_the_published_policy_accepts_the_published_checkpoint():
    known = vectors()
    policy = parse_policy(known["policy"].encode())
    found = policy.check(Note.parse(known["checkpoint_cosigned"].encode()))
    assert found.checkpoint.size == 8
    assert (found.logs, found.witnesses) == ((known["origin"],), ("w1", "pq1"))
    assert policy.witnesses["w1"].url == "https://w1.example/"
    assert policy.groups == {"g": Group(2, ("w1", "pq1"))}


def test_the_published_policy_demands_both_witnesses():
    known = vectors()
    policy = parse_policy(known["policy"].encode())
    whole = Note.parse(known["checkpoint_cosigned"].encode())
    for missing in (1, 2):
        lines = tuple(s for at, s in enumerate(whole.signatures) if at != missing)
        with pytest.raises(ValueError, match="quorum 'g' is not met"):
            policy.check(Note(whole.text, lines))
    with pytest.raises(ValueError, match="no known log signed"):
        policy.check(Note(whole.text, whole.signatures[1:]))


@pytest.mark.parametrize(
    ("lines", "enough", "short"),
    [
        (["quorum none"], [], None),
        (["quorum w1"], [1], [0, 2]),
        (["group g any w1 w2", "quorum g"], [2], [3]),
        (["group g all w1 w2", "quorum g"], [1, 2], [1]),
        (["group g 2 w1 w2 w3", "quorum g"], [1, 3], [3]),
        (
            ["group x 2 w0 w1 w2", "group y any w3 w4", "group both all x y", "quorum both"],
            [0, 2, 4],
            [0, 1, 2],
        ),
    ],
)
def test_a_quorum_is_met_by_enough_witnesses_and_not_by_fewer(lines, enough, short):
    policy = policy_of(*lines)
    note = sign_note(TEXT, LOG)
    found = policy.check(note.plus(map(cosignature, enough)))
    assert found.witnesses == tuple(f"w{number}" for number in enough)
    if short is not None:
        with pytest.raises(ValueError, match="is not met"):
            policy.check(note.plus(map(cosignature, short)))


@given(st.sets(st.integers(0, 5)), st.integers(1, 6))
def test_a_threshold_counts(present, needed):
    policy = policy_of(f"group g {needed} w0 w1 w2 w3 w4 w5", "quorum g")
    assert policy.is_met({f"w{number}" for number in present}) == (len(present) >= needed)


def test_a_cosignature_of_another_checkpoint_is_refused():
    policy = policy_of("quorum none")
    other = cosignature(1, Checkpoint(LOG.public.name, 6, bytes(32)).text)
    with pytest.raises(ValueError, match=r"w1 is not valid"):
        policy.check(sign_note(TEXT, LOG).plus([other]))


def test_a_log_counts_only_under_its_own_origin():
    text = Checkpoint("another.example/log", 5, bytes(32)).text
    with pytest.raises(ValueError, match="no known log signed"):
        policy_of("quorum none").check(sign_note(text, LOG))


def test_comments_blanks_and_bytes_beyond_ascii_are_allowed():
    data = (
        b"# who is believed \xff\n\n \t\n"
        + f"\t log \t {LOG.public} https://log.example/ \n".encode()
        + f"witness \xe2\x84\xaa {COSIGNERS[0]}\n".encode("latin-1")
        + f"witness K {COSIGNERS[1]}\n".encode()
        + b"group \xfe 1 \xe2\x84\xaa K\nquorum \xfe\n"
    )
    policy = parse_policy(data)
    assert policy.logs == (LOG.public,)
    assert len(policy.witnesses) == 2
    assert policy.is_met({"K"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no quorum line"),
        (["quorum none", "quorum none"], "line 9 of the policy: a second quorum"),
        (["quorum w9"], "'w9' is not defined above"),
        (["quorum g", "group g any w1"], "'g' is not defined above"),
        (["quorum"], "quorum with 0 words"),
        (["quorum w1 w2"], "quorum with 2 words"),
        (["quorums w1"], "'quorums' is none of log, witness, group, quorum"),
        (["group g any"], "group with 2 words"),
        (["group g 0 w1"], "'0' is neither all, any nor a number"),
        (["group g 01 w1"], "'01' is neither"),
        (["group g 2 w1"], "group 'g' needs 2 of 1"),
        (["group g all w1 w1"], "'w1' is a member a second time"),
        (["group g any w1", "group h any w1"], "'w1' is a member a second time"),
        (["group g any g"], "'g' is not defined above"),
        (["group g any none"], "'none' is not defined above"),
        (["group none any w1"], "the name 'none' is taken"),
        (["group w1 any w2"], "the name 'w1' is taken"),
        ([f"witness x {COSIGNERS[0]}"], "the key of witness witness.example/w0 a second time"),
        ([f"log {LOG.public}"], "a second time"),
        ([f"log {COSIGNERS[0]}"], "is of type 4, which is for something else"),
        ([f"witness x {LOG.public}"], "is of type 1, which is for something else"),
        (["log nonsense"], "is not a key"),
        (["quorum\u00a0none"], "is none of"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_line(lines, message):
    with pytest.raises(ValueError, match=message):
        policy_of(*lines)


@pytest.mark.parametrize("data", [b"quorum none", b"quorum none\r\n", b"quorum\x00none\n", b""])
def test_a_policy_in_other_characters_is_refused(data):
    with pytest.raises(ValueError, match=r"policy"):
        parse_policy(data)


def test_a_policy_of_endless_length_is_refused():
    with pytest.raises(ValueError, match="at most 1000 are read"):
        parse_policy(b"\n" * 2000)


def test_as_many_as_must_be_supported_are_read():
    signers = [SigningKey(f"w{n}", n.to_bytes(32, "big")) for n in range(96)]
    lines = [f"log {key.public}" for key in signers[:32]]
    for number, key in enumerate(signers[32:64]):
        public = VerifierKey(key.public.name, COSIGNATURE, key.public.public)
        lines += [f"witness w{number} {public}", f"group g{number} all w{number}"]
    lines.append("quorum g31")
    policy = parse_policy("".join(f"{line}\n" for line in lines).encode())
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (32, 32, 32)


def test_the_first_policy_knows_one_log_and_asks_for_no_witness():
    assert parse_policy(first_policy(LOG.public)) == Policy(logs=(LOG.public,))


def test_a_witness_is_added_and_the_rest_of_the_file_stays():
    data = b"# mine\n" + first_policy(LOG.public)
    longer = with_witness(data, Witness("w0", COSIGNERS[0], "https://w0.example/"))
    assert longer.startswith(data)
    assert parse_policy(longer).witnesses["w0"].url == "https://w0.example/"
    with pytest.raises(ValueError, match="a second time"):
        with_witness(longer, Witness("other", COSIGNERS[0]))


@pytest.mark.parametrize(
    ("name", "url"), [("a b", ""), ("#a", "https://x y"), ("a", "https://x y"), ("a", "\nlog x")]
)
def test_a_witness_that_fits_on_no_line_is_refused(name, url):
    with pytest.raises(ValueError, match=r"policy|words"):
        with_witness(first_policy(LOG.public), Witness(name, COSIGNERS[0], url))
