"""``live.db``: how far experiments are, which request was whose, and the traffic that is kept.

What was decided stands in the ledger; this file makes it possible to go on after a restart. It is
written in one transaction every quarter of a second at most, so a killed process loses no more.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from penin_core.engine.cache import Database

FILE = "live.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS trial (
    experiment TEXT PRIMARY KEY, state TEXT NOT NULL, serving INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY, at REAL NOT NULL, experiment TEXT, arm TEXT NOT NULL, user TEXT NOT NULL,
    score REAL
) STRICT;
CREATE INDEX IF NOT EXISTS request_at ON request (at);
CREATE TABLE IF NOT EXISTS vote (
    experiment TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (experiment, user)
) STRICT;
CREATE TABLE IF NOT EXISTS answered (
    experiment TEXT NOT NULL, arm TEXT NOT NULL, user TEXT NOT NULL,
    PRIMARY KEY (experiment, arm, user)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (
    id TEXT PRIMARY KEY, at REAL NOT NULL, user TEXT NOT NULL, content TEXT NOT NULL, score REAL
) STRICT;
CREATE INDEX IF NOT EXISTS traffic_at ON traffic (at)
"""
#: How many requests can be given feedback; of older ones nothing is known any more.
KEPT_REQUESTS = 1_000_000


class Row(NamedTuple):
    """A request that was answered; ``user`` is a digest that only this state directory can make."""

    id: str
    at: float
    experiment: str | None
    arm: str
    user: str


class Kept(NamedTuple):
    """A request that is kept as a possible task; ``score`` is the last feedback, if any."""

    id: str
    at: float
    user: str
    content: dict[str, Any]
    score: float | None = None


@dataclass
class Pass:
    """What one pass has to write."""

    requests: dict[str, Row]
    traffic: list[Kept]
    scores: dict[str, float]
    votes: set[tuple[str, str]]
    answered: set[tuple[str, str, str]]
    trial: tuple[str, dict[str, Any], bool] | None = None

    @classmethod
    def empty(cls) -> Pass:
        """Return nothing to write."""
        return cls({}, [], {}, set(), set())

    def __bool__(self) -> bool:
        return bool(self.requests or self.traffic or self.scores or self.votes or self.trial)


class _Reading(Database):
    """A connection that changes nothing, and so waits for no writer."""

    def _prepare(self, schema: str) -> None:
        with self._named_errors():
            self._connection.execute("PRAGMA query_only=ON")


class LiveReader:
    """What stands in the file, for any process.

    Raises:
        StateError: it cannot be read.
    """

    def __init__(self, state: Path) -> None:
        self._reading = _Reading(state / FILE, "")

    def close(self) -> None:
        """Close the file."""
        self._reading.close()

    def request(self, request_id: str) -> Row | None:
        """Return a request that was written down."""
        query = "SELECT id, at, experiment, arm, user FROM request WHERE id = ?"
        found = self._reading.rows(query, (request_id,))
        return Row(*found[0]) if found else None

    def voted(self, experiment: str, user: str) -> bool:
        """Say whether feedback of a user counts already in an experiment."""
        query = "SELECT 1 FROM vote WHERE experiment = ? AND user = ?"
        return bool(self._reading.rows(query, (experiment, user)))

    def answered(self, experiment: str, arm: str, user: str) -> bool:
        """Say whether one side of an experiment has answered a user."""
        query = "SELECT 1 FROM answered WHERE experiment = ? AND arm = ? AND user = ?"
        return bool(self._reading.rows(query, (experiment, arm, user)))

    def trial(self, experiment: str) -> tuple[Mapping[str, Any], bool] | None:
        """Return the state of an experiment, and whether a process was serving it then."""
        query = "SELECT state, serving FROM trial WHERE experiment = ?"
        found = self._reading.rows(query, (experiment,))
        return (json.loads(found[0][0]), bool(found[0][1])) if found else None

    def traffic(self, since: float = 0.0) -> Iterable[Kept]:
        """Return what was kept since a time, oldest first."""
        query = "SELECT id, at, user, content, score FROM traffic WHERE at >= ? ORDER BY at, id"
        for name, at, user, content, score in self._reading.rows(query, (since,)):
            yield Kept(name, at, user, json.loads(content), score)


class LiveStore(LiveReader):
    """The file for the one process that writes it.

    Raises:
        StateError: it cannot be used.
    """

    def __init__(self, state: Path) -> None:
        self._writing = Database(state / FILE, _SCHEMA)
        # A connection of its own: whoever looks something up waits for no writer.
        super().__init__(state)
        self._secret = self._made_secret()

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._writing.close()

    def user_of(self, key: str) -> str:
        """Return the digest that stands for a user; without this file nobody can make it."""
        keyed = hashlib.blake2b(key.encode(errors="surrogatepass"), key=self._secret, digest_size=8)
        return keyed.hexdigest()

    def write(self, work: Pass) -> None:
        """Write what one pass found, all of it or nothing.

        Raises:
            StateError: the disk is full, or the file is locked or damaged.
        """
        with self._writing.write() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO request VALUES (?, ?, ?, ?, ?, NULL)",
                work.requests.values(),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO traffic VALUES (?, ?, ?, ?, ?)",
                [(k.id, k.at, k.user, _json(k.content), k.score) for k in work.traffic],
            )
            scores = [(score, name) for name, score in work.scores.items()]
            connection.executemany("UPDATE request SET score = ? WHERE id = ?", scores)
            connection.executemany("UPDATE traffic SET score = ? WHERE id = ?", scores)
            connection.executemany("INSERT OR IGNORE INTO vote VALUES (?, ?)", work.votes)
            connection.executemany("INSERT OR IGNORE INTO answered VALUES (?, ?, ?)", work.answered)
            if work.trial is not None:
                name, state, serving = work.trial
                row = (name, _json(state), int(serving))
                connection.execute("INSERT OR REPLACE INTO trial VALUES (?, ?, ?)", row)

    def prune(self, oldest: float, most: int) -> None:
        """Forget traffic from before ``oldest``, and what goes beyond the newest ``most`` of it.

        Of all requests, the newest million stay known; who was answered, of the last experiment.

        Raises: StateError: as ``write``.
        """
        last = "DELETE FROM {0} WHERE rowid <= (SELECT max(rowid) FROM {0}) - ?"
        with self._writing.write() as connection:
            connection.execute("DELETE FROM traffic WHERE at < ?", (oldest,))
            connection.execute(last.replace("{0}", "traffic"), (most,))
            connection.execute(last.replace("{0}", "request"), (KEPT_REQUESTS,))
            # Every state of a trial that is written is a new row, so the last one is the present.
            present = "SELECT experiment FROM trial ORDER BY rowid DESC LIMIT 1"
            connection.execute(f"DELETE FROM answered WHERE experiment NOT IN ({present})")  # noqa: S608

    def _made_secret(self) -> bytes:
        with self._writing.write() as connection:
            made = ("secret", secrets.token_hex(32))
            connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", made)
        found = self._reading.rows("SELECT value FROM about WHERE name = 'secret'")
        return bytes.fromhex(found[0][0])


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
