"""Figures of the project behind a deployment, for monitoring: what its ledger and budget say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.store import WORMLedger
from penin_core.pages.checking import Checker
from penin_core.pages.money import spent

Labels: TypeAlias = Mapping[str, str]
#: A metric: name, kind, meaning, and its values by labels; of a histogram, what was observed.
Family: TypeAlias = tuple[str, str, str, Sequence[tuple[Labels, float]]]

#: The ledger is not read more often than this.
FRESH_S = 5.0
_LAST = {
    "penin_linf": ("linf", "L-infinity of the last candidate that has one."),
    "penin_delta_linf": ("delta_linf", "By how much it exceeds the champion's."),
    "penin_caos_phi": ("caos_phi", "Its exploration factor phi."),
    "penin_sr": ("sr", "Its self-reflection score."),
}
#: Of the last candidate that came before the guards: its gate or measure, by guard.
_GATED = {
    "penin_ece": ("sigma", "ece", "Expected calibration error of the last guarded candidate."),
    "penin_rho_bias": ("sigma", "rho_bias", "Its largest ratio of rates between groups."),
    "penin_risk_rho": ("contractive", "rho", "Contraction ratio of the risks that end in its own."),
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
        self._gated: tuple[str, list[Family]] = ("", [])

    def read(self) -> list[Family]:
        """Return the figures, at most a few seconds old.

        Raises:
            StateError, LedgerInvalid: ledger or budget cannot be read.
        """
        if time.monotonic() - self._read_at >= FRESH_S:
            with Counting(self._state / "ledger.db") as ledger:
                self._found = [*ledger.figures(), *self._guarded(ledger), *self._money()]
            self._checker.look()
            if (last := self._checker.last) is not None:
                valid = float(last.found is not None and last.found.valid)
                meaning = "Whether the ledger verified when it was last checked."
                self._found.append(_gauge("penin_ledger_valid", meaning, valid))
            self._read_at = time.monotonic()
        return self._found

    def _guarded(self, ledger: Counting) -> list[Family]:
        """Return what guards saw last; what they did not measure, or is not there, is left out."""
        for run_id, manifest in ledger.guarded():
            if self._gated[0] != run_id:
                try:
                    gates = json.loads(read_run(self._state, run_id, manifest)["gates.json"])
                except (StateError, LedgerInvalid, KeyError, ValueError):
                    gates = []
                self._gated = run_id, _measured(gates)
            return self._gated[1]
        return []

    def _money(self) -> list[Family]:
        money = spent(self._state, self._daily_usd)
        today = money["spent_today_usd"] + money["reserved_usd"]
        return [
            _gauge("penin_budget_daily_usd", "What may be spent in a UTC day.", self._daily_usd),
            _gauge("penin_daily_spend_usd", "What was spent or is reserved today.", today),
        ]


_DURATION = "From the begin of a cycle to its last run."


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
            ("penin_cycle_duration_seconds", "histogram", _DURATION, self._durations()),
            ("penin_decisions_total", "counter", "Decisions by verdict.", counts),
            ("penin_gate_fail_total", "counter", "Candidates that a gate refused.", failed),
            _gauge("penin_ledger_rows", "Entries of the ledger.", float(self.size)),
            *self._last_values(),
        ]

    def guarded(self) -> list[tuple[str, str]]:
        """Return the last run that came before the guards, and the hash of its manifest."""
        query = (
            "SELECT id, manifest_sha256 FROM runs WHERE manifest_sha256 NOT NULL "
            "AND (sigma_guard_ok NOT NULL OR ir_ic_ok NOT NULL) ORDER BY idx DESC LIMIT 1"
        )
        return self._rows(query)

    def _durations(self) -> list[tuple[Labels, float]]:
        query = "SELECT cycle_id, max(ts) FROM runs WHERE cycle_id NOT NULL GROUP BY cycle_id"
        taken = ((began(cycle), float(ended)) for cycle, ended in self._rows(query))
        return [({}, ended - start) for start, ended in taken if start is not None]

    def _last_values(self) -> list[Family]:
        found = []
        for name, (column, meaning) in _LAST.items():
            query = f"SELECT {column} FROM runs WHERE {column} NOT NULL ORDER BY idx DESC LIMIT 1"  # noqa: S608
            found += [_gauge(name, meaning, float(value)) for (value,) in self._rows(query)]
        return found

    def _rows(self, query: str) -> list[Any]:
        with self._reading() as connection:
            return connection.execute(query).fetchall()


def began(cycle_id: str) -> float | None:
    """Return when a cycle began, in Unix seconds, as its id says; None where it says nothing."""
    try:
        return datetime.strptime(f"{cycle_id[:28]}+0000", "cycle-%Y%m%dt%H%M%S-%f%z").timestamp()
    except ValueError:
        return None


def _measured(gates: Sequence[Mapping[str, Any]]) -> list[Family]:
    found, by_guard = list[Family](), {gate["guard"]: gate["details"] for gate in gates}
    for name, (guard, measure, meaning) in _GATED.items():
        details = by_guard.get(guard, {})
        value = details.get(measure)
        if isinstance(value, Mapping):
            value = value.get("value")
        if measure not in details.get("not_applicable", ()) and isinstance(value, float):
            found.append(_gauge(name, meaning, value))
    return found


def _gauge(name: str, meaning: str, value: float) -> Family:
    return name, "gauge", meaning, [({}, value)]
