"""Figures of the project behind a deployment, for monitoring: what its ledger and budget say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from penin_core.ledger.store import WORMLedger
from penin_core.pages.checking import Checker
from penin_core.pages.money import spent

Labels: TypeAlias = Mapping[str, str]
#: A metric: name, kind, meaning, and its values by labels.
Family: TypeAlias = tuple[str, str, str, Sequence[tuple[Labels, float]]]

#: The ledger is not read more often than this.
FRESH_S = 5.0
_LAST = {
    "penin_linf": ("linf", "L-infinity of the last candidate that has one."),
    "penin_delta_linf": ("delta_linf", "By how much it exceeds the champion's."),
    "penin_caos_phi": ("caos_phi", "Its exploration factor phi."),
    "penin_sr": ("sr", "Its self-reflection score."),
}
_GATES = {"sigma_guard": "sigma_guard_ok", "ir_ic": "ir_ic_ok"}


class Figures:
    """Reads ledger and budget of a state directory now and then; whether it verifies, beside."""

    def __init__(self, state: Path, daily_usd: float) -> None:
        self._state = state
        self._daily_usd = daily_usd
        self._checker = Checker(state)
        self._read_at = float("-inf")
        self._found: list[Family] = []

    def read(self) -> list[Family]:
        """Return the figures, at most a few seconds old.

        Raises:
            StateError, LedgerInvalid: ledger or budget cannot be read.
        """
        if time.monotonic() - self._read_at >= FRESH_S:
            with Counting(self._state / "ledger.db") as ledger:
                self._found = [*ledger.figures(), *self._money()]
            self._checker.look()
            if (last := self._checker.last) is not None:
                valid = float(last.found is not None and last.found.valid)
                meaning = "Whether the ledger verified when it was last checked."
                self._found.append(_gauge("penin_ledger_valid", meaning, valid))
            self._read_at = time.monotonic()
        return self._found

    def _money(self) -> list[Family]:
        money = spent(self._state, self._daily_usd)
        today = money["spent_today_usd"] + money["reserved_usd"]
        return [
            _gauge("penin_budget_daily_usd", "What may be spent in a UTC day.", self._daily_usd),
            _gauge("penin_daily_spend_usd", "What was spent or is reserved today.", today),
        ]


class Counting(WORMLedger):
    """A ledger that counts its rows without reading them all."""

    def figures(self) -> list[Family]:
        """Return how many cycles, decisions and failed gates there are, and the last values."""
        verdicts = self._rows("SELECT verdict, count(*) FROM runs GROUP BY verdict")
        cycles = self._rows("SELECT count(DISTINCT cycle_id) FROM runs")[0][0]
        counts = [({"verdict": str(verdict)}, float(n)) for verdict, n in sorted(verdicts)]
        failed = []
        for gate, column in _GATES.items():
            query = f"SELECT count(*) FROM runs WHERE {column} = 0"  # noqa: S608
            failed.append(({"gate": gate}, float(self._rows(query)[0][0])))
        return [
            ("penin_cycles_total", "counter", "Cycles recorded.", [({}, float(cycles))]),
            ("penin_decisions_total", "counter", "Decisions by verdict.", counts),
            ("penin_gate_fail_total", "counter", "Candidates that a gate refused.", failed),
            _gauge("penin_ledger_rows", "Entries of the ledger.", float(self.size)),
            *self._last_values(),
        ]

    def _last_values(self) -> list[Family]:
        found = []
        for name, (column, meaning) in _LAST.items():
            query = f"SELECT {column} FROM runs WHERE {column} NOT NULL ORDER BY idx DESC LIMIT 1"  # noqa: S608
            found += [_gauge(name, meaning, float(value)) for (value,) in self._rows(query)]
        return found

    def _rows(self, query: str) -> list[Any]:
        with self._reading() as connection:
            return connection.execute(query).fetchall()


def _gauge(name: str, meaning: str, value: float) -> Family:
    return name, "gauge", meaning, [({}, value)]
