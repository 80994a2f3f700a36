"""The first page: the champion, how the cycles went, and the list of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penin_core.ledger.store import StoredEntry
from penin_core.records import Configuration

from . import difference
from .charts import Frame, Line, bars, chart, legend
from .markup import (
    Child,
    Markup,
    clipped,
    element,
    facts,
    folded,
    link,
    note,
    number,
    section,
    table,
    when,
)
from .reading import AXES, Latest
from .run import reason, verdict, worst

#: How many cycles are shown, and in how many of the last runs they are looked for.
CYCLES, RUNS = 12, 240
#: How many runs stand on one page of the list.
PAGE = 100
_STRENGTH = ("promote", "canary", "rollback", "fail")


def to_run(label: Child, run_id: str | None) -> Child:
    """Return a link to the page of a run; only the label where there is no run."""
    return label if run_id is None else link(label, "run", run_id)


def champion(entry: StoredEntry | None, row: Mapping[str, Any] | None) -> Markup:
    """Return what runs now, since when and why; ``row`` is its run, where it was measured."""
    if entry is None:
        return section("Champion", note("There is none yet: `penin evolve` makes the first one."))
    body, config = entry.body, Configuration.model_validate(entry.body["config"])
    pairs: list[tuple[str, Child]] = [
        ("model", f"{config.provider}:{clipped(config.model, 200)}"),
        ("since", when(entry.ts)),
        ("made champion by", entry.kind),
        ("because", reason(str(body.get("reason", "it ran at the start")))),
    ]
    why = to_run("Why is it the champion?", body.get("run_id"))
    shown = difference.configurations(None, config, ("", "what runs now"))
    return section(
        "Champion",
        facts(pairs),
        _axes(row) if row is not None else None,
        element("p", why, cls="actions") if isinstance(why, Markup) else None,
        folded("Its whole configuration", shown),
    )


def _axes(row: Mapping[str, Any]) -> Markup:
    """Return one tile for each axis, as it was measured when the champion was decided on."""
    tiles = []
    for axis, name in AXES.items():
        value = row[f"{axis.lower()}_score"]
        words = f"{name} {number(value)}"
        less = ", less is better" if axis == "C" else ""
        shown = element("strong", number(value)), bars([("new", value)], words)
        tiles.append(element("li", element("span", f"{axis} {name}{less}"), *shown))
    return element("ul", *tiles, cls="tiles")


def cycles(ledger: Latest) -> list[dict[str, Any]]:
    """Return the best challenger of each of the last cycles, newest first, with its detail.

    ``champion_u`` is the utility of the champion that it met.
    """
    best: dict[str, dict[str, Any]] = {}
    met: dict[str, float | None] = {}
    rows = [row for row in ledger.runs(RUNS) if row["cycle_id"] is not None]
    for row in rows:
        if row["kind"] == "challenger":
            known = best.get(row["cycle_id"])
            best[row["cycle_id"]] = row if known is None else min(known, row, key=_order)
        else:
            met[row["cycle_id"]] = row["u_score"]
    # The oldest may lack runs that lie further back.
    whole = list(best.values())[: CYCLES if len(rows) < RUNS else min(CYCLES, len(best) - 1) or 1]
    return [
        {
            **row,
            "detail": ledger.entry(row["idx"]).body.get("detail", {}),
            "champion_u": met.get(row["cycle_id"]),
        }
        for row in whole
    ]


def _order(row: Mapping[str, Any]) -> tuple[int, int, float]:
    # Among equals, who was asked the most tasks went the furthest.
    return (_STRENGTH.index(row["verdict"]), -(row["n_tasks"] or 0), -(row["linf"] or 0.0))


def last_cycles(found: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the last cycles, drawn and as a table."""
    if not found:
        return section(
            "Last cycles", note("No challenger was measured yet: `penin evolve` tries some.")
        )
    rows = [
        (
            to_run(at(row["ts"]), row["id"]),
            verdict(row),
            number(row["delta_linf"], sign=True),
            worst(row["detail"].get("worst_axis")),
            reason(row["reason"]),
        )
        for row in found
    ]
    head = ("best run of the cycle", "verdict", "change of L∞", "worst axis", "why")
    listed = table("The last cycles, newest first", head, rows, stack=True)
    return section("Last cycles", *_drawn(found), listed)


def _drawn(found: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Draw the utility of the best challenger of each cycle beside the champion's."""
    oldest_first = list(enumerate(reversed(found), 1))
    met = [
        (float(n), row["champion_u"]) for n, row in oldest_first if row["champion_u"] is not None
    ]
    tried = {
        cls: [
            (float(n), row["u_score"])
            for n, row in oldest_first
            if row["u_score"] is not None and (row["verdict"] == "promote") is promoted
        ]
        for cls, promoted in (("good", True), ("miss", False))
    }
    if len(found) < 2 or not met:
        return []
    names = {"old": "champion", "good": "best challenger: promoted", "miss": "not promoted"}
    words = (
        f"Utility in the last {len(found)} cycles, the oldest on the left. A challenger above the "
        "champion is promoted only if that is proved and nothing else is worse."
    )
    frame = Frame((0.5, len(found) + 0.5), (0.0, 1.0), "cycle", "utility U")
    lines = [Line("old", met, dots=True)]
    lines += [Line(cls, points, dots=True, path=False) for cls, points in tried.items()]
    shown = {cls: name for cls, name in names.items() if cls == "old" or tried[cls]}
    return [legend(shown), chart("cycles", "Utility by cycle", words, frame, lines)]


def runs(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Return a page of the list of runs."""
    if not rows:
        return section("Runs", note("There are no runs here."))
    shown = [
        (
            to_run(at(row["ts"]), row["id"]),
            row["kind"],
            verdict(row),
            number(row["u_score"]),
            number(row["delta_linf"], sign=True),
            clipped(reason(row["reason"]), 120),
        )
        for row in rows
    ]
    head = ("run", "kind", "verdict", "U", "change of L∞", "why")
    older = None
    if len(rows) == PAGE:
        older = element("p", element("a", "Older runs", href=f"/runs?before={rows[-1]['idx']}"))
    return section("Runs", table("Runs, newest first", head, shown, stack=True), older)


def at(ts: float) -> str:
    """Return the time of a row to the second."""
    return f"{datetime.fromtimestamp(ts, UTC):%Y-%m-%d %H:%M:%S} UTC"


def nothing_yet(state: Path) -> Markup:
    """Return what to do in a state directory that is empty."""
    return section(
        "Nothing was recorded yet",
        element("p", "There is no ledger in ", element("code", str(state)), "."),
        element(
            "p", element("code", "penin evolve"), " runs a first cycle; what it does appears here."
        ),
        element(
            "p", "Another directory: ", element("code", "penin dashboard --serve --state-dir DIR")
        ),
    )
