"""Everything about one run: the decision, what was tried, how it did, and who objected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penin_core.league.looks import MARGIN, Pair, units
from penin_core.omega._calibration import N_BINS, SCHEME, binned
from penin_core.omega.evidence import log_e_path

from . import difference
from .answers import answers
from .charts import Frame, Line, bars, chart, legend, padded
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
from .reading import AXES, Run

#: What is said of a verdict, and the class that colours it.
VERDICTS = {
    "promote": ("Promoted", "good"),
    "canary": ("Not promoted: parked until there is evidence", "warn"),
    "rollback": ("Not promoted: the champion stays", ""),
    "fail": ("Failed", "bad"),
}
#: Makes a link to a run out of what is to be read and its id; in a single file it makes none.
Linker = Callable[[Child, str], Child]


def badge(row: Mapping[str, Any]) -> Markup:
    """Return the verdict of a run as a word with its colour."""
    _, kind = VERDICTS.get(row["verdict"], ("", ""))
    return element(
        "span", row["verdict"], " (dry run)" if row["dry_run"] else None, cls=f"badge {kind}"
    )


def reason(words: str | None) -> str:
    """Return the reason of a decision without the key that programs look for."""
    found = (words or "").removeprefix("raced_out: ").removeprefix("budget_exhausted: ")
    return clipped(found, 400)


def sections(run: Run, champion: Run | None, to_run: Linker) -> list[Markup]:
    """Return the page of a run, from its verdict down to its entry; ``champion`` may be unknown."""
    parts: dict[str, Callable[[], Markup]] = {
        "The decision": lambda: _head(run, champion, to_run),
        "What was tried": lambda: section("What was tried", *_tried(run, champion)),
        "The four axes": lambda: section("The four axes", *_axes(run, champion)),
        "The evidence": lambda: joined(_evidence(run)),
        "Calibration": lambda: joined(_calibration(run, champion)),
        "Guards": lambda: joined(_guards(run)),
        "Answers": lambda: joined(answers(champion, run, ("champion", "this run"))),
        "In the ledger": lambda: _recorded(run),
    }
    # One part that cannot be shown hides no other.
    return [sound(title, make) for title, make in parts.items()]


def _head(run: Run, champion: Run | None, to_run: Linker) -> Markup:
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
    )


def _worst(run: Run) -> str | None:
    """Return the axis that lost the most against the champion, as far as they were compared."""
    worst = run.detail.get("worst_axis")
    if worst in AXES:
        return f"{worst} ({AXES[worst]})"
    return "none: no axis lost" if "before" in run.detail else None


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
    rows = [_axis(axis, before.get(axis), value, run) for axis, value in run.axes.items()]
    head = ("axis", "champion", "this run", "change", "both, from 0 to 1")
    params, row = run.detail.get("params", {}), run.row
    rule = [
        ("score", number(row["score"]), "tau", params.get("tau")),
        ("change of L∞", number(row["delta_linf"], sign=True), "at least", params.get("beta_min")),
    ]
    shown = [
        (name, f"{value}, {word} {number(limit)}")
        for name, value, word, limit in rule
        if value != "-"
    ]
    shown.append(("measured on", f"{row['n_tasks']:,} tasks"))
    return [
        table("More is better, except for the cost C", head, rows),
        legend({"old": "champion", "new": "this run"}),
        facts(shown),
    ]


def _axis(axis: str, old: float | None, new: float | None, run: Run) -> Sequence[Child]:
    change = None if old is None or new is None else new - old
    worst = " (worst)" if run.detail.get("worst_axis") == axis else ""
    words = f"{AXES[axis]}: champion {number(old)}, this run {number(new)}"
    drawn = bars([("old", old), ("new", new)], words)
    return f"{axis} {AXES[axis]}{worst}", number(old), number(new), number(change, sign=True), drawn


def _evidence(run: Run) -> list[Markup]:
    found = run.detail.get("confirmation")
    if not isinstance(found, dict):
        return []
    further = found.get("further") or found
    low, high = further.get("interval") or (None, None)
    where = "after the proof" if further is not found else "in the proof"
    pairs: list[tuple[str, Child]] = [
        (
            "claim",
            f"{found['claim']}, confirmation {found['t']}, held to alpha {found['alpha']:.4g}",
        ),
        (
            "result",
            f"{'proved' if found['proved'] else 'not proved'} on {found['n']:,} fresh tasks",
        ),
        (
            "tasks won and lost",
            f"{found['wins']} won, {found['losses']} lost, {found['errors']} with an error",
        ),
        (
            f"gain, on {further['n']} tasks {where}",
            f"{number(further['gain'], sign=True)} per task",
        ),
        ("95 % interval of the gain", f"{number(low, sign=True)} to {number(high, sign=True)}"),
    ]
    return [section("The evidence", facts(pairs), *_path(run, found))]


def _path(run: Run, found: Mapping[str, Any]) -> list[Markup]:
    """Draw log e after every unit of evidence, against what had to be reached."""
    pairs = [Pair(**pair) for pair in run.lines("pairs.jsonl")]
    looked = units(pairs)
    if not looked:
        return []
    noun = "tasks" if len(looked) == len(pairs) else "clusters of tasks"
    margin = 0.0 if found["claim"] == "better" else MARGIN
    paths = {"new": log_e_path((d for d, _ in looked), margin)}
    names = {"new": "evidence: log e of utility"}
    if found["claim"] == "cheaper":
        paths["old"] = log_e_path(s for _, s in looked)
        names["old"] = "evidence: log e of the cost"
    bar = math.log(1 / found["alpha"])
    frame = Frame(
        (0, len(looked)), padded([v for p in paths.values() for v in p], 0, bar), noun, "log e"
    )
    lines = [Line("bar", [(0, bar), (len(looked), bar)])]
    lines += [
        Line(cls, [(0.0, 0.0), *((float(i), v) for i, v in enumerate(path, 1))])
        for cls, path in paths.items()
    ]
    words = (
        f"After {len(looked)} {noun} log e is {paths['new'][-1]:.2f}; "
        f"{bar:.2f} has to be reached once, which is an e-value of {1 / found['alpha']:.4g}."
    )
    if found.get("mode") == "horizon":
        words += " Here five planned looks decided; the path is shown for comparison."
    drawn = chart("evidence", "Evidence over tasks", words, frame, lines)
    return [legend({**names, "bar": "threshold"}), drawn]


def _calibration(run: Run, champion: Run | None) -> list[Markup]:
    """Draw how often answers were right against how sure the model was."""
    sides = {"new": run, "old": champion} if champion else {"new": run}
    found = {cls: points for cls, side in sides.items() if side and (points := _bins(side))}
    if "new" not in found:
        return []
    lines = [Line("bar", [(0.0, 0.0), (1.0, 1.0)])]
    lines += [Line(cls, points, dots=True) for cls, points in found.items()]
    ece = _stored(run, "S", "ece")
    words = (
        "Answers in groups of similar confidence: on the dashed line a model is right as often as "
        f"it says. Calibration error of this run: {number(ece)}."
    )
    frame = Frame((0.0, 1.0), (0.0, 1.0), "confidence", "share that is right")
    names = {"new": "this run", "old": "champion"}
    shown = {cls: names[cls] for cls in found} | {"bar": "perfectly calibrated"}
    drawn = chart("calibration", "Calibration", words, frame, lines)
    return [section("Calibration", legend(shown), drawn)]


def _stored(run: Run, axis: str, name: str) -> float | None:
    value: float | None = run.detail.get("raw", {}).get(axis, {}).get(name)
    return value


def _bins(run: Run) -> list[tuple[float, float]]:
    rows = [row for row in run.answers.values() if row.get("error") is None]
    known = [
        (r["confidence"], r["utility"])
        for r in rows
        if None not in (r.get("confidence"), r.get("utility"))
    ]
    if not known:
        return []
    found = binned([p for p, _ in known], [int(u == 1.0) for _, u in known], N_BINS, SCHEME)
    return [(math.fsum(one.expected) / one.size, one.hits / one.size) for one in found]


def _guards(run: Run) -> list[Markup]:
    results = run.detail.get("guards") or []
    rows = []
    for found in results:
        says = "veto" if not found["ok"] else "pass" if found.get("measured", True) else "open"
        kind = {"veto": "bad", "pass": "good", "open": "warn"}[says]
        rows.append(
            (
                clipped(found["guard"], 100),
                element("span", says, cls=f"badge {kind}".rstrip()),
                clipped(found["reason"]),
            )
        )
    shown = table("What every guard said", ("guard", "says", "why"), rows)
    return [section("Guards", shown)] if rows else []


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
