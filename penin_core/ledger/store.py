"""The ledger in SQLite: append, read, verify.

``entries(idx, leaf)`` is the ledger. ``runs`` and ``events`` are filled from it in the same
transaction and checked against it by ``verify``. Nothing is ever changed or deleted.

Lock rule: every write transaction, every checkpoint and every close of the read-write connection
happens under an exclusive ``flock`` on ``ledger.lock``. That makes waiting writers take turns, and
it keeps the two sides of SQLite's WAL-reset race (versions before 3.51.3) apart. The state
directory must lie on a local file system with working locks; network file systems are not
supported. Readers open the database read-only and neither wait for writers nor hold them up.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from penin_core.errors import LedgerInvalid

from . import queries
from .audit import Verification
from .drafts import Appendable, Draft
from .files import FileLock, is_file
from .opening import blank, explained, open_for_reading, open_for_writing, pragma
from .queries import Entry, StoredEntry
from .schema import INSERT, PRAGMAS

__all__ = ["SQLITE_VERSION", "Entry", "StoredEntry", "Verification", "WORMLedger"]

#: The version of SQLite that is used.
SQLITE_VERSION = sqlite3.sqlite_version_info


class WORMLedger(queries.Readable, Appendable):
    """A ledger that only grows, in the file ``path`` (``ledger.db`` of a state directory).

    The file is made by the first append; until then the ledger is empty. An object may be shared
    by threads, but not by processes: after a fork, open another one.

    Raises:
        LedgerInvalid: the file is damaged, or is not a ledger.
        StateError: the file cannot be read, or a newer version of penin wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        #: The lock of every writer; hold it to keep the ledger from growing meanwhile.
        self.lock = FileLock(self.path.with_suffix(".lock"))
        self._readers: list[sqlite3.Connection] = []
        self._writers: list[sqlite3.Connection] = []
        self._reading_one_by_one = threading.RLock()
        self._suspect = False
        # Also at the end of the program: the last close writes a checkpoint and needs the lock.
        weakref.finalize(self, _close, self.lock, self._readers, self._writers)
        with self._reading():
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; using the ledger again opens them again."""
        with self._reading_one_by_one:
            _close_all(self._readers)
        # Not inside: who holds the lock may be waiting to read.
        _close(self.lock, [], self._writers)

    def record_many(self, items: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Entry]:
        """Append ``(kind, body)`` pairs, all or none; when this returns they are on the disk.

        Raises:
            ValueError: an item has no canonical form, is longer than 65,535 bytes, has an unknown
                kind or field, lacks a required one, or reuses a run id. Nothing is appended.
            StateError: the state directory cannot be written.
            LedgerInvalid: the file is damaged, or an earlier write failed and the ledger no longer
                verifies.
        """
        draft = Draft.of(items)
        return self.record(draft) if draft.leaves else []

    def record(self, draft: Draft) -> list[Entry]:
        """Append a draft, all of it or nothing.

        Raises: as ``record_many``.
        """
        (found,) = self.append([draft])
        if isinstance(found, ValueError):
            raise found
        return found

    def append(self, drafts: Sequence[Draft]) -> list[list[Entry] | ValueError]:
        """Append drafts in one transaction; for one that breaks a rule, return the error instead.

        Raises: StateError, LedgerInvalid: as ``record_many``; then none is known to be appended.
        """
        with self.lock:
            try:
                return [*self._append(drafts)]
            except ValueError as error:
                if len(drafts) == 1:
                    return [error]
                # One of them took all others with it: each has to stand for itself.
                return [found for draft in drafts for found in self.append([draft])]

    def verify(self) -> Verification:
        """Check everything that this file can prove, in one snapshot; name what fails first.

        Indices without gaps, canonical leaves, rows equal to their entries, tables and triggers as
        this version makes them, and SQLite's own integrity check. A removed tail leaves no trace
        in this file: compare with the champion pointer or with a root that was kept elsewhere.
        """
        return self.audit()[0]

    def audit(self, sizes: Collection[int] = ()) -> tuple[Verification, dict[int, bytes]]:
        """Verify, and return the roots over the first so many entries too, for each of ``sizes``.

        Sizes beyond the ledger are left out.
        """
        with self._reading() as connection:
            try:
                connection.execute("BEGIN")
                # An earlier version is complete in itself; the next append brings it forward.
                with blank(pragma(connection, "user_version")) as model:
                    return _checked(connection, model, sizes)
            except sqlite3.DatabaseError as error:
                return Verification(False, 0, "", reason=f"{self.path} is damaged: {error}"), {}
            finally:
                connection.text_factory = str
                _roll_back(connection)

    def settings(self) -> dict[str, int | str]:
        """Return what is set on the connection that writes (opens it), and SQLite's version."""
        names = ("journal_mode", "application_id", "user_version", *PRAGMAS)
        with self.lock:
            connection = self._writer()
            values = {name: pragma(connection, name) for name in names}
        return {**values, "sqlite_version": sqlite3.sqlite_version}

    def _append(self, drafts: Sequence[Draft]) -> list[list[Entry]]:
        """Write drafts in one transaction, all or none."""
        connection = self._writer()
        try:
            connection.execute("BEGIN IMMEDIATE")
            found = [_insert(connection, draft) for draft in drafts]
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            raise ValueError(f"the ledger refuses this: {error}") from error
        except sqlite3.Error as error:
            # Whether it is on the disk is unknown, and a sync is never tried again on the same
            # file descriptor: give the connection up, and verify before the next append.
            self._suspect = True
            self._writers.pop().close()
            raise explained(error, self.path, "written") from error
        finally:
            if self._writers:
                _roll_back(connection)
        return found

    def _writer(self) -> sqlite3.Connection:
        if not self._writers:
            # A file that is not ours is refused before it is opened for writing.
            with self._reading():
                pass
            if self._suspect and (reason := self.verify().reason):
                raise LedgerInvalid(f"{self.path} is invalid after a failed write: {reason}")
            self._writers.append(open_for_writing(self.path))
            self._suspect = False
        return self._writers[0]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._reading_one_by_one:
            try:
                if not self._readers and is_file(self.path):
                    self._readers.extend(open_for_reading(self.path))
                if self._readers:
                    yield self._readers[0]
                else:
                    with blank() as nothing_written_yet:
                        yield nothing_written_yet
            except sqlite3.Error as error:
                raise explained(error, self.path, "read") from error


def _insert(connection: sqlite3.Connection, draft: Draft) -> list[Entry]:
    first = queries.size(connection)
    for idx, (leaf, row) in enumerate(zip(draft.leaves, draft.rows, strict=True), first):
        connection.execute("INSERT INTO entries VALUES (?, ?)", (idx, leaf))
        connection.execute(INSERT[row.table], (*row.values, idx))
    return draft.entries(first)


def _close(
    lock: FileLock, readers: list[sqlite3.Connection], writers: list[sqlite3.Connection]
) -> None:
    _close_all(readers)
    if writers:
        with lock:
            _close_all(writers)
    if not lock.held:
        # It may have been taken by who wrote nothing.
        lock.close()


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _checked(
    connection: sqlite3.Connection, model: sqlite3.Connection, sizes: Collection[int]
) -> tuple[Verification, dict[int, bytes]]:
    try:
        return queries.check(connection, model, sizes)
    except sqlite3.OperationalError:
        # Text that is no longer UTF-8 must differ, not raise.
        connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        return queries.check(connection, model, sizes)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
