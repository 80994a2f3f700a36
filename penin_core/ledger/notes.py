"""Signed notes, checkpoints and cosignatures: what a log says about itself, and who vouches for it.

A note is a text and signature lines under it, ``— name base64(key id || signature)``. The text of
a checkpoint is origin, size and root on three lines. A cosignature is what a witness adds: a
signature over a time and the text.

Everything is read strictly. There is one way to write each thing, and nothing else is accepted:
a changed bit either changes what is signed or is refused.

Source: C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0 and tlog-cosignature v1.0.1,
https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from .merkle import HASH_SIZE
from .signatures import (
    ED25519_PUBLIC_SIZE,
    ED25519_SIGNATURE_SIZE,
    MLDSA44_PUBLIC_SIZE,
    MLDSA44_SIGNATURE_SIZE,
    ed25519_verify,
    mldsa44_verify,
)

#: Signature types: a note; a cosignature; a cosignature that outlives quantum computers.
ED25519, COSIGNATURE, MLDSA44 = 0x01, 0x04, 0x06
#: Longest note in bytes, and most signatures; at least 16 must be accepted.
NOTE_LIMIT = 1 << 20
SIGNATURE_LIMIT = 100

_PUBLIC_SIZES = {
    ED25519: ED25519_PUBLIC_SIZE,
    COSIGNATURE: ED25519_PUBLIC_SIZE,
    MLDSA44: MLDSA44_PUBLIC_SIZE,
}
_ID_SIZE, _TIME_SIZE = 4, 8
_DASH = "\N{EM DASH} "
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def unbase64(text: str) -> bytes:
    """Return the bytes of standard base64 that is written in the one canonical way.

    Raises:
        ValueError: it is anything else; unused bits that are set, too.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error
    if tobase64(data) != text:
        raise ValueError("not base64 in canonical form")
    return data


def tobase64(data: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(data).decode("ascii")


def read_size(text: str) -> int:
    """Return a size or an index, written in decimal without leading zeros.

    Raises:
        ValueError: it is anything else, or 2**63 or more.
    """
    if not _SIZE.fullmatch(text) or (value := int(text)) >= 1 << 63:
        raise ValueError(f"{text[:40]!r} is not a size")
    return value


def check_name(name: str) -> str:
    """Return the name of a key if it may be one.

    Raises:
        ValueError: it is empty, or holds a space, a plus or a control character.
    """
    wrong = (c.isspace() or c == "+" or ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in name)
    if not name or any(wrong):
        raise ValueError(f"{name[:80]!r} cannot be the name of a key")
    return name


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name that goes with it; ``str`` gives the vkey that others are told.

    ``algorithm`` is one of ED25519, COSIGNATURE and MLDSA44; ``public`` has 32 or 1312 bytes.
    """

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if _PUBLIC_SIZES.get(self.algorithm) != len(self.public):
            raise ValueError(f"key {self.name}: type {self.algorithm} is unknown or of wrong size")

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a vkey.

        Raises:
            ValueError: it is not one, or its id is not that of its key.
        """
        name, plus, rest = text.partition("+")
        identifier, plus, material = rest.partition("+")
        if not plus:
            raise ValueError(f"{text[:80]!r} is not a key: expected name+id+base64")
        data = unbase64(material)
        key = cls(name, data[0] if data else 0, data[1:])
        if key.key_id.hex() != identifier:
            raise ValueError(f"key {name}: its id is {key.key_id.hex()}, not {identifier[:16]!r}")
        return key

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || newline || type || public key)."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(named).digest()[:_ID_SIZE]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{tobase64(bytes([self.algorithm]) + self.public)}"

    def verify(self, text: str, signature: bytes) -> bool:
        """Return whether ``signature`` is this key's over the text of a note."""
        if self.algorithm == ED25519:
            return ed25519_verify(self.public, signature, text.encode())
        try:
            return self._verify_cosignature(text, signature)
        except ValueError:
            return False

    def _verify_cosignature(self, text: str, signature: bytes) -> bool:
        checkpoint = Checkpoint.parse(text)
        time, rest = cosigned_at(signature), signature[_TIME_SIZE:]
        if self.algorithm == COSIGNATURE:
            header = f"cosignature/v1\ntime {time}\n"
            size, check = ED25519_SIGNATURE_SIZE, ed25519_verify
            message = (header + text).encode()
        else:
            size, check = MLDSA44_SIGNATURE_SIZE, mldsa44_verify
            message = _subtree(self.name, time, checkpoint)
        return len(rest) == size and check(self.public, rest, message)


def cosigned_at(signature: bytes) -> int:
    """Return the time of a cosignature in Unix seconds.

    Raises:
        ValueError: it has none, or one beyond 2**63 - 1.
    """
    time = int.from_bytes(signature[:_TIME_SIZE], "big")
    if len(signature) <= _TIME_SIZE or not 0 < time < 1 << 63:
        raise ValueError("a cosignature without its time")
    return time


def _subtree(cosigner: str, time: int, checkpoint: Checkpoint) -> bytes:
    """Return the message that ML-DSA-44 signs: all of the tree, from leaf 0 to its size."""
    name, origin = cosigner.encode(), checkpoint.origin.encode()
    if max(len(name), len(origin)) > 255:
        raise ValueError("a name longer than 255 bytes")
    numbers = (0).to_bytes(8, "big") + checkpoint.size.to_bytes(8, "big")
    who = bytes([len(name)]) + name + time.to_bytes(8, "big") + bytes([len(origin)]) + origin
    return b"subtree/v1\n\0" + who + numbers + checkpoint.root


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its origin, how many entries it has, their RFC 6962 root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{tobase64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a checkpoint; extension lines are refused, for nobody audits them.

        Raises:
            ValueError: it is not the text of a checkpoint.
        """
        origin, *rest = text.split("\n")
        if len(rest) != 3 or rest[2] or not origin:
            raise ValueError("a checkpoint has three lines: origin, size, root")
        root = unbase64(rest[1])
        if len(root) != HASH_SIZE:
            raise ValueError(f"the root of a checkpoint has {HASH_SIZE} bytes, not {len(root)}")
        return cls(origin, read_size(rest[0]), root)


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note: whose it says it is, and its bytes."""

    name: str
    key_id: bytes
    data: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {tobase64(self.key_id + self.data)}\n"

    @classmethod
    def parse(cls, line: str) -> Signature:
        """Read a signature line without its newline.

        Raises:
            ValueError: it is not one.
        """
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not space:
            raise ValueError(f"{line[:80]!r} is not the line of a signature")
        data = unbase64(encoded)
        if len(data) <= _ID_SIZE:
            raise ValueError(f"the signature of {name[:80]!r} is too short")
        return cls(check_name(name), data[:_ID_SIZE], data[_ID_SIZE:])

    def is_of(self, key: VerifierKey) -> bool:
        """Return whether name and id are those of ``key``; that proves nothing yet."""
        return (self.name, self.key_id) == (key.name, key.key_id)


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Read a signed note; nothing about its signatures is checked yet.

        Raises:
            ValueError: it is not a note, or has no signature, or is too long.
        """
        if len(data) > NOTE_LIMIT:
            raise ValueError(f"a note of {len(data)} bytes; at most {NOTE_LIMIT} are read")
        whole = data.decode()
        if _CONTROL.search(whole):
            raise ValueError("a note with a control character")
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise ValueError("not a signed note: no signatures after an empty line")
        signatures = parse_signatures(lines)
        return cls(text + "\n", signatures)

    def signers(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Return which of ``keys`` signed; signatures of others are passed over.

        Raises:
            ValueError: a signature says that it is of one of ``keys``, and is not.
        """
        found = []
        for key in keys:
            claimed = [line for line in self.signatures if line.is_of(key)]
            if any(not key.verify(self.text, line.data) for line in claimed):
                raise ValueError(f"the signature of {key.name} is not valid")
            if claimed:
                found.append(key)
        return found

    def plus(self, signatures: Iterable[Signature]) -> Note:
        """Return the note with more signatures; each replaces an older one by the same key."""
        new = {(line.name, line.key_id): line for line in signatures}
        kept = [line for line in self.signatures if (line.name, line.key_id) not in new]
        return Note(self.text, (*kept, *new.values()))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Read signature lines, each with its newline.

    Raises:
        ValueError: a line is not one, or there are none or too many.
    """
    *found, last = lines.split("\n")
    if last or not 0 < len(found) <= SIGNATURE_LIMIT:
        raise ValueError(f"expected 1 to {SIGNATURE_LIMIT} lines of signatures")
    return tuple(map(Signature.parse, found))


class Signer(Protocol):
    """A key that can sign, as ``keys.SigningKey``."""

    @property
    def public(self) -> VerifierKey:
        """The other half."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message``."""


def sign_note(text: str, key: Signer) -> Note:
    """Return ``text`` signed by an Ed25519 key.

    Raises:
        ValueError: ``text`` cannot be the text of a note.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ValueError("the text of a note ends with a newline and has no control characters")
    signature = Signature(key.public.name, key.public.key_id, key.sign(text.encode()))
    return Note(text, (signature,))
