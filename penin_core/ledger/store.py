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
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

from penin_core.errors import LedgerInvalid, PeninError, StateError

from . import queries
from .audit import Verification
from .drafts import Appendable, Draft
from .files import FileLock, is_file, sync_folder
from .queries import Entry, StoredEntry
from .schema import APPLICATION_ID, INSERT, MIGRATIONS, PRAGMAS, SCHEMA_VERSION

__all__ = ["SQLITE_VERSION", "Entry", "StoredEntry", "Verification", "WORMLedger"]

#: The version of SQLite that is used.
SQLITE_VERSION = sqlite3.sqlite_version_info


_HINT = "The state directory must be a writable folder with space left, on a local file system."


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
            _close(self.lock, self._readers, [])
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
                with _blank(_pragma(connection, "user_version")) as blank:
                    return _checked(connection, blank, sizes)
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
            values = {name: _pragma(connection, name) for name in names}
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
            raise _explained(error, self.path, "written") from error
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
            self._writers.append(_open_for_writing(self.path))
            self._suspect = False
        return self._writers[0]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._reading_one_by_one:
            try:
                if not self._readers and is_file(self.path):
                    self._readers.extend(_open_for_reading(self.path))
                if self._readers:
                    yield self._readers[0]
                else:
                    with _blank() as nothing_written_yet:
                        yield nothing_written_yet
            except sqlite3.Error as error:
                raise _explained(error, self.path, "read") from error


def _insert(connection: sqlite3.Connection, draft: Draft) -> list[Entry]:
    first = queries.size(connection)
    for idx, (leaf, row) in enumerate(zip(draft.leaves, draft.rows, strict=True), first):
        connection.execute("INSERT INTO entries VALUES (?, ?)", (idx, leaf))
        connection.execute(INSERT[row.table], (*row.values, idx))
    return draft.entries(first)


def _close(
    lock: FileLock, readers: list[sqlite3.Connection], writers: list[sqlite3.Connection]
) -> None:
    while readers:
        readers.pop().close()
    if writers:
        with lock:
            writers.pop().close()
        lock.close()


def _checked(
    connection: sqlite3.Connection, blank: sqlite3.Connection, sizes: Collection[int]
) -> tuple[Verification, dict[int, bytes]]:
    try:
        return queries.check(connection, blank, sizes)
    except sqlite3.OperationalError:
        # Text that is no longer UTF-8 must differ, not raise.
        connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        return queries.check(connection, blank, sizes)


@contextmanager
def _blank(version: int | None = None) -> Iterator[sqlite3.Connection]:
    """Give an empty ledger in memory, of the current schema version unless told."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _migrate(connection, 0, version)
        yield connection


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    with _closed_on_error(connection):
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")
    return connection


def _open_for_reading(path: Path) -> list[sqlite3.Connection]:
    """Open the ledger read-only: one connection, none as long as nothing was written."""
    with _closed_on_error(_connect(path, "ro")) as connection:
        if _version(connection, path):
            return [connection]
    connection.close()
    return []


def _open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the ledger; make it, or bring it to the current schema version. Needs the lock."""
    try:
        if not is_file(path) or path.stat().st_size == 0:
            _make(path)
        with _closed_on_error(_connect(path, "rw")) as connection:
            version = _version(connection, path)
            _use_log(connection, path)
            _migrate(connection, version)
            return connection
    except sqlite3.Error as error:
        raise _explained(error, path, "opened for writing") from error
    except OSError as error:
        raise StateError(f"{path} cannot be made: {error.strerror}", hint=_HINT) from error


def _make(path: Path) -> None:
    """Make an empty ledger aside: a reader finds all of it, or nothing, whatever happens here."""
    aside = path.with_name(f".{path.name}-new")
    for leftover in ("", "-journal", "-wal", "-shm"):
        aside.with_name(aside.name + leftover).unlink(missing_ok=True)
    with closing(_connect(aside, "rwc")) as connection:
        _use_log(connection, path)
        _migrate(connection, 0)
        # Closing would do it, but says nothing when it fails.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    aside.replace(path)
    sync_folder(path.parent)


def _use_log(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StateError(f"{path} cannot use a write-ahead log: journal_mode is {mode}")


def _migrate(connection: sqlite3.Connection, version: int, until: int | None = None) -> None:
    for step, statements in enumerate(MIGRATIONS[version:until], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {step}")
        connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version, 0 for an empty database; refuse what is not a ledger."""
    application, version = (_pragma(connection, n) for n in ("application_id", "user_version"))
    objects = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if (application, version, objects) == (0, 0, 0):
        return 0
    if application != APPLICATION_ID or version < 1:
        raise LedgerInvalid(
            f"{path} is a database, but not a ledger of penin",
            hint="Choose another state directory; this file was left as it is.",
        )
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} has schema version {version}, this penin knows up to {SCHEMA_VERSION}",
            hint="Upgrade penin-core.",
        )
    return int(version)


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _explained(error: sqlite3.Error, path: Path, what: str) -> PeninError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        hint = "Restore the state directory from a copy; the file was left as it is."
        return LedgerInvalid(f"{path} is damaged: {error}", hint=hint)
    return StateError(f"{path} cannot be {what}: {error}", hint=_HINT)
