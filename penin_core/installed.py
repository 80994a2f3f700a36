"""What is installed, read from metadata alone; nothing of a plugin is imported to find it.

Importing ``importlib.metadata`` costs more than everything else that ``penin --help`` does, so
what it finds is kept in the user's cache directory, for as long as no folder of ``sys.path`` and
not the Python version changes. The cache is a shortcut and never needed: whatever goes wrong with
it means that the metadata are read again.
"""

from __future__ import annotations

# Importing pathlib would cost `penin --help` more than all the work that is done here.
# ruff: noqa: PTH100, PTH103, PTH105, PTH111, PTH116, PTH117, PTH118, PTH119, PTH120, PTH123
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

PLUGINS = "penin"
COMMANDS = "penin.commands"

#: Folders that changed less than this ago may change again within one tick of their clock.
_SETTLED_NS = 2_000_000_000

_Key = list[str | list[str | int]]


class Entry(NamedTuple):
    """One entry point, and the distribution that brings it."""

    group: str
    name: str
    value: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


def installed(group: str) -> tuple[Entry, ...]:
    """Return the entry points of ``group``, sorted by name, then by distribution."""
    key = _fingerprint()
    path = _cache_file(key)
    entries = _cached(path, key)
    if entries is None:
        entries = sorted(_scan())
        _store(path, key, entries)
    return tuple(entry for entry in entries if entry.group == group)


def plain(text: str, limit: int = 100) -> str:
    """Return ``text`` on one line, without control characters, and cut where it gets too long."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _fingerprint() -> _Key:
    key: _Key = [f"{sys.implementation.cache_tag} {sys.hexversion:x}"]
    for path in sys.path:
        with suppress(OSError, TypeError, ValueError):
            key.append([os.path.abspath(path), os.stat(path or os.curdir).st_mtime_ns])
    return key


def _cache_file(key: _Key) -> str:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    places = "\n".join(part if isinstance(part, str) else str(part[0]) for part in key)
    # Names the file only; the whole key stands in it and is compared.
    digest = zlib.crc32(places.encode(errors="surrogatepass"))
    return os.path.join(base, "penin", f"installed-{digest:08x}.json")


def _cached(path: str, key: _Key) -> list[Entry] | None:
    with suppress(Exception), open(path, encoding="utf-8") as file:
        content = json.load(file)
        entries = [Entry(*row) for row in content["entries"]]
        if content["key"] == key and all(isinstance(part, str) for row in entries for part in row):
            return entries
    return None


def _store(path: str, key: _Key, entries: list[Entry]) -> None:
    settled = time.time_ns() - _SETTLED_NS
    if any(int(part[1]) > settled for part in key if isinstance(part, list)):
        return
    with suppress(Exception):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        draft = f"{path}.{os.getpid()}"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump({"key": key, "entries": entries}, file)
        os.replace(draft, path)


def _scan() -> Iterator[Entry]:
    from importlib.metadata import distributions

    seen: dict[str, str] = {}
    for distribution in distributions():
        # Damaged metadata of a stranger is no reason to fail, and no reason to look further.
        with suppress(Exception):
            name, version = _identity(distribution)
            folder = str(distribution.locate_file(""))
            # The first folder counts; two copies in one folder claim the same names, and are told.
            if seen.setdefault(name.lower().replace("_", "-").replace(".", "-"), folder) != folder:
                continue
            for point in distribution.entry_points:
                if point.group in (PLUGINS, COMMANDS):
                    value = plain(point.value, 300)
                    yield Entry(point.group, plain(point.name), value, plain(name), plain(version))


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Return name and version; without METADATA the folder's name, and no version."""
    # Where there is no METADATA, some versions of Python raise, and some return nothing.
    with suppress(Exception):
        metadata = distribution.metadata
        if metadata["Name"]:
            return metadata["Name"], metadata["Version"] or ""
    folder = os.path.basename(str(getattr(distribution, "_path", "")))
    return folder.partition("-")[0] or "?", ""
