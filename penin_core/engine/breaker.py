"""A circuit breaker: a service that fails is left alone, but for one call that tries it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from penin_core.errors import ProviderError

from .replies import ServiceDown, shorten
from .retry import Sleep

IN_A_ROW = 5
SHARE, LEAST, WINDOW_S = 0.5, 20, 30.0
#: How long nothing is asked; and how long where the service never answered at all.
OPEN_S, FIRST_OPEN_S = 30.0, 5.0
#: So long does a run wait for a service that did answer before.
PATIENCE_S = 900.0


class Breaker:
    """Lets calls through while the service answers.

    It opens after five failures in a row, or when more than half of at least twenty calls within
    half a minute failed. Then one call in thirty seconds goes out as a probe; the others wait, at
    most fifteen minutes. A service that has never answered gets one probe, after five seconds.
    """

    def __init__(self, name: str, *, clock: Callable[[], float], sleep: Sleep) -> None:
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._recent: deque[tuple[float, bool]] = deque()
        self._in_a_row = 0
        self._answered = False
        self._opened: float | None = None
        self._until = 0.0
        self._probing = False
        self._given_up = False
        self._line = asyncio.Lock()
        self._changed: asyncio.Future[None] | None = None
        self._last: ProviderError | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._opened is not None

    @property
    def would_wait(self) -> bool:
        """Whether a call would have to wait: no probe is due, or one is on its way."""
        return self.is_open and (self._probing or self._clock() < self._until)

    @property
    def wait_s(self) -> float:
        """Seconds until the next call may try the service; 0 where none is held back."""
        return max(0.0, self._until - self._clock()) if self.is_open else 0.0

    async def permit(self) -> bool:
        """Wait until a call may go out, and say whether it is a probe.

        Say with one of the other methods how it went, and whether it was the probe.

        Raises:
            ServiceDown: the service does not come back.
        """
        if self._opened is None:
            return False
        # In turn, so that no call spends all its tries on probes while others wait.
        async with self._line:
            return await self._probe()

    async def _probe(self) -> bool:
        waited_until = float("-inf")
        while self._opened is not None:
            due = self._until <= max(self._clock(), waited_until)
            if self._given_up and not due:
                raise self._down()
            if self._probing:
                await self._change(None)
            elif due:
                self._probing = True
                return True
            else:
                # The nap counts as taken, whatever the clock says then.
                waited_until = self._until
                await self._change(self._until - self._clock())
        return False

    def succeeded(self) -> None:
        """The service answered, be it that it refused this one request."""
        self._answered, self._in_a_row = True, 0
        self._note(True)
        if self._opened is not None:
            self._opened, self._probing, self._given_up = None, False, False
            self._recent.clear()
            self._tell()

    def failed(self, probe: bool, error: ProviderError | None = None) -> None:
        """The service did not answer, or said that it cannot: ``error``, where that is known."""
        self._in_a_row, self._last = self._in_a_row + 1, error
        self._note(False)
        if self._opened is None:
            bad = sum(not good for _, good in self._recent)
            often = len(self._recent) >= LEAST and bad > SHARE * len(self._recent)
            if self._in_a_row >= IN_A_ROW or often:
                self._opened = self._clock()
                self._close_for_a_while()
        elif probe and self._probing:
            self._probing = False
            patience = PATIENCE_S if self._answered else 0.0
            self._given_up = self._clock() - self._opened >= patience
            self._close_for_a_while()
            self._tell()

    def passed(self, probe: bool) -> None:
        """The call says nothing about the service: it was not sent, or refused for its number."""
        if probe and self._probing:
            self._probing = False
            self._tell()

    def _close_for_a_while(self) -> None:
        self._until = self._clock() + (OPEN_S if self._answered else FIRST_OPEN_S)

    def _note(self, good: bool) -> None:
        now = self._clock()
        self._recent.append((now, good))
        while self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()

    async def _change(self, seconds: float | None) -> None:
        """Wait until something changes, at most ``seconds``."""
        changed = self._changed = asyncio.get_running_loop().create_future()
        if seconds is None:
            await changed
            return
        nap = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({nap, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _down(self) -> ServiceDown:
        what = "stopped answering" if self._answered else "has not answered once"
        last, hint = self._last, "check base_url and the state of the service"
        return ServiceDown(
            f"provider '{self._name}' {what}; nothing more is sent for now"
            + (f"; the last failure: {shorten(str(last))}" if last else ""),
            hint=f"{(last.hint if last else '') or hint}; answers so far are kept",
        )
