"""What a promotion needs, one line for each condition, and what every guard looked at."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penin_core.league.decision import worst_loss
from penin_core.records import Measurement
from penin_core.settings import Margins

from .markup import Child, Markup, clipped, element, joined, number, section, table
from .reading import Run

#: A condition: what it is, what was found, what is needed, and whether it holds.
Need = tuple[str, str, str, bool]


def needs(run: Run) -> Markup:
    """Return the conditions of a promotion beside what this run brought; nothing, if none was met.

    A challenger that dropped out of the race was never held to them.
    """
    if run.row["kind"] == "baseline" or run.row["score"] is None:
        return joined([])
    found = list(_needs(run))
    held = sum(ok for *_, ok in found)
    words = f"{held} of {len(found)} conditions hold; a promotion needs all of them"
    rows: list[Sequence[Child]] = [
        (what, _mark(ok), clipped(shown, 200), clipped(needed, 200))
        for what, shown, needed, ok in found
    ]
    head = ("condition", "holds", "this run", "needed")
    return section("What a promotion needs", table(words, head, rows, stack=True))


def _needs(run: Run) -> Iterator[Need]:
    row, detail = run.row, run.detail
    tau, beta = detail.get("params", {}).get("tau"), detail.get("params", {}).get("beta_min")
    yield "score", number(row["score"]), f"at least τ = {number(tau)}", _least(row["score"], tau)
    delta = row["delta_linf"]
    shown = f"at least β_min = {number(beta)}"
    yield "gain in L∞", number(delta, sign=True), shown, _least(delta, beta)
    yield from _margin(run)
    for guard in detail.get("guards") or ():
        says = "agrees" if guard["ok"] else "veto"
        yield f"guard {guard['guard']}", f"{says}: {guard['reason']}", "agrees", guard["ok"]
    found = detail.get("confirmation")
    if isinstance(found, dict):
        shown = f"{'proved' if found['proved'] else 'not proved'} on {found['n']:,} tasks"
        needed = f"proof of “{found['claim']}”, at error {found['alpha']:.4g}"
        yield "evidence", shown, needed, found["proved"]


def _least(found: float | None, limit: float | None) -> bool:
    return found is not None and limit is not None and math.isfinite(found) and found >= limit


def _margin(run: Run) -> Iterator[Need]:
    """Yield the axis or group that lost the most beside its margin, as the decision found it."""
    tried, measured = run.files.get("trial.json"), run.files.get("evaluation.json")
    if tried is None or measured is None:
        return
    case = json.loads(tried)
    champion = Measurement.model_validate(case["champion"])
    finalist = Measurement.model_validate_json(measured)
    margins = Margins.model_validate(case["margins"])
    left = margins.model_copy(update={"U": max(0.0, margins.U - case["lost"])})
    name, loss, allowed = worst_loss(finalist, champion, run.detail["axes"], left)
    found = f"{name}: {'loses' if loss > 0 else 'gains'} {abs(loss):.3f}"
    yield "no axis or group much worse", found, f"loses at most {allowed:.3g}", loss <= allowed


def guards(run: Run) -> Markup:
    """Return what every guard said, and every gate that it looked at."""
    results = run.detail.get("guards") or []
    if not results:
        return joined([])
    rows = [(clipped(g["guard"], 100), _says(g), clipped(g["reason"])) for g in results]
    shown = table("What every guard said", ("guard", "says", "why"), rows, stack=True)
    return section("Guards", shown, *_gates(run))


def _gates(run: Run) -> list[Markup]:
    data = run.files.get("gates.json")
    rows: list[Sequence[Child]] = []
    for guard in json.loads(data) if data else ():
        for name, gate in sorted(guard.get("details", {}).items()):
            if isinstance(gate, dict) and "ok" in gate:
                value = gate.get("value")
                shown = number(value) if type(value) in (int, float) else str(value)
                mark, why = _mark(gate["ok"]), clipped(gate.get("reason", "-"), 300)
                rows.append(
                    (f"{clipped(guard['guard'], 60)}: {clipped(name, 60)}", mark, shown, why)
                )
    if not rows:
        return []
    head = ("gate", "holds", "value", "why")
    return [table("Every gate of the guards", head, rows, stack=True)]


def _says(guard: Mapping[str, Any]) -> Markup:
    says = "veto" if not guard["ok"] else "pass" if guard.get("measured", True) else "open"
    return badge(says, {"veto": "bad", "pass": "good", "open": "warn"}[says])


def _mark(ok: bool) -> Markup:
    return badge("yes", "good") if ok else badge("no", "bad")


def badge(word: str, kind: str) -> Markup:
    """Return a word in its colour: ``good``, ``warn``, ``bad``, or none."""
    return element("span", word, cls=f"badge {kind}".rstrip())
