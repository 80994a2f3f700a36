"""Group commit: many threads append, one thread writes, and all of them share its syncs.

A durable append costs one sync of the disk, whether it carries one entry or two hundred. Threads
that append on their own each pay for one, in turn; here those that wait are written together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Self

from penin_core.errors import StateError

from .drafts import Appendable, Draft
from .queries import Entry
from .store import WORMLedger

#: At most so many entries are written in one transaction, unless one draft alone has more.
LIMIT = 256

_Request = tuple[Draft, "Future[list[Entry]]"]


class GroupCommit(Appendable):
    """A writer that the threads of one process share; close it before its ledger."""

    def __init__(self, ledger: WORMLedger) -> None:
        self.ledger = ledger
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="penin-ledger", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
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
        done: Future[list[Entry]] = Future()
        with self._changed:
            if self._closed:
                raise StateError("the shared writer of the ledger was closed")
            self._waiting.append((draft, done))
            self._changed.notify()
        return done.result()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                results = self.ledger.append([draft for draft, _ in batch])
            except BaseException as error:
                for _, done in batch:
                    done.set_exception(error)
            else:
                for (_, done), result in zip(batch, results, strict=True):
                    if isinstance(result, ValueError):
                        done.set_exception(result)
                    else:
                        done.set_result(result)

    def _next_batch(self) -> list[_Request]:
        """Wait for drafts and return those that fit into one transaction; none: it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch: list[_Request] = []
            room = LIMIT
            while self._waiting and (not batch or len(self._waiting[0][0].leaves) <= room):
                batch.append(self._waiting.popleft())
                room -= len(batch[-1][0].leaves)
            return batch
