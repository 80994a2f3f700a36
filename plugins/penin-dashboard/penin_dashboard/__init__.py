"""The command ``penin dashboard``: a summary, or pages in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from penin_core import place_options

__all__ = ["command"]

PORT = 8790
#: How many warnings about the ledger are shown.
WARNINGS = 3


@click.command()
@click.option("--serve", is_flag=True, help="Serve pages until Ctrl-C, on this computer only.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Where to listen; 0 for any port that is free.",
)
@place_options
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    serve: bool, port: int, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Show champion, last cycles, money and ledger; with --serve, in a browser."""
    from penin_core import Views

    views = Views.find(config, state_dir)
    if serve:
        from .server import serve_until_interrupted

        serve_until_interrupted(views, port, _announce)
        return
    found = views.summary()
    click.echo(json.dumps(found, sort_keys=True, indent=2) if as_json else in_words(found))


def in_words(found: dict[str, Any]) -> str:
    """Return a summary as lines; nothing in it can drive a terminal."""
    ledger, money, now = found["ledger"], found["budget"], found["champion"]
    shown = [("state", found["state_dir"]), ("ledger", _verified(ledger))]
    shown += [("warning", text) for text in ledger["warnings"][:WARNINGS]]
    if now is None:
        shown.append(("champion", "none yet: penin evolve makes the first one"))
    else:
        model = f"{now['config']['provider']}:{now['config']['model']}"
        shown.append(("champion", f"{model}, since {now['since'][:19]} by {now['by']}"))
    shown.append(("money", f"${money['spent_today_usd']:.6f} today of ${money['daily_usd']:.2f}"))
    for run in found["cycles"]:
        worst = f", worst {run['worst_axis']}" if run["worst_axis"] else ""
        verdict = f"{run['verdict']:<8}{' (dry run)' if run['dry_run'] else ''}"
        shown.append(("cycle", f"{verdict} {run['id']}{worst}: {run['reason']}"))
    shown.append(("next", "penin dashboard --serve shows all of it in a browser"))
    return "\n".join(f"{name:<9} {_plain(text)}" for name, text in shown)


def _verified(ledger: dict[str, Any]) -> str:
    """Say what was found valid, and how much of it somebody signed."""
    if not ledger["valid"]:
        return f"INVALID: {ledger['reason']}; penin ledger verify says more"
    if not ledger["size"]:
        return "nothing was recorded yet"
    found = (
        "valid but for warnings" if ledger["warnings"] else "entries, pointer and run files valid"
    )
    return f"{ledger['size']:,} entries, {ledger['signed']:,} of them signed: {found}"


def _plain(text: str, longest: int = 200) -> str:
    safe = "".join(character if character.isprintable() else " " for character in text)
    return safe if len(safe) <= longest else safe[: longest - 1] + "…"


def _announce(address: str) -> None:
    click.echo(f"the dashboard is at {address}; Ctrl-C ends it", err=True)
