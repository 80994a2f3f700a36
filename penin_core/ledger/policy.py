"""A trust policy: which logs are known, which witnesses, and how many of them must have cosigned.

It is a text file that anybody can read and write::

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

Source: C2SP tlog-policy, https://c2sp.org/tlog-policy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .notes import COSIGNATURE, ED25519, MLDSA44, Checkpoint, Note, VerifierKey

NONE = "none"
#: Most lines that define something; at least 32 logs, witnesses and groups must be accepted.
LINE_LIMIT = 1000

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_BLANKS = re.compile(r"[ \t]+")
_COUNT = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: its name within the policy, its key, and the URL that it answers at, or ``""``."""

    name: str
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses and groups of which at least ``needed`` must have cosigned."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endorsed:
    """A checkpoint that a known log signed, and the witnesses that cosigned it.

    ``logs`` are names of keys, ``witnesses`` names within the policy.
    """

    checkpoint: Checkpoint
    logs: tuple[str, ...]
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is believed. ``quorum`` is the name of a witness or a group, or ``none``."""

    logs: tuple[VerifierKey, ...] = ()
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NONE

    def endorsed(self, note: Note) -> Endorsed:
        """Return who vouches for a checkpoint; whether they are enough is ``is_met``'s to say.

        Raises:
            ValueError: it is no checkpoint, no known log signed it, or a signature that says it
                is of a known log or witness is not.
        """
        checkpoint = Checkpoint.parse(note.text)
        logs = note.signers(key for key in self.logs if key.name == checkpoint.origin)
        if not logs:
            raise ValueError(f"no known log signed the checkpoint of {checkpoint.origin[:80]!r}")
        cosigned = set(note.signers(witness.key for witness in self.witnesses.values()))
        names = tuple(name for name, one in self.witnesses.items() if one.key in cosigned)
        return Endorsed(checkpoint, tuple(key.name for key in logs), names)

    def is_met(self, witnesses: Collection[str]) -> bool:
        """Return whether cosignatures of ``witnesses``, by name, satisfy the quorum."""
        return self.quorum == NONE or self._has(self.quorum, witnesses)

    def check(self, note: Note) -> Endorsed:
        """Return who vouches for a checkpoint that satisfies the whole policy.

        Raises:
            ValueError: as ``endorsed``, or the quorum is not met.
        """
        found = self.endorsed(note)
        if not self.is_met(found.witnesses):
            by = ", ".join(map(repr, found.witnesses)) or "nobody"
            raise ValueError(f"quorum {self.quorum!r} is not met: cosigned by {by}")
        return found

    def _has(self, name: str, witnesses: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in witnesses
        return sum(self._has(member, witnesses) for member in group.members) >= group.needed


def first_policy(key: VerifierKey) -> bytes:
    """Return the policy that knows one log and asks for no witness."""
    return f"log {key}\nquorum {NONE}\n".encode()


def with_witness(data: bytes, witness: Witness) -> bytes:
    """Return a policy file with one more witness, which no quorum asks for yet.

    Raises:
        ValueError: its name or its key is there already, its key is not for cosigning, or the file
            is no policy.
    """
    longer = data + f"witness {witness.name} {witness.key} {witness.url}".rstrip().encode() + b"\n"
    if parse_policy(longer).witnesses.get(witness.name) != witness:
        raise ValueError(f"witness {witness.name!r} at {witness.url!r} fits on no line of a policy")
    return longer


def parse_policy(data: bytes) -> Policy:
    """Read a policy file.

    Raises:
        ValueError: it is not one; the message names the line.
    """
    if _FORBIDDEN.search(data) or (data and not data.endswith(b"\n")):
        raise ValueError("a policy has lines that end with a newline, and no control characters")
    # Bytes beyond ASCII stay as they are, whatever they mean.
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > LINE_LIMIT:
        raise ValueError(f"a policy of {len(lines)} lines; at most {LINE_LIMIT} are read")
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        words = [word for word in _BLANKS.split(line) if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            reader.read(*words)
        except ValueError as error:
            raise ValueError(f"line {number} of the policy: {error}") from error
    if reader.quorum is None:
        raise ValueError("the policy has no quorum line; 'quorum none' asks for no witness")
    return Policy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum)


class _Reader:
    """What the lines so far defined."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def read(self, keyword: str, *words: str) -> None:
        kinds = {"log": (1, 2), "witness": (2, 3), "group": (3, LINE_LIMIT), "quorum": (1, 1)}
        least, most = kinds.get(keyword, (0, 0))
        if not most:
            raise ValueError(f"{keyword[:40]!r} is none of {', '.join(kinds)}")
        if not least <= len(words) <= most:
            raise ValueError(f"{keyword} with {len(words)} words after it")
        if keyword == "log":
            self._log(words[0])
        elif keyword == "witness":
            self._witness(*words)
        elif keyword == "group":
            self._group(*words)
        elif self.quorum is not None:
            raise ValueError("a second quorum")
        else:
            self.quorum = words[0] if words[0] == NONE else self._defined(words[0])

    def _log(self, vkey: str) -> None:
        key = _key(vkey, (ED25519, MLDSA44))
        if any(key.public == known.public for known in self.logs):
            raise ValueError(f"the key of log {key.name} a second time")
        self.logs.append(key)

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        key = _key(vkey, (COSIGNATURE, MLDSA44))
        if any(key.public == known.key.public for known in self.witnesses.values()):
            raise ValueError(f"the key of witness {key.name} a second time")
        self.witnesses[self._free(name)] = Witness(name, key, url)

    def _group(self, name: str, threshold: str, *members: str) -> None:
        words = {"all": len(members), "any": 1}
        if threshold not in words and not _COUNT.fullmatch(threshold):
            raise ValueError(f"{threshold[:40]!r} is neither all, any nor a number")
        needed = words[threshold] if threshold in words else int(threshold)
        if not 1 <= needed <= len(members):
            raise ValueError(f"group {name!r} needs {needed} of {len(members)}")
        for member in map(self._defined, members):
            if member in self._members:
                raise ValueError(f"{member!r} is a member a second time")
            self._members.add(member)
        self.groups[self._free(name)] = Group(needed, members)

    def _free(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ValueError(f"the name {name!r} is taken")
        return name

    def _defined(self, name: str) -> str:
        if name not in self.witnesses and name not in self.groups:
            raise ValueError(f"{name[:80]!r} is not defined above")
        return name


def _key(vkey: str, algorithms: tuple[int, ...]) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.algorithm not in algorithms:
        raise ValueError(f"key {key.name} is of type {key.algorithm}, which is for something else")
    return key
