"""Models behind HTTP: reserve, send, keep, settle; several calls at a time, each with its retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..contracts import HttpProvider
from ..errors import ProviderError, ProviderRefused
from ..records import Call, Capabilities, Completion, Reply, Request
from .books import Batch, Books, Item
from .prices import price_of, prompt_bound, upper_bound_micro_usd, usage_cost_micro_usd
from .prices import usd_to_micro
from .replies import ReplyLost, completed, decode, plugin_failure
from .retry import Sleep, retried

if TYPE_CHECKING:
    from .transport import HttpTransport


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
        self._sleep = sleep

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

        return await retried(
            attempt, sleep=self._sleep, seconds_left=self._books.seconds_left
        )

    async def _attempt(
        self, key: str, request: Request, call: Call, bound: int, capabilities: Capabilities
    ) -> Completion:
        books = self._books
        books.check_time()
        prepared = self._transport.prepare(call)
        reservation = await books.reserve(bound, key)
        started = time.perf_counter()
        # A cancelled call leaves its reservation open: nobody knows whether it was billed.
        try:
            reply = await self._transport.send(prepared)
            latency_ms = 1000.0 * (time.perf_counter() - started)
            completion = decode(self._provider, reply, self._transport.redact)
            micro = self._cost(completion, request, capabilities)
        except ProviderError as error:
            self._close(reservation, error)
            raise
        finally:
            books.landed()
        finished = completed(
            completion, request, capabilities, latency_ms=latency_ms, micro_usd=micro
        )
        books.keep([(key, finished)])
        books.budget.settle(reservation, micro)
        return finished
