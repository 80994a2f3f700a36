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
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from typing import NamedTuple

from .errors import PluginError, PluginInvalid

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


def load(entry: Entry) -> object:
    """Import the object that ``entry`` names.

    Raises:
        PluginInvalid: whatever went wrong; the reason does not repeat the plugin's name.
    """
    module, _, attributes = entry.value.partition("[")[0].strip().partition(":")
    with contained():
        found: object = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
    return found


def load_file(path: str | os.PathLike[str]) -> object:
    """Import a plain file, under a module name that belongs to its path.

    Raises:
        PluginInvalid: whatever went wrong.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    place = os.path.realpath(path)
    name = f"penin_file_{zlib.crc32(os.fsencode(place)):08x}_{os.path.basename(place)[:-3]}"
    spec = spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise PluginInvalid("it is not a Python file", hint="name it with .py at the end")
    # Pickle, dataclasses and pydantic look a class up in the module that it says it is from.
    module = sys.modules[name] = module_from_spec(spec)
    try:
        with contained():
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


@contextmanager
def contained(
    lead: str = "", passing: type[BaseException] | tuple[type[BaseException], ...] = PluginError
) -> Iterator[None]:
    """Run a plugin's code: what it prints goes to stderr, what it raises becomes PluginInvalid.

    Both streams are afterwards what they were. ``lead`` begins the message; ``passing`` are the
    errors that stay what they are. Ctrl-C always does.
    """
    try:
        with redirect_stderr(sys.stderr), redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit must not end penin either
        if isinstance(error, passing):
            raise
        raise PluginInvalid(lead + reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """Return the type of ``error`` and the first line of its message."""
    try:
        lines = str(error).strip().splitlines()
    except BaseException:  # the message is a plugin's code, too
        lines = []
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


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

    seen: set[str] = set()
    for distribution in distributions():
        # Damaged metadata of a stranger is no reason to fail, and no reason to look further.
        with suppress(Exception):
            name = distribution.metadata["Name"]
            known = name.lower().replace("_", "-").replace(".", "-")
            if known in seen:
                continue
            seen.add(known)
            for point in distribution.entry_points:
                if point.group in (PLUGINS, COMMANDS):
                    yield Entry(
                        point.group, point.name, point.value, name, distribution.version or ""
                    )
