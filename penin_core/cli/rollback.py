"""penin rollback: return to an earlier champion."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option
from .shared import place_options

LAST_GOOD = "LAST_GOOD"


@click.command()
@click.option(
    "--to",
    default=LAST_GOOD,
    metavar="LAST_GOOD|RUN_ID",
    help="The champion to return to.",
    show_default=True,
)
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the ledger.")
@place_options
@json_option
def command(
    to: str, reason: str, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Return to an earlier champion.

    LAST_GOOD is the latest one that was never rolled back from. What is left is quarantined: no
    cycle promotes it again.
    """
    from .moving import moved
    from .shared import find_run

    moved(
        config,
        state_dir,
        as_json,
        lambda league: league.rollback(
            to if to == LAST_GOOD else find_run(league.ledger, to)["id"], reason=reason
        ),
    )
