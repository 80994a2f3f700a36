"""Trained models: the files that a local fine-tuning left, named by what is in them.

``artifacts/<64 hex digits>/`` of a state directory holds those files and ``manifest.json``, which
names each with its SHA-256 and size, and the lineage: base model, data, hyperparameters, seed. The
name of the folder is the SHA-256 of the manifest, so that it covers files and lineage alike. A
configuration names a trained model as ``sha256:<64 hex digits>``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from penin_core.errors import LedgerInvalid, ProviderRefused, StateError

from .files import sync_folder
from .leaves import encode, parse

MANIFEST = "manifest.json"
PREFIX = "sha256:"

_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_CHUNK = 1 << 20


def store_trained(
    state_dir: Path, folder: Path, files: Sequence[str], lineage: Mapping[str, Any]
) -> str:
    """Copy ``files`` of ``folder`` into the artifacts; return their name, ``sha256:...``.

    What is there already is not written again.

    Raises:
        ValueError: a name is not that of a plain file in ``folder``, or is the manifest's.
        StateError: the artifact cannot be written; nothing of it is left behind.
    """
    artifacts = state_dir / "artifacts"
    with _explained(artifacts):
        artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".aside-", dir=artifacts))
        try:
            listed = {name: _copied(folder, name, aside) for name in files}
            manifest = encode({"v": 1, "files": listed, "lineage": dict(lineage)})
            _write(aside / MANIFEST, [manifest])
            sync_folder(aside)
            digest = hashlib.sha256(manifest).hexdigest()
            if not (artifacts / digest).exists():
                aside.rename(artifacts / digest)
                sync_folder(artifacts)
        finally:
            _remove(aside)
    return PREFIX + digest


def trained_folder(state_dir: Path, name: str) -> Path:
    """Return the absolute folder of a trained model, once its files agree with its name.

    Raises:
        ProviderRefused: ``name`` is no name of a trained model, or there is none.
        LedgerInvalid: a file is missing, or not the one that was trained.
    """
    folder = _place(state_dir, name)
    for file, recorded in _manifest(folder, name)["files"].items():
        path = folder / file
        try:
            found = _fingerprint(path, path.stat().st_mtime_ns)
        except OSError as error:
            raise LedgerInvalid(f"{path} cannot be read: {error.strerror}") from error
        if found != recorded:
            raise LedgerInvalid(f"{path} differs from its manifest")
    return folder


def lineage_of(state_dir: Path, name: str) -> dict[str, Any]:
    """Return what a trained model was made from.

    Raises: as ``trained_folder``, for the manifest alone.
    """
    lineage: dict[str, Any] = _manifest(_place(state_dir, name), name)["lineage"]
    return lineage


def _place(state_dir: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ProviderRefused(
            f"adapter {name!r} is not the name of a trained model",
            hint=f"it is {PREFIX} and 64 hex digits; penin finetune list shows what there is",
        )
    folder = state_dir.absolute() / "artifacts" / name.removeprefix(PREFIX)
    if not folder.is_dir():
        raise ProviderRefused(
            f"there is no trained model {name} in {str(state_dir)!r}",
            hint="copy its folder into artifacts/, or train it again with penin finetune start",
        )
    return folder


def _manifest(folder: Path, name: str) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LedgerInvalid(f"{path} cannot be read: {error.strerror}") from error
    if PREFIX + hashlib.sha256(data).hexdigest() != name:
        raise LedgerInvalid(f"{path} differs from the name of its folder")
    content: dict[str, Any] = parse(data)
    return content


@lru_cache(maxsize=256)
def _fingerprint(path: Path, changed_ns: int) -> dict[str, Any]:
    """Return hash and size of a file; ``changed_ns`` is there so that a change is noticed."""
    total, size = hashlib.sha256(), 0
    for chunk in _chunks(path):
        total.update(chunk)
        size += len(chunk)
    return {"sha256": total.hexdigest(), "size": size}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _copied(folder: Path, name: str, aside: Path) -> dict[str, Any]:
    source = folder / name
    if name == MANIFEST or source.name != name or source.is_symlink() or not source.is_file():
        raise ValueError(f"{name!r} is not a plain file in {folder}")
    total, size = hashlib.sha256(), 0

    def read() -> Iterator[bytes]:
        nonlocal size
        for chunk in _chunks(source):
            total.update(chunk)
            size += len(chunk)
            yield chunk

    _write(aside / name, read())
    return {"sha256": total.hexdigest(), "size": size}


def _write(path: Path, chunks: Sequence[bytes] | Iterator[bytes]) -> None:
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)


def _remove(aside: Path) -> None:
    if aside.exists():
        shutil.rmtree(aside)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}",
            hint="make room on the disk, then: penin finetune resume; nothing trained is lost",
        ) from error
