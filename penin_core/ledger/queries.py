"""What is read from an open ledger: entries, rows of the two views, and the verification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from penin_core.errors import LedgerInvalid, StateError

from .audit import Verification, audit
from .leaves import read
from .merkle import leaf_hash, root
from .rows import COLUMNS, EVENT_KINDS, FLAGS
from .schema import SELECT

#: How many leaves ``leaves`` holds in memory.
LEAVES_AT_ONCE = 4096


class Cursor(Protocol):
    """The part of a database cursor that is used here."""

    def fetchone(self) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """The part of a database connection that is used here."""

    def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ..., /
    ) -> Cursor: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: its index from 0, its RFC 6962 leaf hash in hex, its time (UTC, ISO 8601)."""

    idx: int
    leaf_hash: str
    ts: str


@dataclass(frozen=True, slots=True)
class StoredEntry(Entry):
    """An entry that was read back, with all that it says."""

    kind: str
    body: dict[str, Any]


class Readable(ABC):
    """The readers of a ledger. Every call sees one snapshot of it."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """Give a connection for one caller at a time."""

    @property
    def size(self) -> int:
        """The number of entries."""
        with self._reading() as connection:
            return size(connection)

    def root(self) -> str:
        """Return the RFC 6962 root over all entries in hex; reads them all."""
        with self._reading() as connection:
            leaves = connection.execute("SELECT leaf FROM entries ORDER BY idx")
            return root(leaf_hash(leaf) for (leaf,) in leaves).hex()

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the leaves from index ``start`` to before ``stop``, by default to the end.

        They are read some thousand at a time: what is appended meanwhile neither waits nor counts.

        Raises:
            LedgerInvalid: one of them is missing.
        """
        stop = self.size if stop is None else stop
        query = "SELECT idx, leaf FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx"
        for at in range(start, stop, LEAVES_AT_ONCE):
            end = min(at + LEAVES_AT_ONCE, stop)
            with self._reading() as connection:
                rows = list(connection.execute(query, (at, end)))
            if [idx for idx, _ in rows] != list(range(at, end)):
                raise LedgerInvalid(f"an entry between {at} and {end - 1} is missing")
            yield from (leaf for _, leaf in rows)

    def root_over(self, start: int, stop: int) -> bytes:
        """Return the root over the leaves from ``start`` to before ``stop``, as proofs hold them.

        Raises: as ``leaves``.
        """
        return root(map(leaf_hash, self.leaves(start, stop)))

    def entry(self, idx: int) -> StoredEntry:
        """Return one entry.

        Raises:
            StateError: there is no such entry.
            LedgerInvalid: it is not a canonical leaf.
        """
        with self._reading() as connection:
            query = "SELECT idx, leaf FROM entries WHERE idx = ?"
            found = connection.execute(query, (idx,)).fetchone()
        if found is None:
            raise StateError(f"the ledger has no entry {idx}: it has {self.size}")
        return _stored(*found)

    def events(
        self, kind: str | Collection[str] | None = None, *, limit: int | None = None
    ) -> list[StoredEntry]:
        """Return the events of a kind, of several, or all, oldest first: the last ``limit`` ones.

        Raises:
            LedgerInvalid: one of them is not a canonical leaf.
        """
        kinds = EVENT_KINDS if kind is None else (kind,) if isinstance(kind, str) else tuple(kind)
        marks = ", ".join("?" * len(kinds))
        query = (
            "SELECT idx, leaf FROM entries WHERE idx IN (SELECT idx FROM events "  # noqa: S608
            f"WHERE kind IN ({marks}) ORDER BY idx DESC LIMIT ?) ORDER BY idx"
        )
        with self._reading() as connection:
            rows = list(connection.execute(query, (*kinds, -1 if limit is None else limit)))
        return [_stored(idx, leaf) for idx, leaf in rows]

    def runs(
        self,
        limit: int | None = None,
        *,
        cycle_id: str | None = None,
        before: int | None = None,
        candidate: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return rows of ``runs``, newest first: at most ``limit``, of one cycle if it is named.

        ``before`` leaves out the entry of that index and all later ones, ``candidate`` all runs of
        other configurations than that of this hash. Flags are booleans, and what was not measured
        is ``None``.
        """
        wanted = {
            "cycle_id = :cycle": cycle_id,
            "idx < :before": before,
            "candidate_cfg_hash = :candidate": candidate,
        }
        given = [condition for condition, value in wanted.items() if value is not None]
        where = f"WHERE {' AND '.join(given)}" if given else ""
        query = f"{SELECT['runs']} {where} ORDER BY idx DESC LIMIT :limit"
        with self._reading() as connection:
            limited = -1 if limit is None else limit
            values = {
                "cycle": cycle_id,
                "before": before,
                "candidate": candidate,
                "limit": limited,
            }
            rows = connection.execute(query, values)
            return [_run_row(row) for row in rows]

    def measured(self) -> set[str]:
        """Return the hashes of the configurations that a run measured without failing.

        Dry runs do not count, nor does a cycle that time or money ended: it is to be resumed.
        """
        query = (
            "SELECT DISTINCT candidate_cfg_hash FROM runs WHERE verdict <> 'fail' AND NOT dry_run "
            "AND coalesce(cycle_id, '') NOT IN (SELECT coalesce(cycle_id, ' ') FROM runs "
            "WHERE reason LIKE 'budget_exhausted%')"
        )
        with self._reading() as connection:
            return {config_hash for (config_hash,) in connection.execute(query)}

    def baselines(self, *, before: int | None = None) -> list[int]:
        """Return the indices of the runs that measured the stability of a champion, newest first.

        ``before`` leaves out the entry of that index and all later ones. Dry runs do not count.
        """
        query = (
            "SELECT idx FROM runs WHERE kind = 'baseline' AND NOT dry_run AND s_score IS NOT NULL "
            "AND idx < coalesce(?, idx + 1) ORDER BY idx DESC"
        )
        with self._reading() as connection:
            return [idx for (idx,) in connection.execute(query, (before,))]

    def cycles(self) -> list[str]:
        """Return the ids of the cycles that measured a challenger, newest first."""
        query = (
            "SELECT cycle_id FROM runs WHERE kind = 'challenger' AND cycle_id IS NOT NULL "
            "GROUP BY cycle_id ORDER BY max(idx) DESC"
        )
        with self._reading() as connection:
            return [cycle_id for (cycle_id,) in connection.execute(query)]

    def run_ids(self, part: str) -> list[str]:
        """Return the ids of the runs that begin or end with ``part``, newest first."""
        query = (
            "SELECT id FROM runs WHERE substr(id, 1, length(:part)) = :part "
            "OR substr(id, -length(:part)) = :part ORDER BY idx DESC"
        )
        with self._reading() as connection:
            return [run_id for (run_id,) in connection.execute(query, {"part": part})]

    def manifests(self) -> Iterator[tuple[int, str, str]]:
        """Yield index, run id and SHA-256 of the manifest of every run with files, oldest first."""
        query = (
            "SELECT idx, id, manifest_sha256 FROM runs "
            "WHERE idx > ? AND manifest_sha256 IS NOT NULL ORDER BY idx LIMIT ?"
        )
        last = -1
        while True:
            with self._reading() as connection:
                rows = list(connection.execute(query, (last, LEAVES_AT_ONCE)))
            yield from rows
            if len(rows) < LEAVES_AT_ONCE:
                return
            last = rows[-1][0]

    def __contains__(self, run_id: object) -> bool:
        """Return whether a run of this id was recorded."""
        with self._reading() as connection:
            query = "SELECT 1 FROM runs WHERE id = ?"
            return connection.execute(query, (run_id,)).fetchone() is not None

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the row of one run; ``entry(row["idx"]).body`` has its ``detail``.

        Raises:
            StateError: there is no such run.
        """
        with self._reading() as connection:
            row = connection.execute(f"{SELECT['runs']} WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            hint = "`penin ledger show` lists the runs."
            raise StateError(f"run {run_id!r} is not in the ledger", hint=hint)
        return _run_row(row)


def size(connection: Connection) -> int:
    """Return the number of entries: one more than the last index."""
    return int(connection.execute("SELECT coalesce(max(idx), -1) + 1 FROM entries").fetchone()[0])


def check(
    connection: Connection, blank: Connection, sizes: Collection[int]
) -> tuple[Verification, dict[int, bytes]]:
    """Verify a ledger; ``blank`` is an empty one with the tables and triggers as they must be.

    ``sizes`` are those whose roots are returned too, as ``audit`` does.
    """
    found, roots = audit(
        connection.execute("SELECT idx, leaf FROM entries ORDER BY idx"),
        connection.execute(f"{SELECT['runs']} ORDER BY idx"),
        connection.execute(f"{SELECT['events']} ORDER BY idx"),
        sizes,
    )
    fault = found.reason or _schema_fault(connection, blank) or _integrity_fault(connection)
    return replace(found, valid=not fault, reason=fault), roots


def _schema_fault(connection: Connection, blank: Connection) -> str:
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    wanted, found = dict(blank.execute(query)), dict(connection.execute(query))
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing in the schema: the ledger is no longer append-only"
        if found[name] != wanted.get(name):
            return f"{name} in the schema was added or changed"
    return ""


def _integrity_fault(connection: Connection) -> str:
    fault = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return "" if fault == "ok" else f"SQLite's integrity check: {fault}"


def _run_row(values: Sequence[Any]) -> dict[str, Any]:
    row = dict(zip(COLUMNS["runs"], values, strict=True))
    flags = {name: bool(row[name]) for name in FLAGS if row[name] is not None}
    return row | flags


def _stored(idx: int, data: bytes) -> StoredEntry:
    try:
        leaf = read(data)
    except ValueError as error:
        hint = "`penin ledger verify` checks all entries."
        raise LedgerInvalid(f"entry {idx} cannot be read: {error}", hint=hint) from error
    return StoredEntry(idx, leaf_hash(data).hex(), leaf.ts, leaf.kind, leaf.body)
