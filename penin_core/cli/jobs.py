"""Trainings as data and in words, for the commands of `penin finetune`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .output import emit, printable, table

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.records import JobState
    from penin_core.training.jobs import Job
    from penin_core.training.plan import Plan

#: So many problems of a file are shown.
SHOWN = 100


def row(project: Project, job: Job) -> dict[str, Any]:
    """Return a job as data."""
    from .training import job_row

    with project.ledger() as ledger:
        return job_row(ledger, job)


def rows(project: Project) -> list[dict[str, Any]]:
    """Return every job as data, oldest first."""
    from penin_core.training.jobs import jobs

    from .training import job_row

    with project.ledger() as ledger:
        return [job_row(ledger, job) for job in jobs(project.state, ledger)]


def latest(project: Project) -> str | None:
    """Return the key of the last job where every job is over; None lets the open one be found."""
    from penin_core.training.jobs import jobs

    with project.ledger() as ledger:
        known = jobs(project.state, ledger)
    return known[-1].key if known and all(job.finished for job in known) else None


def state_row(state: JobState) -> dict[str, Any]:
    """Return what a service says about a job: the last of its own words, and its checkpoints."""
    return {
        "status": state.status,
        "reason": state.message,
        "event": state.events[-1] if state.events else "",
        "checkpoints": [found.model_dump(exclude_defaults=True) for found in state.checkpoints],
    }


def announced(plan: Plan) -> Iterator[str]:
    """Yield what is said before a training begins."""
    from . import wording

    data = plan.data
    kept = wording.amount(len(data.validation.rows), "row") if data.validation.rows else "none"
    yield (
        f"{plan.provider}:{wording.clipped(plan.model, 60)} on "
        f"{wording.amount(len(data.train.rows), 'example')} ({data.tokens:,} tokens), "
        f"{kept} for validation"
    )
    if plan.bound_micro_usd:
        yield f"it costs at most {wording.usd(plan.bound_micro_usd / 1e6)}"
    yield from map(printable, data.notes)


def require_usable(plan: Plan, as_json: bool) -> None:
    """Print what is wrong with the data of a plan, line by line, and refuse them.

    Raises:
        SuiteError: something is.
    """
    from .training import planned

    problems = plan.data.problems
    if problems and as_json:
        emit(planned(plan), as_json, str)
    elif problems:
        for problem in problems[:SHOWN]:
            click.echo(printable(str(problem)), err=True)
        if len(problems) > SHOWN:
            click.echo(f"and {len(problems) - SHOWN} more", err=True)
    plan.data.require_usable()


def jobs_table(listed: Sequence[Mapping[str, Any]]) -> str:
    """Return jobs as a table."""
    if not listed:
        return "no training yet: penin finetune start --train FILE begins one"
    headers = ("job", "model", "examples", "status", "tuned", "verdict")
    shown = [
        (
            found["job"][:8],
            f"{found['provider']}:{found['model']}",
            found["train"],
            found["status"],
            found["tuned"] and found["tuned"][:24],
            found["verdict"],
        )
        for found in listed
    ]
    return table(headers, shown)


def exported(data: Mapping[str, Any]) -> str:
    """Return how many rows were written, in words."""
    from .wording import amount

    return f"{amount(data['rows'], 'row')} in {printable(data['file'])}"
