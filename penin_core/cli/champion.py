"""penin champion: what runs in production now, since when, and what ran before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .output import emit, json_option, printable, table
from .shared import place_options


@click.command()
@place_options
@json_option
def command(config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show what runs in production now, and the champions before it."""
    from penin_core.errors import StateError

    from .shared import locate, open_ledger

    with open_ledger(locate(config, state_dir)) as ledger:
        history = champion_history(ledger)
    if not history:
        raise StateError("there is no champion yet", hint="penin evolve makes one")
    emit({"champion": history[-1], "history": history}, as_json, _in_words)


def champion_history(ledger: Any) -> list[dict[str, Any]]:
    """Return every champion, oldest first: when, how, why, and its configuration."""
    from penin_core.ledger.champion import champions
    from penin_core.ledger.rows import CHAMPION_KINDS

    events = ledger.events(CHAMPION_KINDS)
    return [
        {
            "since": champion.updated_at,
            "by": event.kind,
            "reason": str(event.body.get("reason", "what ran at the start")),
            "run_id": champion.run_id,
            "entry": champion.idx,
            "config_hash": champion.config_digest,
            "config": champion.config,
        }
        for event, champion in zip(events, champions(ledger), strict=True)
    ]


def _in_words(data: dict[str, Any]) -> str:
    from penin_core.records import Configuration

    from . import wording
    from .wording import line, lines

    now = data["champion"]
    config = Configuration.model_validate(now["config"])
    shown = [
        line("champion", wording.model_name(config)),
        *lines("", wording.configuration(config)),
        line(
            "since", f"{wording.when(now['since'])}, {now['by']}: {wording.reason(now['reason'])}"
        ),
        line("run", printable(now["run_id"] or "none")),
        "",
    ]
    rows = [
        (
            wording.when(past["since"]),
            past["by"],
            past["run_id"],
            wording.clipped(past["reason"], 60),
        )
        for past in data["history"]
    ]
    return "\n".join([*shown, table(("since", "by", "run", "why"), rows)])
