"""What the pages show, read from a state directory while others may write to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.rows import CHAMPION_KINDS
from penin_core.ledger.store import StoredEntry, WORMLedger
from penin_core.records import Configuration

LEDGER = "ledger.db"
AXES = {"U": "utility", "S": "stability", "C": "cost", "L": "learning"}
#: Fewer characters than this abbreviate no run id.
LEAST_CHARACTERS = 4
#: How many runs are named where an id fits several.
SHOWN = 20


class NoSuchRun(StateError):
    """No run has such an id, or several have: ``fits``."""

    def __init__(self, text: str, fits: Sequence[str]) -> None:
        told = f"fits {len(fits)} runs" if fits else "is not in the ledger"
        super().__init__(f"run {text!r} {told}", hint="The list of runs has all ids.")
        self.fits = tuple(fits[:SHOWN])


class Latest(WORMLedger):
    """A ledger of which only the end is read, however long it is."""

    def latest(self, kinds: Sequence[str], limit: int) -> list[StoredEntry]:
        """Return the last events of these kinds, newest first.

        Raises:
            LedgerInvalid: one of them is not a canonical leaf.
        """
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT idx FROM events WHERE kind IN ({marks}) ORDER BY idx DESC LIMIT ?"  # noqa: S608
        with self._reading() as connection:
            found = [idx for (idx,) in connection.execute(query, (*kinds, limit))]
        return [self.entry(idx) for idx in found]

    def runs_before(self, idx: int, limit: int) -> list[dict[str, Any]]:
        """Return the rows of the runs before an entry, newest first."""
        query = "SELECT id FROM runs WHERE idx < ? ORDER BY idx DESC LIMIT ?"
        with self._reading() as connection:
            found = [run_id for (run_id,) in connection.execute(query, (idx, limit))]
        return [self.run(run_id) for run_id in found]

    def find(self, text: str) -> dict[str, Any]:
        """Return the run whose id is ``text``, or the only one whose id begins or ends with it.

        Raises:
            NoSuchRun: no run fits, or several do.
        """
        known = text in self or len(text) < LEAST_CHARACTERS
        fits = [text] if known else self.run_ids(text)
        if len(fits) != 1 or fits[0] not in self:
            raise NoSuchRun(text, fits if len(fits) > 1 else [])
        return self.run(fits[0])

    def champion(self) -> StoredEntry | None:
        """Return the entry that made the champion, None before the first one."""
        found = self.latest(CHAMPION_KINDS, 1)
        return found[0] if found else None


@dataclass(frozen=True)
class Run:
    """A run: its row, what explains it, and its files as far as they can be read."""

    row: Mapping[str, Any]
    at: str
    detail: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    problem: str = ""
    invalid: bool = False

    @property
    def id(self) -> str:
        """The id of the run."""
        return str(self.row["id"])

    @cached_property
    def config(self) -> Configuration | None:
        """The configuration that was measured, None where its file is gone."""
        data = self.files.get("config.json")
        return None if data is None else Configuration.model_validate_json(data)

    @property
    def axes(self) -> dict[str, float | None]:
        """The four axes as they were measured."""
        return {axis: self.row[f"{axis.lower()}_score"] for axis in AXES}

    @cached_property
    def answers(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """What was answered, by split and task."""
        rows = self.lines("responses.jsonl")
        return {(str(row.get("split")), str(row.get("task"))): row for row in rows}

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return what the lines of a file hold; nothing where there is no such file."""
        return [json.loads(line) for line in self.files.get(name, b"").splitlines()]


def read(state: Path, ledger: WORMLedger, row: Mapping[str, Any]) -> Run:
    """Return a run; what is wrong with its files is said, and then none of them is used.

    Raises:
        LedgerInvalid: its entry is not a canonical leaf.
    """
    entry = ledger.entry(row["idx"])
    detail = entry.body.get("detail", {})
    if row["manifest_sha256"] is None:
        return Run(row, entry.ts, detail, problem="Its entry names none.")
    try:
        files = read_run(state, row["id"], row["manifest_sha256"])
    except (LedgerInvalid, StateError) as error:
        invalid = isinstance(error, LedgerInvalid)
        return Run(row, entry.ts, detail, problem=str(error), invalid=invalid)
    return Run(row, entry.ts, detail, files)


def rival(state: Path, ledger: WORMLedger, run: Run) -> Run | None:
    """Return the champion as it was measured in the cycle of ``run``, None where it was not."""
    if run.row["kind"] == "baseline" or run.row["cycle_id"] is None:
        return None
    rows = ledger.runs(cycle_id=run.row["cycle_id"])
    wanted = run.detail.get("champion")
    fits = (
        row for row in rows if row["candidate_cfg_hash"] == wanted and row["kind"] == "baseline"
    )
    row = next(fits, None)
    return None if row is None else read(state, ledger, row)
