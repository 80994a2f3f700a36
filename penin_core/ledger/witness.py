"""Ask a witness to cosign: somebody else who remembers what this log was, and refuses forks.

Only the client is here. A witness gets the checkpoint and the proof that it extends the last one
which it saw; it answers with a cosignature, or says what is wrong.

Source: C2SP tlog-witness v1.0.0, https://c2sp.org/tlog-witness.
"""

from __future__ import annotations

import http.client
import ipaddress
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from penin_core.errors import LedgerInvalid, StateError

from .checkpoints import POLICY, Kept, keep, read_kept, replace_file, seal
from .files import read_regular
from .keys import DEFAULT_OWNER
from .merkle import consistency_proof
from .notes import (
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    cosigned_at,
    parse_signatures,
    read_size,
    tobase64,
)
from .policy import Witness, with_witness
from .store import WORMLedger

TIMEOUT_S = 30.0
REPLY_LIMIT = 1 << 16
#: By how many seconds the clock of a witness may be ahead of ours.
CLOCK_S = 300

#: Sends a body to a URL by POST and returns status and body of the reply.
Post = Callable[[str, bytes], tuple[int, bytes]]

_REFUSED = {
    400: "the witness could not read the request",
    403: "the witness does not accept the signature: tell it the key of this ledger",
    404: "the witness does not know this log: tell it the key of this ledger",
}


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that a witness cosigned; ``time`` is its clock in Unix seconds."""

    witness: str
    origin: str
    size: int
    time: int


def ask_witness(
    state_dir: Path,
    ledger: WORMLedger,
    url: str,
    vkey: str | None = None,
    *,
    owner: str = DEFAULT_OWNER,
    post: Post | None = None,
) -> Cosigned:
    """Sign the ledger, get a cosignature from the witness at ``url``, check it, and keep it.

    ``vkey`` is the key of a witness that ``ledger/policy.txt`` does not know yet; after its first
    valid cosignature it stands there.

    Raises:
        StateError: nothing can be signed, the witness is not known, or it gives no valid
            cosignature.
        LedgerInvalid: the witness saw another log under this name, or a longer one.
    """
    check_url(url)
    sealed = seal(state_dir, ledger, owner=owner)
    if sealed.note is None or sealed.reason:
        raise StateError(f"the ledger cannot be signed: {sealed.reason}")
    kept = read_kept(state_dir)
    witness = _find(kept, url, vkey)
    ask = _Asking(ledger, sealed.note, witness, post or post_http)
    signature = ask.cosignature(_last_size(kept, witness.key))
    try:
        with ledger.lock:
            _remember(state_dir, witness, sealed.note, signature)
    except OSError as error:
        raise StateError(f"{error.filename} cannot be written: {error.strerror}") from error
    checkpoint = Checkpoint.parse(sealed.note.text)
    when = cosigned_at(signature.data)
    return Cosigned(witness.name, checkpoint.origin, checkpoint.size, when)


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL that a checkpoint may be sent to: https, or http on this machine.

    Raises:
        StateError: it is anything else.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
        plain = url.isascii() and url.isprintable() and not set(url) & set(" \\?#@")
        safe = parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))
        if plain and safe and parts.hostname:
            return parts
    except ValueError:
        pass
    raise StateError(
        f"{url!r} is not the address of a witness",
        hint="Write https://HOST/PATH, without user name, query or fragment.",
    )


def post_http(url: str, body: bytes) -> tuple[int, bytes]:
    """Send ``body`` by POST, following no redirect; return status and at most 64 KiB of the reply.

    Raises:
        StateError: no reply came, or it is too long.
    """
    parts = check_url(url)
    secure = parts.scheme == "https"
    make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        kind = {"Content-Type": "text/plain; charset=utf-8", "Accept-Encoding": "identity"}
        connection.request("POST", parts.path, body=body, headers=kind)
        reply = connection.getresponse()
        data = reply.read(REPLY_LIMIT + 1)
    except (OSError, http.client.HTTPException) as error:
        what = str(error) or type(error).__name__
        raise StateError(f"{url} did not answer: {what}", hint="Try again later.") from error
    finally:
        connection.close()
    if len(data) > REPLY_LIMIT:
        raise StateError(f"{url} answered more than {REPLY_LIMIT} bytes")
    return reply.status, data


def request_body(old_size: int, proof: Iterable[bytes], note: Note) -> bytes:
    """Return the body of ``add-checkpoint``."""
    lines = [f"old {old_size}", *map(tobase64, proof)]
    return ("".join(f"{line}\n" for line in lines) + f"\n{note}").encode()


class _Asking:
    """One checkpoint before one witness."""

    def __init__(self, ledger: WORMLedger, note: Note, witness: Witness, post: Post) -> None:
        self.note, self.witness, self._post = note, witness, post
        self.checkpoint = Checkpoint.parse(note.text)
        self._ledger = ledger

    def cosignature(self, old_size: int) -> Signature:
        """Return the valid cosignature; ``old_size`` is a guess at what the witness saw last."""
        address = self.witness.url.rstrip("/") + "/add-checkpoint"
        for _ in range(3):
            proof = consistency_proof(old_size, self.checkpoint.size, self._ledger.root_over)
            status, body = self._post(address, request_body(old_size, proof, self.note))
            if status != 409:
                return self._checked(status, body)
            # Another size than the one we named: that of the last checkpoint it cosigned.
            old_size = self._size_seen(body)
        raise StateError(f"{address} changes its mind about the size it saw last")

    def _size_seen(self, body: bytes) -> int:
        try:
            size = read_size(body.decode("ascii").removesuffix("\n"))
        except ValueError as error:
            raise StateError(f"{self.witness.url} answered 409 without a size") from error
        if size > self.checkpoint.size:
            raise LedgerInvalid(
                f"the witness {self.witness.name!r} saw {size} entries of this ledger, "
                f"now there are {self.checkpoint.size}",
                hint="The end of the ledger is missing: restore it from a copy.",
            )
        return size

    def _checked(self, status: int, body: bytes) -> Signature:
        if status == 422:
            raise LedgerInvalid(
                f"the witness {self.witness.name!r} saw another ledger under this name",
                hint="An entry was changed, or two ledgers use one key. Compare with "
                "`penin ledger verify --since` and a checkpoint that was kept elsewhere.",
            )
        if status != 200:
            words = _REFUSED.get(status, "the witness is not able to answer now")
            hint = f"The key of this ledger is the 'log' line of {POLICY}."
            raise StateError(f"{self.witness.url} answered {status}: {words}", hint=hint)
        try:
            lines = parse_signatures(body.decode())
            own = [line for line in lines if line.is_of(self.witness.key)]
            Note(self.note.text, tuple(own)).signers([self.witness.key])
            when = cosigned_at(own[-1].data) if own else 0
        except ValueError as error:
            raise StateError(f"{self.witness.url} answered something else: {error}") from error
        if not own:
            raise StateError(f"{self.witness.url} did not sign with {self.witness.key.name}")
        if when > time.time() + CLOCK_S:
            raise StateError(f"{self.witness.url} signed at {when}, which is in the future")
        return own[-1]


def _is_here(host: str | None) -> bool:
    return host == "localhost" or ipaddress.ip_address(host or "").is_loopback


def _find(kept: Kept, url: str, vkey: str | None) -> Witness:
    """Return the witness of the policy at ``url``, or with the key ``vkey``, or a new one."""
    assert kept.policy is not None
    known = kept.policy.witnesses.values()
    if vkey is None:
        found = [one for one in known if one.url.rstrip("/") == url.rstrip("/")]
        if found:
            return found[0]
        hint = f"Get its key from who runs it, and add --key; it is kept in {POLICY}."
        raise StateError(f"the key of the witness at {url} is not known", hint=hint)
    try:
        key = VerifierKey.parse(vkey)
        for one in known:
            if one.key == key:
                return Witness(one.name, key, url)
        witness = Witness(key.name, key, url)
        with_witness(b"quorum none\n", witness)
    except ValueError as error:
        raise StateError(f"the key of the witness: {error}") from error
    return witness


def _last_size(kept: Kept, key: VerifierKey) -> int:
    """Return the size of the newest checkpoint that has a cosignature by ``key``, else 0."""
    for note in reversed(kept.notes):
        if any(line.is_of(key) for line in note.signatures):
            return Checkpoint.parse(note.text).size
    return 0


def _remember(state_dir: Path, witness: Witness, note: Note, signature: Signature) -> None:
    kept = read_kept(state_dir)
    # Another witness may have cosigned the same checkpoint meanwhile.
    same = [one for one in kept.notes if one.text == note.text]
    keep(state_dir, (same[-1] if same else note).plus([signature]))
    if kept.policy is not None and witness.key not in {
        one.key for one in kept.policy.witnesses.values()
    }:
        path = state_dir / POLICY
        try:
            replace_file(path, with_witness(read_regular(path), witness))
        except ValueError as error:
            raise StateError(f"{POLICY}: {error}") from error
