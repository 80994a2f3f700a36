"""penin why: explain the decision about a run, from what the ledger holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, printable
from .shared import place_options

if TYPE_CHECKING:
    from penin_core.ledger.store import WORMLedger


@click.command()
@click.argument("run_id")
@place_options
@json_option
def command(run_id: str, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Explain the decision about a run: what was tried, how it did, who objected.

    RUN_ID may be the beginning or the end of the id.
    """
    from .shared import find_run, locate, open_ledger
    from .wording import fitted

    place = locate(config, state_dir)
    with open_ledger(place) as ledger:
        run = find_run(ledger, run_id)
        data = explained(place.state, ledger, run)
    emit(data, as_json, lambda found: fitted(_in_words(found)))


def explained(state: Path, ledger: WORMLedger, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a run, what explains it, and the two configurations it compares.

    ``config`` is None where its files are gone, ``champion_config`` where it is not known;
    ``log_e`` is the evidence after every task, of utility and, where it was claimed, of cost.
    """
    import json

    entry = ledger.entry(run["idx"])
    detail = entry.body.get("detail", {})
    files, problem = _files(state, run)
    confirmation = detail.get("confirmation")
    return {
        "run": {**run, "at": entry.ts},
        "detail": detail,
        "config": json.loads(files["config.json"]) if files else None,
        "log_e": _log_e(files, confirmation) if isinstance(confirmation, dict) else {},
        "champion_config": _champion_config(ledger, detail.get("champion")),
        "files": str(state / "runs" / run["id"]),
        "problem": problem,
    }


def _files(state: Path, run: Mapping[str, Any]) -> tuple[Mapping[str, bytes], str]:
    """Return the files of a run, or why they cannot be read."""
    from penin_core.errors import LedgerInvalid, StateError
    from penin_core.ledger.artifacts import read_run

    try:
        return read_run(state, run["id"], run["manifest_sha256"]), ""
    except (LedgerInvalid, StateError) as error:
        return {}, str(error)


def _log_e(files: Mapping[str, bytes], found: Mapping[str, Any]) -> dict[str, list[float]]:
    import json

    from penin_core.pages.evidence import log_e_paths

    if "pairs.jsonl" not in files:
        return {}
    rows = map(json.loads, files["pairs.jsonl"].splitlines())
    return log_e_paths(rows, found["claim"])[0]


def _champion_config(ledger: WORMLedger, config_hash: str | None) -> dict[str, Any] | None:
    from penin_core.ledger.champion import champions

    found = (c.config for c in champions(ledger) if c.config_digest == config_hash)
    return next(found, None)


def _in_words(data: dict[str, Any]) -> str:
    from . import wording
    from .wording import line, lines

    run, detail = data["run"], data["detail"]
    dry = ", dry run" if run["dry_run"] else ""
    shown = [
        line("run", f"{run['id']}, {wording.when(run['at'])}, entry {run['idx']}{dry}"),
        line("verdict", f"{run['verdict']}: {wording.reason(run['reason'] or '')}"),
        line("origin", wording.clipped(detail.get("origin") or "-")),
        *lines("changed", _changed(data)),
        *lines("not applied", wording.not_applied(detail.get("not_applied", ()))),
        *lines("model", wording.going_away(detail.get("shutdown_date"))),
        "",
        *_numbers(run, detail, data["log_e"]),
        *lines("guards", wording.guards(detail.get("guards", ()))),
        *lines(
            "files", [printable(data["files"]), *filter(None, [wording.clipped(data["problem"])])]
        ),
    ]
    return "\n".join(shown)


def _changed(data: Mapping[str, Any]) -> Sequence[str]:
    """Return how the configuration differs from the champion's, as far as both are known."""
    from penin_core.records import Configuration

    from .wording import clipped, configuration, difference

    note = [clipped(data["detail"].get("note") or "")]
    if data["config"] is None:
        return list(filter(None, note))
    config = Configuration.model_validate(data["config"])
    if data["champion_config"] is None or data["run"]["kind"] == "baseline":
        return [f"nothing, it is {config.provider}:{config.model}", *configuration(config)]
    champion = Configuration.model_validate(data["champion_config"])
    return difference(champion, config) or ["nothing"]


def _numbers(
    run: Mapping[str, Any], detail: Mapping[str, Any], log_e: Mapping[str, Sequence[float]]
) -> Sequence[str]:
    """Return the axes, the rule on point values, and the evidence."""
    from .wording import amount, evidence, gain, line, lines, number

    if run["n_tasks"] in (None, 0):
        return []
    shown = [*_axes(run, detail), line("measured", f"on {amount(run['n_tasks'], 'task')}")]
    params = detail.get("params", {})
    if run["score"] is not None:
        shown.append(line("score", f"{number(run['score'])}, tau {number(params.get('tau'))}"))
    if run["delta_linf"] is not None:
        delta, beta = number(run["delta_linf"], sign=True), params.get("beta_min")
        vetoed = run["linf"] == 0.0 and not all(g["ok"] for g in detail.get("guards", ()))
        why = "; a veto sets L∞ to 0" if vetoed else ""
        shown.append(line("ΔL∞", f"{delta}, at least {number(beta)} is needed{why}"))
    if detail.get("worst_axis"):
        shown.append(line("worst", str(detail["worst_axis"])))
    if found := detail.get("confirmation"):
        shown += lines("evidence", [evidence(found), *_path(found, log_e), *gain(found, ())])
    return shown


def _axes(run: Mapping[str, Any], detail: Mapping[str, Any]) -> list[str]:
    """Return the table of the axes, each with a bar, and a stroke where the champion stood."""
    from .charts import bar, room
    from .wording import AXES, axes, axis_table

    measured = {axis: run[f"{axis.lower()}_score"] for axis in AXES}
    before = axes(detail["before"]) if "before" in detail else {}
    columns = [("champion", before)] if before else []
    head, *rows = axis_table([*columns, ("run", measured)])
    used = max(map(len, rows)) + 2
    width = room(used)
    drawn = [bar(measured[axis], width, before.get(axis)) for axis in AXES]
    return [head, *(f"{row:<{used}}{bar}".rstrip() for row, bar in zip(rows, drawn, strict=True))]


def _path(found: Mapping[str, Any], log_e: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the evidence as it grew, and when it was enough, for each thing that was claimed."""
    import math

    from .charts import room, sparkline

    bar, shown = math.log(1 / found["alpha"]), []
    for name, path in log_e.items():
        passed = next((n for n, value in enumerate(path, 1) if value >= bar), None)
        when = f"enough after {passed}" if passed else "never enough"
        words = f"e-value of the {name} over {len(path)} looks, {when}"
        shown.append(f"{sparkline(path, room(len(words) + 13))} {words}".strip())
    return shown if found.get("mode") != "horizon" else []
