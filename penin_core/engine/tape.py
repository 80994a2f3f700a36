"""What a multi-step operation has done so far, on disk: after a kill it is not done again.

One line of JSON for each step, in order: the intent before it is carried out, its reply or its
error after it; and how many steps still count where another way was taken. An operation that is
run again with the same tape gets the same replies without a call, up to where the tape ends.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from penin_core import errors
from penin_core.canonical import digest
from penin_core.errors import PeninError, ProviderError, StateError
from penin_core.ledger.files import sync_folder
from penin_core.records import Call, Reply, Wait

from .replies import ReplyLost

_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, PeninError)
} | {"ReplyLost": ReplyLost}


class Tape:
    """Steps of one operation in the file ``path``, which appears with the first of them.

    Raises:
        StateError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = _read(path)
        self._at = 0

    def recall(self, step: Call | Wait) -> tuple[bool, Reply | None]:
        """Return whether ``step`` was done before, and its reply. A wait is not waited again.

        Raises:
            PeninError: as it was raised then; ReplyLost where a call that changes something was
                sent, and nobody knows what came of it.
        """
        name = _name(step)
        if self._at >= len(self._done):
            return False, None
        if self._done[self._at]["step"] != name:
            # Another way was taken than the last time; what follows is new.
            del self._done[self._at :]
            self._append({"keep": self._at})
            return False, None
        found = self._done[self._at]
        if found is self._done[-1] and not found.get("begun", True):
            self._done.pop()
            self._append({"keep": self._at})
            return False, None
        self._at += 1
        if "error" in found:
            kind, message, hint = found["error"]
            raise _KINDS.get(kind, ProviderError)(message, hint=hint)
        if "reply" in found:
            return True, None if found["reply"] is None else Reply.model_validate(found["reply"])
        if isinstance(step, Call) and step.method != "GET":
            lost = f"{step.method} {step.path} was sent before this process started, and its "
            raise ReplyLost(lost + "reply is lost", hint="see at the service what came of it")
        self._at -= 1
        del self._done[self._at :]
        # In the file it is still followed by how the operation cleaned up, which counts no more.
        self._append({"keep": self._at})
        return False, None

    def intend(self, step: Call | Wait) -> None:
        """Note that ``step`` is about to be carried out; it is on the disk when this returns."""
        self._append({"step": _name(step)})

    def note(self, step: Call | Wait, reply: Reply | None) -> None:
        """Note how ``step`` went."""
        body = None if reply is None else reply.model_dump(mode="json")
        self._append({"step": _name(step), "reply": body})

    def fail(self, step: Call | Wait, error: PeninError, *, begun: bool) -> None:
        """Note that ``step`` failed.

        One that was not ``begun`` is tried again by the next process, unless the operation went
        another way after it.
        """
        what = [type(error).__name__, str(error), error.hint]
        self._append({"step": _name(step), "error": what, "begun": begun})

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            file = os.open(self._path, flags, 0o600)
            try:
                size = os.fstat(file).st_size
                _write_whole(file, size, json.dumps(line).encode() + b"\n")
            finally:
                os.close(file)
            if not size:
                sync_folder(self._path.parent)
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error.strerror}") from error


def _write_whole(file: int, size: int, line: bytes) -> None:
    """Append a line to a file of ``size`` bytes, to the disk; ``OSError`` leaves none of it."""
    try:
        while line:
            line = line[os.write(file, line) :]
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise


def _name(step: Call | Wait) -> str:
    """Return what identifies a step: all of it, files by their content."""
    table: dict[str, Any] = {"kind": type(step).__name__, **dict(step)}
    if isinstance(step, Call):
        # What is asked stands in the body.
        del table["asks"]
        table["files"] = [{**dict(part), "content": part.content.hex()} for part in step.files]
    return digest(table)


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the last line of each step; half a line at the end was never whole."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    steps: list[dict[str, Any]] = []
    try:
        for line in map(json.loads, whole.splitlines()):
            if "keep" in line:
                del steps[line["keep"] :]
            elif steps and steps[-1].keys() == {"step"} and steps[-1]["step"] == line["step"]:
                steps[-1] = line
            else:
                steps.append(line)
    except (ValueError, TypeError, LookupError) as error:
        raise StateError(f"{path} is damaged", hint="move it away to start again") from error
    return steps
