"""Everything about one run: the decision, what was tried, how it did, and who objected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import difference
from .answers import answers
from .charts import bars, legend
from .evidence import calibration, evidence
from .failures import sound
from .markup import (
    Child,
    Markup,
    clipped,
    element,
    facts,
    joined,
    note,
    number,
    section,
    table,
    when,
)
from .needs import badge, guards, needs
from .reading import AXES, Run

#: What is said of a verdict, and the class that colours it.
VERDICTS = {
    "promote": ("Promoted", "good"),
    "canary": ("Not promoted: parked until there is evidence", "warn"),
    "rollback": ("Not promoted: the champion stays", ""),
    "fail": ("Failed", "bad"),
}
_KEY = re.compile(r"^(raced_out|budget_exhausted|baseline|bootstrap): ")
#: Makes a link to a run out of what is to be read and its id; in a single file it makes none.
Linker = Callable[[Child, str], Child]


def verdict(row: Mapping[str, Any]) -> Markup:
    """Return the verdict of a run as a word in its colour."""
    _, kind = VERDICTS.get(row["verdict"], ("", ""))
    return badge(row["verdict"] + " (dry run)" * bool(row["dry_run"]), kind)


def reason(words: str | None) -> str:
    """Return the reason of a decision without the key that programs look for."""
    return clipped(_KEY.sub("", words or "").removesuffix(": parked"), 400)


def sections(
    run: Run, champion: Run | None, to_run: Linker, actions: Sequence[Markup] = ()
) -> list[Markup]:
    """Return the page of a run, from its verdict down to its entry; ``champion`` may be unknown.

    ``actions`` are links to what can be done with it.
    """
    parts: dict[str, Callable[[], Markup]] = {
        "The decision": lambda: _head(run, champion, to_run, actions),
        "What a promotion needs": lambda: needs(run),
        "What was tried": lambda: section("What was tried", *_tried(run, champion)),
        "The four axes": lambda: section("The four axes", *_axes(run, champion)),
        "The evidence": lambda: joined(evidence(run)),
        "Calibration": lambda: joined(calibration(run, champion)),
        "Guards": lambda: guards(run),
        "Answers": lambda: joined(answers(champion, run, ("champion", "this run"))),
        "In the ledger": lambda: _recorded(run),
    }
    # One part that cannot be shown hides no other.
    return [sound(title, make) for title, make in parts.items()]


def _head(run: Run, champion: Run | None, to_run: Linker, actions: Sequence[Markup]) -> Markup:
    row, detail = run.row, run.detail
    baseline = row["kind"] == "baseline"
    said, kind = VERDICTS.get(row["verdict"], (row["verdict"], ""))
    title = "The champion, measured" if baseline else said
    pairs: list[tuple[str, Child]] = [
        ("run", element("code", run.id)),
        ("decided", when(run.at)),
        ("model", _model(run)),
        ("origin", clipped(detail.get("origin") or "-", 200)),
        ("compared with", to_run("the champion of that cycle", champion.id) if champion else None),
        ("worst axis", _worst(run)),
    ]
    return element(
        "div",
        element("h1", title, ", in a dry run" if row["dry_run"] else None),
        element("p", reason(row["reason"]), cls=f"lead {kind}".rstrip()),
        note(
            f"The files of this run cannot be shown. {run.problem}",
            kind="bad" if run.invalid else "warn",
        )
        if run.problem
        else None,
        facts((name, value) for name, value in pairs if value is not None),
        element("p", *actions, cls="actions") if actions else None,
    )


def _worst(run: Run) -> str | None:
    """Return the axis or group that lost the most against the champion, if they were compared."""
    if "before" not in run.detail:
        return None
    name = run.detail.get("worst_axis")
    return "none: nothing lost" if name is None else worst(name)


def worst(name: str | None) -> str:
    """Return an axis or group, as a decision names it, in words."""
    axis = (name or "-").removeprefix("axis ")
    return f"{axis} ({AXES[axis]})" if axis in AXES else clipped(axis, 100)


def _model(run: Run) -> str:
    model = f":{run.config.model}" if run.config else ""
    return clipped(f"{run.row['provider_id'] or '-'}{model}", 200)


def _tried(run: Run, champion: Run | None) -> list[Markup]:
    said = run.detail.get("note")
    dropped = ", ".join(run.detail.get("not_applied", ()))
    return [
        *([note(clipped(said, 500))] if said else []),
        difference.configurations(
            champion.config if champion else None, run.config, ("champion", "this run")
        ),
        *([note(f"Not taken by the model, and not sent: {clipped(dropped)}")] if dropped else []),
    ]


def _axes(run: Run, champion: Run | None) -> list[Markup]:
    if not run.row["n_tasks"]:
        return [note("Nothing was measured.")]
    before = run.detail.get("before") or (champion.axes if champion else {})
    rows = axis_rows(before, run.axes, ("champion", "this run"))
    head = ("axis", "champion", "this run", "change", "from 0 to 1")
    measured = f"More is better, except for the cost C; measured on {run.row['n_tasks']:,} tasks"
    names = {"old": "champion", "new": "this run"} if before else {"new": "this run"}
    return [table(measured, head, rows, stack=True), legend(names)]


def axis_rows(
    old: Mapping[str, float | None], new: Mapping[str, float | None], names: tuple[str, str]
) -> list[Sequence[Child]]:
    """Return one row for each axis: both values, what changed, and both as bars."""
    rows: list[Sequence[Child]] = []
    for axis, name in AXES.items():
        one, other = old.get(axis), new.get(axis)
        change = None if one is None or other is None else other - one
        words = f"{name}: {names[0]} {number(one)}, {names[1]} {number(other)}"
        drawn = bars([("old", one), ("new", other)], words)
        moved = number(change, sign=True)
        rows.append((f"{axis} {name}", number(one), number(other), moved, drawn))
    return rows


def _recorded(run: Run) -> Markup:
    row = run.row
    pairs: list[tuple[str, Child]] = [
        ("entry", f"{row['idx']:,}"),
        ("hash of the entry", element("code", row["leaf_hash"])),
        ("hash of the manifest", element("code", row["manifest_sha256"])),
        ("hash of the configuration", element("code", row["config_hash"])),
        ("cycle", element("code", row["cycle_id"])),
        ("seed", None if row["seed"] is None else str(row["seed"])),
        ("spent", f"${row['cost_usd'] or 0:,.6f}"),
        ("penin replay", element("code", f"penin replay {run.id}")),
    ]
    return section("In the ledger", facts(pairs))
