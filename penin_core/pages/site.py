"""The pages of a state directory, one method for each; nothing of it is ever written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penin_core.errors import PeninError, StateError
from penin_core.ledger.checkpoints import CHECKPOINT, read_kept
from penin_core.ledger.files import is_file
from penin_core.settings import load_settings, state_dir

from . import overview
from .checking import Checker, checked
from .compare import beside
from .failures import FAILURES, by_pointer, explained, failed, instead, sound
from .lineage import lineage
from .markup import Child, Markup, clipped, element, facts, joined, link, note, section, table, when
from .reading import LEDGER, Latest, NoSuchRun, read, rival
from .run import sections
from .shell import served
from .style import STYLE
from .tuner import trajectories

#: How many of the last entries the page of the ledger lists.
ENTRIES = 30


@dataclass(frozen=True)
class Page:
    """What a server answers: a status of HTTP, a type, and text."""

    body: str
    status: int = 200
    kind: str = "text/html"


class Views:
    """A state directory as pages of HTML, to be served read-only, and as a summary.

    ``daily_usd`` is the limit of the day, as the settings give it. Several threads may call it.
    """

    def __init__(self, state: Path, daily_usd: float) -> None:
        self.state, self.daily_usd = state, daily_usd
        self.checker = Checker(state)

    @classmethod
    def find(cls, config: Path | None = None, state: Path | None = None) -> Views:
        """Return the views of the project that the settings and the environment lead to.

        Raises:
            SettingsError: the settings are wrong.
            StateError: the state directory is a file.
        """
        settings = load_settings(config)
        path = state_dir(state, settings.folder)
        if path.exists() and not path.is_dir():
            raise StateError(
                f"state directory {str(path)!r} is a file", hint="name another with --state-dir"
            )
        return cls(path, settings.budget.daily_usd)

    def style(self) -> Page:
        """Return the style sheet."""
        return Page(STYLE, kind="text/css")

    def overview(self) -> Page:
        """Return the first page."""

        def made(ledger: Latest) -> list[Child]:
            # What cannot be read must not hide what can.
            return [
                element("h1", f"Overview of {clipped(self.state.resolve().parent.name, 80)}"),
                self._champion(ledger),
                sound("Last cycles", lambda: overview.last_cycles(overview.cycles(ledger))),
                sound("Money", lambda: overview.spend(self.state, self.daily_usd)),
                sound("Ledger", lambda: self._ledger(ledger, 0)),
            ]

        return self._page("Overview", "", made)

    def runs(self, before: int | None = None) -> Page:
        """Return the list of runs, from the newest on, or from those before an entry."""

        def made(ledger: Latest) -> list[Child]:
            limit = 2**62 if before is None else before
            return [element("h1", "Runs"), overview.runs(ledger.runs_before(limit, overview.PAGE))]

        return self._page("Runs", "runs", made)

    def lineage(self) -> Page:
        """Return the graph of the champions."""
        return self._page(
            "Lineage", "lineage", lambda ledger: [element("h1", "Champions"), lineage(ledger)]
        )

    def tuner(self) -> Page:
        """Return the paths of the tuned parameters."""
        return self._page(
            "Tuner",
            "tuner",
            lambda ledger: [element("h1", "Tuned parameters"), trajectories(ledger)],
        )

    def run(self, run_id: str) -> Page:
        """Return the page of a run; the id may be its beginning or its end."""

        def made(ledger: Latest) -> Sequence[Child]:
            run = read(self.state, ledger, ledger.find(run_id))
            champion = rival(self.state, ledger, run)
            shown: list[Child] = [*sections(run, champion, overview.to_run)]
            if champion is not None:
                words = "Compare it with the champion of its cycle"
                shown.append(element("p", link(words, "compare", champion.id, run.id)))
            return shown

        return self._page("Run", "runs", made)

    def compare(self, one: str, other: str) -> Page:
        """Return two runs side by side: configurations, axes, answers."""

        def made(ledger: Latest) -> Sequence[Child]:
            pair = [read(self.state, ledger, ledger.find(run_id)) for run_id in (one, other)]
            return [element("h1", "Two runs side by side"), *beside(*pair)]

        return self._page("Two runs", "runs", made)

    def ledger(self) -> Page:
        """Return the state of the ledger, its checkpoint, and its last entries."""

        def made(ledger: Latest) -> list[Child]:
            return [element("h1", "Ledger"), self._ledger(ledger, ENTRIES)]

        return self._page("Ledger", "ledger", made)

    def checkpoint(self) -> Page:
        """Return the last signed checkpoint as it is, to be kept in a place that others control."""
        try:
            kept = read_kept(self.state).last
        except PeninError as error:
            return Page(f"{error}\n", 500, "text/plain")
        if kept is None:
            return Page("nothing was signed yet\n", 404, "text/plain")
        return Page(str(kept), kind="text/plain")

    def missing(self) -> Page:
        """Return what is said of an address that leads nowhere."""
        told = section(
            "There is no such page", element("p", "The pages that there are stand above.")
        )
        return Page(served("No such page", None, element("h1", "No such page"), told), 404)

    def summary(self) -> dict[str, Any]:
        """Return the first page as data: champion, cycles, money, and whether the ledger verifies.

        Raises:
            LedgerInvalid, StateError: the ledger cannot be read.
        """
        with Latest(self.state / LEDGER) as ledger:
            now = ledger.champion()
            names = ("id", "cycle_id", "verdict", "reason", "delta_linf", "dry_run")
            cycles = [
                {
                    **{name: row[name] for name in names},
                    "worst_axis": row["detail"].get("worst_axis"),
                }
                for row in overview.cycles(ledger)
            ]
        state = checked(self.state)
        return {
            "state_dir": str(self.state),
            "champion": now and {"since": now.ts, "by": now.kind, **_named(now.body)},
            "cycles": cycles,
            "budget": overview.spent(self.state, self.daily_usd),
            "ledger": {
                "valid": state.found is not None and state.found.valid,
                "size": state.found.size if state.found else 0,
                "reason": state.found.reason if state.found else state.problem,
            },
        }

    def _champion(self, ledger: Latest) -> Markup:
        try:
            return overview.champion(ledger.champion())
        except FAILURES as error:
            return joined([failed("Champion", explained(error)), by_pointer(self.state)])

    def _ledger(self, ledger: Latest, last: int) -> Markup:
        kept, size = read_kept(self.state), ledger.size
        pairs: list[tuple[str, Child]] = [("entries", f"{size:,}")]
        parts: list[Child] = [self.checker.look(), facts(pairs)]
        found = self.checker.last
        if found and found.found:
            parts += [
                note(clipped(warning, 300), kind="warn") for warning in found.found.warnings[:5]
            ]
        if kept.last is not None:
            keep = element("a", "Download the checkpoint", href="/ledger/checkpoint")
            parts += [
                element("h3", "Last signed checkpoint"),
                element("pre", str(kept.last)),
                element("p", keep),
            ]
        else:
            parts.append(note(f"There is no {CHECKPOINT}: nothing was signed yet."))
        if last:
            parts.append(_entries(ledger, range(size - 1, max(-1, size - 1 - last), -1)))
        return section("Ledger", *parts)

    def _page(self, title: str, here: str, made: Callable[[Latest], Sequence[Child]]) -> Page:
        """Make a page, or the page that says why it cannot be made and what to do."""
        try:
            if not is_file(self.state / LEDGER):
                empty = [element("h1", title), overview.nothing_yet(self.state)]
                return Page(served(title, here, *empty))
            with Latest(self.state / LEDGER) as ledger:
                shown = made(ledger)
                before = None if here == "ledger" else self._alarm()
            return Page(served(title, here, before, *shown))
        except NoSuchRun as error:
            fits = (element("li", overview.to_run(one, one)) for one in error.fits)
            told = instead(title, error, *([element("ul", *fits)] if error.fits else []))
            return Page(served(title, here, told), 404)
        except FAILURES as error:
            told = instead(title, explained(error), by_pointer(self.state))
            return Page(served(title, here, told), 500)

    def _alarm(self) -> Markup | None:
        """Return the outcome of the verification where it is bad; it belongs on every page then."""
        said, last = self.checker.look(), self.checker.last
        fine = last is None or (last.found is not None and last.found.valid)
        return None if fine else said


def _entries(ledger: Latest, which: Iterable[int]) -> Markup:
    """Return a table of entries; one that cannot be read is said in its place."""
    rows: list[Sequence[Child]] = []
    for idx in which:
        try:
            entry = ledger.entry(idx)
            rows.append((f"{idx:,}", entry.kind, when(entry.ts), element("code", entry.leaf_hash)))
        except PeninError as error:
            rows.append((f"{idx:,}", note(clipped(str(error), 200), kind="bad"), "-", "-"))
    return table("The last entries", ("entry", "kind", "time", "hash"), rows)


def _named(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("run_id", "reason", "config", "config_hash")}
