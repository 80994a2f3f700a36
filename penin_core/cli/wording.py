"""How configurations, measurements and decisions are put into words; all of it is safe to print."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .output import printable

if TYPE_CHECKING:
    from penin_core.records import Configuration, Measurement

AXES = ("U", "S", "C", "L")
#: What the axes stand for; the cost is the only one where less is better.
AXIS_NAMES = {"U": "utility", "S": "stability", "C": "cost", "L": "learning"}
#: Longest value that is shown whole.
LONGEST = 160
_LABEL = 10


def line(label: str, text: str) -> str:
    """Return a line with its label in front."""
    return f"{label:<{_LABEL}} {text}".rstrip()


def lines(label: str, texts: Iterable[str]) -> list[str]:
    """Return lines of which the first has the label in front; none for no text."""
    return [line("" if number else label, text) for number, text in enumerate(texts)]


def fitted(text: str) -> str:
    """Return ``text`` with its long lines broken for the terminal, if stdout is one."""
    if not sys.stdout.isatty():
        return text
    width, hang = shutil.get_terminal_size().columns, " " * (_LABEL + 3)
    return "\n".join(
        found if len(found) < width else textwrap.fill(found, width - 1, subsequent_indent=hang)
        for found in text.splitlines()
    )


def clipped(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` on one line, safe to print, and cut where it is too long."""
    safe = printable(text)
    return safe if len(safe) <= longest else safe[: longest - 3] + "..."


def model_name(config: Configuration) -> str:
    """Return provider and model as they are written on the command line."""
    return clipped(f"{config.provider}:{config.model}")


def changes(before: Configuration, after: Configuration) -> list[tuple[str, str, str]]:
    """Return what differs: the field, its value before, and its value after."""
    return [
        (name, value(name, getattr(before, name)), value(name, getattr(after, name)))
        for name in type(before).model_fields
        if getattr(before, name) != getattr(after, name)
    ]


def difference(before: Configuration, after: Configuration) -> list[str]:
    """Return the changed fields, one line for short values and two for long ones."""
    shown = []
    for name, old, new in changes(before, after):
        if name in ("system", "prompt"):
            shown += [f"{name} - {old}", f"{'':<{len(name)}} + {new}"]
        else:
            shown.append(f"{name} {old} -> {new}")
    return shown


def configuration(config: Configuration) -> list[str]:
    """Return one line for every field that is set."""
    names = [name for name in type(config).model_fields if name not in ("provider", "model")]
    given = [(name, getattr(config, name)) for name in names]
    unset: tuple[object, ...] = (None, (), {})
    return [f"{name:<11} {value(name, found)}" for name, found in given if found not in unset]


def value(name: str, found: Any) -> str:
    """Return a field of a configuration in short words."""
    if name == "examples":
        return str(len(found))
    if isinstance(found, str):
        return clipped(found) or "(empty)"
    return "none" if found is None else clipped(str(found))


def going_away(date: str | None) -> list[str]:
    """Say when the service shuts a model down, if it said so."""
    return [] if date is None else [f"its service shuts it down on {clipped(date, 40)}"]


def not_applied(names: Iterable[str]) -> list[str]:
    """Return one line about the parameters that the model does not take, if there are any."""
    listed = clipped(", ".join(names))
    return [f"{listed}: not taken by the model, and not sent"] if listed else []


def amount(count: int, noun: str) -> str:
    """Return a count and its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(found: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return a number with a fixed count of digits, ``-`` where nothing was measured."""
    return "-" if found is None else f"{found:{'+' if sign else ''}.{digits}f}"


def duration(seconds: float) -> str:
    """Return a time in the largest units that say it."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def when(ts: str) -> str:
    """Return the time of an entry to the second."""
    return f"{printable(ts)[:19].replace('T', ' ')} UTC"


def usd(amount_usd: float) -> str:
    """Return an amount of money to the micro-dollar."""
    whole = f"{amount_usd:,.6f}".rstrip("0")
    return f"${whole}00" if whole.endswith(".") else f"${whole}"


def axes(measured: Mapping[str, float | None] | Measurement) -> dict[str, float | None]:
    """Return the four axes of a measurement or of a mapping that has them."""
    if isinstance(measured, Mapping):
        return {axis: measured.get(axis) for axis in AXES}
    return {axis: getattr(measured, axis) for axis in AXES}


def axis_table(columns: Sequence[tuple[str, Mapping[str, float | None]]]) -> list[str]:
    """Return one row for each axis, one column for each measurement."""
    head = " ".join(f"{name:>10}" for name, _ in columns)
    rows = [f"{'':<{_LABEL + 4}} {head}"]
    for axis in AXES:
        cells = " ".join(f"{number(found[axis]):>10}" for _, found in columns)
        note = "   (less is better)" if axis == "C" else ""
        rows.append(f"{axis} {AXIS_NAMES[axis]:<{_LABEL + 2}} {cells}{note}")
    return rows


def gain(confirmation: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    """Return what a confirmation showed, on how many tasks, and how sure that is.

    ``metrics`` are those that grade its tasks: the gain has the name of the only one, if it is.
    """
    by = clipped(metrics[0], 40) if len(metrics) == 1 else "score"
    found = confirmation.get("further") or confirmation
    interval = found.get("interval") or (None, None)
    sides = f"{confirmation['wins']} won, {confirmation['losses']} lost"
    if confirmation["errors"]:
        sides += f", {confirmation['errors']} with an error"
    where = ""
    if confirmation["proved"]:
        further = found is not confirmation
        where = f", on {found['n']} tasks after the proof" if further else ", likely too high"
    return [
        f"{number(found['gain'], sign=True)} {by}, 95 % interval "
        f"{number(interval[0], sign=True)} to {number(interval[1], sign=True)}{where}",
        f"{'proved' if confirmation['proved'] else 'not proved'} on "
        f"{amount(confirmation['n'], 'confirm task')} ({sides})",
    ]


def sources(units: int, column: str | None) -> str:
    """Say that tasks of one cluster count as one; nothing where each task stands for itself."""
    from penin_core.suites import MIN_CONFIRM

    if column is None:
        return ""
    name = repr(clipped(column, 40))
    told = f"; tasks with the same {name} count as one, which makes {units:,}"
    if units >= MIN_CONFIRM:
        return told
    few = f"fewer than {MIN_CONFIRM} prove large gains only: add tasks with another {name}"
    return f"{told}, and {few}"


def evidence(confirmation: Mapping[str, Any]) -> str:
    """Return the e-value of a confirmation beside the one that it needed, or its planned looks."""
    if confirmation.get("mode") == "horizon":
        return (
            f"five planned looks at alpha {confirmation['alpha']:.4g} "
            f"(claim {confirmation['claim']}, confirmation {confirmation['t']})"
        )
    text = f"e-value {e_value(confirmation['log_e'])}"
    if confirmation.get("log_e_cost") is not None:
        text += f", of the cost {e_value(confirmation['log_e_cost'])}"
    return (
        f"{text}, needed {1 / confirmation['alpha']:.4g} "
        f"(claim {confirmation['claim']}, confirmation {confirmation['t']})"
    )


def e_value(log_e: float) -> str:
    """Return e to the power of ``log_e``, also where that is no float any more."""
    if log_e < 20:
        return f"{math.exp(log_e):.3g}"
    return f"10^{log_e / math.log(10):.0f}"


def guards(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one line for each guard: its name, what it says, and why."""
    shown = []
    for found in results:
        says = "veto" if not found["ok"] else "pass" if found.get("measured", True) else "open"
        shown.append(f"{clipped(found['guard'], 16):<11} {says:<4} {clipped(found['reason'])}")
    return shown


def reason(text: str) -> str:
    """Return the reason of a decision without the key that programs look for."""
    for key in ("raced_out: ", "budget_exhausted: "):
        text = text.removeprefix(key)
    return clipped(text.removesuffix(": parked"), 400)
