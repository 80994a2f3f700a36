"""Locks on the folders of jobs: they go with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Who only looks whether a job is held lets go at once: so often, after so many seconds, the lock
#: is tried again.
_TRIES, _PAUSE_S = 5, 0.02


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Try to hold the folder of a job; give whether it was free."""
    with _opened(folder) as descriptor:
        free = _taken(descriptor, fcntl.LOCK_EX)
        for _ in range(_TRIES):
            if free:
                break
            time.sleep(_PAUSE_S)
            free = _taken(descriptor, fcntl.LOCK_EX)
        yield free


def is_held(folder: Path) -> bool:
    """Return whether a process works on the job of this folder."""
    if not folder.is_dir():
        return False
    with _opened(folder) as descriptor:
        return not _taken(descriptor, fcntl.LOCK_SH)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
