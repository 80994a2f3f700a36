"""Tiles: published content, the paths of the specification, the hashes that the tree has."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.ledger.merkle import leaf_hash, root
from penin_core.ledger.tiles import (
    ENTRIES,
    WIDTH,
    bundles,
    entry_hashes,
    pack,
    parse_tile_path,
    tile_path,
    tile_root,
    tiles,
    unpack,
)


def vectors():
    beside = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "vectors" / "rfc6962_vectors.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set PENIN_SHARED to the folder that holds vectors/")
    return json.loads(path.read_text())


def leaves(count):
    return [f"leaf {number}".encode() for number in range(count)]


def test_the_published_tiles_are_made_bit_by_bit():
    known = vectors()
    entries = [bytes.fromhex(leaf) for leaf in known["leaf_inputs"]]
    made = dict(tiles(entry_hashes(entries))) | {n: pack(part) for n, part in bundles(entries)}
    assert {name: data.hex() for name, data in made.items()} == known["c2sp_generated"]["tiles_hex"]


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 273, 112, "tile/0/273.p/112"),
        (2, 1234067, 256, "tile/2/x001/x234/067"),
        (63, 1000, 1, "tile/63/x001/000.p/1"),
        (ENTRIES, 999, 255, "tile/entries/999.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(level, index, width, path):
    assert tile_path(level, index, width) == path
    assert parse_tile_path(path) == (level, index, width)


@given(st.integers(ENTRIES, 63), st.integers(0, 2**60), st.integers(1, WIDTH))
def test_a_path_is_read_as_it_was_written(level, index, width):
    assert parse_tile_path(tile_path(level, index, width)) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/000.p/01",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/8/0/٠٠٠",
    ],
)
def test_other_paths_are_refused(path):
    with pytest.raises(ValueError, match="is not the path of a tile"):
        parse_tile_path(path)


def test_a_tree_of_70000_has_the_tiles_of_the_specification():
    made = dict(tiles(leaf_hash(number.to_bytes(4, "big")) for number in range(70_000)))
    full = [parse_tile_path(name) for name in made]
    assert sum(level == 0 and width == WIDTH for level, _, width in full) == 273
    partial = {"tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"}
    assert partial < made.keys()
    assert len(made) == 273 + len(partial)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 512, 600])
def test_every_tile_holds_the_roots_of_the_tree_under_it(count):
    hashes = entry_hashes(leaves(count))
    for name, data in tiles(iter(hashes)):
        level, index, width = parse_tile_path(name)
        span = WIDTH**level
        wanted = [
            root(hashes[at * span : (at + 1) * span])
            for at in range(index * WIDTH, index * WIDTH + width)
        ]
        assert data == b"".join(wanted)
        assert tile_root(data) == root(wanted)
    assert 256 not in {parse_tile_path(name)[2] for name, _ in tiles(hashes) if ".p/" in name}


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_is_read_as_it_was_written(entries):
    assert unpack(pack(entries)) == entries


def test_bundles_hold_256_entries_and_the_last_the_rest():
    parts = list(bundles(leaves(600)))
    assert [name for name, _ in parts] == [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ]
    assert [leaf for _, part in parts for leaf in part] == leaves(600)


def test_entries_of_every_length_that_fits_are_packed():
    longest = bytes(65_535)
    assert unpack(pack([longest, b""])) == [longest, b""]
    with pytest.raises(ValueError, match="fits into no bundle"):
        pack([bytes(65_536)])


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x02a", b"\x00\x01ab"])
def test_a_bundle_that_was_cut_is_refused(data):
    with pytest.raises(ValueError, match="ends within an entry"):
        unpack(data)
