"""Whether a state directory verifies: found out beside the pages, for it reads every entry."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from penin_core.errors import LedgerInvalid, PeninError
from penin_core.ledger.verify import StateVerification, verify

from .markup import Markup, clipped, note
from .reading import LEDGER

#: A verification that took t seconds is not repeated before so many times t have passed.
REST = 20.0


@dataclass(frozen=True)
class Checked:
    """The outcome of a verification; ``found`` is None where it could not be carried out."""

    found: StateVerification | None
    problem: str = ""
    invalid: bool = False

    def said(self, *, is_old: bool = False) -> Markup:
        """Return the outcome in words and in its colour; ``is_old`` where more was written since.

        A fault that was found is not put right by what was written after it.
        """
        if self.found is None:
            kind = "bad" if self.invalid else "warn"
            lead = (
                "The ledger does not verify." if self.invalid else "The ledger cannot be checked."
            )
            return note(f"{lead} {clipped(self.problem)}", kind=kind)
        found = self.found
        if not found.valid:
            return note(
                f"The ledger does not verify: {clipped(found.reason)}. What the pages show is "
                "as it is stored; do not rely on it. `penin ledger verify` says more.",
                kind="bad",
            )
        signed = "nobody signed it yet"
        if found.signed:
            signed = f"{found.signed.size:,} of them under a signed checkpoint"
        words = f"The ledger verifies: {found.size:,} entries, {signed}."
        if is_old:
            since = "Something was written since then that is not verified yet: load the page again"
            return note(f"{words} {since}, or see `penin ledger verify`.", kind="warn")
        return note(words, kind="good")


def checked(state: Path) -> Checked:
    """Verify a state directory now; whatever is wrong is said, nothing is raised."""
    try:
        return Checked(verify(state))
    except PeninError as error:
        return Checked(None, str(error), isinstance(error, LedgerInvalid))


class Checker:
    """Verifies in a thread, again when the ledger changed, and never so often that it is a load."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.last: Checked | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen: object = None
        self._done: object = None
        self._next = 0.0

    def look(self) -> Markup:
        """Return what is known now, and have the rest found out."""
        stamp = self._stamp()
        with self._lock:
            idle = self._thread is None or not self._thread.is_alive()
            if idle and stamp != self._seen and time.monotonic() >= self._next:
                self._seen = stamp
                self._thread = threading.Thread(target=self._check, name="verify", daemon=True)
                self._thread.start()
        if self.last is None:
            return note("The ledger is being verified; load the page again to see the outcome.")
        return self.last.said(is_old=stamp != self._done)

    def wait(self) -> None:
        """Wait until the verification that is under way has ended."""
        if self._thread is not None:
            self._thread.join()

    def _check(self) -> None:
        began, seen = time.monotonic(), self._seen
        self.last, self._done = checked(self.state), seen
        ended = time.monotonic()
        self._next = ended + REST * (ended - began)

    def _stamp(self) -> object:
        names = (LEDGER, f"{LEDGER}-wal", "champion.json", "ledger/checkpoint")
        return tuple(_stamp(self.state / name) for name in names)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
