"""penin plugins: list what is installed, what it provides, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .output import config_option, emit, json_option, table


@click.group(invoke_without_command=True)
@json_option
@config_option
@click.pass_context
def command(ctx: click.Context, as_json: bool, config: Path | None) -> None:
    """List plugins, what they provide, and what is wrong with them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins, as_json=as_json, config=config)


@command.command("list")
@json_option
@config_option
@click.pass_context
def list_plugins(ctx: click.Context, as_json: bool, config: Path | None) -> None:
    """Show every plugin: name, version, plugin API, what it provides, state and reason."""
    outer = ctx.parent.params if ctx.parent else {}
    config = config or outer.get("config")
    emit(_rows(config), as_json or bool(outer.get("as_json")), _render)


def _rows(config: Path | None) -> list[dict[str, Any]]:
    from penin_core.plugins import Plugins, listed
    from penin_core.settings import load_settings

    names, files = listed(load_settings(config))
    rows = Plugins.load(files=files).describe()
    known = {row["name"] for row in rows}
    missing = [_row(name, "", "", "missing", "penin.toml lists it") for name in names]
    return rows + _commands() + [row for row in missing if row["name"] not in known]


def _commands() -> list[dict[str, Any]]:
    """Return a row for each command that a plugin brings; none of them is imported."""
    from penin_core.cli import COMMANDS
    from penin_core.installed import COMMANDS as GROUP
    from penin_core.installed import installed

    entries = installed(GROUP)
    rows = []
    for entry in entries:
        state, reason = "installed", ""
        if entry.name in COMMANDS:
            state, reason = "broken", "penin has a command of this name"
        elif sum(other.name == entry.name for other in entries) > 1:
            state, reason = "broken", "two distributions bring this command"
        row = _row(entry.name, entry.distribution, entry.version, state, reason)
        part = {"kind": "commands", "name": entry.name, "summary": ""}
        rows.append({**row, "components": [part]})
    return rows


def _row(name: str, distribution: str, version: str, state: str, reason: str) -> dict[str, Any]:
    row = {"name": name, "distribution": distribution, "version": version}
    return {**row, "api": None, "components": [], "watches": [], "state": state, "reason": reason}


def _render(rows: list[dict[str, Any]]) -> str:
    plugins = table(
        ("name", "distribution", "version", "API", "provides", "state", "reason"),
        [
            (
                row["name"],
                row["distribution"] or None,
                row["version"] or None,
                row["api"],
                _provides(row),
                row["state"],
                row["reason"],
            )
            for row in rows
        ],
    )
    components = sorted(
        (part["kind"], part["name"], row["name"], part["summary"])
        for row in rows
        for part in row["components"]
    )
    return f"{plugins}\n\n{table(('kind', 'name', 'plugin', 'what it is'), components)}"


def _provides(row: dict[str, Any]) -> str | None:
    """Count what a plugin brings, kind by kind."""
    kinds = [component["kind"] for component in row["components"]]
    kinds += ["watchers"] * len(row["watches"])
    counted = [(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
    return ", ".join(f"{n} {kind if n > 1 else kind[:-1]}" for n, kind in counted) or None
