"""A log as static files: tiles of hashes, bundles of entries, nothing that needs a server.

``tile/L/N`` holds 256 hashes of level L, ``tile/entries/N`` the 256 entries under them, each after
its length as an unsigned 16-bit integer. The last of each level is partial, ``N.p/WIDTH``. N is
written in groups of three digits, 1234067 as ``x001/x234/067``.

Source: C2SP tlog-tiles v0.1.0, https://c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from .leaves import LEAF_LIMIT
from .merkle import HASH_SIZE, leaf_hash, root

#: Hashes of a full tile, and entries of a full bundle.
WIDTH = 256
#: The level of bundles in ``tile_path``.
ENTRIES = -1

_PATH = re.compile(
    r"tile/(0|[1-5]?[0-9]|6[0-3]|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)
_LENGTH_SIZE = 2


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return where the tile ``index`` of a level lies; ``ENTRIES`` is the level of bundles."""
    *lead, last = _in_threes(index)
    number = "".join(f"x{part}/" for part in lead) + last
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{'entries' if level == ENTRIES else level}/{number}{partial}"


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """Return level, index and width of a tile from its path.

    Raises:
        ValueError: it is not the path of a tile, or not written in the one way.
    """
    found = _PATH.fullmatch(path)
    if found:
        level = ENTRIES if found[1] == "entries" else int(found[1])
        index = int(found[2].replace("x", "").replace("/", ""))
        width = int(found[3] or WIDTH)
        if width <= WIDTH and tile_path(level, index, width) == path:
            return level, index, width
    raise ValueError(f"{path[:80]!r} is not the path of a tile")


def tiles(leaf_hashes: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every tile over leaf hashes, the partial ones last.

    Needs memory for one tile of each level.
    """
    growing: list[list[bytes]] = [[]]
    finished = [0]
    for leaf in leaf_hashes:
        level, node = 0, leaf
        while True:
            growing[level].append(node)
            if len(growing[level]) < WIDTH:
                break
            full, growing[level] = growing[level], []
            yield tile_path(level, finished[level]), b"".join(full)
            finished[level] += 1
            # A full tile is one hash of the level above; a partial one is none.
            level, node = level + 1, root(full)
            if level == len(growing):
                growing.append([])
                finished.append(0)
    for level, rest in enumerate(growing):
        if rest:
            yield tile_path(level, finished[level], len(rest)), b"".join(rest)


def bundles(leaves: Iterable[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Yield path and entries of every bundle over leaves in order; ``pack`` makes the content."""
    source, index = iter(leaves), 0
    while entries := list(islice(source, WIDTH)):
        yield tile_path(ENTRIES, index, len(entries)), entries
        index += 1


def pack(entries: Sequence[bytes]) -> bytes:
    """Return the content of a bundle.

    Raises:
        ValueError: an entry is longer than 65,535 bytes.
    """
    if any(len(entry) > LEAF_LIMIT for entry in entries):
        raise ValueError(f"an entry of more than {LEAF_LIMIT} bytes fits into no bundle")
    return b"".join(len(entry).to_bytes(_LENGTH_SIZE, "big") + entry for entry in entries)


def unpack(data: bytes) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        ValueError: it ends within an entry.
    """
    entries, at = [], 0
    while at < len(data):
        start = at + _LENGTH_SIZE
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise ValueError("a bundle that ends within an entry")
        entries.append(data[start:at])
    return entries


def tile_root(content: bytes) -> bytes:
    """Return the RFC 6962 root over the hashes of one tile."""
    return root(content[at : at + HASH_SIZE] for at in range(0, len(content), HASH_SIZE))


def entry_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hashes of entries, the content of their tile of level 0."""
    return [leaf_hash(entry) for entry in entries]


def _in_threes(number: int) -> list[str]:
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"{number % 1000:03d}")
    return parts
