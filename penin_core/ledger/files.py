"""Files that survive a crash: a lock, new files that are on the disk when a call returns."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO

from penin_core.errors import StateError


class FileLock:
    """An exclusive, re-entrant ``flock``; use it as a context manager.

    Waiting processes take turns, and a process that is killed gives the lock back. ``flock`` needs
    a local file system on a POSIX machine.

    Raises:
        StateError: on entry, when the file cannot be made or the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._depth = 0
        self._owner: int | None = None
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether the calling thread holds it."""
        return self._owner == threading.get_ident()

    def __enter__(self) -> None:
        self._mutex.acquire()
        try:
            if self._depth == 0:
                self._acquire()
                self._owner = threading.get_ident()
            self._depth += 1
        except BaseException:
            self._mutex.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self._mutex.release()

    def close(self) -> None:
        """Close the file; the next entry opens it again."""
        with self._mutex:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _acquire(self) -> None:
        try:
            if self._file is None:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._file = os.open(self.path, flags, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise StateError(
                f"{self.path} cannot be locked: {error.strerror}",
                hint="The state directory must be a writable folder on a local file system.",
            ) from error


def is_file(path: Path) -> bool:
    """Return whether a regular file is there.

    Raises:
        StateError: something else is there, or the folder cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        hint = "The state directory must be a folder that you may read."
        raise StateError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    if not stat.S_ISREG(mode):
        raise StateError(f"{path} is not a file", hint="Choose another state directory.")
    return True


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that does not exist yet, to the disk; ``OSError`` if it exists or on failure."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, mode), "wb", buffering=0) as file:  # noqa: PTH123
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())


def read_regular(path: Path | str, folder: int | None = None) -> bytes:
    """Read a regular file, never through a link; ``OSError`` if it is not one.

    ``folder`` is the descriptor of the directory that a relative ``path`` starts from.
    """
    with open_regular(path, folder) as file:
        return file.read()


def open_regular(path: Path | str, folder: int | None = None) -> BinaryIO:
    """Open a regular file for reading; else as ``read_regular``."""
    # Opening a pipe would wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return open(handle, "rb")  # noqa: PTH123


def sync_folder(path: Path) -> None:
    """Write the names in a folder to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
