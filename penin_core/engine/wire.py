"""The engine: every question goes through here, is paid once, and comes back answered or named.

Plugins are pure; this is what calls models. ``remote`` asks services, when ``pace``, ``breaker``
and ``retry`` say so; ``transport`` and ``pool`` carry a call; ``books`` keep money and answers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penin_core.contracts import HttpProvider, LocalProvider, Provider, Steps
from penin_core.errors import BudgetExceeded, PluginInvalid, ProviderError, ProviderRefused
from penin_core.records import Capabilities, Completion, Price, Request

from .books import Batch, Books, Item
from .budget import Budget
from .cache import ResponseCache
from .drive import Driver, OnProgress
from .endpoints import answer_key, origin
from .local import Adapters, LocalModel
from .pace import Clock
from .plans import Estimate, Plan, Spend
from .remote import RemoteModel
from .replies import UNREADABLE, capabilities_of
from .retry import Sleep
from .tabs import Tab
from .tape import Tape

if TYPE_CHECKING:
    from .transport import HttpTransport, Network


#: A list of dates is waited for no longer than this, in seconds.
_DATES_S = 10.0


class Engine:
    """Asks models on behalf of everything else.

    ``providers`` finds a provider by name. ``deadline_s`` counts from construction.
    ``concurrency`` bounds the calls in flight to one provider; fewer are, where it refuses more.
    ``on_answer`` is told how many of the distinct requests of an ``answer`` are done, and of how
    many. ``adapters`` finds the files that a local model was tuned into. ``private_hosts`` are
    the services that may stand in a private network. ``prices`` are those of ``provider:model``,
    and win over what the provider and the price table say. ``transport``, ``clock`` (monotonic
    seconds) and ``sleep`` stand in for network and time in tests. One engine serves one event loop.
    """

    def __init__(
        self,
        providers: Callable[[str], Provider],
        *,
        budget: Budget,
        cache: ResponseCache,
        deadline_s: float | None = None,
        concurrency: int = 100,
        transport: Network | None = None,
        on_answer: Callable[[int, int], None] | None = None,
        adapters: Adapters | None = None,
        private_hosts: Collection[str] = (),
        prices: Mapping[str, Price] | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency = {concurrency} must be at least 1")
        if deadline_s is not None and math.isnan(deadline_s):
            raise ValueError(f"deadline_s = {deadline_s} must be a number of seconds")
        self._providers = providers
        self._books = Books(budget, cache, deadline_s, clock)
        self._concurrency = concurrency
        self._network = transport
        self._on_answer = on_answer
        self._adapters = adapters
        self._private_hosts = private_hosts
        self._prices = prices or {}
        self._clock = clock
        self._sleep = sleep
        self._worker: ThreadPoolExecutor | None = None
        self._models: dict[str, LocalModel | RemoteModel] = {}
        self._transports: dict[str, HttpTransport] = {}
        self._origins: dict[tuple[str, str], str] = {}
        #: By provider, which models its service will shut down, and when.
        self._dates: dict[str, Mapping[str, str]] = {}

    async def answer(self, requests: Sequence[Request]) -> list[Completion | ProviderError]:
        """Return an answer, or the error that took its place, for each request, in their order.

        Equal requests are asked once, and what the cache knows is not asked again. A failing
        request takes no other with it.

        Raises:
            BudgetExceeded: money or time is used up. Where it is money, this is raised before the
                call that would break the limit, after everything in flight has arrived and been
                stored; the end of the time cuts off what is in flight, which counts as paid.
            SettingsError: a provider's base URL is unusable; nothing was sent.
            PluginError: there is no such provider; nothing was sent.
            StateError: budget or cache cannot be written.
        """
        plan = self._plan(requests)
        missing = {self._model(name): items for name, items in plan.missing().items()}
        batch = Batch(self._books, len(plan.distinct), on_answer=self._on_answer)
        batch.recall(plan.known)
        await asyncio.gather(*(_ask(model, items, batch) for model, items in missing.items()))
        await self._books.settled()
        if batch.stop is not None:
            raise batch.stop
        return [
            slot if isinstance(slot, ProviderError) else batch.answers[slot] for slot in plan.slots
        ]

    async def drive(
        self,
        provider_name: str,
        steps: Steps,
        *,
        on_progress: OnProgress | None = None,
        tape: Path | None = None,
    ) -> Any:
        """Carry out a multi-step operation against one provider; return what it returns.

        Failures are thrown into the generator. What a call ``asks`` is reserved before it is sent,
        and settled with the answer that the operation returns. A call whose reply was lost is
        repeated only where that is safe (GET). ``tape`` is a file that records the steps: an
        operation that is run again with it goes on where the last process was killed.

        Raises:
            ProviderError: a call failed and the generator did not handle it.
            BudgetExceeded: the time is used up, or a question could break the limit.
            PluginInvalid: the generator yielded something that is no step.
        """
        provider = self._providers(provider_name)
        transport = tab = None
        if isinstance(provider, HttpProvider):
            transport = self._transport(provider_name, provider)
            model = self._model(provider_name)
            tab = Tab(self._books, model) if isinstance(model, RemoteModel) else None
        driver = Driver(
            provider_name,
            transport,
            tab,
            self._books,
            sleep=self._sleep,
            on_progress=on_progress,
            tape=None if tape is None else Tape(tape),
        )
        return await driver.run(steps)

    async def stream(self, request: Request) -> AsyncGenerator[str | Completion, None]:
        """Yield the text of an answer as it is written, and last the whole answer.

        It is reserved, paid and kept like any other; what the cache knows comes at once. Nothing
        is tried again: what was yielded cannot be taken back.

        Raises:
            ProviderError: there is no answer, or half of one, which counts as paid.
            BudgetExceeded: the call could break a limit, or the time ends before the answer does.
        """
        plan = self._plan([request])
        if isinstance(slot := plan.slots[0], ProviderError):
            raise slot
        model = self._model(request.provider)
        if slot in plan.known or isinstance(model, LocalModel):
            (answer,) = await self.answer([request])
            if isinstance(answer, ProviderError):
                raise answer
            yield answer.text
            yield answer
            return
        async with aclosing(model.stream(slot, request)) as parts:
            async for part in parts:
                yield part

    async def ask_dates(self, provider_names: Collection[str]) -> None:
        """Ask services which models they will shut down; one that does not answer says nothing."""
        for name in sorted(provider_names):
            provider = self._providers(name)
            if isinstance(provider, HttpProvider):
                with suppress(ProviderError, BudgetExceeded, TimeoutError, *UNREADABLE):
                    async with asyncio.timeout(_DATES_S):
                        said = await self.drive(name, provider.shutdown_dates())
                    dates = {str(model): date for model, date in said.items()}
                    self._dates[name] = {m: d for m, d in dates.items() if isinstance(d, str)}

    def capabilities(self, provider_name: str, model: str) -> Capabilities:
        """Return what a model can do: what it refuses, when it is shut down, its stated price.

        Raises:
            ProviderRefused: the provider does not know the model.
        """
        found = capabilities_of(self._providers(provider_name), model)
        if date := self._dates.get(provider_name, {}).get(model):
            found = found.model_copy(update={"shutdown_date": date})
        price = self._prices.get(f"{provider_name}:{model}")
        return found if price is None else found.model_copy(update={"price": price})

    def estimate(self, requests: Sequence[Request]) -> Estimate:
        """Say what ``requests`` will take at most; nothing is sent or written.

        Raises:
            ProviderRefused: a price is unknown, or a model or request cannot be served.
        """
        plan = self._plan(requests)
        bad = [slot for slot in plan.slots if isinstance(slot, ProviderError)]
        if bad:
            raise bad[0]
        missing = plan.missing()
        bound = sum(
            self._model(name).bound(request)
            for name, items in missing.items()
            for _, request in items
        )
        new = sum(map(len, missing.values()))
        return Estimate(len(plan.distinct), new, bound / 1_000_000)

    def is_down(self, provider_name: str) -> bool:
        """Return whether a service failed so often that it is left alone for now."""
        model = self._models.get(provider_name)
        return isinstance(model, RemoteModel) and model.breaker.would_wait

    @property
    def spend(self) -> Spend:
        """What this engine did so far; ``usd`` is all that its budget object settled."""
        books = self._books
        return Spend(
            calls=books.calls,
            cached=books.cached,
            errors=books.errors,
            usd=books.budget.spent_by_this_run / 1_000_000,
            tokens_in=books.tokens_in,
            tokens_out=books.tokens_out,
        )

    async def aclose(self) -> None:
        """Close connections, the worker thread, the budget and the cache."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()
        self._models.clear()
        if self._worker is not None:
            # Waits for a micro-batch that still runs: its provider is closed right after this.
            self._worker.shutdown(wait=True, cancel_futures=True)
            self._worker = None
        await self._books.close()

    def _plan(self, requests: Sequence[Request]) -> Plan:
        slots = [self._key(request) for request in requests]
        distinct = {
            slot: request
            for slot, request in zip(slots, requests, strict=True)
            if isinstance(slot, str)
        }
        return Plan(slots, distinct, self._books.cache.get_many(distinct))

    def _key(self, request: Request) -> str | ProviderError:
        name, asked = request.provider, (request.provider, request.model)
        try:
            if asked not in self._origins:
                self._origins[asked] = origin(self._providers(name), request.model)
            return answer_key(self._origins[asked], request)
        except ProviderError as error:
            return error
        except ValueError as error:
            return ProviderRefused(f"provider '{name}' cannot be asked this: {error}")

    def _model(self, name: str) -> LocalModel | RemoteModel:
        if name not in self._models:
            self._models[name] = self._connect(name, self._providers(name))
        return self._models[name]

    def _connect(self, name: str, provider: Provider) -> LocalModel | RemoteModel:
        if isinstance(provider, LocalProvider):
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="penin-local")
            return LocalModel(provider, self._books, self._worker, self._adapters)
        if isinstance(provider, HttpProvider):
            return RemoteModel(
                provider,
                self._books,
                self._transport(name, provider),
                concurrency=self._concurrency,
                prices=self._prices,
                clock=self._clock,
                sleep=self._sleep,
            )
        raise PluginInvalid(
            f"provider '{name}' is neither an HttpProvider nor a LocalProvider",
            hint="derive it from one of the two",
        )

    def _transport(self, name: str, provider: HttpProvider) -> HttpTransport:
        # Here, so that a run on a local model never loads the HTTP library.
        from .transport import HttpTransport

        if name not in self._transports:
            self._transports[name] = HttpTransport(
                provider,
                transport=self._network,
                connections=self._concurrency,
                private_hosts=self._private_hosts,
            )
        return self._transports[name]


async def _ask(model: LocalModel | RemoteModel, items: Sequence[Item], batch: Batch) -> None:
    try:
        await model.answer(items, batch)
    except Exception as error:
        batch.halt(error)
