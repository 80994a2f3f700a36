"""The tables of ``ledger.db`` and the triggers that keep them append-only, as SQL.

The triggers stop mistakes, not attackers: whoever may write the file may drop them. What an
attacker cannot do unnoticed is decided by the Merkle root.
"""

from __future__ import annotations

from .leaves import LEAF_LIMIT
from .rows import BODY_COLUMNS, COLUMNS, EVENT_KINDS, Column

#: ``PRAGMA application_id`` of a ledger: "PENI" in ASCII.
APPLICATION_ID = 0x50454E49
#: What is set on every connection; the file itself is in ``journal_mode`` WAL.
PRAGMAS = {
    "busy_timeout": 30_000,
    "synchronous": 2,  # FULL: the log is synced at every commit
    "foreign_keys": 1,
    "recursive_triggers": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "mmap_size": 0,
}
INSERT = {
    table: f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})"  # noqa: S608
    for table, names in COLUMNS.items()
}
SELECT = {
    table: f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608
    for table, names in COLUMNS.items()
}

_SQL_TYPES = {"FLAG": "INTEGER"}


def _run_column(column: Column) -> str:
    words = [column.name, _SQL_TYPES.get(column.type, column.type)]
    if column.name == "id":
        words.append("PRIMARY KEY")
    if column.required:
        words.append("NOT NULL")
    check = f"{column.name} IN (0, 1)" if column.type == "FLAG" else column.check
    if check:
        words.append(f"CHECK ({check.format(column.name)})")
    return " ".join(words)


_ENTRIES = f"""CREATE TABLE entries (
  idx INTEGER PRIMARY KEY CHECK (idx >= 0),
  leaf BLOB NOT NULL CHECK (length(leaf) BETWEEN 1 AND {LEAF_LIMIT})
) STRICT"""

_RUNS = f"""CREATE TABLE runs (
  {", ".join(map(_run_column, BODY_COLUMNS))},
  ts REAL NOT NULL,
  cost_usd REAL CHECK (cost_usd >= 0),
  leaf_hash TEXT NOT NULL CHECK (length(leaf_hash) = 64),
  idx INTEGER NOT NULL UNIQUE REFERENCES entries (idx)
) STRICT"""

_EVENTS = f"""CREATE TABLE events (
  ts REAL NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ({", ".join(f"'{kind}'" for kind in EVENT_KINDS)})),
  run_id TEXT,
  body TEXT NOT NULL,
  leaf_hash TEXT NOT NULL CHECK (length(leaf_hash) = 64),
  idx INTEGER PRIMARY KEY REFERENCES entries (idx)
) STRICT"""


def _refuse(table: str, action: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: no {action}'); END"
    )


# INSERT OR REPLACE deletes the old row without firing its DELETE trigger unless the connection
# turned recursive_triggers on. These fire on every connection, before the old row is touched.
_DENSE_ENTRIES = """CREATE TRIGGER entries_dense BEFORE INSERT ON entries
WHEN NEW.idx IS NOT (SELECT coalesce(max(idx), -1) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'entries is append-only: the next idx is the number of entries'); END"""


def _dense_view(table: str) -> str:
    # The names are the two of this module; nothing from outside gets into the text.
    return f"""CREATE TRIGGER {table}_dense BEFORE INSERT ON {table}
WHEN NEW.idx IS NOT (SELECT max(idx) FROM entries)
  OR EXISTS (SELECT 1 FROM runs WHERE idx >= NEW.idx)
  OR EXISTS (SELECT 1 FROM events WHERE idx >= NEW.idx)
BEGIN SELECT RAISE(ABORT, '{table} is append-only: one new row for the last entry'); END"""  # noqa: S608


_RUN_ONCE = """CREATE TRIGGER runs_once BEFORE INSERT ON runs
WHEN EXISTS (SELECT 1 FROM runs WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'runs is append-only: a run id is used once'); END"""


_SCHEMA_1 = (
    _ENTRIES,
    _RUNS,
    _EVENTS,
    "CREATE INDEX runs_by_cycle ON runs (cycle_id)",
    "CREATE INDEX events_by_kind ON events (kind, idx)",
    *(
        _refuse(table, action)
        for table in ("entries", "runs", "events")
        for action in ("UPDATE", "DELETE")
    ),
    _DENSE_ENTRIES,
    _dense_view("runs"),
    _RUN_ONCE,
    _dense_view("events"),
)

#: Step n takes a database from schema version n to n + 1; version 0 is an empty file.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_SCHEMA_1,)
#: The version that this code writes, kept in ``PRAGMA user_version``.
SCHEMA_VERSION = len(MIGRATIONS)
