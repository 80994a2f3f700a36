"""A service that is asked in penin's own words, such as by the Responses API: text alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from penin_core.engine.endpoints import encoded
from penin_core.engine.prices import prompt_bound
from penin_core.engine.replies import decode
from penin_core.records import Completion

from .pieces import Piece, Tally, in_pieces, whole
from .questions import Question
from .remote import Remote


class Translating(Remote):
    """Asks with what the provider writes, and answers with the text that it reads."""

    async def ask(self, question: Question, tally: Tally) -> Piece:
        """Return the whole answer."""
        return whole(await self._told(question, tally))

    async def stream(self, question: Question, tally: Tally) -> AsyncGenerator[Piece, None]:
        """Yield the answer, which comes in one piece."""
        for piece in in_pieces(await self._told(question, tally)):
            yield piece

    async def _told(self, question: Question, tally: Tally) -> Completion:
        request = self.asking.request(question)
        prepared = self.upstream.prepare(encoded(self.provider, request))
        bound = self.bound(request, prompt_bound(request))
        async with self.billing.paying(bound, prepared) as charge:
            reply = await self.upstream.told(prepared)
            # From here on, whatever cannot be read was answered all the same.
            charge.spent = charge.bound
            completion = decode(self.provider, reply, self.upstream.redact)
            read, wrote = completion.tokens_in, completion.tokens_out
            self.count(read, wrote, completion.cost_usd, charge, tally)
        tally.text, tally.finish = completion.text, completion.finish
        return completion
