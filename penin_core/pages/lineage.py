"""The champions of a ledger as a graph: who followed whom, and what was taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from penin_core.ledger.rows import CHAMPION_KINDS
from penin_core.ledger.store import StoredEntry
from penin_core.records import Configuration

from .charts import graph
from .markup import Child, Markup, clipped, element, joined, note, section, table, when
from .overview import to_run
from .reading import Latest
from .run import reason

#: How many champions are drawn, the latest of them.
SHOWN = 40
_ROW, _X, _WIDTH = 52.0, 70.0, 640.0


def lineage(ledger: Latest) -> Markup:
    """Return the graph of the last champions and its table, newest first."""
    found = ledger.latest(CHAMPION_KINDS, SHOWN)
    if not found:
        return section(
            "Lineage", note("There is no champion yet: `penin evolve` makes the first one.")
        )
    words = (
        f"The last {len(found)} champions, the present one on top; arcs lead back to one before."
    )
    size = (_WIDTH, _ROW * len(found) + 10)
    drawn = graph("lineage", "Champions", words, size, joined([*_edges(found), *_nodes(found)]))
    return section("Lineage", drawn, _table(found))


def _place(number: int) -> float:
    return _ROW * number + _ROW / 2


def _nodes(found: Sequence[StoredEntry]) -> Iterator[Markup]:
    bad = taken_back(found)
    for number, entry in enumerate(found):
        y = _place(number)
        cls = "new" if number == 0 else "bad" if entry.idx in bad else "old"
        yield element("circle", cx=_X, cy=y, r=8 if number == 0 else 6, cls=cls)
        config = Configuration.model_validate(entry.body["config"])
        label = (
            f"{when(entry.ts)[:16]}  {entry.kind}  {config.provider}:{clipped(config.model, 24)}"
        )
        yield element("text", label, x=_X + 18, y=y - 3, cls="name lead" if number == 0 else "name")
        yield element("text", clipped(_why(entry), 68), x=_X + 18, y=y + 15, cls="why")


def taken_back(found: Sequence[StoredEntry]) -> set[int]:
    """Return the entries of the champions, newest first, that a rollback followed."""
    return {
        old.idx
        for new, old in pairwise(found)
        if new.kind == "ROLLBACK" and new.body["config_hash"] != old.body["config_hash"]
    }


def _edges(found: Sequence[StoredEntry]) -> Iterator[Markup]:
    for number in range(len(found) - 1):
        yield element("path", d=f"M{_X:g} {_place(number):g}V{_place(number + 1):g}", cls="old")
    for number, entry in enumerate(found):
        earlier = (
            other
            for other in range(number + 2, len(found))
            if found[other].body["config_hash"] == entry.body["config_hash"]
        )
        if entry.kind == "ROLLBACK" and (back := next(earlier, None)) is not None:
            reach = _X - min(64, 18 * (back - number))
            here, there = _place(number), _place(back)
            path = f"M{_X:g} {here:g}C{reach:g} {here:g} {reach:g} {there:g} {_X:g} {there:g}"
            yield element("path", d=path, cls="new")


def _why(entry: StoredEntry) -> str:
    return reason(str(entry.body.get("reason", "what ran at the start")))


def _table(found: Sequence[StoredEntry]) -> Markup:
    bad = taken_back(found)
    rows: list[Sequence[Child]] = []
    for entry in found:
        run_id = entry.body.get("run_id")
        shown = "taken back later" if entry.idx in bad else ""
        rows.append(
            (
                when(entry.ts),
                entry.kind,
                to_run(run_id or "never measured", run_id),
                _why(entry),
                shown,
            )
        )
    return table("The same as a table", ("since", "by", "run", "why", "fate"), rows)
