"""Group commit: many threads append, one thread writes, and all of them share its syncs.

A durable append costs one sync of the disk, whether it carries one entry or two hundred. Threads
that append on their own each pay for one, in turn; here those that wait are written together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from queue import SimpleQueue
from typing import Any, Self

from penin_core.errors import StateError

from .drafts import Appendable, Draft
from .queries import Entry
from .store import WORMLedger

#: A transaction that has so many entries takes no further draft.
LIMIT = 256


class _Request:
    """A draft that a thread waits for. A future would do, at a tenth of the rate of appends."""

    __slots__ = ("_done", "_found", "draft")

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._found: list[Entry] | BaseException = []
        self._done = threading.Lock()
        self._done.acquire()

    def finish(self, found: list[Entry] | BaseException) -> None:
        self._found = found
        self._done.release()

    def wait(self) -> list[Entry]:
        with self._done:
            if isinstance(self._found, BaseException):
                raise self._found
            return self._found


class GroupCommit(Appendable):
    """A writer that the threads of one process share; close it before its ledger."""

    def __init__(self, ledger: WORMLedger) -> None:
        self.ledger = ledger
        #: What is to be written, and None at the end.
        self._waiting: SimpleQueue[_Request | None] = SimpleQueue()
        self._entrance = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="penin-ledger", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting, then end the thread."""
        with self._entrance:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def record_many(self, items: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Entry]:
        """Append ``(kind, body)`` pairs, all or none; when this returns they are on the disk.

        Raises:
            ValueError, StateError, LedgerInvalid: as ``WORMLedger.record_many``. A draft that the
                ledger refuses takes no other with it.
            StateError: this writer was closed.
        """
        draft = Draft.of(items)
        if not draft.leaves:
            return []
        if self.ledger.lock.held:
            # The writing thread would wait for a lock that its caller holds.
            return self.ledger.record(draft)
        request = _Request(draft)
        with self._entrance:
            if self._closed:
                raise StateError("the shared writer of the ledger was closed")
            self._waiting.put(request)
        return request.wait()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                results = self.ledger.append([request.draft for request in batch])
            except BaseException as error:
                for request in batch:
                    request.finish(error)
            else:
                for request, found in zip(batch, results, strict=True):
                    request.finish(found)

    def _next_batch(self) -> list[_Request]:
        """Wait for a draft and return it with those behind it; none: it is over."""
        batch: list[_Request] = []
        room = LIMIT
        while (request := self._waiting.get()) is not None:
            batch.append(request)
            room -= len(request.draft.leaves)
            if room <= 0 or self._waiting.empty():
                return batch
        self._waiting.put(None)  # for the next call too
        return batch
