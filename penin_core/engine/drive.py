"""Drives multi-step operations: uploads, jobs, polling. The generator says what, this says how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penin_core.contracts import Steps
from penin_core.errors import (
    BudgetExceeded,
    PeninError,
    PluginInvalid,
    ProviderBadReply,
    ProviderError,
    ProviderRefused,
    SettingsError,
)
from penin_core.records import Call, Progress, Reply, Wait

from .books import Books
from .replies import ReplyLost
from .retry import Sleep, retried
from .tabs import Tab, may_be_done
from .tape import Tape

if TYPE_CHECKING:
    from .transport import HttpTransport

OnProgress = Callable[[Progress], None]

#: So long may each step take by which an operation cleans up after the time is used up.
TIDY_S = 10.0


class Driver:
    """Carries out the steps of one operation. ``transport`` and ``tab`` are None for a local one.

    With a ``tape``, what was done in an earlier process is not done again.
    """

    def __init__(
        self,
        provider: str,
        transport: HttpTransport | None,
        tab: Tab | None,
        books: Books,
        *,
        sleep: Sleep,
        on_progress: OnProgress | None,
        tape: Tape | None = None,
    ) -> None:
        self._provider = provider
        self._transport = transport
        self._tab = tab
        self._books = books
        self._sleep = sleep
        self._on_progress = on_progress
        self._tape = tape
        self._late = False

    async def run(self, steps: Steps) -> Any:
        """Return what ``steps`` returns. Every failure is thrown into it, so that it can clean up.

        Raises:
            ProviderError: a call failed, after its retries, and the generator did not handle it.
            BudgetExceeded: the time is used up; calls that the generator makes to clean up after
                that are still carried out, each once and for ten seconds at most.
            PluginInvalid: the generator yielded something that is no step.
        """
        reply: Reply | None = None
        failure: PeninError | None = None
        try:
            while True:
                try:
                    step = steps.throw(failure) if failure else steps.send(reply)
                except StopIteration as stop:
                    await self._settle(stop.value)
                    return stop.value
                except PeninError:
                    await self._settle(None)
                    raise
                reply = failure = None
                try:
                    reply = await self._carry_out(step)
                except (ProviderError, BudgetExceeded, PluginInvalid) as error:
                    failure = error
        finally:
            steps.close()

    async def _settle(self, result: Any) -> None:
        if self._tab is not None:
            await self._tab.close(result)

    async def _carry_out(self, step: Call | Wait | Progress) -> Reply | None:
        self._check_time(step)
        if isinstance(step, Progress):
            if self._on_progress is not None:
                self._on_progress(step)
            return None
        if not isinstance(step, Call | Wait):
            raise PluginInvalid(
                f"an operation of provider '{self._provider}' yielded {type(step).__name__}",
                hint="a step is a Call, a Wait or a Progress",
            )
        return await (self._do(step) if self._tape is None else self._recorded(step, self._tape))

    async def _do(self, step: Call | Wait) -> Reply | None:
        if isinstance(step, Call):
            if step.asks is not None and self._tab is not None:
                return await self._tab.pay(step, step.asks, self._call)
            return await self._call(step)
        await self._sleep(max(0.0, min(step.seconds, self._seconds_left())))
        return None

    async def _recorded(self, step: Call | Wait, tape: Tape) -> Reply | None:
        done, reply = tape.recall(step)
        if done:
            return reply
        tape.intend(step)
        try:
            reply = await self._do(step)
        except (ProviderError, BudgetExceeded, SettingsError) as error:
            changes = isinstance(step, Call) and step.method != "GET"
            unclear = may_be_done(error) or isinstance(error, ProviderBadReply)
            # Of one that the deadline cut off nobody knows what came of it: its intent stands.
            if not (self._late and isinstance(error, BudgetExceeded)):
                tape.fail(step, error, begun=changes and unclear)
            raise
        tape.note(step, reply)
        return reply

    def _check_time(self, step: Call | Wait | Progress) -> None:
        # Said once: what the generator still does after that is its way to clean up.
        if not self._late and not isinstance(step, Progress) and self._books.seconds_left() <= 0:
            self._late = True
            self._books.check_time()

    def _seconds_left(self) -> float:
        return TIDY_S if self._late else self._books.seconds_left()

    async def _call(self, call: Call) -> Reply:
        transport = self._transport
        if transport is None:
            raise ProviderRefused(f"provider '{self._provider}' is local and has nobody to call")
        if self._late:
            return await _tidied(transport, call)

        def may_repeat(error: ProviderError) -> bool:
            # A second POST could start a second job, or store a file twice.
            return error.transient and (call.method == "GET" or not may_be_done(error))

        async def attempt() -> Reply:
            try:
                async with self._books.in_time():
                    return await transport.send(transport.prepare(call))
            except BudgetExceeded:
                self._late = True
                raise

        left = self._books.seconds_left
        return await retried(attempt, sleep=self._sleep, seconds_left=left, may_repeat=may_repeat)


async def _tidied(transport: HttpTransport, call: Call) -> Reply:
    """Carry out what cleans up when the time is over: once, and for a short while."""
    try:
        async with asyncio.timeout(TIDY_S):
            return await transport.send(transport.prepare(call))
    except TimeoutError:
        lost = f"{call.method} {call.path} was not answered in {TIDY_S:g} s"
        raise ReplyLost(lost, hint="see at the service what came of it") from None
