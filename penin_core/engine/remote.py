"""Models behind HTTP: reserve, send, keep, settle; several calls at a time, with retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from penin_core.contracts import HttpProvider
from penin_core.errors import ProviderBadReply, ProviderError, ProviderRefused
from penin_core.records import Call, Capabilities, Completion, Reply, Request

from .books import Batch, Books, Item
from .prices import (
    price_of,
    prompt_bound,
    upper_bound_micro_usd,
    usage_cost_micro_usd,
    usd_to_micro,
)
from .replies import ReplyLost, capabilities_of, completed, decode, plugin_failure
from .retry import Sleep, retried

if TYPE_CHECKING:
    from .transport import HttpTransport, Prepared


class RemoteModel:
    """Asks one HttpProvider, at most ``concurrency`` calls at a time.

    A call keeps its place while it waits to be tried again: whoever lets others go first in the
    meantime meets the same limit with more calls.
    """

    def __init__(
        self,
        provider: HttpProvider,
        books: Books,
        transport: HttpTransport,
        *,
        concurrency: int,
        sleep: Sleep,
    ) -> None:
        self._provider = provider
        self._books = books
        self._transport = transport
        self._concurrency = concurrency
        self._places = asyncio.Semaphore(concurrency)
        self._sleep = sleep
        self._known: dict[str, Capabilities] = {}

    def bound(self, request: Request) -> int:
        """Return the most that ``request`` can cost, in micro-USD.

        Raises:
            ProviderRefused: the model does not exist, or its price is unknown.
        """
        capabilities = self._capabilities(request)
        price = price_of(request.provider, request.model, capabilities, prompt_bound(request))
        return upper_bound_micro_usd(request, price, capabilities)

    async def answer(self, items: Sequence[Item], batch: Batch) -> None:
        """Answer ``items``; what cannot be answered becomes an error in its place.

        Whatever must stop the batch is noted there, and what is in flight still arrives.
        """
        queue = iter(items)
        places = range(min(self._concurrency, len(items)))
        await asyncio.gather(*(self._work(queue, batch) for _ in places))

    async def _work(self, queue: Iterator[Item], batch: Batch) -> None:
        for key, request in queue:
            async with self._places:
                if batch.stop is not None:
                    return
                try:
                    batch.deliver(key, await self._ask(key, request))
                except ProviderError as error:
                    batch.deliver(key, error)
                except Exception as error:
                    batch.halt(error)

    async def _ask(self, key: str, request: Request) -> Completion:
        capabilities = self._capabilities(request)
        bound = self.bound(request)
        call = self._encode(request)

        async def attempt() -> Completion:
            return await self._attempt(key, request, call, bound, capabilities)

        return await retried(attempt, sleep=self._sleep, seconds_left=self._books.seconds_left)

    async def _attempt(
        self, key: str, request: Request, call: Call, bound: int, capabilities: Capabilities
    ) -> Completion:
        books = self._books
        books.check_time()
        prepared = self._transport.prepare(call)
        async with books.flight(bound, key) as reservation:
            started = time.perf_counter()
            reply = await self._send(prepared, reservation)
            latency_ms = 1000.0 * (time.perf_counter() - started)
            try:
                completion = decode(self._provider, reply, self._transport.redact)
                micro = self._cost(completion, request, capabilities)
            except ProviderError:
                books.budget.settle(reservation, None)
                raise
            finished = completed(
                completion, request, capabilities, latency_ms=latency_ms, micro_usd=micro
            )
            books.keep([(key, finished)])
            books.budget.settle(reservation, micro)
        return finished

    async def _send(self, prepared: Prepared, reservation: int) -> Reply:
        # A cancelled call leaves its reservation open: nobody knows whether it was billed.
        try:
            return await self._transport.send(prepared)
        except (ReplyLost, ProviderBadReply):
            self._books.budget.settle(reservation, None)
            raise
        except ProviderError:
            self._books.budget.release(reservation)
            raise

    def _cost(self, completion: Completion, request: Request, capabilities: Capabilities) -> int:
        if completion.cost_usd is not None:
            return usd_to_micro(completion.cost_usd)
        price = price_of(request.provider, request.model, capabilities, completion.tokens_in)
        return usage_cost_micro_usd(price, completion.tokens_in, completion.tokens_out)

    def _encode(self, request: Request) -> Call:
        try:
            call = self._provider.encode(request)
            if isinstance(call, Call):
                return call
            problem = f"encode() returned {type(call).__name__}, not Call"
        except ProviderError:
            raise
        except Exception as error:
            problem = self._transport.redact(plugin_failure(error))
        raise ProviderRefused(f"provider '{self._provider.name}' cannot write it: {problem}")

    def _capabilities(self, request: Request) -> Capabilities:
        if request.model not in self._known:
            self._known[request.model] = capabilities_of(self._provider, request.model)
        return self._known[request.model]
