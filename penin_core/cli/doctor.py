"""penin doctor: what may be wrong around the ledger."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .output import emit, json_option
from .shared import place_options


@click.command()
@place_options
@json_option
@click.pass_context
def command(
    ctx: click.Context, /, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Check the machine and the state directory; repair nothing.

    The exit code is 1 when something is wrong; notes are good to know and change nothing.
    """
    from penin_core.doctor import examine

    from .shared import locate

    found = [asdict(finding) for finding in examine(locate(config, state_dir).state)]
    wrong = sum(finding["level"] == "wrong" for finding in found)
    emit({"ok": not wrong, "findings": found}, as_json, _in_words)
    ctx.exit(1 if wrong else 0)


def _in_words(data: dict[str, Any]) -> str:
    from .wording import clipped, line

    shown = []
    for finding in data["findings"]:
        mark = "" if finding["level"] == "ok" else f"{finding['level']}: "
        shown.append(line(finding["check"], mark + clipped(finding["message"], 400)))
        if finding["hint"] and finding["level"] != "ok":
            shown.append(line("", f"  {clipped(finding['hint'], 400)}"))
    return "\n".join(shown)
