"""penin plugins: list what is installed, write, check, explain, lock and restore plugins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import config_option, emit, json_option, progress, table

if TYPE_CHECKING:
    from penin_core.locking import Lock
    from penin_core.plugins import Plugins
    from penin_core.settings import Settings

#: As in penin_core.scaffold, which is not imported to write a help text.
KINDS = ("provider", "mutator", "evaluator", "guard", "finetuner", "command")


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
def list_plugins(as_json: bool, config: Path | None) -> None:
    """Show every plugin: name, version, plugin API, what it provides, state and reason."""
    as_json, config = _inherited(as_json, config)
    emit(_rows(*_opened(config)), as_json, _render)


@command.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin brings.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Folder for the new one, instead of the working directory.",
)
@json_option
def new(name: str, kind: Any, into: Path, as_json: bool) -> None:
    """Write the package of a new plugin, whose tests pass as it stands."""
    from penin_core.errors import PluginError
    from penin_core.scaffold import write_package

    try:
        files = write_package(name, kind, into)
    except OSError as error:
        raise PluginError(f"{into} cannot be written: {error}", hint="see --into") from error
    emit([str(path) for path in files], as_json, "\n".join)
    progress(f"next: cd {files[0].parent} && python -m pytest")


@command.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
@config_option
@click.pass_context
def check(ctx: click.Context, names: tuple[str, ...], as_json: bool, config: Path | None) -> None:
    """Hold installed plugins against their contracts; all of them, or those that are named."""
    from penin_core.errors import PluginNotFound
    from penin_core.installed import PLUGINS, installed
    from penin_core.settings import suggest

    from .plugin_check import check_plugin, render, require_pytest

    as_json, config = _inherited(as_json, config)
    require_pytest()
    entries = {entry.name: entry for entry in installed(PLUGINS)}
    for name in names:
        if name not in entries:
            raise PluginNotFound(f"no plugin {name!r} is installed", hint=suggest(name, entries))
    rows = []
    for name in names or entries:
        progress(f"checking {entries[name]}")
        rows += check_plugin(entries[name], config)
    emit(rows, as_json, render)
    ctx.exit(1 if any(row["outcome"] == "failed" for row in rows) else 0)


@command.command("why")
@click.argument("name")
@json_option
@config_option
def why(name: str, as_json: bool, config: Path | None) -> None:
    """Explain a plugin: where it is from, its state, and what in penin.toml names it."""
    from .plugin_why import blame, facts, render

    as_json, config = _inherited(as_json, config)
    plugins, settings = _opened(config)
    found = facts(name, _rows(plugins, settings), settings)
    emit({**found, "failed_at": blame(plugins, found["name"])}, as_json, render)


@command.command("lock")
@json_option
@config_option
def lock_plugins(as_json: bool, config: Path | None) -> None:
    """Write penin.lock: distribution, version, and the hash of every installed file."""
    from penin_core.locking import FILE_NAME, make_lock
    from penin_core.settings import load_settings

    as_json, config = _inherited(as_json, config)
    path = load_settings(config).folder / FILE_NAME
    lock = make_lock()
    draft = path.with_name(f".{FILE_NAME}.new")
    draft.write_text(lock.written(), encoding="utf-8")
    draft.replace(path)
    progress(f"wrote {path}")
    emit(_locked_rows(lock), as_json, _render_locked)


@command.command("sync")
@json_option
@config_option
def sync(as_json: bool, config: Path | None) -> None:
    """Install the plugins that penin.lock names, as it names them."""
    from penin_core.errors import PluginNotFound
    from penin_core.locking import FILE_NAME, read_lock
    from penin_core.settings import load_settings
    from penin_core.syncing import restore

    as_json, config = _inherited(as_json, config)
    folder = load_settings(config).folder
    lock = read_lock(folder)
    if lock is None:
        raise PluginNotFound(f"{folder} has no {FILE_NAME}", hint="make it: penin plugins lock")
    count = restore(lock, lambda locked, reason: progress(f"{locked.name}: {reason}"))
    progress(f"installed {count}, as locked {len(lock.distributions) - count}")
    emit(_locked_rows(lock), as_json, _render_locked)


def _inherited(as_json: bool, config: Path | None) -> tuple[bool, Path | None]:
    """Take ``--json`` and ``--config`` from before the name of the subcommand, too."""
    ctx = click.get_current_context()
    outer = ctx.parent.params if ctx.parent else {}
    return as_json or bool(outer.get("as_json")), config or outer.get("config")


def _opened(config: Path | None) -> tuple[Plugins, Settings]:
    from penin_core.locking import read_lock
    from penin_core.plugins import Plugins, listed
    from penin_core.settings import load_settings

    settings = load_settings(config)
    _, files = listed(settings)
    return Plugins.load(files=files, lock=read_lock(settings.folder)), settings


def _rows(plugins: Plugins, settings: Settings) -> list[dict[str, Any]]:
    from penin_core.plugins import listed

    rows = plugins.describe()
    known = {row["name"] for row in rows}
    names, _ = listed(settings)
    missing = [_row(name, "", "", "missing", "penin.toml lists it") for name in names]
    return rows + _commands() + [row for row in missing if row["name"] not in known]


def _commands() -> list[dict[str, Any]]:
    """Return a row for each command that a plugin brings; none of them is imported."""
    from penin_core.cli import COMMANDS, NAME
    from penin_core.installed import COMMANDS as GROUP
    from penin_core.installed import installed

    entries = installed(GROUP)
    rows = []
    for entry in entries:
        state, reason = "installed", ""
        if entry.name in COMMANDS:
            state, reason = "broken", "penin has a command of this name"
        elif not NAME.fullmatch(entry.name):
            state, reason = "broken", "this is no name of a command"
        elif sum(other.name == entry.name for other in entries) > 1:
            state, reason = "broken", "two distributions bring this command"
        row = _row(entry.name, entry.distribution, entry.version, state, reason)
        part = {"kind": "commands", "name": entry.name, "summary": ""}
        rows.append({**row, "components": [part]})
    return rows


def _row(name: str, distribution: str, version: str, state: str, reason: str) -> dict[str, Any]:
    row = {"name": name, "distribution": distribution, "version": version}
    return {**row, "api": None, "components": [], "watches": [], "state": state, "reason": reason}


def _locked_rows(lock: Lock) -> list[dict[str, Any]]:
    return [
        {
            "distribution": locked.name,
            "version": locked.version,
            "files": len(locked.files),
            "editable": locked.editable,
        }
        for locked in lock.distributions
    ]


def _render_locked(rows: list[dict[str, Any]]) -> str:
    headers = ("distribution", "version", "files", "editable from")
    return table(headers, [tuple(row.values()) for row in rows])


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
