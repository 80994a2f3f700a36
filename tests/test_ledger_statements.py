"""Statements: what an entry says and no more, in envelopes that other people's tools verify."""

import base64
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.ledger.keys import SigningKey
from penin_core.ledger.leaves import digest, encode, make
from penin_core.ledger.merkle import leaf_hash
from penin_core.ledger.statements import (
    OVERRIDDEN,
    PAYLOAD_TYPE,
    PROMOTED,
    PROPERTIES,
    key_name,
    pae,
    read_statement,
    sign_statement,
    statements,
)

KEY = SigningKey("penin.example/ledger/test", bytes(range(32)))
ORIGIN = KEY.public.name
TS = "2026-11-22T07:35:01.123456Z"
CONFIG = {"provider": "tiny", "model": "tiny-5"}
RUN = {
    "id": "20261122t073501-123456z-1a2b3c4d",
    "kind": "challenger",
    "candidate_cfg_hash": digest(CONFIG),
    "verdict": "promote",
    "reason": "proved",
    "dry_run": False,
    "u_score": 0.75,
    "linf": 0.5,
    "n_tasks": 500,
    "suite_hash": "ab" * 32,
    "artifacts_path": "runs/20261122t073501-123456z-1a2b3c4d",
    "manifest_sha256": "cd" * 32,
    "sigma_guard_ok": True,
    "ir_ic_ok": None,
    "detail": {
        "guards": [
            {"guard": "sigma", "ok": True, "measured": True, "reason": ""},
            {"guard": "contractive", "ok": True, "measured": False, "reason": "one cycle"},
            {"guard": "mine", "ok": False, "measured": True, "reason": "no"},
        ],
        "confirmation": {"proved": True},
    },
}
CHANGE = {"config": CONFIG, "config_hash": digest(CONFIG), "run_id": RUN["id"], "reason": "by hand"}


def statement_of(kind, body, *before):
    leaves = [make(name, TS, content) for name, content in (*before, (kind, body))]
    return list(statements(ORIGIN, leaves))[-1], leaves[-1]


def test_a_run_is_a_test_result():
    statement, leaf = statement_of("RUN", RUN)
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {
                "name": "configuration",
                "digest": {"sha256": digest(CONFIG)},
                "annotations": {
                    "ledger": ORIGIN,
                    "entry": 0,
                    "leaf_hash": leaf_hash(leaf).hex(),
                    "run_id": RUN["id"],
                    "verdict": "promote",
                    "ts": TS,
                },
            }
        ],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": "PASSED",
            "configuration": [
                {"name": "suite", "digest": {"sha256": "ab" * 32}},
                {
                    "name": f"runs/{RUN['id']}/manifest.json",
                    "digest": {"sha256": "cd" * 32},
                    "annotations": {"u_score": 0.75, "linf": 0.5, "n_tasks": 500},
                },
            ],
            "passedTests": ["guard:sigma", "evidence"],
            "warnedTests": ["guard:contractive"],
            "failedTests": ["guard:mine"],
        },
    }


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"verdict": "canary"}, "WARNED"),
        ({"verdict": "rollback"}, "FAILED"),
        ({"verdict": "fail"}, "FAILED"),
        ({"kind": "baseline", "verdict": "rollback"}, "WARNED"),
    ],
)
def test_the_result_follows_the_verdict(change, result):
    statement, _ = statement_of("RUN", {**RUN, **change})
    assert statement["predicate"]["result"] == result
    assert ("baseline" in statement["predicate"]["warnedTests"]) == ("kind" in change)


def test_a_run_that_was_only_raced_has_no_tests():
    body = {name: RUN[name] for name in ("id", "kind", "candidate_cfg_hash", "dry_run")}
    statement, _ = statement_of("RUN", {**body, "verdict": "rollback"})
    said = statement["predicate"]
    assert [said[name] for name in ("passedTests", "warnedTests", "failedTests")] == [[], [], []]
    assert said["configuration"] == []


def test_evidence_that_was_not_proved_failed():
    detail = {"confirmation": {"proved": False}}
    statement, _ = statement_of("RUN", {**RUN, "detail": detail, "verdict": "rollback"})
    assert statement["predicate"]["failedTests"] == ["evidence"]


OVERRIDE = {"run_id": RUN["id"], "reason": "we must", "objections": ["its gain is not proved"]}


@pytest.mark.parametrize(
    ("kind", "before", "says"),
    [
        ("PROMOTE", [("RUN", RUN)], PROMOTED),
        ("PROMOTE", [("OVERRIDE", OVERRIDE)], OVERRIDDEN),
        ("PROMOTE", [("OVERRIDE", {**OVERRIDE, "run_id": "another"})], PROMOTED),
        ("ROLLBACK", [("OVERRIDE", OVERRIDE)], PROPERTIES["ROLLBACK"]),
        ("BOOTSTRAP", [("TUNE", {})], PROPERTIES["BOOTSTRAP"]),
    ],
)
def test_a_move_of_the_champion_is_a_verification_result(kind, before, says):
    statement, leaf = statement_of(kind, CHANGE, *before)
    assert statement["predicateType"] == "https://in-toto.io/attestation/svr/v0.2"
    assert statement["predicate"] == {
        "verifier": {"id": f"https://{ORIGIN}", "policies": []},
        "timeCreated": TS,
        "properties": [says],
    }
    (subject,) = statement["subject"]
    assert subject["digest"] == {"sha256": digest(CONFIG)}
    assert subject["annotations"] == {
        "ledger": ORIGIN,
        "entry": 1,
        "leaf_hash": leaf_hash(leaf).hex(),
        "kind": kind,
        "run_id": RUN["id"],
        "reason": "by hand",
    }


def test_other_entries_and_subjects_without_a_digest_have_no_statement():
    leaves = [
        make("TUNE", TS, {}),
        make("OVERRIDE", TS, OVERRIDE),
        make("CONFIRM", TS, {"run_id": RUN["id"]}),
        make("RUN", TS, {**RUN, "candidate_cfg_hash": "ab"}),
        make("RUN", TS, RUN),
    ]
    (statement,) = statements(ORIGIN, leaves, start=10)
    assert statement["subject"][0]["annotations"]["entry"] == 14


def test_the_signed_bytes_are_those_of_the_specification():
    kind, body = "http://example.com/HelloWorld", b"hello world"
    assert pae(kind, body) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_an_envelope_is_read_as_it_was_written():
    statement, _ = statement_of("RUN", RUN)
    envelope = sign_statement(statement, KEY)
    assert read_statement(envelope, [KEY.public]) == statement
    assert json.loads(envelope)["payloadType"] == "application/vnd.in-toto+json"


ENVELOPE = sign_statement(statement_of("PROMOTE", CHANGE)[0], KEY)


def refused(data):
    try:
        read_statement(bytes(data), [KEY.public])
    except ValueError:
        return True
    return False


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(0, 7))
def test_any_flipped_bit_of_an_envelope_is_refused(at, bit):
    data = bytearray(ENVELOPE)
    data[at] ^= 1 << bit
    assert refused(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("signatures"),
        lambda content: content.update(signatures=[]),
        lambda content: content.update(signatures=content["signatures"] * 2),
        lambda content: content.update(signatures=None),
        lambda content: content.update(more=1),
        lambda content: content.update(payloadType="text/plain"),
        lambda content: content["signatures"][0].update(keyid="another"),
        lambda content: content["signatures"][0].update(keyid=None),
        lambda content: content["signatures"][0].update(sig=1),
        lambda content: content["signatures"][0].update(cert="x"),
        lambda content: content.update(payload="e30="),
    ],
)
def test_an_envelope_of_another_shape_is_refused(change):
    content = json.loads(ENVELOPE)
    change(content)
    assert refused(encode(content))


def test_what_is_no_statement_is_refused_even_when_it_is_signed():
    for payload in ({"_type": "another"}, {}):
        assert refused(sign_statement(payload, KEY))
    assert refused(b"[]")
    assert refused(b'"text"')
    assert refused(b"")


def test_a_key_that_is_not_known_is_refused():
    stranger = SigningKey(KEY.public.name, bytes(32))
    with pytest.raises(ValueError, match="signed by"):
        read_statement(ENVELOPE, [stranger.public])


# Other people's verifiers


def test_securesystemslib_accepts_an_envelope_and_refuses_a_changed_one():
    pytest.importorskip("securesystemslib", reason="pip install securesystemslib cryptography")
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    value = {"public": KEY.public.public.hex()}
    key = SSlibKey(key_name(KEY.public), "ed25519", "ed25519", value)
    envelope = Envelope.from_dict(json.loads(ENVELOPE))
    assert envelope.verify([key], 1) == {key.keyid: key}
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_openssl_accepts_the_signature_and_refuses_a_changed_one(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl program")
    version = subprocess.run([openssl, "version"], capture_output=True, text=True, check=True)
    if not version.stdout.startswith("OpenSSL 3"):
        pytest.skip(f"{version.stdout.strip()} cannot verify Ed25519 signatures of raw files")
    content = json.loads(ENVELOPE)
    message = pae(PAYLOAD_TYPE, base64.b64decode(content["payload"]))
    # The fixed head of a SubjectPublicKeyInfo with an Ed25519 key (RFC 8410, section 10.1).
    spki = bytes.fromhex("302a300506032b6570032100") + KEY.public.public
    (tmp_path / "key.der").write_bytes(spki)
    (tmp_path / "sig").write_bytes(base64.b64decode(content["signatures"][0]["sig"]))
    command = [openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER"]
    command += ["-inkey", tmp_path / "key.der", "-sigfile", tmp_path / "sig", "-in"]
    for data, wanted in ((message, 0), (message + b" ", 1)):
        (tmp_path / "message").write_bytes(data)
        done = subprocess.run([*command, tmp_path / "message"], capture_output=True, check=False)
        assert done.returncode == wanted


@pytest.mark.parametrize(
    "leaf",
    [
        make("RUN", TS, {"candidate_cfg_hash": digest(CONFIG)}),
        make("RUN", TS, {**RUN, "verdict": 7}),
        make("PROMOTE", TS, {"config_hash": digest(CONFIG)}),
        make("PROMOTE", TS, {**CHANGE, "run_id": None}),
        make("APPROVED", TS, CHANGE),
    ],
)
def test_an_entry_that_no_ledger_accepts_is_an_error_in_words(leaf):
    with pytest.raises(ValueError, match=r"."):
        list(statements(ORIGIN, [leaf]))


@pytest.mark.parametrize("guards", [7, "x", [3], {"a": 1}, None])
def test_guards_of_another_shape_are_no_tests(guards):
    statement, _ = statement_of("RUN", {**RUN, "detail": {"guards": guards}})
    assert statement["predicate"]["passedTests"] == ["guard:sigma"]
