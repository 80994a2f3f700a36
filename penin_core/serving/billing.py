"""The billing: calls are paid out of a block, so that none waits for the disk.

A block is one reservation of the budget, big enough for many calls. It counts as spent until it is
settled: what a killed process had in hand is never spent twice. Amounts are integer micro-USD.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from penin_core.engine.budget import Budget
from penin_core.engine.commits import Commits
from penin_core.engine.money import End, Wish
from penin_core.engine.pool import Prepared
from penin_core.engine.replies import ReplyLost
from penin_core.errors import (
    BudgetExceeded,
    ProviderBadReply,
    ProviderError,
    SettingsError,
    StateError,
)

from .refusals import Refusal

logger = logging.getLogger(__name__)

#: A block pays for so many calls, but holds no more than this share of the limit of a day.
CALLS, SHARE = 64, 0.02
#: After so long it is settled, so that others see what was spent.
AGE_S = 5.0
#: What the budget's file says a reservation of ours is for.
_KEY = "serving"


@dataclass
class Block:
    """A reservation in hand: what is left of it, what was spent, and the calls still out."""

    number: int
    left: int
    spent: int = 0
    out: int = 0
    used: bool = False


@dataclass(slots=True)
class Charge:
    """What one call may cost; ``spent`` is set when it is known, else all of it is charged."""

    bound: int
    block: Block | None
    spent: int | None = None


class Billing:
    """Pays for the calls of one event loop out of a budget that other processes share."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._most = int(budget.limit_today * SHARE)
        self._written: Commits[End | Wish, int] = Commits("penin-billing", self._write)
        self._block: Block | None = None
        self._filling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: What could not be written, and when it is tried again.
        self._late: list[End] = []
        self._again: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def paying(self, bound: int, prepared: Prepared) -> AsyncIterator[Charge]:
        """Hold money for sending ``prepared``, which is done inside, and charge what it costs.

        Where the charge says nothing: a call that was refused, or given up before it left, costs
        nothing; one that was sent and whose answer is lost or unreadable costs all that it could.

        Raises: as ``hold``.
        """
        charge = await self.hold(bound)
        try:
            yield charge
        except (ProviderError, Refusal, SettingsError) as error:
            if charge.spent is None and not isinstance(error, ReplyLost | ProviderBadReply):
                charge.spent = 0
            raise
        except asyncio.CancelledError:
            if prepared.unsent:
                charge.spent = 0
            raise
        finally:
            self.settle(charge)

    async def hold(self, bound: int) -> Charge:
        """Hold money for a call; give the charge to ``settle`` when the call is over.

        Raises:
            BudgetExceeded: the budget is used up; nothing is held.
            StateError: the budget cannot be written.
        """
        return Charge(bound, await self._take(bound) if bound else None)

    def settle(self, charge: Charge) -> None:
        """Charge what the charge says."""
        block = charge.block
        if block is None:
            return
        spent = charge.bound if charge.spent is None else charge.spent
        block.left += charge.bound - spent
        block.spent += spent
        block.out -= 1
        self._close_if_done(block)

    async def aclose(self) -> None:
        """Settle what is in hand."""
        if self._timer is not None:
            self._timer.cancel()
        if self._filling is not None:
            await asyncio.wait([self._filling])
        self._replace(None)
        await self._written.close()
        if self._late:
            self._settle_late()
            await self._written.close()
        if self._again is not None:
            self._again.cancel()
            logger.error("what was spent cannot be written: all that was reserved counts as spent")

    async def _take(self, bound: int) -> Block:
        while (block := self._block) is None or block.left < bound:
            if self._filling is not None and not self._filling.done():
                await asyncio.wait([self._filling])
            else:
                # Shielded: a reservation that nobody waits for any more would never be settled.
                await asyncio.shield(self._start(bound))
        block.left -= bound
        block.out += 1
        block.used = True
        return block

    def _start(self, bound: int) -> asyncio.Task[None]:
        self._filling = asyncio.ensure_future(self._fill(bound))
        self._filling.add_done_callback(_seen)
        return self._filling

    async def _fill(self, bound: int) -> None:
        """Put a new block in place of the old; where the budget is short, one for this call."""
        size = max(bound, min(CALLS * bound, self._most))
        try:
            number = await self._written.add(Wish(size, _KEY))
        except BudgetExceeded:
            # What is left in hand may be what is missing here.
            self._replace(None)
            size = bound
            number = await self._written.add(Wish(size, _KEY))
        block = Block(number, size)
        self._replace(block)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(AGE_S, self._age, block, bound)

    def _age(self, block: Block, bound: int) -> None:
        """Renew a block that was used, let one go that was not."""
        if block is not self._block:
            return
        if not block.used:
            self._replace(None)
            return
        # Where it cannot be renewed now, it is tried again; a new block sets the timer anew.
        self._timer = asyncio.get_running_loop().call_later(AGE_S, self._age, block, bound)
        if self._filling is None or self._filling.done():
            self._start(bound)

    def _replace(self, block: Block | None) -> None:
        old, self._block = self._block, block
        if old is not None:
            self._close_if_done(old)

    def _close_if_done(self, block: Block) -> None:
        if block is not self._block and not block.out:
            # Nobody waits for it: until it is on the disk, the money counts as reserved.
            self._end(End(block.number, block.spent))

    def _end(self, end: End) -> None:
        self._written.put(end, partial(self._ended, end))

    def _ended(self, end: End, found: int | Exception) -> None:
        """Have what could not be written tried again; until then all that was reserved counts."""
        if isinstance(found, StateError):
            self._late.append(end)
            if self._again is None:
                self._again = asyncio.get_running_loop().call_later(AGE_S, self._settle_late)

    def _settle_late(self) -> None:
        if self._again is not None:
            self._again.cancel()
        late, self._late, self._again = self._late, [], None
        for end in late:
            self._end(end)

    def _write(self, items: Sequence[End | Wish]) -> list[int | Exception]:
        ends = [item for item in items if isinstance(item, End)]
        wishes = [item for item in items if isinstance(item, Wish)]
        ended, made = self._budget.apply(ends, wishes)
        problems, numbers = iter(ended), iter(made)
        return [(next(problems) or 0) if isinstance(item, End) else next(numbers) for item in items]


def _seen(filling: asyncio.Task[None]) -> None:
    if not filling.cancelled():
        filling.exception()
