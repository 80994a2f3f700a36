"""Proof files: an entry, its way to the root, and the checkpoint that vouches for that root.

A ``*.tlog-proof`` is checked offline, with nothing but a policy. Ours carry the entry itself in the
``extra`` line: it is no more trusted than the rest, for its hash has to lead to the signed root.

Source: C2SP tlog-proof, https://c2sp.org/tlog-proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .merkle import HASH_SIZE, leaf_hash, verify_inclusion
from .notes import Checkpoint, Note, read_size, tobase64, unbase64
from .policy import Endorsed, Policy

HEADER = "c2sp.org/tlog-proof@v1"
#: Most hashes of a proof: the height of the largest tree.
HASH_LIMIT = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """That an entry stands at ``index``: hashes from its sibling up, and a signed checkpoint.

    ``extra`` are bytes that nothing vouches for, ``None`` where the line is missing.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    def __str__(self) -> str:
        lines = [HEADER, f"index {self.index}", *map(tobase64, self.hashes)]
        if self.extra is not None:
            lines.insert(1, f"extra {tobase64(self.extra)}")
        return "".join(f"{line}\n" for line in lines) + f"\n{self.note}"

    @classmethod
    def parse(cls, data: bytes) -> TlogProof:
        """Read a proof file; whether it proves anything is ``verify``'s to say.

        Raises:
            ValueError: it is not a proof file.
        """
        head, blank, note = data.partition(b"\n\n")
        header, *lines = head.decode().split("\n")
        if header != HEADER or not blank or not lines:
            raise ValueError(f"not a proof: expected {HEADER}, lines, an empty line, a checkpoint")
        extra = None
        if lines[0].startswith("extra "):
            extra = unbase64(lines.pop(0).removeprefix("extra "))
        if not lines or not lines[0].startswith("index ") or len(lines) > HASH_LIMIT + 1:
            raise ValueError("a proof without its index, or with too many hashes")
        hashes = tuple(map(unbase64, lines[1:]))
        if any(len(one) != HASH_SIZE for one in hashes):
            raise ValueError(f"a hash that has not {HASH_SIZE} bytes")
        index = read_size(lines[0].removeprefix("index "))
        return cls(index, hashes, Note.parse(note), extra)

    def verify(self, leaf: bytes, policy: Policy) -> Endorsed:
        """Return who vouches that ``leaf`` is the entry at ``index``.

        Raises:
            ValueError: the policy refuses the checkpoint, or the hashes do not lead to its root.
        """
        found = policy.check(self.note)
        size, top = found.checkpoint.size, found.checkpoint.root
        if not verify_inclusion(self.index, size, leaf_hash(leaf), self.hashes, top):
            raise ValueError(f"this is not entry {self.index} of {found.checkpoint.origin}")
        return found


def prove(index: int, leaf: bytes, hashes: Sequence[bytes], note: Note) -> TlogProof:
    """Return the proof of an entry under a checkpoint; ``hashes`` are its audit path.

    Raises:
        ValueError: the path does not lead from ``leaf`` at ``index`` to the root.
    """
    checkpoint = Checkpoint.parse(note.text)
    proof = TlogProof(index, tuple(hashes), note, leaf)
    if not verify_inclusion(index, checkpoint.size, leaf_hash(leaf), proof.hashes, checkpoint.root):
        raise ValueError(f"entry {index} does not lead to the root of the checkpoint")
    return proof
