"""The first page: the champion, the last cycles, the money, and whether the ledger verifies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penin_core.engine.budget import Budget
from penin_core.ledger.store import StoredEntry
from penin_core.records import Configuration

from . import difference
from .charts import bars
from .markup import (
    Child,
    Markup,
    clipped,
    element,
    facts,
    joined,
    link,
    note,
    number,
    section,
    table,
    when,
)
from .reading import Latest
from .run import badge, reason

#: How many cycles are shown, and in how many of the last runs they are looked for.
CYCLES, RUNS = 12, 240
#: How many runs stand on one page of the list.
PAGE = 100
_STRENGTH = ("promote", "canary", "rollback", "fail")


def to_run(label: Child, run_id: str | None) -> Child:
    """Return a link to the page of a run; only the label where there is no run."""
    return label if run_id is None else link(label, "run", run_id)


def champion(entry: StoredEntry | None) -> Markup:
    """Return what runs now, since when and why."""
    if entry is None:
        return section("Champion", note("There is none yet: `penin evolve` makes the first one."))
    body, config = entry.body, Configuration.model_validate(entry.body["config"])
    pairs: list[tuple[str, Child]] = [
        ("model", f"{config.provider}:{clipped(config.model, 200)}"),
        ("since", when(entry.ts)),
        ("by", entry.kind),
        ("why", reason(str(body.get("reason", "what ran at the start")))),
        ("measured as", to_run(body.get("run_id") or "never measured", body.get("run_id"))),
    ]
    shown = difference.configurations(None, config, ("", "what runs now"))
    return section("Champion", facts(pairs), shown)


def cycles(ledger: Latest) -> list[dict[str, Any]]:
    """Return the best challenger of each of the last cycles, newest first, with its detail."""
    best: dict[str, dict[str, Any]] = {}
    rows = ledger.runs(RUNS)
    for row in rows:
        if row["kind"] == "challenger" and row["cycle_id"] is not None:
            known = best.get(row["cycle_id"])
            best[row["cycle_id"]] = row if known is None else min(known, row, key=_order)
    # The oldest may lack runs that lie further back.
    whole = list(best.values())[: CYCLES if len(rows) < RUNS else min(CYCLES, len(best) - 1) or 1]
    return [{**row, "detail": ledger.entry(row["idx"]).body.get("detail", {})} for row in whole]


def _order(row: Mapping[str, Any]) -> tuple[int, int, float]:
    # Among equals, who was asked the most tasks went the furthest.
    return (_STRENGTH.index(row["verdict"]), -(row["n_tasks"] or 0), -(row["linf"] or 0.0))


def last_cycles(found: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the table of the last cycles."""
    if not found:
        return section(
            "Last cycles", note("No challenger was measured yet: `penin evolve` tries some.")
        )
    rows = [
        (
            to_run(at(row["ts"]), row["id"]),
            badge(row),
            number(row["delta_linf"], sign=True),
            row["detail"].get("worst_axis") or "-",
            reason(row["reason"]),
        )
        for row in found
    ]
    head = ("best run of the cycle", "verdict", "change of L∞", "worst axis", "why")
    return section("Last cycles", table("The last cycles, newest first", head, rows))


def runs(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Return a page of the list of runs."""
    if not rows:
        return section("Runs", note("There are no runs here."))
    shown = [
        (
            to_run(at(row["ts"]), row["id"]),
            row["kind"],
            badge(row),
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
    return section("Runs", table("Runs, newest first", head, shown), older)


def spend(state: Path, daily_usd: float) -> Markup:
    """Return what was spent today beside what may be spent in a day."""
    money = spent(state, daily_usd)
    used, cap = money["spent_today_usd"] + money["reserved_usd"], daily_usd
    pairs: list[tuple[str, Child]] = [
        ("spent today (UTC)", f"${money['spent_today_usd']:,.6f}"),
        ("reserved", f"${money['reserved_usd']:,.6f}"),
        ("limit of the day", f"${cap:,.2f}"),
        ("used", _share(used, cap) if cap else "no paid calls"),
    ]
    return section("Money", facts(pairs))


def _share(used: float, cap: float) -> Markup:
    words = f"{100 * used / cap:.1f} % of the limit"
    return joined([words, bars([("new", used / cap)], words)])


def spent(state: Path, daily_usd: float) -> dict[str, float]:
    """Return the US dollars of this UTC day: spent, reserved, and the limit."""
    budget = Budget(state / "budget.db", daily_usd)
    try:
        reserved = sum(one.bound_micro_usd for one in budget.open_reservations()) / 1e6
        return {
            "spent_today_usd": budget.spent_today() / 1e6,
            "reserved_usd": reserved,
            "daily_usd": daily_usd,
        }
    finally:
        budget.close()


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
