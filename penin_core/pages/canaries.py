"""Canaries: challengers on a share of the traffic, and what was watched while they ran."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penin_core.league.canary import SAFE_ALPHA
from penin_core.ledger.store import StoredEntry
from penin_core.live.standing import standing

from .charts import bars
from .evidence import e_value
from .failures import sound
from .markup import Child, Markup, clipped, facts, link, note, section, table, when
from .needs import badge
from .reading import Latest

#: So many canaries are shown, the latest of them, and so many entries about them are read.
SHOWN, READ = 20, 400
#: What is said of a verdict, and its colour.
VERDICTS = {"harmful": "bad", "safe": "good", "proved": "good", "inconclusive": "warn"}
HARMS = {
    "errors": "more failed calls than the champion",
    "error_limit": "too many failed calls",
    "vetoes": "more answers that a guard refused",
    "utility": "worse answers",
    "feedback": "worse feedback",
    "cost": "dearer",
    "latency": "slower",
    "tail": "slower at the far end",
}
#: What has to be shown before a challenger is called safe, and how many share its level.
FAVOURS = {
    "no_more_errors": ("no more errors", 1),
    "no_worse": ("no worse answers", 2),
    "liked": ("liked as much", 2),
    "no_dearer": ("no dearer", 1),
    "no_slower": ("no slower", 1),
}


def canaries(state: Path, ledger: Latest) -> list[Markup]:
    """Return a section for each of the last canaries, newest first; one may be running."""
    entries = ledger.events(("CANARY_START", "CANARY_STOP"), limit=READ)
    by_name: dict[str, list[StoredEntry]] = {}
    for entry in entries:
        by_name.setdefault(str(entry.body.get("experiment")), []).append(entry)
    if not by_name:
        told = (
            "No canary was started yet. `penin canary start` gives a challenger a share of the "
            "traffic; the first proof of harm takes it back."
        )
        return [section("Canaries", note(told))]
    latest = list(by_name.values())[: -SHOWN - 1 : -1]
    return [_section(state, ledger, one) for one in latest]


def _section(state: Path, ledger: Latest, entries: Sequence[StoredEntry]) -> Markup:
    name = f"Canary of entry {entries[0].idx}"

    def made() -> Markup:
        body: dict[str, Any] = {}
        for entry in entries:
            body |= entry.body
        end = entries[-1] if entries[-1].kind == "CANARY_STOP" else None
        if end is None and "mode" in body:
            # What runs is ahead of the ledger, which has its steps only.
            live = standing(state, ledger)
            body |= live if live.get("experiment") == body["experiment"] else {}
        return _canary(name, entries[0], end, body)

    return sound(name, made)


def _canary(
    name: str, start: StoredEntry, end: StoredEntry | None, body: Mapping[str, Any]
) -> Markup:
    verdict = str(body.get("verdict") or ("running" if end is None else "-"))
    run_id = body.get("run_id")
    run = link(clipped(str(run_id)[-8:]), "run", str(run_id)) if run_id else "-"
    pairs: list[tuple[str, Child]] = [
        ("verdict", badge(clipped(verdict, 40), VERDICTS.get(verdict, ""))),
        ("kind", clipped(str(body.get("mode", "on stored traffic")), 40)),
        ("challenger", run),
        ("started", when(start.ts)),
        ("ended", "-" if end is None else when(end.ts)),
        ("share of the traffic", _share(body)),
        ("requests answered", _requests(body)),
    ]
    told = "It runs, or ended without a record." if end is None else "No reason was recorded."
    said = note(clipped(body.get("reason") or told, 400))
    return section(name, facts(pairs), said, *_watched(name, body))


def _share(body: Mapping[str, Any]) -> str:
    fraction, step, ramp = body.get("fraction"), body.get("step"), body.get("ramp") or ()
    shown = f"{100 * fraction:g} %" if isinstance(fraction, int | float) else "-"
    return f"{shown}, step {step} of {len(ramp)}" if step and len(ramp) > 1 else shown


def _requests(body: Mapping[str, Any]) -> str:
    found = [
        f"{body[name]:,} by the {side}"
        for name, side in (("champion_requests", "champion"), ("challenger_requests", "challenger"))
        if isinstance(body.get(name), int)
    ]
    return " and ".join(found) or "-"


def _watched(name: str, body: Mapping[str, Any]) -> list[Markup]:
    """Return how close each harm came to its level, and each sign that there is none."""
    log_e, levels = body.get("log_e"), body.get("levels")
    if not isinstance(log_e, dict) or not isinstance(levels, dict):
        return []
    known = [harm for harm in levels if harm in log_e]
    known.sort(key=lambda harm: log_e[harm] / math.log(1 / levels[harm]), reverse=True)
    harms = [
        _row(HARMS.get(harm, clipped(harm, 60)), log_e[harm], 1 / levels[harm]) for harm in known
    ]
    favours = [
        _row(words, log_e[favour], count / SAFE_ALPHA)
        for favour, (words, count) in FAVOURS.items()
        if favour in log_e
    ]
    head = ("what", "e-value", "reached at", "how far")
    shown = [
        table(
            f"{name}: harm, the nearest first; one that is reached ends it", head, harms, stack=True
        )
    ]
    if favours:
        words = f"{name}: safety; all that can be measured must be reached"
        shown.append(table(words, head, favours, stack=True))
    return shown


def _row(what: str, log_e: float, needed: float) -> Sequence[Child]:
    share = min(1.0, max(0.0, log_e / math.log(needed)))
    words = f"{100 * share:.0f} % of the way"
    return what, e_value(log_e), e_value(math.log(needed)), bars([("new", share)], words)
