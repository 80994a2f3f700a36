"""Models behind HTTP: reserve, send, keep, settle; several calls at a time, with retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial
from typing import TYPE_CHECKING

from penin_core.contracts import HttpProvider
from penin_core.errors import (
    BudgetExceeded,
    PluginInvalid,
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
)
from penin_core.records import Call, Capabilities, Completion, Price, Reply, Request

from .books import Batch, Books, Item
from .breaker import Breaker
from .endpoints import encoded
from .pace import Clock, Pace
from .prices import (
    price_of,
    prompt_bound,
    upper_bound_micro_usd,
    usage_cost_micro_usd,
    usd_to_micro,
)
from .refusals import refused_parameter, without
from .replies import ReplyLost, capabilities_of, completed, decode
from .retry import RetryBudget, Sleep, retried

if TYPE_CHECKING:
    from .listening import OnText
    from .pool import Prepared
    from .transport import HttpTransport


class RemoteModel:
    """Asks one HttpProvider: as many calls at a time as it takes, at most ``concurrency``.

    ``clock`` gives monotonic seconds, and ``sleep`` waits for some: the two go together.
    """

    def __init__(
        self,
        provider: HttpProvider,
        books: Books,
        transport: HttpTransport,
        *,
        concurrency: int,
        prices: Mapping[str, Price],
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._provider = provider
        self._books = books
        self._transport = transport
        self._concurrency = concurrency
        self._prices = prices
        self._sleep = sleep
        self.pace = Pace(concurrency, clock=clock, sleep=self._nap)
        self.breaker = Breaker(provider.name, clock=clock, sleep=self._nap)
        self._retries = RetryBudget(clock, held_back=lambda: self.breaker.is_open)
        self._known: dict[str, Capabilities] = {}
        #: By model, what it turned out to refuse.
        self._refused: dict[str, set[str]] = {}

    async def _nap(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline; the call that follows then refuses to start."""
        await self._sleep(max(0.0, min(seconds, self._books.seconds_left())))

    def bound(self, request: Request) -> int:
        """Return the most that ``request`` can cost, in micro-USD.

        Raises:
            ProviderRefused: the model does not exist, or its price is unknown.
        """
        capabilities = self._capabilities(request)
        price = capabilities.price
        if price is None:
            price = price_of(request.provider, request.model, capabilities, prompt_bound(request))
        return upper_bound_micro_usd(request, price, capabilities)

    def cost(self, request: Request, completion: Completion) -> int:
        """Return what an answer cost, in micro-USD.

        Raises:
            ProviderRefused: its price is unknown.
        """
        return self._cost(completion, request, self._capabilities(request))

    async def answer(self, items: Sequence[Item], batch: Batch) -> None:
        """Answer ``items``; what cannot be answered becomes an error in its place.

        Whatever must stop the batch is noted there, and what is in flight still arrives.
        """
        queue = iter(items)
        places = range(min(self._concurrency, len(items)))
        await asyncio.gather(*(self._work(queue, batch) for _ in places))

    async def stream(self, key: str, request: Request) -> AsyncGenerator[str | Completion, None]:
        """Yield the text of one answer as it is written, and last the whole answer.

        Raises:
            ProviderError, BudgetExceeded: as ``Engine.stream``.
        """
        parts: asyncio.Queue[str | None] = asyncio.Queue()
        asking = asyncio.ensure_future(self._streamed(key, request, parts.put_nowait))
        asking.add_done_callback(lambda _: parts.put_nowait(None))
        try:
            while (part := await parts.get()) is not None:
                yield part
            yield await asking
        finally:
            asking.cancel()

    async def _streamed(self, key: str, request: Request, on_text: OnText) -> Completion:
        capabilities, bound = self._capabilities(request), self.bound(request)
        extra = {**request.extra, **self._provider.streaming}
        call = self._encode(request.model_copy(update={"extra": extra}))
        await self.pace.arrive()
        try:
            return await self._let_out(
                partial(self._attempt, key, request, call, bound, capabilities, on_text)
            )
        finally:
            self.pace.depart()

    async def _work(self, queue: Iterator[Item], batch: Batch) -> None:
        for key, request in queue:
            await self.pace.arrive()
            try:
                if batch.stop is not None:
                    return
                batch.deliver(key, await self._ask(key, request))
            except ProviderError as error:
                batch.deliver(key, error)
            except Exception as error:
                batch.halt(error)
            finally:
                self.pace.depart()

    async def _ask(self, key: str, request: Request) -> Completion:
        capabilities = self._capabilities(request)
        bound = self.bound(request)
        written = self._encode(request)
        refused = self._refused.setdefault(request.model, set())
        self._retries.called()

        async def attempt() -> Completion:
            call, able = without(written, left_out), _also_refusing(capabilities, left_out)
            return await self._let_out(partial(self._attempt, key, request, call, bound, able))

        while True:
            left_out = frozenset(refused)
            try:
                # Where a pause ends with the time, the next try says so: no model has failed.
                return await retried(attempt, sleep=self._nap, budget=self._retries)
            except ProviderRefused as error:
                name = refused_parameter(error, written)
                if name is None or name in left_out:
                    raise
                refused.add(name)

    async def _let_out(self, attempt: Callable[[], Awaitable[Completion]]) -> Completion:
        """Let a call out when pace and breaker allow, and learn from how it went."""
        await self.pace.take_off()
        try:
            probe = await self.breaker.permit()
            try:
                answer = await attempt()
            except ProviderRateLimited as error:
                self.pace.refused(error.retry_after)
                self.breaker.passed(probe)
                raise
            except ProviderUnavailable as error:
                self.pace.troubled(error.retry_after)
                self.breaker.failed(probe, error)
                raise
            except (ProviderAuthError, ProviderRefused):
                self.breaker.succeeded()
                raise
            except BaseException:
                self.breaker.passed(probe)
                raise
            self.pace.succeeded()
            self.breaker.succeeded()
            return answer
        finally:
            self.pace.land()

    async def _attempt(
        self,
        key: str,
        request: Request,
        call: Call,
        bound: int,
        capabilities: Capabilities,
        on_text: OnText | None = None,
    ) -> Completion:
        books = self._books
        books.check_time()
        prepared = self._transport.prepare(call)
        async with books.flight(bound, key) as reservation:
            started = time.perf_counter()
            reply = await self._send(prepared, reservation, on_text)
            latency_ms = 1000.0 * (time.perf_counter() - started)
            try:
                completion = decode(self._provider, reply, self._transport.redact)
                micro = self._cost(completion, request, capabilities)
            except ProviderError:
                books.settle(reservation, None)
                raise
            finished = completed(
                completion, request, capabilities, latency_ms=latency_ms, micro_usd=micro
            )
            try:
                await books.keep([(key, finished)])
            except asyncio.CancelledError:
                # It is written all the same, and what it cost is known.
                books.settle(reservation, micro)
                raise
            books.settle(reservation, micro)
        return finished

    async def _send(self, prepared: Prepared, reservation: int, on_text: OnText | None) -> Reply:
        try:
            async with self._books.in_time():
                return await self._transport.send(prepared, on_text)
        except asyncio.CancelledError:
            # A call that went out leaves its reservation open: nobody knows whether it was billed.
            if prepared.unsent:
                self._books.release(reservation)
            raise
        except (BudgetExceeded, ReplyLost, ProviderBadReply):
            if prepared.unsent:
                self._books.release(reservation)
            else:
                self._books.settle(reservation, None)
            raise
        except (ProviderError, SettingsError):
            self._books.release(reservation)
            raise

    def _cost(self, completion: Completion, request: Request, capabilities: Capabilities) -> int:
        if completion.cost_usd is not None:
            return usd_to_micro(completion.cost_usd)
        price = price_of(request.provider, request.model, capabilities, completion.tokens_in)
        return usage_cost_micro_usd(price, completion.tokens_in, completion.tokens_out)

    def _encode(self, request: Request) -> Call:
        try:
            return encoded(self._provider, request)
        except PluginInvalid as error:
            # It takes no other request with it.
            raise ProviderRefused(str(error), hint=error.hint) from None

    def _capabilities(self, request: Request) -> Capabilities:
        if request.model not in self._known:
            found = capabilities_of(self._provider, request.model)
            if price := self._prices.get(f"{request.provider}:{request.model}"):
                found = found.model_copy(update={"price": price})
            self._known[request.model] = found
        return self._known[request.model]


def _also_refusing(capabilities: Capabilities, names: Collection[str]) -> Capabilities:
    """Return ``capabilities`` with what the model turned out to refuse."""
    if not names:
        return capabilities
    return capabilities.model_copy(update={"refused": (*capabilities.refused, *sorted(names))})
