"""penin evaluate: measure one model or configuration; nothing is recorded or moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, progress, quiet_option
from .shared import limit_options, place_options, suite_option

if TYPE_CHECKING:
    from penin_core.records import Configuration, Measurement
    from penin_core.suites import Suite


@click.command()
@click.option(
    "--model",
    metavar="MODEL",
    help="provider:model, or a .toml or .json file with a configuration.  [default: the champion]",
)
@click.option(
    "--tasks",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many select tasks to use; no more of them are asked repeatedly, either.",
)
@limit_options
@suite_option
@place_options
@json_option
@quiet_option
def command(
    model: str | None,
    tasks: int | None,
    budget: float | None,
    max_usd: float | None,
    suite: str | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Measure one model or configuration on a suite.

    provider:model keeps instruction, prompt, examples and sampling of what runs now, so that only
    the model differs. Select tasks are used: the confirm tasks stay fresh for promotions.
    """
    progress("reading settings, plugins and tasks")
    from asyncio import run

    from penin_core.gating import FIRST_TASKS
    from penin_core.runners import evaluate
    from penin_core.state import prepare

    from .shared import checked_project, seconds_of
    from .terminal import following

    with checked_project(config, state_dir, suite, asked=_chosen(model)) as (project, chosen):
        seconds = seconds_of(project.settings) if budget is None else budget
        if tasks is not None:
            project.suite = _asked_deeply(project.suite, tasks)
        prepare(project.state)
        with following("measuring") as watch:
            measured = run(
                evaluate(
                    project,
                    chosen,
                    count=FIRST_TASKS if tasks is None else tasks,
                    seconds=seconds,
                    max_usd=max_usd,
                    watch=watch,
                )
            )
    measured = measured.model_copy(update={"rows": ()})
    emit({"configuration": chosen, "measurement": measured}, as_json, _in_words)


def _asked_deeply(suite: Suite, most: int) -> Suite:
    """Return the suite with at most so many tasks for what takes several answers each."""
    definition = suite.definition
    fewer = {"gate_tasks": min(definition.gate_tasks, most)}
    return replace(suite, definition=definition.model_copy(update=fewer))


def _chosen(model: str | None) -> Callable[[Configuration], Configuration]:
    """Return what turns the configuration that runs into the one that MODEL names.

    Raises:
        SettingsError: MODEL is neither a file nor provider:model, or the file is wrong.
    """
    from penin_core.errors import SettingsError

    if model is None:
        return lambda running: running
    path = Path(model)
    if path.suffix in (".toml", ".json"):
        config = read_configuration(path)
        return lambda running: config
    provider, colon, name = model.partition(":")
    if not (provider and colon and name):
        raise SettingsError(
            f"--model {model!r} is neither provider:model nor a .toml or .json file",
            hint="write it like tiny:tiny-5",
        )
    moved: dict[str, Any] = {"provider": provider, "model": name, "adapter": None, "extra": {}}
    return lambda running: running.model_copy(update=moved)


def read_configuration(path: Path) -> Configuration:
    """Read a configuration from a TOML or JSON file.

    Raises:
        SettingsError: the file cannot be read, or a field is wrong.
    """
    import json

    from penin_core.errors import SettingsError
    from penin_core.records import Configuration
    from penin_core.settings import read_toml, validated

    if path.suffix == ".toml":
        return validated(Configuration, read_toml(path), path)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}", hint="it must be a JSON object") from error
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: not a JSON object", hint="write the fields of [champion]")
    return validated(Configuration, table, path)


def _in_words(data: dict[str, Any]) -> str:
    from . import wording
    from .wording import line, lines

    config: Configuration = data["configuration"]
    measured: Measurement = data["measurement"]
    shown = [
        line("model", wording.model_name(config)),
        *lines("", wording.configuration(config)),
        "",
        *wording.axis_table([("measured", wording.axes(measured))]),
    ]
    for axis in wording.AXES:
        parts = (f"{name} {wording.number(v)}" for name, v in measured.raw.get(axis, {}).items())
        shown.append(line(f"{axis} parts", wording.clipped(", ".join(parts) or "-")))
    if measured.C is None:
        shown.append(line("", "cost needs a baseline: the first champion, or [suite.baseline]"))
    errors = f", {measured.n_errors} without an answer" if measured.n_errors else ""
    shown.append(
        line(
            "tasks",
            f"{measured.n_tasks:,}{errors}; {wording.usd(measured.cost_usd)}, "
            f"{measured.latency_ms:.3g} ms an answer",
        )
    )
    return "\n".join(shown)
