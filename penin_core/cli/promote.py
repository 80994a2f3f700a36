"""penin promote: make the candidate of a run the champion, after its gates are checked again."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option
from .shared import place_options


@click.command()
@click.argument("run_id")
@click.option("--force", is_flag=True, help="Override what speaks against it; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the ledger.")
@place_options
@json_option
def command(
    run_id: str,
    force: bool,
    reason: str,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Make the candidate of a run the champion.

    RUN_ID may be the beginning or the end of the id. Gates, evidence and quarantine are checked
    again, against the present champion; where one says no, the exit code is 3.
    """
    from .moving import moved
    from .shared import find_run

    moved(
        config,
        state_dir,
        as_json,
        lambda league: league.promote(
            find_run(league.ledger, run_id)["id"], force=force, reason=reason
        ),
    )
