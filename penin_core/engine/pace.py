"""How many calls may be in flight at one provider: as many as it takes, found out by asking.

The number doubles until the first refusal (429). From then on each refusal takes one place away, as
many as were too much; one round in which every place was taken and nothing was refused adds a
twentieth, but only after a quiet time. A service in trouble is no reason to ask more of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from .retry import Sleep

START = 20
MORE = 0.05
QUIET_S = 15.0

Clock = Callable[[], float]


class Pace:
    """Places for the calls to one provider, between 1 and ``most``.

    A call keeps its place while it waits to be tried again: whoever lets others go first in the
    meantime meets the same limit with more calls. It goes out again when fewer are on the wire
    than the limit has become.
    """

    def __init__(self, most: int, *, clock: Clock, sleep: Sleep) -> None:
        self.limit = float(min(START, most))
        self.held = _Gate(self._places)
        self.flying = _Gate(self._places)
        self._most = most
        self._clock = clock
        self._sleep = sleep
        self._doubling = True
        self._clean = 0
        self._quiet_until = self._pause_until = float("-inf")

    def arrive(self) -> Awaitable[None]:
        """Wait for a place, and take it. Give it back with ``depart``."""
        return self.held.enter()

    def depart(self) -> None:
        """Give the place back."""
        self.held.leave()

    async def take_off(self) -> None:
        """Wait until a call that has a place may go out; ``land`` says that it is back."""
        until = self._pause_until
        while until > self._clock():
            await self._sleep(until - self._clock())
            if until == self._pause_until:
                break
            until = self._pause_until
        await self.flying.enter()

    def land(self) -> None:
        """A call came back."""
        self.flying.leave()

    def succeeded(self) -> None:
        """An answer: a whole round of them, with every place taken, is a reason to grow."""
        if not self.held.full:
            return
        self._clean += 1
        if self._clean >= self.limit:
            self._clean = 0
            self._grow()

    def troubled(self, retry_after: float | None) -> None:
        """The service is in trouble: no reason to grow, and nothing before the time it named."""
        self._clean = 0
        self._pause_until = max(self._pause_until, self._clock() + (retry_after or 0.0))

    def refused(self, retry_after: float | None) -> None:
        """Too many: fewer from now on, none before the time that the service named."""
        now, wait = self._clock(), retry_after or 0.0
        self._doubling, self._clean = False, 0
        self.limit = max(1.0, self.limit - 1.0)
        self._quiet_until = max(self._quiet_until, now + wait + QUIET_S)
        self._pause_until = max(self._pause_until, now + wait)

    def _grow(self) -> None:
        if self._doubling:
            self.limit = min(float(self._most), self.limit * 2)
        elif self._clock() >= self._quiet_until:
            self.limit = min(float(self._most), self.limit + max(1.0, MORE * self.limit))
        self.flying.let()
        self.held.let()

    def _places(self) -> int:
        return max(1, round(self.limit))


class _Gate:
    """Lets as many in as there are places at the time, in turn."""

    def __init__(self, places: Callable[[], int]) -> None:
        self.taken = 0
        self._places = places
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether every place is taken, or wanted."""
        return bool(self._queue) or self.taken >= self._places()

    async def enter(self) -> None:
        """Wait for a place, and take it."""
        if not self.full:
            self.taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1
        self.let()

    def let(self) -> None:
        """Let in whoever finds a place."""
        while self._queue and self.taken < self._places():
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                self.taken += 1
