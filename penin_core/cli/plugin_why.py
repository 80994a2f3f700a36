"""All that is known about one plugin: where it is from, its state, and what names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penin_core.errors import PeninError, PluginNotFound
from penin_core.locking import Lock, difference, read_lock, snapshot
from penin_core.plugins import CORE, Plugins
from penin_core.settings import Settings, suggest

from .output import printable

_MEANING = {
    "loaded": "it can be used",
    "broken": "it cannot be used; everything else works",
    "installed": "it brings a command, which is imported when it runs",
    "missing": "penin.toml lists it, and it is not installed",
}


def facts(name: str, rows: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """Return what is known about the plugin ``name``, or the one whose component has that name.

    Raises:
        PluginNotFound: nothing has that name; the hint says what is near.
    """
    row = _row_of(name, rows)
    parts = [(part["kind"], part["name"]) for part in row["components"]]
    used = [use for kind, part in parts for use in _uses(kind, part, settings)]
    if row["name"] in settings.plugins:
        used.insert(0, "plugins lists it")
    return {
        **row,
        "meaning": _MEANING.get(row["state"], ""),
        "used": list(dict.fromkeys(used)),
        "lock": _lock_state(row, read_lock(settings.folder)),
    }


def _row_of(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    for row in rows:
        if row["name"] == name:
            return row
    for row in rows:
        if any(part["name"] == name for part in row["components"]):
            return row
    known = {row["name"] for row in rows}
    known.update(part["name"] for row in rows for part in row["components"])
    raise PluginNotFound(f"no plugin or component named {name!r}", hint=suggest(name, known))


def _uses(kind: str, name: str, settings: Settings) -> Iterator[str]:
    """Yield where penin.toml, or its defaults, name a component."""
    selected = {
        ("providers", "champion.provider"): (settings.champion.provider,),
        ("mutators", "evolve.mutators"): settings.evolve.mutators,
        ("evaluators", "suite.metrics"): settings.suite.metrics,
        ("evaluators", "suite.evaluators"): settings.suite.evaluators,
        ("guards", "guards.use"): settings.guards.use,
    }
    for (of_kind, key), names in selected.items():
        if kind == of_kind and name in names:
            yield f"{key} names {name}"
    tables: Mapping[str, Any] = getattr(settings, kind, {}) if kind != "guards" else {}
    if name in tables:
        yield f"[{kind}.{name}] sets it up"


def _lock_state(row: dict[str, Any], lock: Lock | None) -> str:
    if lock is None:
        return "there is no penin.lock"
    if row["distribution"] == CORE:
        return "comes with penin"
    locked = lock.named(row["distribution"])
    if locked is None:
        return "penin.lock does not name it"
    try:
        why = difference(locked, snapshot(row["distribution"]))
    except PeninError as error:
        why = str(error)
    return f"differs from penin.lock: {why}" if why else "as penin.lock says"


def blame(plugins: Plugins, name: str) -> str:
    """Return the place in a broken plugin's own code where it failed, "" where there is none."""
    broken = plugins.broken.get(name)
    error = broken.cause if broken else None
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    place, trace = "", error.__traceback__ if error else None
    while trace is not None:
        code = trace.tb_frame.f_code
        if "penin_core" not in code.co_filename and not code.co_filename.startswith("<"):
            place = f"{code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def render(found: dict[str, Any]) -> str:
    """Word the facts, one on a line."""
    origin = " ".join(filter(None, (found["distribution"], found["version"])))
    brings = [f"{part['kind'][:-1]} {part['name']}" for part in found["components"]]
    lines = {
        "plugin": found["name"],
        "from": origin,
        "API": found["api"],
        "brings": ", ".join([*brings, *found["watches"]]),
        "state": f"{found['state']}: {found['meaning']}",
        "because": found["reason"],
        "failed at": found["failed_at"],
        "used": "; ".join(found["used"]) or "nothing names it, so it changes nothing",
        "lock": found["lock"],
    }
    return "\n".join(
        f"{title + ':':<10} {printable(str(text))}" for title, text in lines.items() if text
    )
