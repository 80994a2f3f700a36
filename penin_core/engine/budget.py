"""Money: the most that a call can cost is reserved before it is sent, and settled after.

All amounts are integer micro-USD. A day is a UTC day. The file is shared by every process that uses
the same state directory, so that together they stay under the limit of the day.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from penin_core.errors import BudgetExceeded

from .cache import Database

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
_SETTLE = (
    "UPDATE reservation SET state = 'settled', spent = coalesce(?, bound)"
    " WHERE id = ? AND state = 'open' RETURNING day, bound, spent"
)
_RELEASE = (
    "UPDATE reservation SET state = 'released', spent = 0"
    " WHERE id = ? AND state = 'open' RETURNING day, bound, spent"
)
#: What reserves nothing: a free call leaves no trace here.
FREE = 0
_WARN_AT = 0.95


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money that may have been spent: a call that is in flight, or whose process was killed."""

    id: int
    day: str
    key: str
    bound_micro_usd: int


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
        self._daily = _micro("daily_usd", daily_usd)
        self._max = None if max_usd is None else _micro("max_usd", max_usd)
        self._now = now
        self._database: Database | None = None
        self._mine: dict[int, int] = {}
        self._spent = 0

    @property
    def spent_by_this_run(self) -> int:
        """Micro-USD that were settled through this object."""
        return self._spent

    def reserve(self, upper_bound_micro_usd: int, key: str) -> int:
        """Reserve the most that a call can cost; return the number of the reservation.

        Nothing is written for a call that is free.

        Raises:
            BudgetExceeded: it would be more than what is left of the day or of the run.
            StateError: the file cannot be used.
        """
        bound = upper_bound_micro_usd
        if bound < 0:
            raise ValueError(f"a reservation of {bound} micro-USD is negative")
        if bound == FREE:
            return FREE
        if self._daily == 0:
            raise BudgetExceeded(
                f"the next call can cost up to {_usd(bound)}, and the daily limit is $0",
                hint="set [budget] daily_usd above 0 to allow paid calls",
            )
        self._check_run(bound)
        day = self._today()
        with self._open().write() as connection:
            connection.execute("INSERT OR IGNORE INTO day (day) VALUES (?)", (day,))
            terms = {"bound": bound, "day": day, "limit": self._daily}
            if connection.execute(_RESERVE, terms).rowcount != 1:
                raise self._refusal(bound, day)
            row = (day, key, bound)
            insert = "INSERT INTO reservation (day, key, bound) VALUES (?, ?, ?)"
            number = int(connection.execute(insert, row).lastrowid or 0)
        self._mine[number] = bound
        return number

    def settle(self, reservation: int, actual_micro_usd: int | None) -> None:
        """Replace a reservation by what was paid; None charges all that was reserved.

        The full amount counts, even where it is more than the reservation.

        Raises:
            ValueError: there is no such open reservation.
            StateError: the file cannot be used.
        """
        self._finish(reservation, _SETTLE, (actual_micro_usd, reservation))

    def release(self, reservation: int) -> None:
        """Give a reservation back: the call is known to have cost nothing.

        Raises:
            ValueError: there is no such open reservation.
            StateError: the file cannot be used.
        """
        self._finish(reservation, _RELEASE, (reservation,))

    def spent_today(self) -> int:
        """Return the micro-USD that were settled today, by every process."""
        if not self._path.exists():
            return 0
        rows = self._open().rows("SELECT spent FROM day WHERE day = ?", (self._today(),))
        return int(rows[0][0]) if rows else 0

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
        if self._database is None:
            self._database = Database(self._path, _SCHEMA)
        return self._database

    def _today(self) -> str:
        return self._now().astimezone(UTC).date().isoformat()

    def _finish(self, reservation: int, statement: str, values: tuple[int | None, ...]) -> None:
        if reservation == FREE:
            return
        with self._open().write() as connection:
            row = connection.execute(statement, values).fetchone()
            if row is None:
                raise ValueError(f"there is no open reservation {reservation}")
            day, bound, spent = row
            update = "UPDATE day SET reserved = reserved - ?, spent = spent + ? WHERE day = ?"
            connection.execute(update, (bound, spent, day))
        self._mine.pop(reservation, None)
        self._spent += spent
        self._warn(day)

    def _check_run(self, bound: int) -> None:
        reserved = sum(self._mine.values())
        if self._max is not None and self._spent + reserved + bound > self._max:
            raise BudgetExceeded(
                f"the next call can cost up to {_usd(bound)}, but this run may spend "
                f"{_usd(self._max)}: {_usd(self._spent)} are spent, {_usd(reserved)} reserved",
                hint="raise the limit of the run (--max-usd); answers so far are kept",
            )

    def _refusal(self, bound: int, day: str) -> BudgetExceeded:
        query = "SELECT spent, reserved FROM day WHERE day = ?"
        spent, reserved = self._open().rows(query, (day,))[0]
        return BudgetExceeded(
            f"the next call can cost up to {_usd(bound)}, but the limit of {day} (UTC) is "
            f"{_usd(self._daily)}: {_usd(spent)} are spent, {_usd(reserved)} reserved",
            hint="raise [budget] daily_usd or go on after 00:00 UTC; answers so far are kept",
        )

    def _warn(self, day: str) -> None:
        threshold = math.ceil(self._daily * _WARN_AT)
        query = "SELECT 1 FROM day WHERE day = ? AND warned = 0 AND spent >= ?"
        if not self._open().rows(query, (day, threshold)):
            return
        with self._open().write() as connection:
            mark = "UPDATE day SET warned = 1 WHERE day = ? AND warned = 0"
            first = connection.execute(mark, (day,)).rowcount == 1
        if first:
            logger.warning("95 %% of the limit of %s (%s) is spent", day, _usd(self._daily))


def _micro(name: str, usd: float) -> int:
    if not (math.isfinite(usd) and 0 <= usd <= 1e9):
        raise ValueError(f"{name} = {usd!r} must be a number from 0 to 1e9 US dollars")
    return round(usd * 1_000_000)


def _usd(micro: int) -> str:
    return f"${micro / 1_000_000:.6f}".rstrip("0").rstrip(".")
