"""Small charts in one line of text: blocks on a terminal that has them, ASCII everywhere else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
#: Where there are no blocks, a digit says how high a value lies: 0 is the lowest, 9 the highest.
_DIGITS = "0123456789"
#: Columns that a chart takes at most, and below which it says nothing and is left out.
WIDEST, NARROWEST = 40, 6


def has_blocks() -> bool:
    """Return whether stdout is a terminal that can show block characters."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    return sys.stdout.isatty() and encoding == "utf8"


def room(used: int) -> int:
    """Return how many columns a chart may take in a line of which ``used`` are taken; 0 for none.

    In a pipe a line has 80 columns, so that the same command always prints the same.
    """
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    left = min(WIDEST, columns - used - 1)
    return left if left >= NARROWEST else 0


def bar(share: float | None, width: int, mark: float | None = None) -> str:
    """Return a bar for a share in [0, 1], and a stroke at ``mark``, where that is known.

    Where nothing was measured, or ``width`` is 0, it is empty.
    """
    if share is None or width < 1:
        return ""
    whole, part = divmod(round(8 * width * min(1.0, max(0.0, share))), 8)
    blocks = has_blocks()
    full, empty = ("█", "·") if blocks else ("#", ".")
    cells = [full] * whole + ([_EIGHTHS[part]] if blocks and part else [])
    cells = (cells + [empty] * width)[:width]
    if mark is not None:
        cells[min(width - 1, int(width * min(1.0, max(0.0, mark))))] = "│" if blocks else "|"
    return "".join(cells)


def sparkline(
    values: Sequence[float], width: int, bounds: tuple[float, float] | None = None
) -> str:
    """Return one character for each value, or for as many of them as ``width`` has room for.

    ``bounds`` are the values of the lowest and the highest character; those of ``values`` unless
    given.
    """
    if not values or width < 1:
        return ""
    last = len(values) - 1
    shown = (
        values if last < width else [values[i * last // max(1, width - 1)] for i in range(width)]
    )
    low, high = bounds or (min(values), max(values))
    levels = _LEVELS if has_blocks() else _DIGITS
    top, reach = len(levels) - 1, (high - low) or 1.0
    return "".join(levels[round(top * min(1.0, max(0.0, (v - low) / reach)))] for v in shown)
