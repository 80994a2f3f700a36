"""When to try again: after trouble that may pass, with full jitter, never before a service asks.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from secrets import SystemRandom
from typing import TypeVar

from penin_core.errors import ProviderError, ProviderRateLimited

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[object]]

TRIES = 5
_FIRST_S = 0.5
_LONGEST_S = 30.0
_SHARE, _FEW, _MINUTE = 0.1, 10, 60.0
_chance = SystemRandom().random


def pause(error: ProviderError, attempt: int, chance: Callable[[], float] = _chance) -> float:
    """Return the seconds to wait after the ``attempt``-th failure, counted from 0.

    What the service asked for wins; else a uniform draw from [0, min(30, 0.5 * 2**attempt)].
    """
    if error.retry_after is not None:
        return error.retry_after
    return chance() * min(_LONGEST_S, _FIRST_S * 2.0**attempt)


class RetryBudget:
    """At most one retry for ten calls within a minute, and a few for whoever makes few calls.

    Retries after refusals (429) are not counted: they have their own measure. None waits for its
    turn here while the calls are ``held_back`` elsewhere.
    """

    def __init__(
        self, clock: Callable[[], float], held_back: Callable[[], bool] = lambda: False
    ) -> None:
        self._clock = clock
        self._held_back = held_back
        self._calls: deque[float] = deque()
        self._retries: deque[float] = deque()

    def called(self) -> None:
        """Count a call that goes out for the first time."""
        now = self._clock()
        self._calls.append(now)
        while self._calls[0] <= now - _MINUTE:
            self._calls.popleft()

    def reserve(self) -> float:
        """Count a retry; return the seconds until it may go out."""
        if self._held_back():
            return 0.0
        now = self._clock()
        for times in (self._calls, self._retries):
            while times and times[0] <= now - _MINUTE:
                times.popleft()
        allowed = max(_FEW, int(_SHARE * len(self._calls)))
        late = len(self._retries) - allowed
        at = now if late < 0 else max(now, self._retries[late] + _MINUTE)
        self._retries.append(at)
        return at - now


async def retried(
    attempt: Callable[[], Awaitable[T]],
    *,
    sleep: Sleep,
    seconds_left: Callable[[], float] = lambda: float("inf"),
    may_repeat: Callable[[ProviderError], bool] = lambda error: error.transient,
    budget: RetryBudget | None = None,
) -> T:
    """Return what ``attempt`` returns, within five tries and the time that is left.

    Raises:
        ProviderError: the last one, where no further try is allowed, or there is no time for it in
            ``seconds_left``, which is for ever unless given.
    """
    tries = 0
    while True:
        try:
            return await attempt()
        except ProviderError as error:
            wait = pause(error, tries)
            tries += 1
            if tries == TRIES or not may_repeat(error):
                raise
            if budget is not None and not isinstance(error, ProviderRateLimited):
                wait = max(wait, budget.reserve())
            if wait >= seconds_left():
                raise
        await sleep(wait)
