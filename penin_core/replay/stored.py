"""A stored run, read back, and the one way in which it can fail to be what was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.store import WORMLedger
from penin_core.records import Measurement, TaskRow

T = TypeVar("T")

#: Fields that say in words what other fields, which are compared, say in numbers and names.
PROSE = ("reason", "reasons")


@dataclass
class Stored:
    """A stored run, read back, and what was found out about it so far."""

    state: Path
    ledger: WORMLedger
    row: Mapping[str, Any]
    checks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.row["manifest_sha256"] is None:
            raise StateError(f"run {self.row['id']} has no files to replay")
        self.files = read_run(self.state, self.row["id"], self.row["manifest_sha256"])
        self.detail = self.ledger.entry(self.row["idx"]).body.get("detail", {})

    def file(self, name: str) -> Any:
        """Return what a JSON file of the run holds."""
        if name not in self.files:
            raise StateError(f"run {self.row['id']} has no {name}, it cannot be replayed")
        return json.loads(self.files[name])

    def lines(self, name: str) -> list[Any]:
        """Return what the lines of a file of the run hold."""
        return [json.loads(line) for line in self.files[name].splitlines()]

    def measured(self) -> Measurement:
        """Return the measurement with its rows."""
        rows = tuple(TaskRow.model_validate(row) for row in self.lines("responses.jsonl"))
        return Measurement.model_validate({**self.file("evaluation.json"), "rows": rows})

    def same(self, what: str, recorded: T, derived: T) -> None:
        """Raise LedgerInvalid where the two differ."""
        if recorded != derived or isinstance(recorded, bool) != isinstance(derived, bool):
            raise LedgerInvalid(
                f"run {self.row['id']}: {what} differs: recorded {recorded!r}, derived {derived!r}",
                hint="the decision does not follow from what was stored; "
                "`penin ledger verify` says whether the ledger itself was changed",
            )

    def same_but_words(
        self, of: str, recorded: Mapping[str, Any], derived: Mapping[str, Any]
    ) -> None:
        """As ``same``, field by field; prose that is worded otherwise is noted.

        Whether there is a reason, and how many, is no prose.
        """
        for name, value in recorded.items():
            what, found = f"{name}{of}", derived[name]
            self.same(what, _without_prose(name, value), _without_prose(name, found))
            if value != found:
                shown = f": recorded {value!r}, derived {found!r}" if name in PROSE else ""
                self.notes.append(f"{what} is worded otherwise{shown}")


def _without_prose(name: str, value: Any) -> Any:
    """Return JSON data in which a text in a prose field says only whether it is there."""
    if isinstance(value, dict):
        return {inner: _without_prose(inner, found) for inner, found in value.items()}
    if isinstance(value, list):
        return [_without_prose(name, found) for found in value]
    return bool(value) if name in PROSE and isinstance(value, str) else value
