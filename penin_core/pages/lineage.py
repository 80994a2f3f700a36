"""The champions of a ledger as a graph: who followed whom, and what was taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from penin_core.ledger.rows import CHAMPION_KINDS
from penin_core.ledger.store import StoredEntry
from penin_core.records import Configuration

from .markup import (
    Child,
    Markup,
    clipped,
    element,
    folded,
    link,
    note,
    section,
    table,
    when,
)
from .overview import to_run
from .reading import Latest
from .run import reason

#: How many champions are drawn, the latest of them.
SHOWN = 40
#: The height of a champion in the list, and where and how wide the line beside it is.
_ROW, _X, _WIDTH = 64.0, 62.0, 84.0


def lineage(ledger: Latest) -> Markup:
    """Return the graph of the last champions and its table, newest first."""
    found = ledger.events(CHAMPION_KINDS, limit=SHOWN)[::-1]
    if not found:
        return section(
            "Lineage", note("There is no champion yet: `penin evolve` makes the first one.")
        )
    words = (
        f"The last {len(found)} champions, the present one on top; an arc leads back to the "
        "champion that a rollback brought again, and what was taken back is red."
    )
    items = (element("li", *_item(found, number)) for number in range(len(found)))
    drawn = element("div", _rail(found), element("ol", *items), cls="lineage")
    return section("Lineage", drawn, note(words), folded("The same as a table", _table(found)))


def _rail(found: Sequence[StoredEntry]) -> Markup:
    """Return what is drawn beside the list, which says the same in words."""
    bad = taken_back(found)
    dots = (
        element("circle", cx=_X, cy=_place(number), r=7, cls=_colour(entry, bad, number == 0))
        for number, entry in enumerate(found)
    )
    box = f"0 0 {_WIDTH:g} {_ROW * len(found):g}"
    return element("svg", *_edges(found), *dots, viewBox=box, cls="rail", aria_hidden="true")


def _place(number: int) -> float:
    return _ROW * number + _ROW / 2


def _item(found: Sequence[StoredEntry], number: int) -> tuple[Markup, Markup]:
    """Return what is said of a champion: what it is, with a link, and since when and why."""
    entry, run_id = found[number], found[number].body.get("run_id")
    fate = " (taken back later)" if entry.idx in taken_back(found) else ""
    named = element("strong", f"{_what(found, number)}{' (runs now)' if number == 0 else fate}")
    shown = link(named, "run", run_id) if run_id else named
    return shown, element("span", f"{when(entry.ts)[:16]}: {clipped(_why(entry), 200)}")


def _what(found: Sequence[StoredEntry], number: int) -> str:
    """Return what a champion is: what changed, or which one came back, as far as that is known."""
    entry = found[number]
    config = Configuration.model_validate(entry.body["config"])
    if entry.kind == "ROLLBACK" and (back := _earlier(found, number)) is not None:
        return f"ROLLBACK: back to the champion of {when(found[back].ts)[:16]}"
    if entry.kind != "PROMOTE" or number + 1 == len(found):
        return f"{entry.kind}: {config.provider}:{clipped(config.model, 24)}"
    before = Configuration.model_validate(found[number + 1].body["config"])
    moved = [name for name in type(config).model_fields if _differ(name, config, before)]
    return f"PROMOTE: {', '.join(moved[:4]) or 'nothing'} changed"


def _earlier(found: Sequence[StoredEntry], number: int) -> int | None:
    """Return the place of the last champion before this one that had the same configuration."""
    wanted = found[number].body["config_hash"]
    places = range(number + 1, len(found))
    return next((n for n in places if found[n].body["config_hash"] == wanted), None)


def _differ(name: str, one: Configuration, other: Configuration) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _colour(entry: StoredEntry, bad: set[int], now: bool) -> str:
    return "new" if now else "bad" if entry.idx in bad else "old"


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
        if entry.kind == "ROLLBACK" and (back := _earlier(found, number)) is not None:
            reach = _X - min(64, 18 * (back - number))
            here, there = _place(number), _place(back)
            path = f"M{_X:g} {here:g}C{reach:g} {here:g} {reach:g} {there:g} {_X:g} {there:g}"
            yield element("path", d=path, cls="new")


def _why(entry: StoredEntry) -> str:
    return reason(str(entry.body.get("reason", "it ran at the start")))


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
    head = ("since", "by", "run", "why", "fate")
    return table("Champions, newest first", head, rows, stack=True)
