"""penin replay: decide again about a stored run, and say where anything differs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option
from .shared import place_options

if TYPE_CHECKING:
    from penin_core.contracts import Guard


@click.command()
@click.argument("run_id")
@place_options
@json_option
def command(run_id: str, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Compute every gate and the verdict of a run again, from what was stored.

    RUN_ID may be the beginning or the end of the id. No model is asked. The exit code is 5 when
    anything differs; the first difference is named.
    """
    from penin_core.contracts import Guard
    from penin_core.errors import PluginInvalid
    from penin_core.loading import prints_on_stderr
    from penin_core.plugins import Plugins
    from penin_core.replay.replaying import replay

    from .shared import find_run, locate, open_ledger

    place = locate(config, state_dir)
    plugins: list[Plugins] = []

    def guard(name: str) -> Guard:
        if not plugins:
            plugins.append(Plugins.of(place.settings))
        made = plugins[0].create("guards", name, {})
        if not isinstance(made, Guard):
            raise PluginInvalid(f"{name!r} is no guard")
        return made

    with open_ledger(place) as ledger, prints_on_stderr():
        found = replay(place.state, ledger, find_run(ledger, run_id)["id"], guard)
    emit(asdict(found), as_json, _in_words)


def _in_words(data: dict[str, Any]) -> str:
    from .wording import clipped, line, lines

    shown = [
        line("run", f"{data['run_id']}: {data['verdict']}, derived again without a difference"),
        *lines("derived", [clipped(text, 200) for text in data["checks"]]),
        *lines("note", [clipped(text, 200) for text in data["notes"]]),
    ]
    return "\n".join(shown)
