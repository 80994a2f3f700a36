"""The pages of a state directory, one method for each; nothing of it is ever written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penin_core.errors import StateError
from penin_core.ledger.checkpoints import read_kept
from penin_core.ledger.files import is_file
from penin_core.settings import load_settings, state_dir

from . import overview
from .canaries import canaries
from .checking import Checker, checked
from .compare import beside
from .entries import entries, proof_of, signed_size, state_of
from .failures import FAILURES, by_pointer, explained, failed, instead, sound
from .lineage import lineage
from .markup import Child, Markup, clipped, element, joined, link, section
from .money import spend, spent
from .reading import LEDGER, Latest, NoSuchRun, Run, read, rival
from .report import report
from .run import sections
from .shell import served
from .style import STYLE
from .tuner import trajectories


@dataclass(frozen=True)
class Page:
    """What a server answers: a status of HTTP, a type, and text.

    ``name`` is the name of the file that it is to be saved as; without one it is to be shown.
    """

    body: str
    status: int = 200
    kind: str = "text/html"
    name: str = ""


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
                sound("Money", lambda: spend(self.state, self.daily_usd)),
                sound("Ledger", lambda: section("Ledger", *self._ledger(ledger))),
            ]

        return self._page("Overview", "", made)

    def runs(self, before: int | None = None) -> Page:
        """Return the list of runs, from the newest on, or from those before an entry."""

        def made(ledger: Latest) -> list[Child]:
            found = ledger.runs(overview.PAGE, before=before)
            return [element("h1", "Runs"), overview.runs(found)]

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

    def canary(self) -> Page:
        """Return what was tried on a share of the traffic."""
        return self._page(
            "Canary",
            "canary",
            lambda ledger: [element("h1", "Canaries"), *canaries(self.state, ledger)],
        )

    def run(self, run_id: str) -> Page:
        """Return the page of a run; the id may be its beginning or its end."""

        def made(ledger: Latest) -> Sequence[Child]:
            run = read(self.state, ledger, ledger.find(run_id))
            champion = rival(self.state, ledger, run)
            return sections(run, champion, overview.to_run, self._actions(ledger, run, champion))

        return self._page("Run", "runs", made)

    def _actions(self, ledger: Latest, run: Run, champion: Run | None) -> list[Markup]:
        """Return what can be done with a run: compare it, send it on, prove it."""
        shown = []
        if champion is not None:
            words = "Beside the champion of its cycle"
            shown.append(link(words, "compare", champion.id, run.id))
        try:
            now, covered = ledger.champion(), run.row["idx"] < signed_size(self.state)
        except FAILURES:
            # Whatever is wrong is said where it is shown; the other links still lead somewhere.
            now, covered = None, False
        present = now.body.get("run_id") if now else None
        if present in ledger and present not in (run.id, champion and champion.id):
            shown.append(link("Beside the champion of now", "compare", str(present), run.id))
        shown.append(link("Save as one file", "report", run.id))
        if covered:
            shown.append(link("Download its proof", "ledger", "proof", str(run.row["idx"])))
        return shown

    def compare(self, one: str, other: str) -> Page:
        """Return two runs side by side: configurations, axes, answers."""

        def made(ledger: Latest) -> Sequence[Child]:
            pair = [read(self.state, ledger, ledger.find(run_id)) for run_id in (one, other)]
            return [element("h1", "Two runs side by side"), *beside(*pair)]

        return self._page("Two runs", "runs", made)

    def ledger(self, before: int | None = None) -> Page:
        """Return the state of the ledger and its entries, the newest or those before one."""

        def made(ledger: Latest) -> list[Child]:
            size = ledger.size
            said = self._ledger(ledger)
            found = self.checker.last
            bad = found.found.first_bad if found and found.found else None
            start = size if before is None else min(before, size)
            listed = entries(ledger, start, signed_size(self.state), bad)
            return [element("h1", "Ledger"), section("State", *said), section("Entries", listed)]

        return self._page("Ledger", "ledger", made)

    def checkpoint(self) -> Page:
        """Return the last signed checkpoint as it is, to be kept in a place that others control."""

        def made(ledger: Latest) -> Page:
            kept = read_kept(self.state).last
            if kept is None:
                raise StateError("nothing was signed yet", hint="`penin ledger export` signs.")
            return Page(str(kept), kind="text/plain", name="checkpoint")

        return self._file(made)

    def proof(self, idx: int) -> Page:
        """Return the proof of an entry under the last signed checkpoint, as a file."""
        return self._file(
            lambda ledger: Page(
                proof_of(self.state, ledger, idx), kind="text/plain", name=f"entry-{idx}.tlog-proof"
            )
        )

    def report(self, run_id: str) -> Page:
        """Return the page of a run as one file that needs no other."""

        def made(ledger: Latest) -> Page:
            found = str(ledger.find(run_id)["id"])
            name = re.sub(r"[^a-z0-9-]", "", found)
            return Page(report(self.state, ledger, found), name=f"penin-{name}.html")

        return self._file(made)

    def missing(self) -> Page:
        """Return what is said of an address that leads nowhere."""
        told = section(
            "There is no such page", element("p", "The pages that there are stand above.")
        )
        return Page(served("No such page", None, element("h1", "No such page"), told), 404)

    def summary(self) -> dict[str, Any]:
        """Return the first page as data: champion, cycles, money, and whether the ledger verifies.

        That reads every entry and every file of a run: the longer the ledger, the longer it takes.

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
            "budget": spent(self.state, self.daily_usd),
            "ledger": {
                "valid": state.found is not None and state.found.valid,
                "size": state.found.size if state.found else 0,
                "signed": state.found.signed.size if state.found and state.found.signed else 0,
                "warnings": list(state.found.warnings) if state.found else [],
                "reason": state.found.reason if state.found else state.problem,
            },
        }

    def _champion(self, ledger: Latest) -> Markup:
        try:
            entry = ledger.champion()
            run_id = entry.body.get("run_id") if entry else None
            row = ledger.run(str(run_id)) if run_id in ledger else None
            return overview.champion(entry, row)
        except FAILURES as error:
            return joined([failed("Champion", explained(error)), by_pointer(self.state)])

    def _ledger(self, ledger: Latest) -> list[Child]:
        said = self.checker.look()
        return state_of(self.state, ledger.size, said, self.checker.last)

    def _file(self, made: Callable[[Latest], Page]) -> Page:
        """Make a file to be saved, or say in one line why there is none."""
        try:
            if not is_file(self.state / LEDGER):
                raise StateError("nothing was recorded yet", hint="`penin evolve` runs a cycle.")
            with Latest(self.state / LEDGER) as ledger:
                return made(ledger)
        except FAILURES as error:
            told = explained(error)
            status = 404 if isinstance(error, StateError) else 500
            words = f"{told}\n{told.hint}\n" if told.hint else f"{told}\n"
            return Page(words, status, "text/plain")

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
            return Page(served(title, here, _other_runs(error)), 404)
        except FAILURES as error:
            told = instead(title, explained(error), by_pointer(self.state))
            return Page(served(title, here, told), 500)

    def _alarm(self) -> Markup | None:
        """Return the outcome of the verification where it is bad; it belongs on every page then."""
        said, last = self.checker.look(), self.checker.last
        fine = last is None or (last.found is not None and last.found.valid)
        return None if fine else said


def _other_runs(error: NoSuchRun) -> Markup:
    """Return the page for an id that leads nowhere, or to several runs: those that there are."""
    items = (element("li", link(element("code", one), "run", one)) for one in error.fits)
    lead = "It fits these" if error.several else "The last runs"
    listed = [element("p", f"{lead}:"), element("ul", *items)] if error.fits else []
    return instead("No such run", error, *listed)


def _named(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("run_id", "reason", "config", "config_hash")}
