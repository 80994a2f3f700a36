"""penin selftest: rehearse the rule of promotion on the user's own suite and model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, progress, quiet_option
from .shared import limit_options, place_options, suite_option

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.records import Configuration, TaskRow

REFUSED = 3
_TRIALS = 400


def _options(function: Any) -> Any:
    """Add what both rehearsals take."""
    trials = click.option(
        "--trials",
        type=click.IntRange(20, 100_000),
        default=_TRIALS,
        show_default=True,
        help="How many rehearsed confirmations.",
    )
    repeats = click.option(
        "--repeats",
        type=click.IntRange(2, 20),
        default=3,
        show_default=True,
        help="How often the champion answers every select task.",
    )
    seed = click.option(
        "--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Repeat this chance."
    )
    for add in (
        quiet_option,
        json_option,
        place_options,
        suite_option,
        limit_options,
        seed,
        repeats,
        trials,
    ):
        function = add(function)
    return function


@click.group()
def command() -> None:
    """Rehearse promotions on your own suite: how often would they be wrong, or missed?

    The champion answers the select tasks a few times; what was answered before is not asked again.
    Nothing is recorded or moved, and confirm tasks stay fresh.
    """


@command.command()
@_options
@click.pass_context
def aa(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Put the champion up against itself; nothing should be promoted.

    Prints how often the rule promoted one of two equals, with the exact 95 % bounds of that rate.
    Exit code 3 where even the lower bound is above what the rule promises.
    """
    found = _rehearsed(gain=0.0, **options)
    emit(found, as_json, _aa_in_words)
    ctx.exit(REFUSED if found["lower"] > found["alpha"] else 0)


def _refuse_nan(ctx: click.Context, param: click.Parameter, gain: float) -> float:
    if math.isnan(gain):
        raise click.BadParameter("nan is no gain")
    return gain


@command.command()
@click.option(
    "--gain",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    callback=_refuse_nan,
    required=True,
    help="True gain of the challenger, in [0, 1]: 0.05 is five points.",
)
@_options
def power(as_json: bool, **options: Any) -> None:
    """Put up a challenger that truly is better; it should be promoted.

    Prints how often it was, with the exact 95 % bounds of that rate.
    """
    emit(_rehearsed(**options), as_json, _power_in_words)


def _rehearsed(
    *,
    gain: float,
    trials: int,
    repeats: int,
    seed: int,
    budget: float | None,
    max_usd: float | None,
    suite: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> dict[str, Any]:
    """Ask the champion, rehearse, and return what came out."""
    progress("reading settings, plugins and tasks")
    from asyncio import run
    from dataclasses import asdict

    from penin_core.loading import prints_on_stderr
    from penin_core.rehearsal import rehearse, require_rehearsable
    from penin_core.state import prepare

    from .shared import checked_project, seconds_of

    with checked_project(config, state_dir, suite) as (project, chosen), prints_on_stderr():
        require_rehearsable(project.suite, project.settings.evolve)
        seconds = seconds_of(project.settings) if budget is None else budget
        prepare(project.state)
        limits = {"seconds": seconds, "max_usd": max_usd}
        answers = run(_asked(project, chosen, repeats, seed=seed, **limits))
        progress(f"rehearsing {trials:,} confirmations")
        tasks, settings = project.suite.split("select"), project.settings.evolve
        cluster = project.suite.definition.clusters
        rehearsed = rehearse(
            answers, tasks, settings, trials=trials, seed=seed, gain=gain, cluster=cluster
        )
        return asdict(run(rehearsed))


async def _asked(
    project: Project, champion: Configuration, repeats: int, **limits: Any
) -> list[list[TaskRow]]:
    """Ask the champion every select task ``repeats`` times."""
    from penin_core.records import Candidate
    from penin_core.rehearsal import repeated
    from penin_core.runners import open_cycle

    from .terminal import following

    with following("asking the champion") as watch:
        async with open_cycle(project, dry_run=True, profile=None, watch=watch, **limits) as cycle:
            return await repeated(cycle, Candidate(config=champion), repeats)


def _aa_in_words(found: dict[str, Any]) -> str:
    shown = [
        f"{found['promoted']} of {found['trials']:,} confirmations between the champion and itself "
        f"were promoted: {_rate(found)}",
        f"the rule promises at most {100 * found['alpha']:.2g} % for a first confirmation",
    ]
    if found["varies"] == 0:
        shown.append("the champion answers every task the same every time: equals never differ")
    else:
        shown.append(
            f"its score varies on {100 * found['varies']:.0f} % of {found['tasks']:,} select tasks"
        )
    return "\n".join(shown)


def _power_in_words(found: dict[str, Any]) -> str:
    return (
        f"{found['promoted']} of {found['trials']:,} challengers that truly gain "
        f"{100 * found['gain']:.3g} points were promoted: {_rate(found)}"
    )


def _rate(found: dict[str, Any]) -> str:
    return (
        f"{100 * found['promoted'] / found['trials']:.1f} %, "
        f"95 % interval {100 * found['lower']:.1f} to {100 * found['upper']:.1f} %"
    )
