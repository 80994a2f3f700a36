"""The Merkle tree of RFC 6962: root, inclusion proofs and consistency proofs.

Symbols: D[n] is the list of n leaves, MTH its root. A leaf hashes to SHA-256(0x00 || leaf), an
inner node to SHA-256(0x01 || left || right). The left subtree of n leaves holds the largest power
of two that is smaller than n; the root of no leaves is SHA-256 of the empty string.

Source: Laurie, Langley, Kasper, "Certificate Transparency", RFC 6962 (2013), section 2.1,
DOI 10.17487/RFC6962; verification as in RFC 9162 (2021), sections 2.1.3.2 and 2.1.4.2,
DOI 10.17487/RFC9162.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

#: Gives the root over the leaves from one index to before another.
RootOver = Callable[[int, int], bytes]

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf: SHA-256(0x00 || leaf), 32 bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees on the right edge of a growing tree: O(log n) memory, O(1) per leaf.

    ``size`` is the number of leaves that were added, ``peaks`` the roots of the complete subtrees,
    largest first: one for each one bit of the size. With both of an earlier frontier it goes on
    where that one was.

    Raises:
        ValueError: ``size`` leaves do not have that many peaks.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or size.bit_count() != len(peaks):
            raise ValueError(f"{size} leaves do not have {len(peaks)} peaks")
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, largest first."""
        return tuple(self._peaks)

    def add(self, leaf: bytes) -> None:
        """Add one leaf *hash* at the right."""
        # A tree grows like a binary counter: every trailing one bit of the size is a full subtree
        # that the new leaf completes.
        carry, peaks = self.size, self._peaks
        while carry & 1:
            leaf = node_hash(peaks.pop(), leaf)
            carry >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        *rest, result = self._peaks
        for peak in reversed(rest):
            result = node_hash(peak, result)
        return result


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return MTH over leaf hashes in order; the empty tree has the root SHA-256("")."""
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier.add(leaf)
    return frontier.root()


def inclusion_proof(index: int, size: int, root_over: RootOver) -> list[bytes]:
    """Return the audit path of leaf ``index`` (0-based) in a tree of ``size`` leaves.

    Source: PATH(m, D[n]), RFC 6962 section 2.1.1.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is outside a tree of {size} leaves")
    low, high, proof = 0, size, list[bytes]()
    while high - low > 1:
        middle = low + _left_width(high - low)
        if index < middle:
            proof.append(root_over(middle, high))
            high = middle
        else:
            proof.append(root_over(low, middle))
            low = middle
    return proof[::-1]


def consistency_proof(old_size: int, size: int, root_over: RootOver) -> list[bytes]:
    """Return the proof that the tree of the first ``old_size`` leaves is a prefix of this one.

    It is empty for an old size of 0 (nothing to prove) and for the full size (nothing was added).

    Source: PROOF(m, D[n]), RFC 6962 section 2.1.2.

    Raises:
        ValueError: ``old_size`` is negative or exceeds ``size``.
    """
    low, high, proof = 0, size, list[bytes]()
    if not 0 <= old_size <= high:
        raise ValueError(f"old size {old_size} is outside a tree of {high} leaves")
    if old_size in {0, high}:
        return []
    while old_size != high:
        middle = low + _left_width(high - low)
        if old_size <= middle:
            proof.append(root_over(middle, high))
            high = middle
        else:
            proof.append(root_over(low, middle))
            low = middle
    # The old tree's own root is known to the verifier when it is one complete subtree.
    if low:
        proof.append(root_over(low, high))
    return proof[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root_hash: bytes
) -> bool:
    """Return whether ``proof`` shows leaf hash ``leaf`` at ``index`` under ``root_hash``.

    Source: RFC 9162 section 2.1.3.2. Hashes that are not 32 bytes long are refused.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root_hash, *proof):
        return False
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            node, last = _climb(node, last)
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root_hash


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Return whether ``proof`` shows that the new tree only appends to the old one.

    Source: RFC 9162 section 2.1.4.2. Hashes that are not 32 bytes long are refused. The empty
    tree is a prefix of every tree: with an old size of 0 only its own root and an empty proof pass.
    """
    if not 0 <= old_size <= new_size or not _are_hashes(old_root, new_root, *proof):
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    return bool(path) and _replay(old_size, new_size, path) == (old_root, new_root)


def _replay(old_size: int, new_size: int, path: list[bytes]) -> tuple[bytes, bytes] | None:
    """Return the old and the new root that a consistency path leads to; ``None``: wrong length."""
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _climb(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _climb(node: int, last: int) -> tuple[int, int]:
    """Skip the levels on which a node at the right edge has no partner."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _left_width(count: int) -> int:
    """Return the largest power of two smaller than ``count`` (at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)
