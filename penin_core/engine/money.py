"""Amounts, what is asked of a budget, and the limit of one run. Money is integer micro-USD."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from penin_core.errors import BudgetExceeded

#: What reserves nothing: a free call leaves no trace in a budget.
FREE = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money that may have been spent: a call that is in flight, or whose process was killed."""

    id: int
    day: str
    key: str
    bound_micro_usd: int


class Wish(NamedTuple):
    """What a call may cost at most, and the key of the question."""

    bound: int
    key: str


class End(NamedTuple):
    """How a reservation ends. ``spent`` None charges all that was reserved."""

    reservation: int
    spent: int | None
    state: Literal["settled", "released"] = "settled"


class Ended(NamedTuple):
    """A reservation that has ended."""

    reservation: int
    day: str
    bound: int
    spent: int


class Purse:
    """What one run spent and holds, under a limit of its own; ``limit`` None is none."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.spent = 0
        self._held: dict[int, int] = {}
        self.held = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Undo what the block does to the purse where it raises."""
        before = self.spent, self.held, dict(self._held)
        try:
            yield
        except BaseException:
            self.spent, self.held, self._held = before
            raise

    def hold(self, reservation: int, bound: int) -> None:
        """Hold money for a call."""
        self._held[reservation] = bound
        self.held += bound

    def end(self, ended: Ended) -> None:
        """Count what a call cost; reservations of earlier runs count here, too."""
        self.held -= self._held.pop(ended.reservation, 0)
        self.spent += ended.spent

    def refusal(self, bound: int, taken: int = 0) -> BudgetExceeded | None:
        """Return why ``bound`` cannot be held beside what is ``taken``; None where it can."""
        held = self.held + taken
        if self.limit is None or self.spent + held + bound <= self.limit:
            return None
        return BudgetExceeded(
            f"the next call can cost up to {usd(bound)}, but this run may spend "
            f"{usd(self.limit)}: {usd(self.spent)} are spent, {usd(held)} reserved",
            hint="raise the limit of the run (--max-usd); answers so far are kept",
        )


def day_refusal(bound: int, day: str, limit: int, spent: int, reserved: int) -> BudgetExceeded:
    """Return why a call does not fit into the limit of its day."""
    if limit == 0:
        return BudgetExceeded(
            f"the next call can cost up to {usd(bound)}, and the daily limit is $0",
            hint="set [budget] daily_usd above 0 to allow paid calls",
        )
    return BudgetExceeded(
        f"the next call can cost up to {usd(bound)}, but the limit of {day} (UTC) is "
        f"{usd(limit)}: {usd(spent)} are spent, {usd(reserved)} reserved",
        hint="raise [budget] daily_usd or go on after 00:00 UTC; answers so far are kept",
    )


def micro(name: str, dollars: float) -> int:
    """Return a limit in micro-USD.

    Raises:
        ValueError: it is negative, not finite, or absurdly high.
    """
    if not (math.isfinite(dollars) and 0 <= dollars <= 1e9):
        raise ValueError(f"{name} = {dollars!r} must be a number from 0 to 1e9 US dollars")
    return round(dollars * 1_000_000)


def usd(amount: int) -> str:
    """Return an amount in dollars, for a message."""
    return f"${amount / 1_000_000:.6f}".rstrip("0").rstrip(".")
