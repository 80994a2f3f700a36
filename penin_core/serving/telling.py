"""A service that is asked in penin's own words, such as by the Responses API: text alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from penin_core.engine.prices import prompt_bound
from penin_core.engine.replies import decode

from .pieces import Piece, Tally, delta_of, usage_of, whole
from .questions import Question
from .remote import Remote


class Telling(Remote):
    """A service that is asked in penin's own words and answers with a text."""

    async def ask(self, question: Question, tally: Tally) -> Piece:
        """Return the whole answer."""
        pieces = [piece async for piece in self._told(question, tally, None)]
        return pieces[-1]

    async def stream(self, question: Question, tally: Tally) -> AsyncGenerator[Piece, None]:
        """Yield the answer as it is written."""
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        async for piece in self._told(question, tally, heard):
            yield piece

    async def _told(
        self, question: Question, tally: Tally, heard: asyncio.Queue[str | None] | None
    ) -> AsyncGenerator[Piece, None]:
        request = self.asking.request(question)
        if heard is not None:
            more = {"stream": True}
            sent = request.model_copy(update={"extra": {**request.extra, **more}})
        else:
            sent = request
        prepared = self.upstream.prepare(self.provider.encode(sent))
        slip = await self.till.hold(self.bound(request, prompt_bound(request)))
        on_text = None if heard is None else heard.put_nowait
        asking = asyncio.ensure_future(self.upstream.told(prepared, on_text))
        try:
            if heard is not None:
                asking.add_done_callback(lambda _: heard.put_nowait(None))
                while (text := await heard.get()) is not None:
                    yield Piece([delta_of(content=text)])
            reply = await asking
            tally.micro_usd = slip.bound
            completion = decode(self.provider, reply, self.upstream.redact)
            read, wrote = completion.tokens_in, completion.tokens_out
            self.count(read, wrote, completion.cost_usd, slip, tally)
            tally.text, tally.finish = completion.text, completion.finish
        finally:
            asking.cancel()
            self.till.settle(slip)
        if heard is not None:
            yield Piece([delta_of(finish=completion.finish)])
            yield Piece([], usage_of(completion))
        else:
            yield whole(completion)
