"""Check entries against the rules and against the tables that were filled from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from .merkle import EMPTY_ROOT, Frontier, leaf_hash
from .rows import COLUMNS, derive

#: A row as it is stored: all columns of its table, the index of its entry last.
_Stored = tuple[Any, ...]
_NO_MORE: _Stored = (None,)


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
    runs: Iterable[_Stored],
    events: Iterable[_Stored],
    sizes: Collection[int] = (),
) -> tuple[Verification, dict[int, bytes]]:
    """Check that indices are dense, leaves canonical, and that every row says what its entry says.

    ``entries`` come in the order of their index, ``runs`` and ``events`` too, with all columns
    of their table. Everything is read once, in constant memory. With what was found come the
    roots over the first so many entries for each of ``sizes``; those beyond the end are left out.
    """
    views = {"runs": _View(runs), "events": _View(events)}
    frontier, first_bad, reason = Frontier(), None, ""
    roots = {0: EMPTY_ROOT}
    for expected, (idx, leaf) in enumerate(entries):
        hashed = leaf_hash(leaf)
        frontier.add(hashed)
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
        if not reason and (reason := _fault(expected, idx, leaf, hashed, views)):
            first_bad = expected
    for table, view in views.items():
        if not reason and view.row is not _NO_MORE:
            first_bad = view.row[-1]
            reason = f"{table} has a row for it, but it does not exist"
    found = Verification(
        valid=not reason,
        size=frontier.size,
        root=frontier.root().hex(),
        first_bad=first_bad,
        reason=reason and f"entry {first_bad}: {reason}",
    )
    return found, roots


class _View:
    """The stored rows of one table; ``row`` is the first that was not compared yet."""

    __slots__ = ("_rows", "row")

    def __init__(self, rows: Iterable[_Stored]) -> None:
        self._rows = iter(rows)
        self.advance()

    def advance(self) -> None:
        self.row = next(self._rows, _NO_MORE)


def _fault(expected: int, idx: int, leaf: bytes, hashed: bytes, views: dict[str, _View]) -> str:
    """Say what is wrong with the entry at ``expected``; nothing if it is right."""
    if idx != expected:
        return f"it is missing; the next one is {idx}"
    try:
        table, values = derive(leaf, hashed)
    except ValueError as error:
        return str(error)
    view = views[table]
    found, wanted = view.row, (*values, idx)
    if found == wanted:
        view.advance()
        # The rows of earlier entries are gone, so a second row for this one would come next.
        if views["runs"].row[-1] != idx and views["events"].row[-1] != idx:
            return ""
    if found[-1] != idx or found == wanted:
        return f"its row in {table} is missing, or there is one too many"
    pairs = zip(COLUMNS[table], found, wanted, strict=True)
    name = next(name for name, stored, derived in pairs if stored != derived)
    return f"{table}.{name} differs from the entry"
