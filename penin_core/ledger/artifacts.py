"""Run directories: the files of one run, written once and never replaced.

``runs/<id>/`` of a state directory is complete when its ``manifest.json`` is there. The manifest
is linked last and names every other file with its SHA-256 and size; its own SHA-256 is in the
run's ledger entry. Files are written aside and published by a hard link, which fails where a
rename would replace.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penin_core.errors import LedgerInvalid, StateError

from .files import read_regular, sync_folder, write_new
from .leaves import encode, parse
from .rows import ID

MANIFEST = "manifest.json"

# What opening gives where a link, a pipe or the like took the place of a file or a folder.
_REPLACED = (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENOTDIR)
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(\.[a-z0-9]{1,16})?")


def new_run_id(now: datetime | None = None, entropy: bytes | None = None) -> str:
    """Return a run id such as ``20261122t073501-123456z-1a2b3c4d``: sortable, never used before.

    ``now`` is an aware time, by default the present; ``entropy`` four bytes, by default random.

    Raises:
        ValueError: ``now`` has no time zone, or ``entropy`` is not four bytes long.
    """
    now = datetime.now(UTC) if now is None else now
    entropy = os.urandom(4) if entropy is None else entropy
    if now.tzinfo is None:
        raise ValueError(f"now is {now}, without a time zone")
    if len(entropy) != 4:
        raise ValueError(f"entropy has {len(entropy)} bytes, expected 4")
    return f"{now.astimezone(UTC):%Y%m%dt%H%M%S-%f}z-{entropy.hex()}"


def check_run_id(run_id: str) -> str:
    """Return ``run_id`` if it may become part of a path.

    Raises:
        StateError: it does not match ``[a-z0-9][a-z0-9_-]{0,63}``.
    """
    if not ID.fullmatch(run_id):
        raise StateError(
            f"run id {run_id!r} is not valid", hint="`penin ledger show` lists the runs."
        )
    return run_id


def write_run(state_dir: Path, run_id: str, files: Mapping[str, bytes]) -> str:
    """Write the directory of a run, to the disk; return the SHA-256 of its manifest in hex.

    Raises:
        ValueError: a file name is not plain (``evaluation.json``), or is the manifest's.
        StateError: the id is not valid or was used before, or the directory cannot be written.
    """
    for name in files:
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise ValueError(f"{name!r} cannot be the name of a file of a run")
    manifest = encode(
        {
            "v": 1,
            "run_id": check_run_id(run_id),
            "files": {name: _fingerprint(data) for name, data in files.items()},
        }
    )
    runs = state_dir / "runs"
    with _explained(runs / run_id, "written"):
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        (runs / run_id).mkdir(mode=0o700)
        aside = Path(tempfile.mkdtemp(prefix=".aside-", dir=runs))
        try:
            for name, data in files.items():
                _publish(aside / name, runs / run_id / name, data)
            # The manifest says that all the others are there: it must not reach the disk first.
            sync_folder(runs / run_id)
            _publish(aside / MANIFEST, runs / run_id / MANIFEST, manifest)
            sync_folder(runs / run_id)
            sync_folder(runs)
        finally:
            shutil.rmtree(aside)
    return hashlib.sha256(manifest).hexdigest()


def read_run(state_dir: Path, run_id: str, manifest_sha256: str | None = None) -> dict[str, bytes]:
    """Return the files of a run, checked against its manifest.

    ``manifest_sha256`` is the hash from the run's ledger entry; without it nothing says that the
    manifest itself is the one that was written.

    Raises:
        StateError: the id is not valid, or the directory is missing, incomplete or unreadable.
        LedgerInvalid: a file or the manifest differs from what was recorded.
    """
    path = state_dir / "runs" / check_run_id(run_id)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with _explained(path, "read"):
        with _as_written(path):
            folder = os.open(path, flags)
        try:
            with _as_written(path / MANIFEST):
                manifest = read_regular(MANIFEST, folder)
            listed = _listed(path, run_id, manifest, manifest_sha256)
            return {name: _checked(path, folder, name, listed[name]) for name in listed}
        finally:
            os.close(folder)


def orphans(state_dir: Path, known: Container[str]) -> dict[str, str]:
    """Return what lies in ``runs/`` and is no complete run of the ledger: name and reason.

    ``known`` holds the run ids in the ledger, as an open ledger does itself. A cycle that is still
    running, or was interrupted, leaves such directories; they are harmless.
    """
    runs = state_dir / "runs"
    if not runs.is_dir():
        return {}
    with _explained(runs, "read"):
        names = sorted(os.listdir(runs))  # noqa: PTH208
    found = {}
    for name in names:
        if not os.path.lexists(runs / name / MANIFEST):
            found[name] = "it has no manifest"
        elif name not in known:
            found[name] = "the ledger has no such run"
    return found


def _publish(aside: Path, final: Path, data: bytes) -> None:
    write_new(aside, data, 0o444)
    os.link(aside, final)


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _listed(path: Path, run_id: str, manifest: bytes, wanted: str | None) -> dict[str, Any]:
    """Return the files that a manifest names, by name."""
    if wanted not in {None, hashlib.sha256(manifest).hexdigest()}:
        raise LedgerInvalid(f"{path / MANIFEST} differs from what its ledger entry says")
    try:
        content = parse(manifest)
        if (content["v"], content["run_id"]) != (1, run_id):
            raise ValueError("it belongs to another run")
        files: dict[str, Any] = content["files"]
        if not all(map(_FILE_NAME.fullmatch, files)):
            raise ValueError("it names a file outside")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise LedgerInvalid(f"{path / MANIFEST} is not a manifest: {error}") from error
    return files


def _checked(path: Path, folder: int, name: str, recorded: Any) -> bytes:
    try:
        with _as_written(path / name):
            data = read_regular(name, folder)
    except FileNotFoundError as error:
        raise LedgerInvalid(f"{path / name} is gone, its manifest names it") from error
    if _fingerprint(data) != recorded:
        raise LedgerInvalid(f"{path / name} differs from its manifest")
    return data


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Tell a link or a pipe, which no cycle writes, from what is missing or cannot be read."""
    try:
        yield
    except OSError as error:
        if error.errno in _REPLACED:
            raise LedgerInvalid(f"{path} is no longer what was written") from error
        raise


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError) and error.filename == str(path):
            hint = "Nothing of a run is ever replaced; use a new run id."
            raise StateError(f"{path} exists", hint=hint) from error
        hint = "The state directory must be a folder with space left, on a local file system."
        if isinstance(error, FileNotFoundError) and what == "read":
            hint = "Restore it from a copy: the ledger holds only its fingerprint."
        raise StateError(f"{path} cannot be {what}: {error.strerror}", hint=hint) from error
