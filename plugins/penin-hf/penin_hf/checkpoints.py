"""Checkpoints of a training: folders that are whole or absent, checked before they are used."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penin_core import TrainingFailed

NOTES = "notes.json"
_LEAD = "checkpoint-"
_ASIDE = ".aside"


def save(folder: Path, write: Callable[[Path], None], notes: Mapping[str, Any]) -> None:
    """Keep what ``write`` writes into the folder that it is given, and ``notes``, for step N.

    The one before is removed once the new one is on the disk. ``notes["step"]`` is N.

    Raises:
        OSError: it cannot be written; the one before stays whole.
    """
    aside = folder / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        _writing(write, aside)
        files = {path.name: _digest(path) for path in sorted(aside.iterdir())}
        text = json.dumps({**notes, "files": files}, sort_keys=True)
        (aside / NOTES).write_text(text, encoding="utf-8")
        for path in (*aside.iterdir(), aside):
            _sync(path)
        final = folder / f"{_LEAD}{notes['step']}"
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        _sync(folder)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    for other in _all(folder):
        if other != final:
            shutil.rmtree(other, ignore_errors=True)


def newest(folder: Path, job: str) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint and its notes, or None where there is none.

    Raises:
        TrainingFailed: it is damaged, or ``notes["job"]`` is not ``job``.
    """
    found = _all(folder)
    if not found:
        return None
    path = found[-1]
    try:
        notes: dict[str, Any] = json.loads((path / NOTES).read_text(encoding="utf-8"))
        whole = all(_digest(path / name) == seal for name, seal in notes["files"].items())
    except (OSError, ValueError, LookupError) as error:
        raise _unusable(path, f"is damaged: {error}") from error
    if not whole:
        raise _unusable(path, "is damaged: its files are not those that were written")
    if notes.get("job") != job:
        raise _unusable(path, "belongs to another training: its data, settings or libraries differ")
    return path, notes


def _all(folder: Path) -> list[Path]:
    """Return all checkpoints, oldest first."""
    found = [path for path in folder.glob(f"{_LEAD}*") if path.name[len(_LEAD) :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len(_LEAD) :]))


def _writing(write: Callable[[Path], None], aside: Path) -> None:
    try:
        write(aside)
    except OSError:
        raise
    except Exception as error:
        # torch and safetensors say in errors of their own that a file could not be written.
        code = errno.ENOSPC if "No space" in str(error) else errno.EIO
        reason = str(error).strip().splitlines()[0] if str(error).strip() else os.strerror(code)
        raise OSError(code, reason, str(aside)) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(path: Path, what: str) -> TrainingFailed:
    return TrainingFailed(f"the checkpoint {path} {what}", hint="delete that folder to begin again")
