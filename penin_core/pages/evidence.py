"""What a run proved, drawn: the evidence task by task, and how sure the model was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from penin_core.league.looks import MARGIN, Pair, units
from penin_core.measuring import SPECIAL_SPLITS
from penin_core.omega._calibration import N_BINS, SCHEME, binned
from penin_core.omega.evidence import log_e_path

from .charts import Frame, Line, chart, legend, padded
from .markup import Child, Markup, facts, number, section
from .reading import Run

_LN10 = math.log(10.0)
#: Above one million, only the power of ten is said.
_WORDS = math.log(1e6)
_COLOURS = {"utility": "new", "cost": "old"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(exponent: float) -> str:
    """Return ten to the power of ``exponent`` as it stands beside an axis."""
    if exponent == 0:
        return "1"
    return f"10{f'{exponent:g}'.translate(_RAISED)}" if exponent == int(exponent) else ""


def e_value(log_e: float) -> str:
    """Return e to the power of ``log_e`` in words, also where that is no float any more."""
    if log_e > _WORDS:
        return power(round(log_e / _LN10))
    value = math.exp(log_e)
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def evidence(run: Run) -> list[Markup]:
    """Return the outcome of a confirmation and its path; nothing where there was none."""
    found = run.detail.get("confirmation")
    if not isinstance(found, dict):
        return []
    further = found.get("further") or found
    low, high = further.get("interval") or (None, None)
    where = "after the proof" if further is not found else "in the proof"
    proved = "proved" if found["proved"] else "not proved"
    sides = f"{found['wins']} won, {found['losses']} lost, {found['errors']} with an error"
    pairs: list[tuple[str, Child]] = [
        ("claim", f"{found['claim']}, confirmation {found['t']}"),
        ("error level", f"alpha {found['alpha']:.4g}"),
        ("result", f"{proved} on {found['n']:,} fresh tasks"),
        ("tasks won and lost", sides),
        (f"gain, on {further['n']} tasks {where}", f"{number(further['gain'], sign=True)} a task"),
        ("95 % interval of the gain", f"{number(low, sign=True)} to {number(high, sign=True)}"),
    ]
    return [section("The evidence", facts(pairs), *_path(run, found))]


def log_e_paths(
    lines: Iterable[Mapping[str, Any]], claim: str
) -> tuple[dict[str, list[float]], int, int]:
    """Return log e after every unit of evidence, by what it is about, and how many pairs and units.

    ``lines`` are those of the file ``pairs.jsonl`` of a run; the cost has a path of its own where
    the claim is ``cheaper``.
    """
    pairs = [Pair(**line) for line in lines]
    looked = units(pairs)
    margin = 0.0 if claim == "better" else MARGIN
    paths = {"utility": list(log_e_path((d for d, _ in looked), margin))}
    if claim == "cheaper":
        paths["cost"] = list(log_e_path(s for _, s in looked))
    return paths, len(pairs), len(looked)


def _path(run: Run, found: Mapping[str, Any]) -> list[Markup]:
    """Draw the e-value after every unit of evidence, against what had to be reached."""
    by_name, asked, looked = log_e_paths(run.lines("pairs.jsonl"), found["claim"])
    if not looked:
        return []
    noun = "tasks" if looked == asked else "clusters of tasks"
    paths = {_COLOURS[name]: path for name, path in by_name.items()}
    names = {_COLOURS[name]: f"e-value of the {name}" for name in by_name}
    bar = math.log10(1 / found["alpha"])
    drawn = {
        cls: [(0.0, 0.0), *((float(i), v / _LN10) for i, v in enumerate(path, 1))]
        for cls, path in paths.items()
    }
    frame = Frame(
        (0, looked),
        padded([y for path in drawn.values() for _, y in path], 0, bar),
        f"{noun} asked",
        "e-value",
        y_words=power,
    )
    lines = [Line("bar", [(0, bar), (looked, bar)])]
    lines += [Line(cls, path) for cls, path in drawn.items()]
    words = (
        f"After {looked} {noun} the e-value is {e_value(paths['new'][-1])}; "
        f"{1 / found['alpha']:.4g} has to be reached once."
    )
    if found.get("mode") == "horizon":
        words += " Here five planned looks decided; the path is shown for comparison."
    shown = chart("evidence", "Evidence over tasks", words, frame, lines)
    return [legend({**names, "bar": "threshold"}), shown]


def calibration(run: Run, champion: Run | None) -> list[Markup]:
    """Draw how often answers were right against how sure the model was."""
    sides = {"new": run, "old": champion} if champion else {"new": run}
    found = {cls: points for cls, side in sides.items() if side and (points := _bins(side))}
    if "new" not in found:
        return []
    lines = [Line("even", [(0.0, 0.0), (1.0, 1.0)])]
    lines += [Line(cls, points, dots=True) for cls, points in reversed(found.items())]
    ece = run.detail.get("raw", {}).get("S", {}).get("ece")
    words = (
        "Answers in groups of similar confidence: on the dashed line a model is right as often as "
        f"it says. Calibration error of this run: {number(ece)}."
    )
    frame = Frame((0.0, 1.0), (0.0, 1.0), "confidence", "share that is right", (420.0, 380.0))
    names = {"new": "this run", "old": "champion"}
    shown = {cls: names[cls] for cls in found} | {"even": "perfectly calibrated"}
    drawn = chart("calibration", "Calibration", words, frame, lines)
    return [section("Calibration", legend(shown), drawn)]


def _bins(run: Run) -> list[tuple[float, float]]:
    """Return the points of one run, from the answers that its calibration error is made of."""
    asked = (row for row in run.answers.values() if row.get("split") not in SPECIAL_SPLITS)
    rows = [row for row in asked if row.get("error") is None]
    known = [
        (r["confidence"], r["utility"])
        for r in rows
        if None not in (r.get("confidence"), r.get("utility"))
    ]
    if not known:
        return []
    found = binned([p for p, _ in known], [int(u == 1.0) for _, u in known], N_BINS, SCHEME)
    return [(math.fsum(one.expected) / one.size, one.hits / one.size) for one in found]
