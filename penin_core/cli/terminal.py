"""What a cycle does while it works: a live table on a terminal, a few plain lines elsewhere.

All of it goes to stderr. ``Field`` follows the events of a cycle; the two views only show it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import wording
from .output import is_quiet, progress

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.live import Live

    from penin_core.records import Candidate, Evaluation, Measurement

FIRST = "measuring what runs today"
WAITING, RACING, OUT, FINALIST = "waiting", "racing", "out", "finalist"
STYLES = {WAITING: "dim", OUT: "dim", FINALIST: "bold green"}
GATES = "gates: repeats, perturbations, examples"
#: Without a terminal, the confirmation is reported this often, in pairs of answers.
EVERY = 100


@dataclass
class Row:
    """One competitor as the table shows it."""

    origin: str
    change: str
    tasks: int = 0
    utility: float | None = None
    cost: float | None = None
    state: str = ""

    def measure(self, found: Measurement) -> None:
        """Take over what the race measured."""
        self.tasks, self.utility, self.cost = found.n_tasks, found.U, found.C


@dataclass
class Pace:
    """How fast the answers of one step come in."""

    done: int = 0
    total: int = 0
    #: How many were there at the first look, which the cache may have known, and when that was.
    first: int = 0
    since: float = 0.0

    def count(self, done: int, total: int) -> None:
        """Take over the counts; another total, or fewer answers than before, is another step."""
        if total != self.total or done < self.done:
            self.first, self.since = done, time.monotonic()
        self.done, self.total = done, total

    def per_second(self) -> float | None:
        """Return answers per second, or None while that cannot be told."""
        passed = time.monotonic() - self.since
        return (self.done - self.first) / passed if self.done > self.first and passed > 0 else None


@dataclass
class Field:
    """Who competes, and how far the cycle is."""

    rows: dict[str, Row] = field(default_factory=dict)
    stage: str = FIRST
    #: Most money that may be spent, in US dollars; None where nobody said.
    most_usd: float | None = None
    pace: Pace = field(default_factory=Pace)
    calls: int = 0
    usd: float = 0.0
    looked: Mapping[str, Any] | None = None
    started: float = field(default_factory=time.monotonic)

    def take(self, event: str, about: Mapping[str, Any]) -> None:
        """Follow one event of the cycle; those that say nothing to the table pass by."""
        follow = getattr(self, f"_{event}", None)
        if follow is not None:
            follow(about)

    def _answered(self, about: Mapping[str, Any]) -> None:
        self.pace.count(about["done"], about["total"])
        self.calls, self.usd = about["calls"], about["usd"]

    def _started(self, about: Mapping[str, Any]) -> None:
        champion: Candidate = about["champion"]
        rows = {champion.hash: Row("champion", wording.model_name(champion.config))}
        for candidate in about["challengers"]:
            note = candidate.note
            if found := wording.changes(champion.config, candidate.config):
                note = ", ".join(f"{name} {after}" for name, _, after in found)
            rows[candidate.hash] = Row(wording.clipped(candidate.origin, 20), note, state=WAITING)
        # All at once: another thread may be drawing the table.
        self.rows, self.stage = rows, "race"

    def _evaluated(self, about: Mapping[str, Any]) -> None:
        evaluation: Evaluation = about["evaluation"]
        row = self.rows.get(evaluation.candidate.hash)
        if row is not None and evaluation.stage == "race":
            row.measure(evaluation.measurement)
            row.state = RACING

    def _ranked(self, about: Mapping[str, Any]) -> None:
        next(iter(self.rows.values())).measure(about["champion"])
        for key in about["out"]:
            self.rows[key].state = OUT

    def _confirming(self, about: Mapping[str, Any]) -> None:
        for key, row in self.rows.items():
            row.state = FINALIST if key == about["finalist"].hash else OUT if row.state else ""
        self.looked = {"n": 0, "of": about["of"], "log_e": 0.0, "needed": about["needed"]}
        self.stage = "confirmation"

    def _looked(self, about: Mapping[str, Any]) -> None:
        self.looked, self.stage = about, "confirmation"
        if about["n"] == about["of"]:
            self.stage = GATES

    def _confirmed(self, about: Mapping[str, Any]) -> None:
        self.stage = GATES

    def _finished(self, about: Mapping[str, Any]) -> None:
        self.stage = ""


class PlainView:
    """Says on stderr, in a few lines, what happens. A reader that is gone does not end a cycle."""

    def __init__(self, known: Field) -> None:
        self.field = known
        self.said: set[str] = set()

    def __call__(self, event: str, about: Mapping[str, Any]) -> None:
        """Follow an event, and say what is new about it."""
        self.field.take(event, about)
        tell = getattr(self, f"_{event}", None)
        if tell is not None:
            with suppress(OSError):
                tell(about)

    def _answered(self, about: Mapping[str, Any]) -> None:
        if self.field.stage not in self.said:
            self.said.add(self.field.stage)
            progress(self.field.stage)

    def _started(self, about: Mapping[str, Any]) -> None:
        self.said.add(self.field.stage)
        challengers = wording.amount(len(about["challengers"]), "challenger")
        progress(f"race: {challengers} against {wording.model_name(about['champion'].config)}")

    def _ranked(self, about: Mapping[str, Any]) -> None:
        left = sum(row.state == RACING for row in self.field.rows.values())
        tasks = wording.amount(about["tasks"], "task")
        progress(f"race: after {tasks}, {len(about['out'])} out, {left} left")

    def _confirming(self, about: Mapping[str, Any]) -> None:
        self.said.add(self.field.stage)
        row = self.field.rows[about["finalist"].hash]
        tasks = wording.amount(about["of"], "task")
        progress(f"confirmation: {row.origin} against the champion, at most {tasks}")

    def _looked(self, about: Mapping[str, Any]) -> None:
        if about["n"] % EVERY == 0 or about["n"] == about["of"]:
            progress(f"confirmation: {_evidence(about)}")


class LiveView:
    """A table that is drawn again four times a second."""

    def __init__(self, known: Field) -> None:
        self.field = known

    def __call__(self, event: str, about: Mapping[str, Any]) -> None:
        """Follow an event; the next drawing shows it."""
        self.field.take(event, about)

    def draw(self) -> Group:
        """Return the table, the bar of the confirmation, and the line that says what happens."""
        from rich.console import Group

        parts: list[RenderableType] = []
        if self.field.rows:
            parts.append(self._table())
        if self.field.looked is not None:
            parts.append(self._bar(self.field.looked))
        if self.field.stage:
            parts.append(self._now())
        return Group(*parts)

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
        for name in ("origin", "what changed"):
            flexible = name != "origin"
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if flexible else None)
        for name in ("tasks", "U", "C"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True, min_width=8)
        table.expand = True
        for row in self.field.rows.values():
            cells = (
                row.origin,
                wording.clipped(row.change),
                str(row.tasks or "-"),
                wording.number(row.utility),
                wording.number(row.cost),
                row.state,
            )
            style = STYLES.get(row.state, "")
            table.add_row(*(Text(cell, style=style) for cell in cells))
        return table

    def _bar(self, looked: Mapping[str, Any]) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=looked["of"], completed=looked["n"], width=16)
        grid.add_row(Text("confirmation"), bar, Text(_evidence(looked)))
        return grid

    def _now(self) -> RenderableType:
        from rich.text import Text

        passed = wording.duration(round(time.monotonic() - self.field.started))
        parts = [*_working(self.field.pace), *_best(self.field), *_spent(self.field), passed]
        return Text(f"{self.field.stage}: {', '.join(parts)}", style="dim")


def _working(pace: Pace) -> Iterator[str]:
    """Yield how many answers are there, how fast they come, and how long the rest will take."""
    if pace.total:
        yield f"{pace.done:,} of {pace.total:,} answers"
    rate = pace.per_second()
    if rate is not None and pace.done < pace.total:
        yield f"{rate:,.0f}/s" if rate >= 1 else f"{60 * rate:,.0f}/min"
        yield f"{wording.duration(math.ceil((pace.total - pace.done) / rate))} to go"


def _best(known: Field) -> Iterator[str]:
    racing = [row for row in known.rows.values() if row.state == RACING and row.utility is not None]
    if racing:
        best = max(racing, key=lambda row: row.utility or 0.0)
        yield f"best so far {best.origin}, U {wording.number(best.utility)}"


def _spent(known: Field) -> Iterator[str]:
    if known.calls:
        yield wording.amount(known.calls, "call")
    if known.usd and known.most_usd is not None:
        yield f"{wording.usd(known.usd)} of {wording.usd(known.most_usd)}"
    elif known.usd:
        yield wording.usd(known.usd)


View = PlainView | LiveView


def _evidence(looked: Mapping[str, Any]) -> str:
    return (
        f"{looked['n']} of {looked['of']} tasks, "
        f"log e {looked['log_e']:.1f}, needed {looked['needed']:.1f}"
    )


@contextmanager
def following(stage: str = FIRST, most_usd: float | None = None) -> Iterator[View]:
    """Give what follows one cycle, and restore the terminal however the cycle ends.

    What plugins print meanwhile goes to stderr.
    """
    from penin_core.loading import prints_on_stderr

    known = Field(stage=stage, most_usd=most_usd)
    with prints_on_stderr():
        if is_quiet() or not sys.stderr.isatty():
            yield PlainView(known)
            return
        view = LiveView(known)
        with _live(view):
            yield view


def _live(view: LiveView) -> Live:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), get_renderable=view.draw, refresh_per_second=4)
