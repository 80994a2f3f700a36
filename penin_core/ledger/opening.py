"""Opening the file of a ledger: making it, checking whose it is, bringing its schema forward.

The write-ahead log and ``synchronous=FULL`` make a commit durable; the pragmas are in ``schema``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from penin_core.errors import LedgerInvalid, PeninError, StateError

from .files import is_file, sync_folder
from .schema import APPLICATION_ID, MIGRATIONS, PRAGMAS, SCHEMA_VERSION

_HINT = "The state directory must be a writable folder with space left, on a local file system."


def open_for_reading(path: Path) -> list[sqlite3.Connection]:
    """Open the ledger read-only: one connection, none as long as nothing was written.

    Raises:
        LedgerInvalid: it is a database, but not a ledger.
        StateError: a newer version of penin wrote it.
    """
    with _closed_on_error(_connect(path, "ro")) as connection:
        if _version(connection, path):
            return [connection]
    connection.close()
    return []


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the ledger; make it, or bring it to the current schema version. Needs the lock.

    Raises:
        LedgerInvalid: the file is damaged, or not a ledger.
        StateError: it cannot be made or written, or a newer version of penin wrote it.
    """
    try:
        if not is_file(path) or path.stat().st_size == 0:
            _make(path)
        with _closed_on_error(_connect(path, "rw")) as connection:
            version = _version(connection, path)
            _use_log(connection, path)
            _migrate(connection, version)
            return connection
    except sqlite3.Error as error:
        raise explained(error, path, "opened for writing") from error
    except OSError as error:
        raise StateError(f"{path} cannot be made: {error.strerror}", hint=_HINT) from error


@contextmanager
def blank(version: int | None = None) -> Iterator[sqlite3.Connection]:
    """Give an empty ledger in memory, of the current schema version unless told."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _migrate(connection, 0, version)
        yield connection


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    """Return what is set."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def explained(error: sqlite3.Error, path: Path, what: str) -> PeninError:
    """Return SQLite's error as one of ours; ``what`` is what could not be done to the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        hint = "Restore the state directory from a copy; the file was left as it is."
        return LedgerInvalid(f"{path} is damaged: {error}", hint=hint)
    return StateError(f"{path} cannot be {what}: {error}", hint=_HINT)


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
    application, version = (pragma(connection, n) for n in ("application_id", "user_version"))
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
