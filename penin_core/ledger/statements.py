"""Evaluations and promotions as in-toto Statements in signed DSSE envelopes.

A statement says nothing that its ledger entry does not say, and it names that entry: origin, index
and leaf hash. Its subject is a configuration, by the SHA-256 of its canonical form.

* A run becomes a test result: PASSED where the verdict was promote, WARNED for canary and for the
  champion's own baseline, FAILED otherwise; what was checked stands under passed or failed tests.
* The first champion, a promotion and a rollback become a simple verification result, whose one
  property says which. The first champion passed no gate, and its property claims none.

Source: in-toto Statement v1, https://in-toto.io/Statement/v1; predicates test-result v0.1 and svr
v0.2 of https://in-toto.io/attestation; DSSE v1.0.2, https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .leaves import Leaf, encode, parse, read
from .merkle import leaf_hash
from .notes import Signer, VerifierKey, tobase64, unbase64
from .rows import RUN, row_of
from .signatures import ed25519_verify

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION = "https://in-toto.io/attestation/svr/v0.2"

PROMOTED = "PENIN_PROMOTED"
OVERRIDDEN = "PENIN_PROMOTED_BY_OVERRIDE"
#: What an event that made a champion says of it, by its kind.
PROPERTIES = {
    "BOOTSTRAP": "PENIN_FIRST_CHAMPION",
    "PROMOTE": PROMOTED,
    "ROLLBACK": "PENIN_ROLLED_BACK_TO",
}

_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESULTS = {"promote": "PASSED", "canary": "WARNED"}
_METRICS = ("u_score", "s_score", "c_score", "l_score", "linf", "score", "delta_linf", "n_tasks")


def statements(origin: str, leaves: Iterable[bytes], start: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the statements of a ledger, oldest first; ``leaves`` begin at index ``start``.

    Raises:
        ValueError: a leaf cannot be read, or lacks what its kind demands.
    """
    before = None
    for idx, data in enumerate(leaves, start):
        leaf, hashed = read(data), leaf_hash(data)
        row_of(leaf, hashed)
        named = {"ledger": origin, "entry": idx, "leaf_hash": hashed.hex()}
        if leaf.kind == RUN and _is_digest(leaf.body.get("candidate_cfg_hash")):
            yield _evaluation(leaf, named)
        elif leaf.kind in PROPERTIES:
            yield _change(leaf, named, before)
        before = leaf


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature covers."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_name(key: VerifierKey) -> str:
    """Return the ``keyid`` of a key in an envelope: its name and its id."""
    return f"{key.name}+{key.key_id.hex()}"


def sign_statement(statement: Mapping[str, Any], key: Signer) -> bytes:
    """Return the DSSE envelope of a statement, canonical JSON on one line without its end."""
    payload = encode(dict(statement))
    signature = tobase64(key.sign(pae(PAYLOAD_TYPE, payload)))
    return encode(
        {
            "payload": tobase64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key_name(key.public), "sig": signature}],
        }
    )


def read_statement(envelope: bytes, keys: Iterable[VerifierKey]) -> dict[str, Any]:
    """Return the statement in an envelope that one of ``keys`` signed.

    Ours are canonical JSON within and without; other spellings of the same are refused.

    Raises:
        ValueError: it is no such envelope, or the signature is missing or wrong.
    """
    try:
        content = parse(envelope)
        payload, kind = unbase64(content["payload"]), content["payloadType"]
        (signature,) = content["signatures"]
        name, data = signature["keyid"], unbase64(signature["sig"])
        if content.keys() != {"payload", "payloadType", "signatures"} or len(signature) != 2:
            raise ValueError("fields that are unknown")
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"not an envelope with one signature: {error}") from error
    signers = [key for key in keys if key_name(key) == name]
    if kind != PAYLOAD_TYPE or not signers:
        raise ValueError(f"an envelope of type {str(kind)[:80]!r}, signed by {str(name)[:80]!r}")
    if not ed25519_verify(signers[0].public, data, pae(kind, payload)):
        raise ValueError(f"the signature of {name} is not valid")
    statement = parse(payload)
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT:
        raise ValueError("the payload is not a statement")
    return statement


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _statement(
    digest: str, named: dict[str, Any], kind: str, says: dict[str, Any]
) -> dict[str, Any]:
    subject = {"name": "configuration", "digest": {"sha256": digest}, "annotations": named}
    return {"_type": STATEMENT, "subject": [subject], "predicateType": kind, "predicate": says}


def _evaluation(leaf: Leaf, named: dict[str, Any]) -> dict[str, Any]:
    body = leaf.body
    passed, warned, failed = _tests(body)
    result = _RESULTS.get(body["verdict"], "FAILED")
    measured = {name: body[name] for name in _METRICS if body.get(name) is not None}
    says = {
        "result": "WARNED" if body["kind"] == "baseline" else result,
        "configuration": list(_used(body, measured)),
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }
    named |= {"run_id": body["id"], "verdict": body["verdict"], "ts": leaf.ts}
    return _statement(body["candidate_cfg_hash"], named, TEST_RESULT, says)


def _used(body: dict[str, Any], measured: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the measurement used and left behind, each by its SHA-256."""
    if _is_digest(body.get("suite_hash")):
        yield {"name": "suite", "digest": {"sha256": body["suite_hash"]}}
    if _is_digest(body.get("manifest_sha256")):
        name = f"runs/{body['id']}/manifest.json"
        digest = {"sha256": body["manifest_sha256"]}
        yield {"name": name, "digest": digest, "annotations": measured}


def _tests(body: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Return the names of what passed, what says little, and what failed."""
    detail = body.get("detail") or {}
    checks: dict[str, Any] = {
        "guard:sigma": body.get("sigma_guard_ok"),
        "guard:contractive": body.get("ir_ic_ok"),
    }
    warned = ["baseline"] if body["kind"] == "baseline" else []
    guards = detail.get("guards")
    for guard in guards if isinstance(guards, list) else ():
        if not isinstance(guard, dict):
            continue
        name, ok = f"guard:{guard.get('guard')}", guard.get("ok")
        unmeasured = ok is True and guard.get("measured") is False
        checks[name] = None if unmeasured else ok
        warned += [name] if unmeasured else []
    if isinstance(detail.get("confirmation"), dict):
        checks["evidence"] = detail["confirmation"].get("proved") is True
    passed = [name for name, ok in checks.items() if ok is True]
    return passed, warned, [name for name, ok in checks.items() if ok is False]


def _change(leaf: Leaf, named: dict[str, Any], before: Leaf | None) -> dict[str, Any]:
    body, says = leaf.body, PROPERTIES[leaf.kind]
    if leaf.kind == "PROMOTE" and before is not None and before.kind == "OVERRIDE":
        says = OVERRIDDEN if before.body.get("run_id") == body["run_id"] else says
    named |= {"kind": leaf.kind, "run_id": body.get("run_id"), "reason": body.get("reason")}
    predicate = {
        "verifier": {"id": f"https://{named['ledger']}", "policies": []},
        "timeCreated": leaf.ts,
        "properties": [says],
    }
    return _statement(body["config_hash"], named, VERIFICATION, predicate)
