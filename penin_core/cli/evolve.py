"""penin evolve: run cycles, show them while they work, and say in one screen how they ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, progress, quiet_option
from .shared import limit_options, place_options, suite_option

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.records import CycleReport
    from penin_core.runners import Watch

MOST_CHALLENGERS = 256
EXHAUSTED = 4


@click.command()
@click.option(
    "--n",
    "challengers",
    type=click.IntRange(1, MOST_CHALLENGERS),
    metavar="N",
    help="How many challengers to propose.  [default: that of penin.toml, else 8]",
)
@limit_options
@click.option("--provider", metavar="ID", help="Provider of the first champion.")
@click.option("--dry-run", is_flag=True, help="Measure, pay and record, but move and tune nothing.")
@click.option("--cycles", type=click.IntRange(min=1), default=1, help="How many cycles to run.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="S", help="Repeat this chance.")
@click.option("--profile", type=click.Choice(["standard", "strict"]), help="How strict guards are.")
@click.option("--resume", is_flag=True, help="Go on with the cycle that was interrupted.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what can be proved; spend nothing.")
@suite_option
@place_options
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    challengers: int | None,
    provider: str | None,
    suite: str | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
    plan_only: bool,
    **options: Any,
) -> None:
    """Run cycles: propose, measure, prove, promote.

    Challengers are raced on the select tasks of the suite; the winner has to prove on fresh confirm
    tasks that it is better, or cheaper and no worse. A clean refusal to promote ends with exit
    code 0, an exhausted budget with 4. Time and money are for all cycles together. --resume takes
    all but time and money from the cycle that was interrupted, and pays no answer twice.
    """
    if options["resume"]:
        _refuse_beside_resume(ctx)
    progress("reading settings, plugins and tasks")
    from penin_core.state import prepare

    from .announcing import announcement
    from .shared import checked_project, on_provider, seconds_of

    with checked_project(config, state_dir, suite, asked=on_provider(provider)) as opened:
        project, champion = opened
        challengers, chosen = _chosen(project, challengers, options)
        if plan_only:
            from .planning import show_plan

            show_plan(project, champion, challengers, as_json)
            return
        if options["budget"] is None:
            options["budget"] = seconds_of(project.settings)
        limits = options["budget"], options["max_usd"]
        announced = announcement(project, champion, challengers, *limits, **chosen)
        prepare(project.state)
        for text in announced:
            progress(text)
        made = cycles(project, challengers, provider_id=provider, announced=announced, **options)
        reports = _shown(made, project, as_json, several=options["cycles"] > 1)
    finished = len(reports) == options["cycles"] and not exhausted(reports[-1])
    ctx.exit(0 if finished else EXHAUSTED)


def _shown(
    made: Iterable[CycleReport], project: Project, as_json: bool, *, several: bool
) -> list[CycleReport]:
    """Show each report when it is there, as JSON all of them at the end, and return them."""
    reports = []
    try:
        for report in made:
            reports.append(report)
            if not as_json:
                show(project, report)
    finally:
        if as_json and reports:
            emit(reports if several else reports[0], True, str)
    return reports


def show(project: Project, report: CycleReport) -> None:
    """Print the screen at the end of a cycle."""
    from .reporting import graders, report_in_words
    from .shared import Place, fresh_confirm_tasks
    from .wording import fitted

    metrics, fresh = graders(project) if report.confirmation else (), None
    if report.dry_run:
        place = Place(project.settings, project.state)
        fresh = len(fresh_confirm_tasks(place, project.suite)[0])
    emit(report, False, lambda shown: fitted(report_in_words(shown, metrics, fresh)))


def cycles(
    project: Project,
    challengers: int,
    *,
    cycles: int,
    budget: float,
    max_usd: float | None,
    seed: int | None,
    announced: Sequence[str] = (),
    **options: Any,
) -> Iterator[CycleReport]:
    """Run up to ``cycles`` cycles on one budget of seconds and dollars; stop where it ends."""
    from asyncio import run

    from penin_core.runners import evolve_one_cycle

    from .announcing import most_usd
    from .terminal import following

    ends, spent, said = time.monotonic() + budget, 0.0, set(announced)
    for number in range(cycles):
        left = ends - time.monotonic()
        money = None if max_usd is None else max_usd - spent
        if number and (left <= 0 or (money is not None and money <= 0)):
            progress(f"the budget ended after {number} of {cycles} cycles")
            return
        with following(most_usd=most_usd(money, project.settings.budget.daily_usd)) as watch:
            report = run(
                evolve_one_cycle(
                    challengers,
                    budget_minutes=left / 60,
                    max_usd=money,
                    seed=None if seed is None else seed + number,
                    project=project,
                    watch=_naming(said, watch),
                    **options,
                )
            )
        yield report
        spent += report.spend_usd
        if exhausted(report):
            return


def _refuse_beside_resume(ctx: click.Context) -> None:
    """Refuse what the interrupted cycle has decided already."""
    for name in ("challengers", "provider", "dry_run", "cycles", "seed", "profile", "plan_only"):
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = {"challengers": "n", "plan_only": "plan"}.get(name, name.replace("_", "-"))
            raise click.UsageError(f"--{option} cannot stand beside --resume")


def _chosen(
    project: Project, challengers: int | None, options: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Return the number of challengers, and what else decides what is announced.

    It is what the interrupted cycle was asked, else what is asked now, or set.
    """
    from penin_core.resuming import interrupted

    if options["resume"]:
        begun = interrupted(project.state)
        return begun.challengers, {"dry_run": begun.dry_run, "profile": begun.profile}
    count = project.settings.evolve.challengers if challengers is None else challengers
    return count, {name: options[name] for name in ("dry_run", "profile")}


def exhausted(report: CycleReport) -> bool:
    """Return whether money or time ended the cycle."""
    return report.reason.startswith("budget_exhausted")


def _naming(said: set[str], watch: Watch) -> Watch:
    """Return ``watch``; before it, say what will go away, once, and what is left behind."""
    from .announcing import going_away

    def named(event: str, about: Mapping[str, Any]) -> None:
        if event == "left_behind":
            progress(
                f"confirmation {about['t']}, which stood open, was about another finalist, other "
                "tasks or another seed: it is left behind, and its share of the error is lost"
            )
        if event == "goes_away":
            for text in going_away(about["provider"], about["model"], about["date"]):
                if text not in said:
                    said.add(text)
                    progress(text)
        watch(event, about)

    return named
