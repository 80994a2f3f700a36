"""Models in this process: one worker thread, micro-batches, each kept as soon as it is there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import groupby
from pathlib import Path
from typing import Any

from penin_core.contracts import LocalProvider
from penin_core.errors import ProviderBadReply, ProviderError
from penin_core.records import Capabilities, Completion, Price, Request

from .books import Answer, Batch, Books, Item
from .prices import upper_bound_micro_usd, usage_cost_micro_usd
from .replies import capabilities_of, completed, plugin_failure

logger = logging.getLogger(__name__)

#: Nobody sends a bill for a model in this process, unless its provider states a price.
_FREE = Price(input_per_million=0.0, output_per_million=0.0)


#: Finds the folder of trained files that an adapter names; raises ProviderRefused.
Adapters = Callable[[str], Path]


class LocalModel:
    """Asks one LocalProvider. ``worker`` has a single thread, shared by all local models.

    The provider sees of an adapter the folder where its files lie; the books know its name only.
    """

    def __init__(
        self,
        provider: LocalProvider,
        books: Books,
        worker: Executor,
        adapters: Adapters | None = None,
    ) -> None:
        self._provider = provider
        self._books = books
        self._worker = worker
        self._adapters = adapters

    def bound(self, request: Request) -> int:
        """Return the most that ``request`` can cost, in micro-USD.

        Raises:
            ProviderRefused: the model does not exist.
        """
        capabilities = capabilities_of(self._provider, request.model)
        return upper_bound_micro_usd(request, capabilities.price or _FREE, capabilities)

    async def answer(self, items: Sequence[Item], batch: Batch) -> None:
        """Answer ``items``; what cannot be answered becomes an error in its place.

        Raises:
            BudgetExceeded: the time or the money is used up; finished micro-batches are kept.
        """
        for (model, adapter), group in groupby(sorted(items, key=_likeness), key=_weights):
            found = list(group)
            try:
                capabilities = capabilities_of(self._provider, model)
                folder = self._folder(adapter)
            except ProviderError as error:
                _deliver_error(batch, found, error)
                continue
            for micro in _cut(found, capabilities.batch):
                if batch.stop is not None:
                    return
                await self._micro_batch(micro, capabilities, folder, batch)

    async def _micro_batch(
        self,
        items: Sequence[Item],
        capabilities: Capabilities,
        folder: Path | None,
        batch: Batch,
    ) -> None:
        books, price = self._books, capabilities.price or _FREE
        books.check_time()
        try:
            bound = sum(upper_bound_micro_usd(r, price, capabilities) for _, r in items)
        except ProviderError as error:
            return _deliver_error(batch, items, error)
        async with books.flight(bound, items[0][0]) as reservation:
            try:
                answers, seconds = await self._generate([_placed(r, folder) for _, r in items])
            except ProviderError as error:
                books.release(reservation)
                return _deliver_error(batch, items, error)
            done = _finished(items, answers, capabilities, seconds)
            await books.keep([(key, a) for key, a in done if isinstance(a, Completion)])
            books.settle(reservation, sum(_paid(answer, price) for _, answer in done))
        for key, answer in done:
            batch.deliver(key, answer)
        return None

    def _folder(self, adapter: str | None) -> Path | None:
        return self._adapters(adapter) if adapter is not None and self._adapters else None

    async def _generate(self, requests: Sequence[Request]) -> tuple[Sequence[Answer], float]:
        loop = asyncio.get_running_loop()
        outcome, seconds = await loop.run_in_executor(self._worker, self._call, requests)
        if isinstance(outcome, Exception):
            raise self._named(outcome)
        self._check(outcome, len(requests))
        return outcome, seconds

    def _call(self, requests: Sequence[Request]) -> tuple[Any, float]:
        # In the worker thread. The clock starts here, so that waiting for the thread does not
        # count; a failure is handed over as a value, because a future cannot carry StopIteration.
        started = time.perf_counter()
        try:
            outcome: Any = self._provider.generate(requests)
        except Exception as error:
            outcome = error
        return outcome, time.perf_counter() - started

    def _check(self, answers: object, count: int) -> None:
        if not isinstance(answers, Sequence) or isinstance(answers, str):
            problem = f"{type(answers).__name__}, not a sequence"
        elif len(answers) != count:
            problem = f"{len(answers)} results for {count} requests"
        else:
            wrong = [a for a in answers if not isinstance(a, Completion | ProviderError)]
            if not wrong:
                return
            problem = f"{type(wrong[0]).__name__}, not Completion or ProviderError"
        raise ProviderBadReply(
            f"generate() of provider '{self._provider.name}' returned {problem}",
            hint="this is a defect of the provider; report it to its author",
        )

    def _named(self, error: Exception) -> ProviderError:
        if isinstance(error, ProviderError):
            return error
        name = self._provider.name
        logger.debug("provider '%s' failed", name, exc_info=error)
        return ProviderError(
            f"provider '{name}' failed: {plugin_failure(error)}",
            hint="this is a defect of the provider; report it to its author",
        )


def _finished(
    items: Sequence[Item], answers: Sequence[Answer], capabilities: Capabilities, seconds: float
) -> list[tuple[str, Answer]]:
    # The time of the whole micro-batch, shared out evenly. How long one request waited for its
    # batch says more about its neighbours than about itself, and would make the cost of a
    # configuration depend on what happened to be measured beside it.
    latency_ms = 1000.0 * seconds / len(items)
    price = capabilities.price or _FREE
    done: list[tuple[str, Answer]] = []
    for (key, request), answer in zip(items, answers, strict=True):
        if isinstance(answer, Completion):
            micro = _paid(answer, price)
            answer = completed(
                answer, request, capabilities, latency_ms=latency_ms, micro_usd=micro
            )
        done.append((key, answer))
    return done


def _paid(answer: Answer, price: Price) -> int:
    if isinstance(answer, ProviderError):
        return 0
    return usage_cost_micro_usd(price, answer.tokens_in, answer.tokens_out)


def _deliver_error(batch: Batch, items: Sequence[Item], error: ProviderError) -> None:
    for key, _ in items:
        batch.deliver(key, error)


def _weights(item: Item) -> tuple[str, str | None]:
    return item[1].model, item[1].adapter


def _placed(request: Request, folder: Path | None) -> Request:
    return request if folder is None else request.model_copy(update={"adapter": str(folder)})


def _likeness(item: Item) -> tuple[str, str, int, int]:
    # Prompts of similar length, with similar room to answer, waste the least of a padded batch.
    request = item[1]
    length = len(request.system) + sum(len(message.content) for message in request.messages)
    return request.model, request.adapter or "", length, request.max_tokens


def _cut(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
