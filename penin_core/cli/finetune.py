"""penin finetune: train a model on your examples, so that it competes like any other challenger."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import jobs
from .output import emit, json_option, progress, quiet_option
from .shared import Duration, Money, named_values, place_options, suite_option

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.records import CycleReport
    from penin_core.training.jobs import Job
    from penin_core.training.plan import Plan

FILE = click.Path(path_type=Path, dir_okay=False)
TIME = click.option(
    "--budget", type=Duration(), metavar="TIME", help="Most time to take now: 90s, 30m, 1h30m."
)
MONEY = click.option("--max-usd", type=Money(), metavar="USD", help="Most money to spend now.")


@click.group()
def command() -> None:
    """Train a model on your examples, so that it competes like any other challenger."""


@command.command("start")
@click.option("--train", type=FILE, required=True, metavar="FILE", help="Examples, JSON Lines.")
@click.option("--validation", type=FILE, metavar="FILE", help="Examples that are not trained on.")
@click.option("--provider", metavar="ID", help="Who trains.  [default: the champion's provider]")
@click.option("--model", metavar="NAME", help="What is trained.  [default: the champion's model]")
@click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; repeatable."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Repeat this chance.")
@click.option("--consent", default="", metavar="WHY", help="Why rows that do not say may be used.")
@click.option("--license", "licence", default="", metavar="NAME", help="Licence of such rows.")
@click.option("--evolve", "then_evolve", is_flag=True, help="Run a cycle with it afterwards.")
@click.option("--plan", "plan_only", is_flag=True, help="Check the data and the price; no more.")
@TIME
@MONEY
@suite_option
@place_options
@json_option
@quiet_option
@click.pass_context
def start(
    ctx: click.Context,
    /,
    train: Path,
    validation: Path | None,
    given: tuple[str, ...],
    then_evolve: bool,
    plan_only: bool,
    budget: float | None,
    max_usd: float | None,
    suite: str | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Check the examples, then train; the same training is never begun twice.

    A row of FILE is {"messages": [...]} with the answer last, or a task, {"input": ..., "expected":
    ...}, which is asked as the champion asks it. With --set method=dpo a row is a preference:
    {"prompt": ..., "chosen": ..., "rejected": ...}. Every error is listed before anything is spent.
    Ctrl-C leaves a job that the same command, or penin finetune resume, goes on with. The trained
    model competes in the next cycle of penin evolve.
    """
    hyperparams = named_values(given, "n_epochs=3")
    progress("reading settings, plugins, tasks and examples")
    from penin_core.training.plan import left_of
    from penin_core.training.planning import plan_training

    from .evolve import EXHAUSTED, exhausted
    from .shared import checked_project
    from .training import job_in_words, plan_in_words, planned

    begun = time.monotonic()
    with checked_project(config, state_dir, suite) as (project, _):
        if then_evolve:
            # Before anything is trained for a cycle that could not be.
            project.require_provable()
        plan = plan_training(project, train, validation, hyperparams=hyperparams, **options)
        jobs.require_usable(plan, as_json)
        if plan_only:
            emit(planned(plan), as_json, plan_in_words)
            return
        job = _train(project, plan, budget, max_usd)
        if not then_evolve:
            emit(jobs.row(project, job), as_json, job_in_words)
            return
        progress(f"job {job.short} succeeded, and competes now")
        left = None if budget is None else max(0.0, begun + budget - time.monotonic())
        report = _cycle(project, left, left_of(max_usd, plan), as_json)
        if as_json:
            emit({"job": jobs.row(project, job), "cycle": report}, as_json, str)
    ctx.exit(EXHAUSTED if exhausted(report) else 0)


def _train(project: Project, plan: Plan, budget: float | None, max_usd: float | None) -> Job:
    """Say what begins, train while showing how it goes, and return the job, done."""
    from asyncio import run

    from penin_core.finetuning import finetune
    from penin_core.state import prepare

    from .training import following

    for text in jobs.announced(plan):
        progress(text)
    prepare(project.state)
    with following() as watch:
        return run(finetune(project, plan, seconds=budget, max_usd=max_usd, watch=watch))


def _cycle(
    project: Project, budget: float | None, max_usd: float | None, as_json: bool
) -> CycleReport:
    """Run one cycle as ``penin evolve`` does, and show it unless it becomes part of JSON."""
    from .evolve import cycles, show
    from .shared import seconds_of

    seconds = seconds_of(project.settings) if budget is None else budget
    count = project.settings.evolve.challengers
    (report,) = cycles(project, count, cycles=1, budget=seconds, max_usd=max_usd, seed=None)
    if not as_json:
        show(project, report)
    return report


@command.command("resume")
@click.argument("job", required=False)
@TIME
@MONEY
@place_options
@json_option
@quiet_option
def resume(
    job: str | None,
    budget: float | None,
    max_usd: float | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Go on with a training; without JOB, with the only one that is not over."""
    from asyncio import run

    from penin_core import finetuning

    from .shared import checked_project
    from .training import following, job_in_words

    with checked_project(config, state_dir) as (project, _):
        with following() as watch:
            limits = {"seconds": budget, "max_usd": max_usd}
            done = run(finetuning.resume(project, job, watch=watch, **limits))
        emit(jobs.row(project, done), as_json, job_in_words)


@command.command("status")
@click.argument("job", required=False)
@place_options
@json_option
def status(job: str | None, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show how far a training is; without JOB, the one that is not over, else the last."""
    from asyncio import run

    from penin_core import finetuning

    from .shared import checked_project
    from .training import job_in_words

    with checked_project(config, state_dir) as (project, _):
        found, state = run(finetuning.look(project, job or jobs.latest(project)))
        data = jobs.row(project, found)
        data["curve"] = [point.model_dump(exclude_defaults=True) for point in found.curve()]
        if state is not None:
            data |= jobs.state_row(state)
        emit(data, as_json, job_in_words)


@command.command("cancel")
@click.argument("job", required=False)
@place_options
@json_option
def cancel(job: str | None, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Cancel a training, wherever it runs; without JOB, the only one that is not over."""
    from asyncio import run

    from penin_core import finetuning

    from .shared import checked_project
    from .training import job_in_words

    with checked_project(config, state_dir) as (project, _):
        found = run(finetuning.cancel(project, job))
        emit(jobs.row(project, found), as_json, job_in_words)


@command.command("list")
@place_options
@json_option
def list_jobs(config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show every training, what came of it, and how the model did in a cycle."""
    from .shared import checked_project

    with checked_project(config, state_dir) as (project, _):
        emit(jobs.rows(project), as_json, jobs.jobs_table)


@command.command("export")
@click.option("--output", type=FILE, required=True, metavar="NEW", help="The file to write.")
@click.option("--least", type=float, default=1.0, help="Lowest utility of an answer, in [0, 1].")
@suite_option
@place_options
@json_option
def export(
    output: Path,
    least: float,
    suite: str | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Write the best answers of earlier runs to NEW, as examples to train on.

    Tasks that are kept for proof, and those of ood and composed, are left out; every row names the
    run that it comes from.
    """
    from penin_core.errors import SettingsError
    from penin_core.projectfiles import require_place, write_whole
    from penin_core.training.export import answered_rows

    from .shared import checked_project

    if not 0.0 <= least <= 1.0:
        raise SettingsError(f"--least: {least} does not lie in [0, 1]", hint="write 0.8, say")
    require_place(output, replace=False)
    with checked_project(config, state_dir, suite) as (project, _), project.ledger() as ledger:
        rows = answered_rows(project.state, ledger, project.suite, least)
    text = "".join(json.dumps(found, ensure_ascii=False) + "\n" for found in rows)
    write_whole(output, text, replace=False)
    emit({"rows": len(rows), "file": str(output)}, as_json, jobs.exported)
