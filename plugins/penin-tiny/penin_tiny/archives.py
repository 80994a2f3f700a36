"""Files of plain arrays with a description: written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .gradients import Reals


class Damaged(ValueError):
    """A file is not what was once written."""


def write(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, Reals]) -> None:
    """Write ``arrays`` and ``meta`` to ``path``; the same content always gives the same bytes.

    Raises OSError where that fails, with what stood there before left as it was.
    """
    text = json.dumps({**meta, "digest": _digest(meta, arrays)}, sort_keys=True)
    content = io.BytesIO()
    columns: dict[str, Any] = {**arrays, "meta": np.frombuffer(text.encode(), np.uint8)}
    np.savez(content, **columns)
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Reals]]:
    """Return description and arrays. Nothing in the file can run.

    Raises Damaged for a file that is cut off, altered or something else; OSError where it cannot
    be read at all.
    """
    content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        digest = meta.pop("digest")
    except Exception as error:  # whatever a reader of foreign bytes stumbles over
        raise Damaged(f"{path} is cut off or is no file of arrays: {error}") from error
    found = _digest(meta, arrays)
    if found != digest:
        raise Damaged(f"what is in {path} has SHA-256 {found}, it says {digest}")
    return meta, arrays


def _digest(meta: Mapping[str, Any], arrays: Mapping[str, Reals]) -> str:
    """Return the SHA-256 of the description and of names, types, shapes and values."""
    seal = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        seal.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        seal.update(value.tobytes())
    return seal.hexdigest()


def _sync_folder(folder: Path) -> None:
    # Only where folders can be opened does the renaming itself need to be forced out.
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
