"""Locks on the folders of jobs: they go with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Try to hold the folder of a job; give whether it was free."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a process works on the job of this folder."""
    if not folder.is_dir():
        return False
    with lock(folder) as free:
        return not free
