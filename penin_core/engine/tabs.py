"""The money of a multi-step operation: each question that it puts is reserved before it is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from penin_core.errors import ProviderBadReply, ProviderError, SettingsError
from penin_core.records import Call, Completion, Reply, Request

from .books import Books
from .money import Wish
from .replies import ReplyLost

if TYPE_CHECKING:
    from .remote import RemoteModel


class Tab:
    """What one operation reserved. An answer settles it; whatever is unclear is charged in full.

    A process that is killed leaves its reservations open, and an operation that goes on with its
    tape reserves nothing again: what was in flight stays counted with all that it could cost.
    """

    def __init__(self, books: Books, model: RemoteModel) -> None:
        self._books = books
        self._model = model
        self._open: dict[int, Request] = {}

    async def pay(
        self, call: Call, asked: Request, send: Callable[[Call], Awaitable[Reply]]
    ) -> Reply:
        """Reserve what the answer to ``asked`` can cost, and send ``call``.

        Raises:
            ProviderError, SettingsError: it failed; what it cost at most is charged unless it is
                known to have cost nothing.
            ProviderRefused, BudgetExceeded: its price is unknown, or too much; nothing was sent.
        """
        reservation = await self._books.reserve(Wish(self._model.bound(asked), asked.key))
        # Other calls do not wait for this money to come back: an operation can take hours.
        self._books.land(reservation)
        self._open[reservation] = asked
        try:
            return await send(call)
        except (ProviderError, SettingsError) as error:
            del self._open[reservation]
            if may_be_done(error) or isinstance(error, ProviderBadReply):
                self._books.settle(reservation, None)
            else:
                self._books.release(reservation)
            raise

    async def close(self, result: Any) -> None:
        """Settle with the answer that the operation came to; without one, charge in full.

        Raises:
            StateError: the budget cannot be written.
        """
        alone = len(self._open) == 1 and isinstance(result, Completion)
        for reservation, asked in self._open.items():
            self._books.settle(reservation, self._model.cost(asked, result) if alone else None)
        self._open.clear()
        if isinstance(result, Completion):
            self._books.count(result)
        await self._books.settled()


def may_be_done(error: Exception) -> bool:
    """Say whether a call may have been carried out although it failed.

    A server that broke down, or a gateway that gave up waiting, may have done all or nothing; 429
    and 503 say that nothing was begun (RFC 6585, section 4; RFC 9110, section 15.6.4).
    """
    status = (error.status if isinstance(error, ProviderError) else None) or 0
    return isinstance(error, ReplyLost) or (status >= 500 and status != 503)
