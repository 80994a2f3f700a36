"""How the parameters that decide about promotions moved."""

from __future__ import annotations

from collections.abc import Sequence

from penin_core.ledger.store import StoredEntry
from penin_core.omega.tuner import DEFAULTS, RANGES

from .charts import Frame, Line, chart, padded
from .markup import Markup, element, note, number, section, table
from .reading import Latest

#: How many of the last steps are drawn.
STEPS = 300
_FIRST = (
    "Nothing moved yet: a step is taken after a cycle in which a finalist was measured, and the "
    "first ones only count."
)


def trajectories(ledger: Latest) -> Markup:
    """Return one small chart for each parameter, and one for the objective."""
    found = ledger.events(("BOOTSTRAP", "TUNE"), limit=STEPS)
    if not found:
        return section("Tuner", note("No parameter was set yet: the first cycle sets them."))
    frozen = found[-1].body.get("state", {}).get("frozen", [])
    objective = [e.body["objective"] for e in found if e.body.get("objective") is not None]
    shown = [_parameter(name, found, frozen) for name in RANGES]
    if objective:
        shown.insert(0, _drawn("objective", objective, "what the tuner makes larger"))
    version = found[-1].body["param_version"]
    if len(found) == 1:
        return section("Tuner", note(_FIRST), _table(found[0]))
    words = f"Version {version} is in force. The last {len(found)} entries that set parameters:"
    return section("Tuner", note(words), element("div", *shown, cls="tuned"))


def _table(first: StoredEntry) -> Markup:
    values = {**DEFAULTS, **first.body["params"]}
    rows = [
        (name, number(values[name], 4), f"{low:g} to {high:g}")
        for name, (low, high) in RANGES.items()
    ]
    return table("What the first champion set", ("parameter", "value", "allowed"), rows)


def _parameter(name: str, found: Sequence[StoredEntry], frozen: Sequence[str]) -> Markup:
    low, high = RANGES[name]
    path = [{**DEFAULTS, **entry.body["params"]}[name] for entry in found]
    words = f"from {low:g} to {high:g} allowed{'; frozen' if name in frozen else ''}"
    return _drawn(name, path, words)


def _drawn(name: str, path: Sequence[float], words: str) -> Markup:
    told = f"{number(path[0], 4)} at first, {number(path[-1], 4)} now; {words}."
    frame = Frame((0, max(4, len(path) - 1)), padded(path), "step", "", (320.0, 180.0))
    line = Line("new", [(float(i), value) for i, value in enumerate(path)], dots=len(path) < 30)
    return element("div", element("h3", name), chart(f"tuned-{name}", name, told, frame, [line]))
