"""What every way of asking shares: the money, the memory and the time of one engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from penin_core.errors import BudgetExceeded, ProviderError
from penin_core.records import Completion, Request

from .budget import Budget
from .cache import ResponseCache
from .commits import Commits, tell
from .money import FREE, End, Wish

#: A question and the key under which its answer is kept.
Item: TypeAlias = tuple[str, Request]
Answer: TypeAlias = Completion | ProviderError
Answers: TypeAlias = Sequence[tuple[str, Completion]]


class Books:
    """Keeps the accounts of one engine. ``deadline_s`` counts from now; None never ends."""

    def __init__(
        self,
        budget: Budget,
        cache: ResponseCache,
        deadline_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.cache = cache
        self.calls = self.cached = self.errors = self.tokens_in = self.tokens_out = 0
        self._money: Commits[End | Wish, int] = Commits("penin-budget", self._write_money)
        self._answers: Commits[Answers, None] = Commits("penin-cache", self._write_answers)
        self._ending = 0
        self._all_ended = asyncio.Event()
        self._failed: Exception | None = None
        self._deadline_s = deadline_s
        self._clock = clock
        self._started = clock()
        self._asking = 0
        #: What is reserved by a block that is being executed or, if True, that has ended it.
        self._held: dict[int, bool] = {}
        self._freed = asyncio.Event()
        self._queue = asyncio.Lock()

    def seconds_left(self) -> float:
        """Return the seconds until the deadline; infinity where there is none."""
        if self._deadline_s is None:
            return float("inf")
        return self._started + self._deadline_s - self._clock()

    def check_time(self) -> None:
        """Refuse to start anything after the deadline.

        Raises:
            BudgetExceeded: the time is used up.
        """
        if self.seconds_left() <= 0:
            raise self._late()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Cut off at the deadline what the block waits for.

        Raises:
            BudgetExceeded: the time is used up; where it was so before, the block does not begin.
        """
        self.check_time()
        try:
            async with asyncio.timeout(None if self._deadline_s is None else self.seconds_left()):
                yield
        except TimeoutError:
            raise self._late() from None

    def _late(self) -> BudgetExceeded:
        return BudgetExceeded(
            f"the time of this run ({self._deadline_s:.4g} s) is used up",
            hint="give it more time; what was answered so far is kept and not asked again",
        )

    def flight(self, bound: int, key: str) -> Flight:
        """Reserve money for what happens in the block, which settles or releases it.

        Calls of ours that are in flight are waited for before giving up: most cost far less than
        their bound. A block that is cancelled leaves its reservation open.

        Raises:
            BudgetExceeded: nothing of ours is in flight any more, and it is still too much.
        """
        return Flight(self, Wish(bound, key))

    def land(self, reservation: int) -> None:
        """Say that the block of a reservation has ended; one that it left open is let go."""
        if self._held.get(reservation) is False:
            self._let_go(reservation)

    async def reserve(self, wish: Wish) -> int:
        """Reserve money; see ``flight``."""
        if wish.bound == FREE:
            return FREE
        if not self._queue.locked():
            try:
                return await self._ask(wish)
            except BudgetExceeded:
                # Whoever waits for this call sees that nothing comes of it.
                self._freed.set()
                if not self._others():
                    raise
        # One at a time, in turn: who asks for less does not overtake.
        async with self._queue:
            while True:
                self._freed.clear()
                try:
                    return await self._ask(wish)
                except BudgetExceeded:
                    if not self._others():
                        raise
                await self._freed.wait()

    async def _ask(self, wish: Wish) -> int:
        made: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._money.put(wish, partial(self._made, made))
        self._asking += 1
        try:
            reservation = await made
        except asyncio.CancelledError:
            # Nobody is left to send the call. What is not made yet is given back when it is.
            if not made.cancelled() and made.exception() is None:
                self.release(made.result())
            raise
        finally:
            self._asking -= 1
        self._held[reservation] = False
        return reservation

    def _made(self, made: asyncio.Future[int], found: int | Exception) -> None:
        if made.cancelled() and isinstance(found, int):
            self.release(found)
        else:
            tell(made, found)

    def _others(self) -> bool:
        """Say whether money may come back from calls of ours."""
        return bool(self._held or self._asking)

    def _let_go(self, reservation: int) -> None:
        self._held.pop(reservation, None)
        self._freed.set()

    async def keep(self, answers: Answers) -> None:
        """Store answers; they are on the disk when this returns.

        Raises:
            StateError: the cache cannot be written.
        """
        if answers:
            await self._answers.add(answers)

    def settle(self, reservation: int, spent: int | None) -> None:
        """Count what a call cost; None charges all that was reserved. See ``settled``."""
        self._end(End(reservation, spent))

    def release(self, reservation: int) -> None:
        """Give a reservation back: the call is known to have cost nothing. See ``settled``."""
        self._end(End(reservation, 0, "released"))

    def _end(self, end: End) -> None:
        # Nobody waits for this one: until it is on the disk, the money counts as reserved.
        if end.reservation == FREE:
            return
        self._held[end.reservation] = True
        self._ending += 1
        self._all_ended.clear()
        self._money.put(end, partial(self._ended, end.reservation))

    def _ended(self, reservation: int, found: int | Exception) -> None:
        if self._failed is None and isinstance(found, Exception):
            self._failed = found
        self._ending -= 1
        if not self._ending:
            self._all_ended.set()
        self._let_go(reservation)

    async def settled(self) -> None:
        """Wait until all that was settled or released is on the disk.

        Raises:
            StateError: the budget cannot be written; what could not be settled stays reserved.
        """
        if self._ending:
            await self._all_ended.wait()
        if self._failed is not None:
            raise self._failed

    async def close(self) -> None:
        """Write what is waiting to be written; close budget and cache."""
        await self._answers.close()
        await self._money.close()
        self.budget.close()
        self.cache.close()

    def _write_money(self, items: Sequence[End | Wish]) -> list[int | Exception]:
        ends = [item for item in items if isinstance(item, End)]
        wishes = [item for item in items if isinstance(item, Wish)]
        ended, made = self.budget.apply(ends, wishes)
        problems, numbers = iter(ended), iter(made)
        return [
            (next(problems) or FREE) if isinstance(item, End) else next(numbers) for item in items
        ]

    def _write_answers(self, items: Sequence[Answers]) -> list[None]:
        self.cache.put_many(pair for answers in items for pair in answers)
        return [None] * len(items)

    def count(self, answer: Answer) -> None:
        """Count one request that went to a model."""
        self.calls += 1
        if isinstance(answer, Completion):
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
        else:
            self.errors += 1


class Flight:
    """Money that is reserved for a block; gives the number of the reservation."""

    __slots__ = ("_books", "_reservation", "_wish")

    def __init__(self, books: Books, wish: Wish) -> None:
        self._books = books
        self._wish = wish

    async def __aenter__(self) -> int:
        self._reservation = await self._books.reserve(self._wish)
        return self._reservation

    async def __aexit__(self, *_: object) -> None:
        self._books.land(self._reservation)


@dataclass
class Batch:
    """One call of ``Engine.answer``: what is known so far, and why it has to stop, if it has."""

    books: Books
    total: int
    answers: dict[str, Answer] = field(default_factory=dict)
    stop: Exception | None = None
    on_answer: Callable[[int, int], None] | None = None

    def recall(self, known: dict[str, Completion]) -> None:
        """Take over what the cache knew."""
        self.answers.update(known)
        self.books.cached += len(known)
        if known:
            self._tell()

    def deliver(self, key: str, answer: Answer) -> None:
        """Take over one fresh answer."""
        if isinstance(answer, ProviderError):
            # Its frames hold requests, replies and arrays; the message says what is needed.
            answer.__traceback__ = None
        self.answers[key] = answer
        self.books.count(answer)
        self._tell()

    def halt(self, reason: Exception) -> None:
        """Start nothing more; what is in flight is still awaited. The first reason stays."""
        if self.stop is None:
            self.stop = reason

    def _tell(self) -> None:
        if self.on_answer is not None:
            self.on_answer(len(self.answers), self.total)
