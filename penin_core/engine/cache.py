"""Every answer that was ever given, so that nothing is asked, or paid, twice.

The key of an answer stands for everything that can change it, the repeat number included, so that
repeats stay independent draws. A row that does not match its checksum is a miss.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penin_core.errors import StateError
from penin_core.records import Completion

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, sha256 TEXT NOT NULL
) STRICT
"""
#: SQLite takes at least 999 parameters in one statement.
_CHUNK = 500
_ROWS = 300


class Database:
    """One SQLite file that several processes share.

    WAL with ``synchronous=FULL``, so that what was committed survives a power cut. A file lock is
    held around every write and around the close: SQLite before 3.51.3 can lose data when two
    connections reset the WAL at once, and without a lock its busy handler starves writers. Threads
    may share the object; they take turns.

    Raises:
        StateError: the file cannot be opened, read or written, or is no database.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._turn = threading.RLock()
        with ExitStack() as undo, self._named_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, self._lock)
            # Prompts and answers are private; SQLite gives its side files the mode of this one. A
            # file that is there is left alone: to close it would drop the locks that another
            # connection of this process has on it (POSIX), and others would delete its WAL.
            with suppress(FileExistsError):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(path, flags, 0o600))
            # Used by one thread at a time, whichever it is: see the lock of threads below.
            self._connection = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            undo.callback(self._connection.close)
            self._prepare(schema)
            undo.pop_all()

    def _prepare(self, schema: str) -> None:
        with self._named_errors():
            with self._locked():
                self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA trusted_schema=OFF")
            self._connection.execute("PRAGMA cell_size_check=ON")
        with self.write() as connection:
            for statement in filter(None, map(str.strip, schema.split(";"))):
                connection.execute(statement)

    def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[Any]:
        """Return what a query finds."""
        with self._named_errors(), self._turn:
            return self._connection.execute(sql, tuple(parameters)).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open one transaction; it is committed whole, or rolled back when the block raises."""
        with self._named_errors(), self._locked():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; the last one to do so writes the WAL back."""
        with self._named_errors():
            with self._locked():
                self._connection.close()
            os.close(self._lock)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._turn:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"{self.path} cannot be used: {error}",
                hint="check the disk and the permissions; if the file is damaged, move it away",
            ) from error


class ResponseCache:
    """Answers by key, in one file that appears with the first answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: Database | None = None
        self._opening = threading.Lock()

    def get_many(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Return the answers that are known; damaged rows are deleted and count as unknown.

        Raises:
            StateError: the file cannot be used.
        """
        if self._database is None and not self._path.exists():
            return {}
        database, wanted = self._open(), list(keys)
        found: dict[str, Completion] = {}
        damaged: list[str] = []
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT key, value, sha256 FROM answer WHERE key IN ({marks})"  # noqa: S608
            for key, value, checksum in database.rows(query, chunk):
                completion = _read(key, value, checksum)
                if completion is None:
                    damaged.append(key)
                else:
                    found[key] = completion
        self._forget(damaged)
        return found

    def put_many(self, items: Iterable[tuple[str, Completion]]) -> None:
        """Keep ``items`` in one transaction. The first answer to a key stays: it was used.

        Raises:
            StateError: the file cannot be used.
        """
        rows = [_row(key, completion) for key, completion in items]
        if rows:
            with self._open().write() as connection:
                for start in range(0, len(rows), _ROWS):
                    some = rows[start : start + _ROWS]
                    # One statement, so that the event loop is not held up row by row.
                    marks = ",".join(["(?,?,?)"] * len(some))
                    insert = f"INSERT OR IGNORE INTO answer VALUES {marks}"  # noqa: S608
                    connection.execute(insert, [value for row in some for value in row])

    def close(self) -> None:
        """Close the file; the cache opens it again when it is used again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> Database:
        with self._opening:
            if self._database is None:
                self._database = Database(self._path, _SCHEMA)
            return self._database

    def _forget(self, damaged: list[str]) -> None:
        if damaged:
            logger.warning("%s: %d damaged answers are asked again", self._path, len(damaged))
            with self._open().write() as connection:
                connection.executemany("DELETE FROM answer WHERE key = ?", [(k,) for k in damaged])


def _row(key: str, completion: Completion) -> tuple[str, str, str]:
    value = completion.model_dump_json()
    return key, value, _checksum(key, value)


def _checksum(key: str, value: str) -> str:
    # The key is part of it: an answer that moved to another question is damage too.
    return hashlib.sha256(f"{key}\n{value}".encode(errors="surrogatepass")).hexdigest()


def _read(key: str, value: str, checksum: str) -> Completion | None:
    if _checksum(key, value) != checksum:
        return None
    try:
        return Completion.model_validate_json(value)
    except ValidationError:
        return None
