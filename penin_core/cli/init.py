"""penin init: a new project from a file of tasks and the configuration that runs today."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .drafting import EMBEDDED, Answers, draft, with_start
from .output import emit, json_option, progress, quiet_option
from .shared import Place, checked_project, named_values, place_options, seconds_of

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.projectfiles import Table
    from penin_core.records import Task
    from penin_core.runners import Appraisal
    from penin_core.settings import Settings

FILE_NAME = "penin.toml"


@click.command()
@click.option(
    "--tasks", type=click.Path(path_type=Path), metavar="FILE", help="JSON Lines of tasks."
)
@click.option("--name", metavar="TEXT", help="Name of the suite.  [default: that of the file]")
@click.option("--provider", metavar="ID", help="Whose model runs today.  [default: tiny]")
@click.option("--model", metavar="NAME", help="Which model.  [default for tiny: tiny-5]")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the provider, such as base_url; repeatable.",
)
@click.option("--system", metavar="TEXT", help="The instruction in use today.")
@click.option("--prompt", metavar="TEXT", help="How a task is asked.  [default: {{input}}]")
@click.option("--temperature", type=float, help="Sampling temperature in use today.  [default: 1]")
@click.option("--max-tokens", type=int, help="Room for an answer.  [default: from the tasks]")
@click.option("--no-measure", is_flag=True, help="Write the file without measuring the start.")
@click.option("--force", is_flag=True, help="Replace an existing penin.toml.")
@place_options
@json_option
@quiet_option
def command(
    no_measure: bool,
    force: bool,
    options: tuple[str, ...],
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Set up a project: settings, tasks, a first champion.

    Writes penin.toml into the working directory, or where --config says. What the tasks allow is
    measured, what they do not is declared with a reason; the configuration of today is measured,
    its score becomes the threshold and its costs the baseline. Without --tasks the project uses
    the suite that ships with penin. Without any flag, and on a terminal, it asks.
    """
    from penin_core import projectfiles

    path = config or Path(FILE_NAME)
    hint = "--force replaces it; the state directory stays"
    projectfiles.require_place(path, replace=force, hint=hint)
    given = {name: value for name, value in given.items() if value is not None}
    if options:
        given["options"] = named_values(options, "base_url=http://localhost:11434/v1")
    if not given and sys.stdin.isatty() and sys.stderr.isatty():
        given = asked()
    progress("reading tasks, plugins and the model's capabilities")
    tables = draft(Answers(**given), path.absolute().parent)
    with checked_project(None, state_dir, settings=parsed(tables, path)) as (project, _):
        project.require_provable()
        start = None if no_measure else measured(project)
    if start is not None:
        tables = with_start(tables, start)
    settings = parsed(tables, path)
    projectfiles.write_whole(path, projectfiles.toml(tables), replace=force)
    recorded = Place(settings, project.state).has_ledger
    emit({**summary(settings, path, start), "recorded": recorded}, as_json, _in_words)


def asked() -> dict[str, Any]:
    """Ask on the terminal for what flags would say; an empty answer keeps the default."""
    tasks = click.prompt("File of tasks (JSON Lines; empty: the shipped suite)", "", err=True)
    if not tasks:
        return {}
    provider = click.prompt("Provider of the model", EMBEDDED[0], err=True)
    embedded = EMBEDDED[1] if provider == EMBEDDED[0] else None
    return {
        "tasks": Path(tasks).expanduser(),
        "provider": provider,
        "model": click.prompt("Model", embedded, err=True),
        "system": click.prompt("Instruction in use today (may be empty)", "", err=True),
        "temperature": click.prompt("Temperature", 1.0, type=float, err=True),
    }


def parsed(tables: list[Table], path: Path) -> Settings:
    """Return the settings that the new file will give."""
    from penin_core.projectfiles import toml
    from penin_core.settings import Settings, validated

    settings = validated(Settings, tomllib.loads(toml(tables)), path)
    return settings.model_copy(update={"folder": path.absolute().parent, "source": path})


def measured(project: Project) -> Appraisal:
    """Measure what runs today; the answers are kept for the first cycle."""
    from asyncio import run

    from penin_core.errors import EvaluationFailed
    from penin_core.runners import appraise, open_cycle
    from penin_core.state import prepare

    from .terminal import following

    seconds = seconds_of(project.settings)
    prepare(project.state)

    async def start(watch: Any) -> Appraisal:
        async with open_cycle(
            project,
            seconds=seconds,
            max_usd=None,
            seed=None,
            dry_run=True,
            profile=None,
            watch=watch,
        ) as cycle:
            return await appraise(cycle)

    try:
        with following() as watch:
            return run(start(watch))
    except EvaluationFailed as error:
        hint = "--no-measure writes the file; then take out of axes what cannot be measured"
        raise EvaluationFailed(str(error), hint=hint) from error


def summary(settings: Settings, path: Path, start: Appraisal | None) -> dict[str, Any]:
    """Return what was declared and measured."""
    from penin_core.plugins import shipped_suites
    from penin_core.suites import load_suite

    suite = load_suite(settings.suite, settings.folder, shipped_suites())
    tasks: list[Task] = list(suite.tasks)
    return {
        "config": str(path),
        "suite": settings.suite,
        "champion": settings.champion,
        "tasks": {
            name: sum(task.split == name for task in tasks)
            for name in ("select", "confirm", "ood", "composed")
        },
        "consent": sum(task.consent is True for task in tasks) / len(tasks),
        "measured": None if start is None else start.measured.model_copy(update={"rows": ()}),
        "tau": None if start is None else settings.evolve.tau,
    }


def _in_words(data: dict[str, Any]) -> str:
    from . import wording
    from .wording import line, lines

    suite, count = data["suite"], data["tasks"]
    extra = "".join(f", {count[name]} {name}" for name in ("ood", "composed") if count[name])
    shown = [
        line("wrote", wording.clipped(data["config"])),
        line("champion", wording.model_name(data["champion"])),
        *lines("", wording.configuration(data["champion"])),
        line(
            "tasks", f"{count['select']:,} to search on, {count['confirm']:,} to confirm on{extra}"
        ),
        line("metrics", ", ".join(suite.metrics)),
        *lines("left out", (f"{name}: {why}" for name, why in sorted(suite.reasons.items()))),
    ]
    if suite.consent == "register" and data["consent"] < 1.0:
        share = f"{1 - data['consent']:.0%} of the tasks carry no consent"
        shown.append(line("warning", f"{share}: Σ-Guard will veto every promotion"))
    if data["measured"] is not None:
        shown += ["", *wording.axis_table([("start", wording.axes(data["measured"]))])]
        shown.append(
            line("threshold", f"{data['tau']} (the score of the start, cut to 0.5 to 0.7)")
        )
    if data["recorded"]:
        stays = "the state directory has a ledger: its champion, threshold and costs stay"
        shown.append(line("warning", f"{stays}; begin anew with --state-dir, or in another folder"))
    return wording.fitted("\n".join([*shown, line("next", "penin evolve")]))
