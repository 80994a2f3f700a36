"""The state directory: where it is, that it can be used, and that one at a time does so."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StateError


def prepare(state: Path) -> Path:
    """Create the state directory if needed and return it.

    Raises:
        StateError: it is a file, or cannot be created or written.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StateError(
            f"state directory {str(state)!r} is a file", hint="name another with --state-dir"
        ) from None
    except OSError as error:
        raise _unusable(state, error) from error
    if not os.access(state, os.W_OK | os.X_OK):
        raise _unusable(state, PermissionError("not writable"))
    return state


@contextmanager
def exclusive(state: Path, user: str = "cycle") -> Iterator[None]:
    """Hold the state directory for one user of a kind, such as one cycle or one gateway.

    The lock goes with the process, however it ends.

    Raises:
        StateError: another process holds it.
    """
    try:
        descriptor = os.open(state / f"{user}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(state, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise StateError(
                f"state directory {str(state)!r} is in use by another {user} (process {holder})",
                hint="wait for it, or name another with --state-dir",
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _unusable(state: Path, error: OSError) -> StateError:
    return StateError(
        f"state directory {str(state)!r} cannot be used ({error})",
        hint="check its permissions, or name another with --state-dir",
    )
