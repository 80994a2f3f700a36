"""penin tune: how the parameters that decide about promotions were tuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .output import emit, json_option, table
from .shared import place_options

BARS = "▁▂▃▄▅▆▇█"
#: The widest path that is drawn; of a longer one, evenly spaced steps.
WIDEST = 40


@click.group()
def command() -> None:
    """Show how the tuned parameters moved."""


@command.command("show")
@place_options
@json_option
def show(config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show every tuned parameter: value, start, range, and its path over the steps."""
    from .shared import locate, open_ledger

    with open_ledger(locate(config, state_dir)) as ledger:
        data = tuning(ledger)
    emit(data, as_json, _in_words)


def tuning(ledger: Any) -> dict[str, Any]:
    """Return the parameters in force and every entry that set them, oldest first."""
    from penin_core.omega.tuner import DEFAULTS, RANGES
    from penin_core.project import parameters

    version, params = parameters(ledger)
    entries = ledger.events(("BOOTSTRAP", "TUNE"))
    steps = [
        {
            "entry": event.idx,
            "at": event.ts,
            "by": event.kind,
            "param_version": event.body["param_version"],
            "params": {**DEFAULTS, **event.body["params"]},
            "objective": event.body.get("objective"),
            "outcome": event.body.get("outcome"),
        }
        for event in entries
    ]
    ranges = {name: list(limits) for name, limits in RANGES.items()}
    frozen = entries[-1].body.get("state", {}).get("frozen", []) if entries else []
    return {
        "param_version": version,
        "params": params,
        "ranges": ranges,
        "frozen": frozen,
        "steps": steps,
    }


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Draw ``values`` as bars, the lowest for ``low`` and the highest for ``high``."""
    if len(values) > WIDEST:
        last = len(values) - 1
        values = [values[i * last // (WIDEST - 1)] for i in range(WIDEST)]
    span = high - low
    shares = [0.5 if span <= 0 else (value - low) / span for value in values]
    return "".join(BARS[min(len(BARS) - 1, max(0, int(s * len(BARS))))] for s in shares)


def _in_words(data: dict[str, Any]) -> str:
    from .wording import amount, line, number, when

    steps, params = data["steps"], data["params"]
    tuned = [step for step in steps if step["by"] == "TUNE" and step["outcome"] is None]
    shown = [line("version", f"{data['param_version']}, {amount(len(tuned), 'step')} recorded")]
    if tuned:
        shown.append(line("last step", f"{when(tuned[-1]['at'])}, entry {tuned[-1]['entry']}"))
    if data["frozen"]:
        shown.append(line("frozen", f"{', '.join(data['frozen'])}: three rollbacks in a row"))
    rows = []
    for name, (low, high) in data["ranges"].items():
        path = [step["params"][name] for step in steps] or [params[name]]
        # Steps are small beside the range: drawn within what the path covers.
        drawn = sparkline(path, min(path), max(path))
        rows.append(
            (name, number(params[name], 4), number(path[0], 4), f"{low:g} to {high:g}", drawn)
        )
    shown += ["", table(("parameter", "value", "start", "range", "path"), rows)]
    objective = [step["objective"] for step in tuned if step["objective"] is not None]
    if objective:
        drawn = sparkline(objective, min(objective), max(objective))
        shown += ["", line("objective", f"{number(objective[-1], 4)}  {drawn}")]
    return "\n".join(shown)
