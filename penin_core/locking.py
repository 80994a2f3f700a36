"""penin.lock: which plugins may be loaded, down to the bytes of every file.

The lock names each distribution that brings a plugin, its version, and the SHA-256 of each file of
it that is installed. With a lock, a plugin is compared before it is imported; one that differs, or
is not named, is refused. Path configuration files (``.pth``) run at every start of Python, before
anything could check them: those that are present are recorded, and a new one refuses every plugin.

What differs from one machine to the next without saying anything is left out: bytecode, the
scripts, and the notes that installers leave beside the metadata.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import PluginInvalid, SettingsError
from .installed import COMMANDS, PLUGINS, Entry, installed
from .settings import Settings, load_settings

if TYPE_CHECKING:
    from importlib.metadata import Distribution

FILE_NAME = "penin.lock"

#: Python imports these at every start, too.
_STARTUP = {"sitecustomize.py", "usercustomize.py"}
_NOTES = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


class Locked(BaseModel):
    """One distribution: ``files`` maps paths, as RECORD writes them, to SHA-256 in hex.

    An ``editable`` one lies at that URL; its files are those of the modules that it brings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    files: dict[str, str] = Field(min_length=1)
    editable: str | None = None


class Lock(BaseModel):
    """The whole lock; ``startup`` is what runs at every start of Python: file name, SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    distributions: tuple[Locked, ...]
    startup: tuple[tuple[str, str], ...]

    def named(self, distribution: str) -> Locked | None:
        """Return what the lock says about ``distribution``."""
        known = {canonical(locked.name): locked for locked in self.distributions}
        return known.get(canonical(distribution))

    @cached_property
    def _intruders(self) -> list[str]:
        return [name for name, digest in startup_files() if (name, digest) not in self.startup]

    def check(self, entry: Entry) -> None:
        """Compare the distribution that brings ``entry`` with the lock.

        Raises:
            PluginInvalid: it differs, or a file that runs at every start is new; the file is named.
        """
        if self._intruders:
            raise PluginInvalid(
                f"{self._intruders[0]} is not in {FILE_NAME}, and runs at every start of Python",
                hint="find out where it is from; then remove it, or: penin plugins lock",
            )
        locked = self.named(entry.distribution)
        if locked is None:
            raise PluginInvalid(
                f"{FILE_NAME} does not name {entry.distribution}", hint="add it: penin plugins lock"
            )
        if why := difference(locked, snapshot(entry.distribution)):
            raise PluginInvalid(
                f"{entry.distribution} is not what {FILE_NAME} says: {why}",
                hint="put it back: penin plugins sync; or accept it: penin plugins lock",
            )

    def digest(self) -> str:
        """Return the SHA-256 of the lock as it is written."""
        return sha256(self.written().encode()).hexdigest()

    def written(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.model_dump(exclude_none=True), indent=1, sort_keys=True) + "\n"


def read_lock(folder: Path) -> Lock | None:
    """Return the lock beside penin.toml, None where there is no such file.

    Raises:
        SettingsError: it cannot be read; nothing may be loaded then.
    """
    path = folder / FILE_NAME
    try:
        return Lock.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        why = f"{place}: {problem['msg']}" if place else str(problem["msg"])
        raise SettingsError(f"{path}: {why}", hint="make it anew: penin plugins lock") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})", hint="check the file") from error


def lock_in_force() -> Lock | None:
    """Return the lock of the project that the working directory belongs to."""
    settings: Settings = load_settings()
    return read_lock(settings.folder)


def make_lock() -> Lock:
    """Return a lock of all plugins that are installed now.

    Raises:
        PluginInvalid: a distribution is not what its own RECORD says, so it must not be locked.
    """
    entries = (*installed(PLUGINS), *installed(COMMANDS))
    names = sorted({entry.distribution for entry in entries})
    return Lock(distributions=tuple(map(snapshot, names)), startup=tuple(startup_files()))


def difference(locked: Locked, found: Locked) -> str:
    """Say what differs first, "" where nothing does."""
    if found.version != locked.version:
        return f"version {found.version} instead of {locked.version}"
    if found.editable != locked.editable:
        return f"installed from {found.editable or 'a wheel'}, not {locked.editable or 'a wheel'}"
    return file_difference(locked.files, found.files)


def file_difference(locked: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Name the first file that is missing, new or changed."""
    for name in sorted({*locked, *found}):
        if name not in found:
            return f"{name} is missing"
        if name not in locked:
            return f"{name} is new"
        if found[name] != locked[name]:
            return f"{name} is changed"
    return ""


def snapshot(name: str) -> Locked:
    """Hash what is installed of distribution ``name``.

    Raises:
        PluginInvalid: it is not there, has no readable RECORD, or its files are not what that says.
    """
    from importlib.metadata import distribution

    try:
        found = distribution(name)
        source = _editable(found)
        files = _modules(found, source) if source else _recorded(found)
    except PluginInvalid:
        raise
    except Exception as error:  # whatever a damaged folder makes of importlib
        raise PluginInvalid(
            f"the metadata of {name} cannot be read ({type(error).__name__}: {error})",
            hint=f"install {name} again",
        ) from error
    if not files:
        raise PluginInvalid(
            f"{name} has no RECORD of its files", hint=f"install {name} again, from a wheel"
        )
    return Locked(name=name, version=found.version, files=files, editable=source)


def _editable(found: Distribution) -> str | None:
    """Return the URL of the source tree of an editable install."""
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False)
    return str(origin["url"]) if editable else None


def _modules(found: Distribution, source: str) -> dict[str, str]:
    """Hash the modules that the entry points of an editable install name."""
    from importlib.util import find_spec

    root = Path(unquote(urlsplit(source).path))
    points = [point for point in found.entry_points if point.group in (PLUGINS, COMMANDS)]
    files: dict[str, str] = {}
    for top in sorted({point.module.partition(".")[0] for point in points}):
        spec = find_spec(top)
        if spec is None or (spec.origin is None and not spec.submodule_search_locations):
            raise ImportError(f"there is no module {top}")
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        places = [Path(spec.origin)] if not folders and spec.origin else _walk(folders)
        for path in places:
            near = path.is_relative_to(root)
            files[(path.relative_to(root) if near else path).as_posix()] = digest_of(path)
    return files


def _recorded(found: Distribution) -> dict[str, str]:
    """Hash the files of RECORD; refuse those that are not what it says, and those beside them."""
    files: dict[str, str] = {}
    lines = (found.read_text("RECORD") or "").splitlines()
    # importlib.metadata would leave out, in some versions of Python, the files that are gone.
    for name, said, *_ in csv.reader(filter(None, lines)):
        place = Path(str(found.locate_file(name)))
        if not counts(name) or _is_script(place):
            continue
        if name.startswith("penin_core/") and canonical(found.metadata["Name"]) != "penin-core":
            raise PluginInvalid(f"{found.metadata['Name']} installs {name} into penin itself")
        files[name] = _checked(found, name, said, place)
    root = Path(str(found.locate_file("")))
    for extra in _beside(root, files):
        if extra not in files:
            raise PluginInvalid(f"{extra} of {found.metadata['Name']} is not in its RECORD")
    return files


def _checked(found: Distribution, name: str, said: str, place: Path) -> str:
    """Return the SHA-256 of a file, after comparing it with what RECORD says, if it says one."""
    if not place.is_file():
        raise PluginInvalid(f"{name} of {found.metadata['Name']} is missing")
    digest = digest_of(place)
    kind, _, value = said.partition("=")
    written = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")
    if kind == "sha256" and value != written:
        raise PluginInvalid(f"{name} of {found.metadata['Name']} is not what its RECORD says")
    return digest


def _is_script(place: Path) -> bool:
    """Say whether a file lies where the interpreter does: it names that, wherever it is."""
    return os.path.dirname(os.path.normpath(place)) == os.path.dirname(sys.executable)  # noqa: PTH120


def _beside(root: Path, files: Iterable[str]) -> Iterator[str]:
    """Yield the files that Python could import in the place of, or as part of, ``files``."""
    paths = [PurePosixPath(name) for name in files]
    packages = {path.parts[0] for path in paths if path.name == "__init__.py"}
    modules = {path.name.partition(".")[0] for path in paths if len(path.parts) == 1}
    found = _walk(root / name for name in sorted(packages | modules))
    shadows = (p for p in root.iterdir() if p.is_file() and p.name.partition(".")[0] in modules)
    for path in (*found, *shadows):
        name = path.relative_to(root).as_posix()
        if counts(name):
            yield name


def _walk(folders: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and counts(path.relative_to(folder).as_posix())
    )


def counts(name: str) -> bool:
    """Say whether the file ``name``, a path as RECORD writes it, belongs into a lock."""
    path = PurePosixPath(name)
    if "__pycache__" in path.parts or path.suffix == ".pyc":
        return False
    return not (path.parent.suffix == ".dist-info" and path.name in _NOTES)


def startup_files() -> list[tuple[str, str]]:
    """Return name and SHA-256 of what Python runs at every start of this environment."""
    found = set()
    for folder in sys.path:
        try:
            names = os.listdir(folder) if folder else []  # noqa: PTH208 - as sys.path has it
        except OSError:
            continue
        for name in names:
            if name.endswith(".pth") or name in _STARTUP:
                found.add((name, digest_of(Path(folder, name))))
    return sorted(found)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        content: Any = sha256()
        while part := file.read(1 << 20):
            content.update(part)
    return str(content.hexdigest())


def canonical(name: str) -> str:
    """Return the name of a distribution as packaging compares it."""
    return name.lower().replace("_", "-").replace(".", "-")
