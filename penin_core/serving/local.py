"""A model in this process: whoever asks while it works is answered in its next batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import Executor

from penin_core.contracts import LocalProvider
from penin_core.engine.books import Batch, Books, Item
from penin_core.engine.cache import ResponseCache
from penin_core.engine.local import Adapters, LocalModel
from penin_core.errors import ProviderError
from penin_core.records import Completion, Configuration, Request

from .pieces import Piece, Tally, in_pieces, whole
from .questions import Asking, Question


class NoCache(ResponseCache):
    """A cache that keeps nothing: live traffic is sampled anew, also where it repeats itself."""

    def get_many(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Know no answer."""
        return {}

    def put_many(self, items: Iterable[tuple[str, Completion]]) -> None:
        """Keep no answer."""


class Batches:
    """Answers requests to one local model, those that wait together in one batch."""

    def __init__(
        self, provider: LocalProvider, books: Books, worker: Executor, adapters: Adapters
    ) -> None:
        self._model = LocalModel(provider, books, worker, adapters)
        self._books = books
        self._asked = 0
        self._waiting: dict[str, tuple[Item, asyncio.Future[Completion]]] = {}
        self._working: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Completion:
        """Return the answer to one request; equal requests are answered each on its own.

        Raises:
            ProviderError, BudgetExceeded: there is none.
        """
        done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._asked += 1
        key = str(self._asked)
        self._waiting[key] = (key, request), done
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, {}
            # Whoever has hung up meanwhile is not answered.
            items = [item for item, done in group.values() if not done.done()]
            batch = Batch(self._books, len(items))
            try:
                await self._model.answer(items, batch)
            except Exception as error:
                batch.halt(error)
            for key, (_, done) in group.items():
                _tell(done, batch.answers.get(key) or batch.stop)


class LocalBackend:
    """Asks a model in this process with one configuration."""

    def __init__(self, config: Configuration, batches: Batches) -> None:
        self.asking = Asking(config)
        self._batches = batches

    async def ask(self, question: Question, tally: Tally) -> Piece:
        """Return the whole answer."""
        return whole(await self._answer(question, tally))

    async def stream(self, question: Question, tally: Tally) -> AsyncGenerator[Piece, None]:
        """Yield the answer, which comes in one piece."""
        for piece in in_pieces(await self._answer(question, tally)):
            yield piece

    async def _answer(self, question: Question, tally: Tally) -> Completion:
        found = await self._batches.answer(self.asking.request(question))
        tally.text, tally.finish = found.text, found.finish
        tally.tokens_in, tally.tokens_out = found.tokens_in, found.tokens_out
        tally.micro_usd = round(1_000_000 * (found.cost_usd or 0.0))
        return found


def _tell(done: asyncio.Future[Completion], found: Completion | Exception | None) -> None:
    if done.done():
        return
    if isinstance(found, Completion):
        done.set_result(found)
    else:
        done.set_exception(found or ProviderError("the model gave no answer"))
