"""Install what penin.lock names: wheels are compared with it before anything of them is installed.

Only the distributions that bring plugins are locked. What they depend on is installed with them,
as their metadata ask, and is for a lock file of the environment to fix.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from zipfile import BadZipFile, ZipFile

from .errors import PluginError, PluginInvalid
from .locking import Lock, Locked, counts, difference, file_difference, snapshot

_SCHEMES = ("purelib", "platlib")


def out_of_step(lock: Lock) -> list[tuple[Locked, str]]:
    """Return the locked distributions that are not installed as locked, each with the reason."""
    found = []
    for locked in lock.distributions:
        try:
            why = difference(locked, snapshot(locked.name))
        except PluginInvalid as error:
            why = str(error)
        if why:
            found.append((locked, why))
    return found


def install(locked: Locked) -> None:
    """Install one distribution as the lock has it; pip's words go to stderr.

    Raises:
        PluginError: there is no pip, it fails, or the source tree of an editable install is gone.
        PluginInvalid: what there is to install is not what was locked; it is not installed.
    """
    if locked.editable:
        _install_editable(locked.editable)
    else:
        with tempfile.TemporaryDirectory(prefix="penin-sync-") as folder:
            _pip(
                "download", "--no-deps", "--only-binary", ":all:", "--dest", folder, _exact(locked)
            )
            (wheel,) = Path(folder).glob("*.whl")
            if why := file_difference(_inside(locked.files), wheel_files(wheel)):
                raise PluginInvalid(
                    f"{wheel.name} is not what was locked: {why}",
                    hint="it is not installed; ask its author, or lock another version",
                )
            _pip("install", "--no-deps", "--force-reinstall", str(wheel))
            _pip("install", str(wheel))  # what it depends on and is not there yet
    invalidate_caches()
    if why := difference(locked, snapshot(locked.name)):
        raise PluginInvalid(f"{locked.name} is installed, and not what was locked: {why}")


def wheel_files(wheel: Path) -> dict[str, str]:
    """Return path and SHA-256 of what a wheel puts into site-packages.

    Raises:
        PluginInvalid: it is not a wheel.
    """
    files = {}
    try:
        with ZipFile(wheel) as archive:
            for name in (info.filename for info in archive.infolist() if not info.is_dir()):
                path = _placed(name)
                if path and counts(path):
                    files[path] = sha256(archive.read(name)).hexdigest()
    except (BadZipFile, OSError) as error:
        raise PluginInvalid(f"{wheel.name} is not a wheel ({error})") from error
    return files


def _placed(name: str) -> str:
    """Return where a member of a wheel goes, "" for what does not go into site-packages."""
    path = PurePosixPath(name)
    if not path.parts[0].endswith(".data"):
        return name
    return "/".join(path.parts[2:]) if path.parts[1] in _SCHEMES else ""


def _inside(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if not name.startswith("../")}


def _exact(locked: Locked) -> str:
    return f"{locked.name}=={locked.version}"


def _install_editable(url: str) -> None:
    folder = unquote(urlsplit(url).path)
    if not os.path.isdir(folder):  # noqa: PTH112
        raise PluginError(
            f"the source tree {folder} is gone", hint="bring it back, or lock without it"
        )
    _pip("install", "--editable", folder)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--no-input"]
    shown = " ".join(["pip", *arguments])
    if find_spec("pip") is None:
        raise PluginError("this environment has no pip", hint=f"install pip, or do: {shown}")
    done = subprocess.run(command, stdout=sys.__stderr__, stderr=sys.__stderr__, check=False)  # noqa: S603
    if done.returncode:
        raise PluginError(f"{shown} failed", hint="its own words stand above")


def restore(lock: Lock, tell: Callable[[Locked, str], None]) -> int:
    """Bring the environment to what ``lock`` names; ``tell`` hears of each step. Return how many.

    Raises: as :func:`install`.
    """
    steps = out_of_step(lock)
    for locked, why in steps:
        tell(locked, why)
        install(locked)
    return len(steps)
