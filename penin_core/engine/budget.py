"""Money: the most that a call can cost is reserved before it is sent, and settled after.

All amounts are integer micro-USD. A day is a UTC day. The file is shared by every process that uses
the same state directory, so that together they stay under the limit of the day.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from penin_core.errors import BudgetExceeded

from .cache import Database
from .money import FREE, End, Ended, Purse, Reservation, Wish, day_refusal, micro, usd

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS day (
    day TEXT PRIMARY KEY,
    spent INTEGER NOT NULL DEFAULT 0 CHECK (spent >= 0),
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    warned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS reservation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    day TEXT NOT NULL REFERENCES day (day),
    key TEXT NOT NULL,
    bound INTEGER NOT NULL CHECK (bound > 0),
    spent INTEGER CHECK (spent >= 0),
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'released'))
) STRICT;
CREATE INDEX IF NOT EXISTS reservation_open ON reservation (id) WHERE state = 'open'
"""
#: Check and reservation are this one statement, so nobody can come between them.
_RESERVE = (
    "UPDATE day SET reserved = reserved + :bound"
    " WHERE day = :day AND spent + reserved + :bound <= :limit"
)
# Rows go in and out as one text of JSON: between two rows another thread could take the interpreter
# away, and give it back only much later.
_INSERT = (
    "INSERT INTO reservation (day, key, bound)"
    " SELECT :day, json_extract(value, '$[1]'), json_extract(value, '$[0]') FROM json_each(:wishes)"
)
_OPEN = (
    "SELECT json_group_array(json_array(id, day, bound)) FROM reservation"
    " WHERE state = 'open' AND id IN (SELECT value FROM json_each(?))"
)
_END = (
    "UPDATE reservation SET state = :state, spent = ended.value FROM json_each(:ended) AS ended"
    " WHERE reservation.id = CAST(ended.key AS INTEGER)"
)
_SETTLE_DAY = (
    "UPDATE day SET reserved = reserved - :freed, spent = spent + :spent WHERE day = :day"
    " RETURNING spent >= :near AND NOT warned"
)
_WARN_AT = 0.95


class Budget:
    """What may be spent: ``daily_usd`` by all processes in a UTC day, ``max_usd`` by this object.

    ``daily_usd`` 0 allows no paid call at all. A reservation counts as spent until it is settled
    or released, also when its process is killed: what was in flight may have been billed.

    Raises:
        ValueError: a limit is negative, not finite, or absurdly high.
    """

    def __init__(
        self,
        path: Path,
        daily_usd: float = 5.0,
        max_usd: float | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._daily = micro("daily_usd", daily_usd)
        self._purse = Purse(None if max_usd is None else micro("max_usd", max_usd))
        self._now = now
        self._database: Database | None = None
        self._opening = threading.Lock()

    @property
    def spent_by_this_run(self) -> int:
        """Micro-USD that were settled through this object."""
        return self._purse.spent

    @property
    def limit_today(self) -> int:
        """Micro-USD that all processes together may spend in a day."""
        return self._daily

    def reserve(self, upper_bound_micro_usd: int, key: str) -> int:
        """Reserve the most that a call can cost; return the number of the reservation.

        Nothing is written for a call that is free.

        Raises:
            BudgetExceeded: it would be more than what is left of the day or of the run.
            StateError: the file cannot be used.
        """
        _, (made,) = self.apply([], [Wish(upper_bound_micro_usd, key)])
        if isinstance(made, BudgetExceeded):
            raise made
        return made

    def settle(self, reservation: int, actual_micro_usd: int | None) -> None:
        """Replace a reservation by what was paid; None charges all that was reserved.

        The full amount counts, even where it is more than the reservation.

        Raises:
            ValueError: there is no such open reservation.
            StateError: the file cannot be used.
        """
        self._finish(End(reservation, actual_micro_usd))

    def release(self, reservation: int) -> None:
        """Give a reservation back: the call is known to have cost nothing.

        Raises:
            ValueError: there is no such open reservation.
            StateError: the file cannot be used.
        """
        self._finish(End(reservation, 0, "released"))

    def apply(
        self, ends: Sequence[End], wishes: Sequence[Wish]
    ) -> tuple[list[ValueError | None], list[int | BudgetExceeded]]:
        """End some reservations and make others, in one transaction; what cannot be, says so.

        Money that is given back can be reserved at once.

        Raises:
            ValueError: a bound is negative.
            StateError: the file cannot be used; nothing has changed.
        """
        if any(wish.bound < 0 for wish in wishes):
            raise ValueError(f"a reservation of {min(wishes).bound} micro-USD is negative")
        paid = [wish for wish in wishes if wish.bound != FREE]
        real = [end for end in ends if end.reservation != FREE]
        if not real and not (paid and self._daily):
            return [None] * len(ends), [self._without_a_trace(wish) for wish in wishes]
        day = self._today()
        # The purse follows the file, and a commit can fail.
        with self._purse.kept(), self._open().write() as connection:
            ended = _end(connection, real)
            near = _settle_days(connection, ended, math.ceil(self._daily * _WARN_AT))
            for each in ended:
                self._purse.end(each)
            made = iter(self._make(connection, day, paid))
        for full in near:
            logger.warning("95 %% of the limit of %s (%s) is spent", full, usd(self._daily))
        found = {each.reservation for each in ended} | {FREE}
        return (
            [None if end.reservation in found else _unknown(end) for end in ends],
            [FREE if wish.bound == FREE else next(made) for wish in wishes],
        )

    def spent_today(self) -> int:
        """Return the micro-USD that were settled today, by every process."""
        if not self._path.exists():
            return 0
        rows = self._open().rows("SELECT spent FROM day WHERE day = ?", (self._today(),))
        return int(rows[0][0]) if rows else 0

    def by_day(self, days: int) -> dict[date, int]:
        """Return the micro-USD that were settled on each of the last ``days`` that have any."""
        if not self._path.exists():
            return {}
        query = "SELECT day, spent FROM day ORDER BY day DESC LIMIT ?"
        rows = self._open().rows(query, (days,))
        return {date.fromisoformat(day): int(spent) for day, spent in rows}

    def open_reservations(self) -> tuple[Reservation, ...]:
        """Return what is reserved and not settled, oldest first, of every process and day."""
        if not self._path.exists():
            return ()
        query = "SELECT id, day, key, bound FROM reservation WHERE state = 'open' ORDER BY id"
        return tuple(Reservation(*row) for row in self._open().rows(query))

    def close(self) -> None:
        """Close the file; what is open in it stays reserved."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> Database:
        with self._opening:
            if self._database is None:
                self._database = Database(self._path, _SCHEMA)
            return self._database

    def _today(self) -> str:
        return self._now().astimezone(UTC).date().isoformat()

    def _finish(self, end: End) -> None:
        (problem,), _ = self.apply([end], [])
        if problem is not None:
            raise problem

    def _without_a_trace(self, wish: Wish) -> int | BudgetExceeded:
        """Return what a call gets where nothing is written: it is free, or the limit is 0."""
        return FREE if wish.bound == FREE else day_refusal(wish.bound, "", 0, 0, 0)

    def _make(
        self, connection: sqlite3.Connection, day: str, wishes: Sequence[Wish]
    ) -> list[int | BudgetExceeded]:
        """Reserve for paid calls, in turn, until the limits are reached."""
        if not wishes:
            return []
        refusals = self._refusals(connection, day, wishes)
        granted = [wish for wish, no in zip(wishes, refusals, strict=True) if no is None]
        if not granted:
            return [no for no in refusals if no is not None]
        rows = {"day": day, "wishes": json.dumps(granted)}
        last = connection.execute(_INSERT, rows).lastrowid or 0
        numbers = range(last - len(granted) + 1, last + 1)
        for number, wish in zip(numbers, granted, strict=True):
            self._purse.hold(number, wish.bound)
        free = iter(numbers)
        return [next(free) if no is None else no for no in refusals]

    def _refusals(
        self, connection: sqlite3.Connection, day: str, wishes: Sequence[Wish]
    ) -> list[BudgetExceeded | None]:
        """Take from the day what all ask for, at once or in turn; say why not where it is not."""
        total = sum(wish.bound for wish in wishes)
        if self._purse.refusal(total) is None and self._take(connection, day, total):
            return [None] * len(wishes)
        connection.execute("INSERT OR IGNORE INTO day (day) VALUES (?)", (day,))
        found: list[BudgetExceeded | None] = []
        taken = 0
        for bound, _ in wishes:
            no = self._purse.refusal(bound, taken)
            if no is None and not self._take(connection, day, bound):
                query = "SELECT spent, reserved FROM day WHERE day = ?"
                spent, reserved = connection.execute(query, (day,)).fetchone()
                no = day_refusal(bound, day, self._daily, spent, reserved)
            taken += 0 if no else bound
            found.append(no)
        return found

    def _take(self, connection: sqlite3.Connection, day: str, bound: int) -> bool:
        terms = {"bound": bound, "day": day, "limit": self._daily}
        return connection.execute(_RESERVE, terms).rowcount == 1


def _unknown(end: End) -> ValueError:
    return ValueError(f"there is no open reservation {end.reservation}")


def _end(connection: sqlite3.Connection, ends: Sequence[End]) -> list[Ended]:
    if not ends:
        return []
    wanted = {end.reservation: end for end in ends}
    (found,) = connection.execute(_OPEN, (json.dumps([*wanted]),)).fetchone()
    ended: list[Ended] = []
    for number, day, bound in json.loads(found):
        spent = wanted[number].spent
        ended.append(Ended(number, day, bound, bound if spent is None else spent))
    by_state: dict[str, dict[int, int]] = {}
    for each in ended:
        by_state.setdefault(wanted[each.reservation].state, {})[each.reservation] = each.spent
    for state, spent_by in by_state.items():
        connection.execute(_END, {"state": state, "ended": json.dumps(spent_by)})
    return ended


def _settle_days(connection: sqlite3.Connection, ended: Sequence[Ended], near: int) -> list[str]:
    """Count what ended in its days; return those that reach ``near`` for the first time."""
    reached = []
    for day in sorted({each.day for each in ended}):
        freed = sum(each.bound for each in ended if each.day == day)
        spent = sum(each.spent for each in ended if each.day == day)
        terms = {"freed": freed, "spent": spent, "day": day, "near": near}
        if connection.execute(_SETTLE_DAY, terms).fetchall() == [(1,)]:
            connection.execute("UPDATE day SET warned = 1 WHERE day = ?", (day,))
            reached.append(day)
    return reached
