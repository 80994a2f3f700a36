"""What every way of asking shares: the money, the memory and the time of one engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from penin_core.errors import BudgetExceeded, ProviderError
from penin_core.records import Completion, Request

from .budget import Budget
from .cache import ResponseCache

#: A question and the key under which its answer is kept.
Item: TypeAlias = tuple[str, Request]
Answer: TypeAlias = Completion | ProviderError


class Books:
    """Keeps the accounts of one engine. ``deadline_s`` counts from now; None never ends."""

    def __init__(self, budget: Budget, cache: ResponseCache, deadline_s: float | None) -> None:
        self.budget = budget
        self.cache = cache
        self.calls = self.cached = self.errors = self.tokens_in = self.tokens_out = 0
        self._deadline_s = deadline_s
        self._started = time.monotonic()
        self._in_flight = 0
        self._freed = asyncio.Event()

    def seconds_left(self) -> float:
        """Return the seconds until the deadline; infinity where there is none."""
        if self._deadline_s is None:
            return float("inf")
        return self._started + self._deadline_s - time.monotonic()

    def check_time(self) -> None:
        """Refuse to start anything after the deadline.

        Raises:
            BudgetExceeded: the time is used up.
        """
        if self.seconds_left() <= 0:
            raise BudgetExceeded(
                f"the time of this run ({self._deadline_s:g} s) is used up",
                hint="give it more time; what was answered so far is kept and not asked again",
            )

    @asynccontextmanager
    async def flight(self, bound: int, key: str) -> AsyncIterator[int]:
        """Reserve money for what happens in the block, which settles or releases it.

        Calls of ours that are in flight are waited for before giving up: most cost far less than
        their bound. A block that is cancelled leaves its reservation open.

        Raises:
            BudgetExceeded: nothing of ours is in flight any more, and it is still too much.
        """
        reservation = await self._reserve(bound, key)
        self._in_flight += 1
        try:
            yield reservation
        finally:
            self._in_flight -= 1
            self._freed.set()

    async def _reserve(self, bound: int, key: str) -> int:
        while True:
            try:
                return self.budget.reserve(bound, key)
            except BudgetExceeded:
                if self._in_flight == 0:
                    raise
            self._freed.clear()
            await self._freed.wait()

    def keep(self, answers: Iterable[tuple[str, Completion]]) -> None:
        """Store answers in one transaction, before they count as paid."""
        self.cache.put_many(answers)

    def count(self, answer: Answer) -> None:
        """Count one request that went to a model."""
        self.calls += 1
        if isinstance(answer, Completion):
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
        else:
            self.errors += 1


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
