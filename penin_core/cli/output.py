"""What commands share to speak: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from penin_core.errors import PeninError

T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

GAP = "  "
#: Key in a click context's ``meta``.
QUIET = "penin.quiet"


def json_option(function: Decorated) -> Decorated:
    """Add the flag ``--json``; the command gets it as ``as_json``."""
    flag = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")
    return flag(function)


def config_option(function: Decorated) -> Decorated:
    """Add ``--config FILE``; the command gets it as ``config``, a Path or None."""
    from pathlib import Path

    option = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Settings file, instead of the nearest penin.toml.",
    )
    return option(function)


def quiet_option(function: Decorated) -> Decorated:
    """Add ``--quiet``: what is going on is not said; data, warnings and errors are."""
    return click.option(
        "--quiet", is_flag=True, expose_value=False, callback=_hush, help="Show no progress."
    )(function)


def _hush(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[QUIET] = True


def is_quiet() -> bool:
    """Return whether the command that runs was told to show no progress."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and QUIET in ctx.meta


def emit(data: T, as_json: bool, render: Callable[[T], str]) -> None:
    """Write ``data`` to stdout: as JSON with sorted keys, or as ``render`` words it.

    Raises:
        PeninError: it cannot be written. A reader that left early is click's business.
    """
    text = to_json(data) if as_json else render(data)
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> PeninError:
    from penin_core.errors import PeninError

    # What is still in the buffer would fail once more at the end, with a traceback.
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return PeninError(
        f"the output cannot be written: {error.strerror}",
        hint="what the command did stands; look with penin status, and make room",
    )


def to_json(data: object) -> str:
    """Return ``data`` as indented ASCII JSON; records are written field by field.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return json.dumps(data, sort_keys=True, indent=2, allow_nan=False, default=_plain)


def progress(message: str) -> None:
    """Say on stderr what is going on, unless that is not wanted."""
    if not is_quiet():
        click.echo(message, err=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns; None is shown as ``-``, and columns of numbers end flush."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = list(zip(headers, *cells, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(headers))]
    lines = [
        GAP.join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [list(headers), *cells]
    ]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return ``text`` on one line and without control characters, which could drive a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _plain(value: object) -> object:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no JSON")
