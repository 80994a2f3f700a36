"""penin report: the decision about a run as one file that can be sent on."""

from __future__ import annotations

from pathlib import Path

import click

from .output import emit, json_option
from .shared import place_options


@click.command()
@click.argument("run_id")
@click.option(
    "--html",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    required=True,
    help="The file to write; a file of that name is replaced.",
)
@place_options
@json_option
def command(
    run_id: str, file: Path, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Write the decision about a run as one HTML file that needs no other.

    RUN_ID may be the beginning or the end of the id. The file holds answers of the models: look at
    it before you send it on.
    """
    from penin_core.pages.report import report

    from .shared import find_run, locate, open_ledger

    place = locate(config, state_dir)
    with open_ledger(place) as ledger:
        found = find_run(ledger, run_id)["id"]
        page = report(place.state, ledger, found)
    _write(file, page.encode())
    data = {"run_id": found, "file": str(file), "bytes": len(page.encode())}
    emit(data, as_json, _in_words)


def _write(file: Path, page: bytes) -> None:
    """Replace the file at once; raise StateError where that is not possible."""
    from penin_core.errors import StateError
    from penin_core.ledger.checkpoints import replace_file

    try:
        replace_file(file, page)
    except OSError as error:
        raise StateError(
            f"{str(file)!r} cannot be written: {error.strerror}",
            hint="name a file in a folder that exists and can be written",
        ) from error


def _in_words(data: dict[str, object]) -> str:
    from .wording import clipped, line

    return line("report", f"{clipped(str(data['file']))}, {data['bytes']:,} bytes")
