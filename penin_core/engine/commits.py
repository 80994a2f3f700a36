"""Group commit: what concurrent calls have to write is written together, in a thread of its own.

A durable transaction costs the same few syncs of the disk for one call as for a hundred. While one
is under way, the event loop goes on, and what it wants written meanwhile forms the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


class Commits(Generic[Item, Found]):
    """Writes items, in groups and in order. One event loop uses it at a time.

    ``write`` runs in the thread. It returns what became of each item, in order: an exception where
    one failed; what it raises befell the whole group.
    """

    def __init__(
        self, name: str, write: Callable[[Sequence[Item]], Sequence[Found | Exception]]
    ) -> None:
        self._name = name
        self._write = write
        self._waiting: list[tuple[Item, Callable[[Found | Exception], None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def put(self, item: Item, told: Callable[[Found | Exception], None]) -> None:
        """Have ``item`` written; ``told`` is called with what became of it, and never raises."""
        self._waiting.append((item, told))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    def add(self, item: Item) -> asyncio.Future[Found]:
        """Have ``item`` written, whoever waits for it; the future ends when it is on the disk."""
        done: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self.put(item, partial(tell, done))
        return done

    async def close(self) -> None:
        """Write what is waiting and end the thread; it starts again when it is needed again."""
        # What was written may have called for more, and its callbacks may be still to run.
        await asyncio.sleep(0)
        while self._writing is not None and not self._writing.done():
            # Whoever gives up waiting here does not stop the writing.
            await asyncio.wait([self._writing])
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None

    async def _write_all(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            found = await loop.run_in_executor(self._thread, self._outcome, [i for i, _ in group])
            for (_, told), each in zip(group, found, strict=True):
                told(each)

    def _outcome(self, items: Sequence[Item]) -> Sequence[Found | Exception]:
        try:
            return self._write(items)
        except Exception as error:
            return [error] * len(items)


def tell(done: asyncio.Future[Found], found: Found | Exception) -> None:
    """End a future with what was found, unless nobody waits for it any more."""
    if done.cancelled():
        return
    if isinstance(found, Exception):
        done.set_exception(found)
        # Known to be seen, also where nobody waits for it any more.
        done.exception()
    else:
        done.set_result(found)
