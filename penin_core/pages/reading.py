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
#: How many are named where it fits none.
LAST = 5


class NoSuchRun(StateError):
    """No run has such an id, or several do; ``fits`` are those, or else the last ones."""

    def __init__(self, text: str, fits: Sequence[str], last: Sequence[str]) -> None:
        told = f"fits {len(fits)} runs" if fits else "is not in the ledger"
        hint = "The beginning or the end of an id is enough, from four characters on."
        super().__init__(f"run {text!r} {told}", hint=hint)
        self.several = bool(fits)
        self.fits = tuple(fits[:SHOWN] or last)


class Latest(WORMLedger):
    """A ledger, with what pages look up in it; only its end is read, however long it is."""

    def find(self, text: str) -> dict[str, Any]:
        """Return the run whose id is ``text``, or the only one whose id begins or ends with it.

        Raises:
            NoSuchRun: no run fits, or several do.
        """
        known = text in self or len(text) < LEAST_CHARACTERS
        fits = [text] if known else self.run_ids(text)
        if len(fits) != 1 or fits[0] not in self:
            last = [row["id"] for row in self.runs(LAST)]
            raise NoSuchRun(text, fits if len(fits) > 1 else [], last)
        return self.run(fits[0])

    def champion(self) -> StoredEntry | None:
        """Return the entry that made the champion, None before the first one."""
        return next(iter(self.events(CHAMPION_KINDS, limit=1)), None)


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
