"""penin init: a new project from a file of tasks and the configuration that runs today."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, progress
from .shared import place_options

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.projectfiles import Table
    from penin_core.records import Task
    from penin_core.runners import Appraisal
    from penin_core.settings import Settings, SuiteDefinition

FILE_NAME = "penin.toml"
EMBEDDED = ("tiny", "tiny-1")
DIGITS = 4


@dataclass(frozen=True)
class Answers:
    """What the flags or the questions said; None where the tasks decide."""

    tasks: Path | None = None
    name: str | None = None
    provider: str = EMBEDDED[0]
    model: str | None = None
    system: str | None = None
    prompt: str = "{{input}}"
    temperature: float | None = None
    max_tokens: int | None = None


@click.command()
@click.option(
    "--tasks", type=click.Path(path_type=Path), metavar="FILE", help="JSON Lines of tasks."
)
@click.option("--name", metavar="TEXT", help="Name of the suite.  [default: that of the file]")
@click.option("--provider", metavar="ID", help="Whose model runs today.  [default: tiny]")
@click.option("--model", metavar="NAME", help="Which model.  [default for tiny: tiny-1]")
@click.option("--system", metavar="TEXT", help="The instruction in use today.")
@click.option("--prompt", metavar="TEXT", help="How a task is asked.  [default: {{input}}]")
@click.option("--temperature", type=float, help="Sampling temperature in use today.  [default: 1]")
@click.option("--max-tokens", type=int, help="Room for an answer.  [default: from the tasks]")
@click.option("--no-measure", is_flag=True, help="Write the file without measuring the start.")
@click.option("--force", is_flag=True, help="Replace an existing penin.toml.")
@place_options
@json_option
def command(
    no_measure: bool,
    force: bool,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Set up a project: settings, tasks, a first champion.

    Writes penin.toml into the working directory, or where --config says. What the tasks allow is
    measured, what they do not is declared with a reason; the configuration of today is measured, its
    score becomes the threshold and its costs the baseline. Without --tasks the project uses the
    suite that ships with penin. Without any flag, and on a terminal, it asks.
    """
    from penin_core import projectfiles

    path = config or Path(FILE_NAME)
    if path.exists() and not force:
        raise projectfiles.already_there(path)
    given = {name: value for name, value in given.items() if value is not None}
    if not given and sys.stdin.isatty() and sys.stderr.isatty():
        given = asked()
    progress("reading tasks, plugins and the model's capabilities")
    tables = draft(Answers(**given), path.absolute().parent)
    start = None
    if not no_measure:
        project = opened(tables, path, state_dir)
        start = measured(project)
        tables = with_start(tables, start)
    settings = parsed(tables, path)
    projectfiles.write_whole(path, projectfiles.toml(tables), replace=force)
    emit(summary(settings, path, start), as_json, _in_words)


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


def draft(answers: Answers, folder: Path) -> list[Table]:
    """Return the tables of the new file, before anything was measured.

    Raises:
        SuiteError: a task is wrong, or there are too few.
        SettingsError, PluginError, ProviderRefused: the model cannot be asked.
    """
    from penin_core.errors import SettingsError

    if answers.tasks is None:
        champion, suite = _shipped(answers)
    else:
        model = answers.model or (EMBEDDED[1] if answers.provider == EMBEDDED[0] else None)
        if model is None:
            raise SettingsError(
                f"no model of provider {answers.provider!r} is named",
                hint="name it with --model",
            )
        champion, suite = _own(answers, model, folder)
    return [
        (
            "",
            "penin.toml: what runs today, on which tasks it is judged, and what may be spent.",
            {},
        ),
        ("champion", "What runs today. `penin evolve` looks for something better.", champion),
        *suite,
        (
            "budget",
            "Money of a UTC day, for all commands together, and the time of `penin evolve`.",
            {"daily_usd": 5.0, "time": "30m"},
        ),
    ]


def _shipped(answers: Answers) -> tuple[dict[str, Any], list[Table]]:
    from penin_core.settings import POOR_START

    said = {
        name: value
        for name in ("provider", "model", "system", "prompt", "temperature", "max_tokens")
        if (value := getattr(answers, name)) is not None
    }
    comment = "The tasks that ship with penin: JSON, extraction, headlines, classification."
    return {**POOR_START, **said}, [("suite", comment, {"name": "basic"})]


def _own(answers: Answers, model: str, folder: Path) -> tuple[dict[str, Any], list[Table]]:
    from penin_core.plugins import Plugins
    from penin_core.projectfiles import relative_path, suite_for, tokens_for
    from penin_core.settings import Settings
    from penin_core.suites import Suite, read_tasks

    assert answers.tasks is not None
    tasks = read_tasks(answers.tasks)
    name = answers.name or answers.tasks.stem
    provider = Plugins.of(Settings()).create("providers", answers.provider)
    try:
        capabilities = provider.capabilities(model)
    finally:
        provider.close()
    definition = suite_for(name, tasks, capabilities)
    Suite(definition, tuple(tasks)).require_provable()
    system = answers.system
    if system is None:
        system = "{{system}}" if any(task.system for task in tasks) else ""
    champion = {
        "provider": answers.provider,
        "model": model,
        "system": system,
        "prompt": answers.prompt,
        "temperature": 1.0 if answers.temperature is None else answers.temperature,
        "max_tokens": answers.max_tokens or tokens_for(tasks),
    }
    return champion, suite_tables(definition, relative_path(answers.tasks, folder))


def suite_tables(definition: SuiteDefinition, tasks: str) -> list[Table]:
    """Return the tables that declare a suite."""
    declared = {
        key: value
        for key, value in definition.model_dump(exclude={"tasks", "reasons", "baseline"}).items()
        if key != "gate_tasks"
    }
    first = definition.metrics[0]
    comment = (
        "The tasks, and what is measured on them. Half of the rows without a split are searched on,\n"
        f"half confirm. Candidates are compared by the first metric that fits a task: {first}."
    )
    tables: list[Table] = [
        ("suite", comment, {"name": definition.name, "tasks": tasks, **declared})
    ]
    if definition.reasons:
        why = "Why something is not measured; without a reason, it would be a failing gate."
        tables.append(("suite.reasons", why, definition.reasons))
    return tables


def parsed(tables: list[Table], path: Path) -> Settings:
    """Return the settings that the new file will give."""
    from penin_core.projectfiles import toml
    from penin_core.settings import Settings, validated

    settings = validated(Settings, tomllib.loads(toml(tables)), path)
    return settings.model_copy(update={"folder": path.absolute().parent, "source": path})


def opened(tables: list[Table], path: Path, state_dir: Path | None) -> Project:
    """Open the project before its file exists, with everything checked that a cycle needs."""
    from penin_core.project import open_project
    from penin_core.state import prepare

    from .shared import check_model

    settings = parsed(tables, path)
    project = open_project(settings=settings, state=state_dir, create_state=False)
    project.suite.require_provable()
    check_model(project, settings.champion)
    prepare(project.state)
    return project


def measured(project: Project) -> Appraisal:
    """Measure what runs today, with the answers kept for the first cycle."""
    from asyncio import run

    from penin_core.cycle import open_cycle
    from penin_core.runners import appraise

    from .shared import seconds_of
    from .terminal import following

    async def start(watch: Any) -> Appraisal:
        async with open_cycle(
            project,
            seconds=seconds_of(project.settings),
            max_usd=None,
            seed=None,
            dry_run=True,
            profile=None,
            watch=watch,
        ) as cycle:
            return await appraise(cycle)

    with following() as watch:
        return run(start(watch))


def with_start(tables: list[Table], start: Appraisal) -> list[Table]:
    """Return the tables with what the measurement of the start froze."""
    tau = round(start.tau, DIGITS)
    scores = ", ".join(f"{axis} {value:.3f}" for axis, value in _axes(start).items() if value)
    comment = f"The threshold of a promotion: the score of the start ({scores})\ncut to 0.5 to 0.7."
    frozen = {name: round(value, DIGITS) for name, value in start.baseline.model_dump().items()}
    *before, budget = tables
    return [
        *before,
        ("suite.baseline", "What an answer cost at the start: a cost of 0.5.", frozen),
        ("evolve", comment, {"tau": tau}),
        budget,
    ]


def _axes(start: Appraisal) -> Mapping[str, float | None]:
    from .wording import axes

    return axes(start.measured)


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
    return "\n".join([*shown, line("next", "penin evolve")])
