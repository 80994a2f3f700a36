"""RFC 6962: published roots and probes, and the laws of both kinds of proof."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves that the reference implementations of Certificate Transparency share, and the
# roots of the trees over the first 0 to 8 of them.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PLACEHOLDER = "testdata/consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"


def vectors():
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "vectors" / "rfc6962_vectors.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set PENIN_SHARED to the folder that holds vectors/")
    return json.loads(path.read_text())


def hashes(count):
    return [leaf_hash(str(n).encode()) for n in range(count)]


def root_over(leaves):
    return lambda low, high: root(leaves[low:high])


def naive_root(leaves):
    """The definition of MTH in RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_eight_reference_leaves_have_their_published_roots(size):
    assert root(leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]).hex() == ROOTS[size]


def test_the_vectors_and_the_constants_agree():
    known = vectors()
    assert (known["leaf_inputs"], known["roots_by_size"]) == (LEAVES, ROOTS)


def test_all_published_nodes():
    known = vectors()["node_hashes_by_level"]
    level = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
    for expected in known:
        assert [node.hex() for node in level] == expected
        level = [node_hash(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]


def test_all_published_inclusion_probes():
    probes = vectors()["inclusion_probes"]
    assert len(probes) == 98
    for probe in probes:
        accepted = verify_inclusion(
            probe["leaf_index"],
            probe["tree_size"],
            bytes.fromhex(probe["leaf_hash"]),
            [bytes.fromhex(node) for node in probe["proof"]],
            bytes.fromhex(probe["root"]),
        )
        assert accepted != probe["want_error"], probe["file"]


def test_all_published_consistency_probes():
    probes = vectors()["consistency_probes"]
    assert len(probes) == 98
    for probe in probes:
        accepted = verify_consistency(
            probe["size1"],
            probe["size2"],
            bytes.fromhex(probe["root1"]),
            bytes.fromhex(probe["root2"]),
            [bytes.fromhex(node) for node in probe["proof"]],
        )
        # That one has roots of 12 bytes, which are no hashes.
        assert accepted != (probe["want_error"] or probe["file"] == PLACEHOLDER), probe["file"]


def test_every_proof_up_to_80_leaves_verifies():
    leaves = hashes(80)
    roots = [naive_root(leaves[:n]) for n in range(81)]
    for n in range(1, 81):
        for i in range(n):
            proof = inclusion_proof(i, n, root_over(leaves))
            assert verify_inclusion(i, n, leaves[i], proof, roots[n])
        for m in range(n + 1):
            proof = consistency_proof(m, n, root_over(leaves))
            assert verify_consistency(m, n, roots[m], roots[n], proof)


def test_the_last_leaf_doubled_is_another_tree():
    a, b, c = hashes(3)
    assert root([a, b, c]) != root([a, b, c, c])


def test_an_empty_tree_is_a_prefix_only_with_its_own_root():
    leaves = hashes(3)
    assert verify_consistency(0, 3, EMPTY_ROOT, root(leaves), [])
    assert not verify_consistency(0, 3, leaves[0], root(leaves), [])
    assert not verify_consistency(0, 3, EMPTY_ROOT, root(leaves), [leaves[0]])


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_a_frontier_has_the_root_of_the_definition_at_every_size(data):
    leaves = [leaf_hash(item) for item in data]
    frontier = Frontier()
    for n, leaf in enumerate(leaves):
        assert (frontier.size, frontier.root()) == (n, naive_root(leaves[:n]))
        frontier.add(leaf)
    assert frontier.root() == naive_root(leaves)


@given(st.data())
def test_a_changed_inclusion_proof_is_refused(data):
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    leaves = hashes(size)
    proof = inclusion_proof(index, len(leaves), root_over(leaves))
    good = [leaves[index], root(leaves), *proof]
    at = data.draw(st.integers(0, len(good) - 1))
    bad = list(good)
    bad[at] = flip(bad[at], data.draw(st.integers(0, 255)))
    assert verify_inclusion(index, size, good[0], good[2:], good[1])
    assert not verify_inclusion(index, size, bad[0], bad[2:], bad[1])
    assert not verify_inclusion(index, size, good[0], [*good[2:], good[1]], good[1])
    other = data.draw(st.integers(-1, size + 1).filter(lambda i: i != index))
    assert not verify_inclusion(other, size, good[0], good[2:], good[1])
    if proof:
        assert not verify_inclusion(index, size, good[0], proof[:-1], good[1])


@given(st.data())
def test_a_changed_consistency_proof_is_refused(data):
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    leaves = hashes(new)
    proof = consistency_proof(old, len(leaves), root_over(leaves))
    good = [root(leaves[:old]), root(leaves), *proof]
    at = data.draw(st.integers(0, len(good) - 1))
    bad = list(good)
    bad[at] = flip(bad[at], data.draw(st.integers(0, 255)))
    assert verify_consistency(old, new, good[0], good[1], proof)
    assert not verify_consistency(old, new, bad[0], bad[1], bad[2:])
    assert not verify_consistency(old, new, good[0], good[1], [*proof, good[1]])
    assert not verify_consistency(old, new, good[0], good[1], proof[:-1])
    assert not verify_consistency(new, old, good[1], good[0], proof)


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_for_a_leaf_that_does_not_exist(index):
    with pytest.raises(ValueError, match=f"leaf {index} is outside a tree of 3 leaves"):
        inclusion_proof(index, 3, root_over(hashes(3)))


@pytest.mark.parametrize("old", [-1, 4])
def test_no_proof_from_a_larger_tree(old):
    with pytest.raises(ValueError, match=f"old size {old} is outside a tree of 3 leaves"):
        consistency_proof(old, 3, root_over(hashes(3)))


def flip(value, bit):
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
