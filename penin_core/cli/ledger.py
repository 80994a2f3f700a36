"""penin ledger: verify it, and look at its entries."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .output import emit, json_option, table
from .shared import place_options

INVALID = 5
SHOWN_WARNINGS = 5


@click.group()
def command() -> None:
    """Verify the ledger, or show its entries."""


@command.command("verify")
@place_options
@json_option
@click.pass_context
def verify_ledger(
    ctx: click.Context, /, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Check every entry, every row, the champion pointer and the files of every run.

    The exit code is 5 when anything was changed; the first entry that fails is named.
    """
    from penin_core.errors import LedgerInvalid
    from penin_core.ledger.audit import Verification
    from penin_core.ledger.verify import verify

    from .shared import locate, recorded

    try:
        found = verify(recorded(locate(config, state_dir)).state)
    except LedgerInvalid as error:
        found = Verification(False, 0, "", reason=str(error))
    emit(asdict(found), as_json, _verdict)
    ctx.exit(0 if found.valid else INVALID)


@command.command("show")
@click.option("--last", type=click.IntRange(min=1), default=20, metavar="N", show_default=True)
@place_options
@json_option
def show(last: int, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show the last entries: index, time, kind, run, and what they say."""
    from .shared import locate, open_ledger

    with open_ledger(locate(config, state_dir)) as ledger:
        size = ledger.size
        entries = [ledger.entry(idx) for idx in range(max(0, size - last), size)]
    emit([asdict(entry) for entry in entries], as_json, _entries)


def _verdict(found: dict[str, Any]) -> str:
    from .wording import clipped

    if not found["valid"]:
        bad, why = found["first_bad"], clipped(found["reason"], 400)
        return (
            f"INVALID: {why if bad is None or why.startswith('entry') else f'entry {bad}: {why}'}"
        )
    shown = [f"valid: {found['size']} entries, root {found['root']}"]
    shown += [f"warning: {clipped(text, 200)}" for text in found["warnings"][:SHOWN_WARNINGS]]
    more = len(found["warnings"]) - SHOWN_WARNINGS
    return "\n".join(shown + ([f"and {more} more warnings"] if more > 0 else []))


def _entries(entries: list[dict[str, Any]]) -> str:
    from .wording import clipped, when

    rows = []
    for entry in entries:
        body = entry["body"]
        says = body.get("reason") or body.get("claim") or ""
        run_id = body.get("id") or body.get("run_id")
        rows.append(
            (str(entry["idx"]), when(entry["ts"]), entry["kind"], run_id, clipped(says, 80))
        )
    return table(("entry", "time", "kind", "run", "what"), rows)
