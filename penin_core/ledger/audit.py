"""Check entries against the rules and against the tables that were filled from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter
from typing import Any

from .merkle import EMPTY_ROOT, Frontier, leaf_hash
from .rows import COLUMNS, Row, derive

#: A stored row: the index of its entry, and the rest.
_Stored = tuple[int, Row]


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    ``size`` and ``root`` (RFC 6962, hex) describe the entries as they are stored, valid or not.
    ``first_bad`` is the index of the first entry that fails, ``None`` where no single entry is to
    blame. ``warnings`` are things that a reader should know and that do not make it invalid.
    """

    valid: bool
    size: int
    root: str
    first_bad: int | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()


#: What the verification of a ledger without entries gives.
NOTHING = Verification(valid=True, size=0, root=EMPTY_ROOT.hex())


def audit(
    entries: Iterable[tuple[int, bytes]],
    runs: Iterable[tuple[Any, ...]],
    events: Iterable[tuple[Any, ...]],
) -> Verification:
    """Check that indices are dense, leaves canonical, and that every row says what its entry says.

    ``entries`` come in the order of their index, ``runs`` and ``events`` too, with all columns
    of their table.
    Everything is read once, in constant memory.
    """
    rows = merge(_stored("runs", runs), _stored("events", events), key=itemgetter(0))
    frontier, first_bad, reason = Frontier(), None, ""
    for expected, (idx, leaf) in enumerate(entries):
        frontier.add(leaf_hash(leaf))
        if first_bad is None:
            reason = _fault(expected, idx, leaf, next(rows, None))
            first_bad = expected if reason else None
    if first_bad is None and (extra := next(rows, None)) is not None:
        first_bad, reason = extra[0], f"{extra[1].table} has a row for it, but it does not exist"
    return Verification(
        valid=first_bad is None,
        size=frontier.size,
        root=frontier.root().hex(),
        first_bad=first_bad,
        reason=reason and f"entry {first_bad}: {reason}",
    )


def _stored(table: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[_Stored]:
    return ((idx, Row(table, tuple(values))) for *values, idx in rows)


def _fault(expected: int, idx: int, leaf: bytes, stored: _Stored | None) -> str:
    """Say what is wrong with the entry at ``expected``; nothing if it is right."""
    if idx != expected:
        return f"it is missing; the next one is {idx}"
    try:
        wanted = derive(leaf)
    except ValueError as error:
        return str(error)
    if stored == (idx, wanted):
        return ""
    if stored is None or stored[0] != idx or stored[1].table != wanted.table:
        return f"its row in {wanted.table} is missing, or there is one too many"
    values = zip(COLUMNS[wanted.table], stored[1].values, wanted.values, strict=False)
    name = next(name for name, found, derived in values if found != derived)
    return f"{wanted.table}.{name} differs from the entry"
