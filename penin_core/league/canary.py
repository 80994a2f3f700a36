"""A challenger on a small share of live traffic: who gets it, and when it is taken back.

Every answer of the challenger is compared with the champion's answers that came since the one
before. Each way of doing harm has an e-process of its own; together they take back a challenger
that does none with probability at most ``ALPHA``, however long it runs and however often one looks.
Source: Waudby-Smith and Ramdas 2024, doi 10.1093/jrsssb/qkad009; the split: a hash of salt and key.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from penin_core.omega.evidence import EProcess, crossed

Arm = Literal["champion", "challenger"]
Verdict = Literal["harmful", "safe", "inconclusive"]

#: The chance of taking back a challenger that does no harm, and its shares.
ALPHA = 0.01
LEVELS = {
    "errors": 0.004,
    "error_limit": 0.001,
    "utility": 0.002,
    "cost": 0.001,
    "latency": 0.001,
    "tail": 0.001,
}
#: Differences up to this are no harm.
MARGIN = 0.01
#: An error rate above this is harm, whatever the champion's is.
ERROR_LIMIT = 0.05
#: Safe: at most this much worse, shown at ``SAFE_ALPHA`` on so many requests.
SAFE_MARGIN, SAFE_ALPHA, SAFE_REQUESTS = 0.05, 0.05, 50
#: So many failures of the challenger in a row end it at once.
MOST_FAILURES = 5
#: The champion's 95th percentile is that of so many of its first answers.
WARM_UP = 200
#: At most so many answers of the champion stand against one of the challenger.
_WAITING = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request; what nobody measured is None.

    ``failed`` is an error of the call, ``vetoed`` an answer that a guard refused; ``utility`` lies
    in [0, 1].
    """

    failed: bool = False
    vetoed: bool = False
    utility: float | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None


def arm_of(key: str, salt: str, fraction: float) -> Arm:
    """Return who answers ``key``: always the same, and the challenger for ``fraction`` of all keys.

    The first eight bytes of SHA-256 of ``salt:key``, as a share of 2**64, decide. A new ``salt``
    for every experiment draws the keys anew.

    Raises:
        ValueError: ``fraction`` is not in [0, 1].
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction = {fraction!r} must lie in [0, 1]")
    bucket = int.from_bytes(_hashed(f"{salt}:{key}")[:8], "big")
    return "challenger" if bucket < fraction * 2**64 else "champion"


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of ``values`` that at least ``share`` of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _relative(challenger: float, champion: float) -> float:
    total = challenger + champion
    return (challenger - champion) / total if total > 0 else 0.0


@dataclass
class Monitor:
    """Watches one canary; ``verdict`` is None as long as nothing is known."""

    verdict: Verdict | None = None
    reason: str = ""
    champion: int = 0
    challenger: int = 0
    in_a_row: int = 0
    harms: dict[str, EProcess] = field(default_factory=lambda: {h: EProcess() for h in LEVELS})
    no_worse: EProcess = field(default_factory=lambda: EProcess(SAFE_MARGIN))
    no_more_errors: EProcess = field(default_factory=lambda: EProcess(SAFE_MARGIN))
    _since: list[Outcome] = field(default_factory=list)
    _held: list[Outcome] = field(default_factory=list)
    _warm_up: list[float] = field(default_factory=list)
    _slow_ms: float | None = None

    @property
    def taken_back(self) -> bool:
        """Whether the challenger did harm."""
        return self.verdict == "harmful"

    def observe(self, arm: Arm, outcome: Outcome) -> None:
        """Take one outcome into account; after a verdict of harm nothing changes any more."""
        if self.taken_back:
            return
        if arm == "champion":
            self._of_champion(outcome)
        else:
            self.challenger += 1
            self._stop_at_once(outcome)
            self._held.append(outcome)
        if self._held and self._since and not self.taken_back:
            self._compare(self._held.pop(0))

    def end(self) -> None:
        """Close without a verdict: silence is no success."""
        if self.verdict is None:
            self.verdict = "inconclusive"
            self.reason = f"{self.challenger} requests showed neither harm nor safety"

    def log_e(self) -> dict[str, float]:
        """Return the natural logarithm of every e-value, by what it speaks of."""
        found = {name: process.log_e for name, process in self.harms.items()}
        return {**found, "no_worse": self.no_worse.log_e, "no_more": self.no_more_errors.log_e}

    def _of_champion(self, outcome: Outcome) -> None:
        self.champion += 1
        self._since = [*self._since[1 - _WAITING :], outcome]
        if self._slow_ms is None and outcome.latency_ms is not None:
            self._warm_up.append(outcome.latency_ms)
            if len(self._warm_up) == WARM_UP:
                self._slow_ms = percentile(self._warm_up, 0.95)

    def _stop_at_once(self, outcome: Outcome) -> None:
        self.in_a_row = self.in_a_row + 1 if outcome.failed or outcome.vetoed else 0
        if self.in_a_row >= MOST_FAILURES:
            self._harm(f"{self.in_a_row} requests in a row failed or were vetoed")

    def _compare(self, mine: Outcome) -> None:
        others, self._since = self._since, []
        for harm, difference in self._differences(mine, others):
            log_e = self.harms[harm].update(difference)
            if crossed(log_e, LEVELS[harm]):
                self._harm(
                    f"{harm}: shown at level {LEVELS[harm]} after {self.challenger} requests"
                )
                return
        self._look_for_safety(mine, others)

    def _differences(self, mine: Outcome, others: Sequence[Outcome]) -> Iterator[tuple[str, float]]:
        """Yield how much worse the challenger's answer was, between -1 and 1, for every harm."""
        errors = [float(mine.failed) - float(other.failed) for other in others]
        yield "errors", _beyond(errors, MARGIN)
        yield "error_limit", _beyond([float(mine.failed)], ERROR_LIMIT)
        for harm, worse in (
            ("utility", [b - a for a, b in _pairs(mine.utility, [o.utility for o in others])]),
            ("cost", [_relative(a, b) for a, b in _pairs(mine.cost_usd, _costs(others))]),
            ("latency", [_relative(a, b) for a, b in self._latencies(mine, others)]),
            ("tail", [self._slower(a) - self._slower(b) for a, b in self._tail(mine, others)]),
        ):
            if worse:
                yield harm, _beyond(worse, MARGIN)

    def _latencies(self, mine: Outcome, others: Sequence[Outcome]) -> list[tuple[float, float]]:
        return _pairs(mine.latency_ms, [other.latency_ms for other in others])

    def _tail(self, mine: Outcome, others: Sequence[Outcome]) -> list[tuple[float, float]]:
        return [] if self._slow_ms is None else self._latencies(mine, others)

    def _slower(self, latency_ms: float) -> float:
        return float(self._slow_ms is not None and latency_ms > self._slow_ms)

    def _look_for_safety(self, mine: Outcome, others: Sequence[Outcome]) -> None:
        errors = [float(other.failed) - float(mine.failed) for other in others]
        self.no_more_errors.update(sum(errors) / len(errors))
        gains = [a - b for a, b in _pairs(mine.utility, [other.utility for other in others])]
        if gains:
            self.no_worse.update(sum(gains) / len(gains))
        proved = (crossed(p.log_e, SAFE_ALPHA) for p in (self.no_worse, self.no_more_errors))
        if self.verdict is None and self.challenger >= SAFE_REQUESTS and all(proved):
            self.verdict = "safe"
            self.reason = f"no worse by more than {SAFE_MARGIN} on {self.challenger} requests"

    def _harm(self, reason: str) -> None:
        self.verdict, self.reason = "harmful", reason


def _pairs(mine: float | None, others: Sequence[float | None]) -> list[tuple[float, float]]:
    return [] if mine is None else [(mine, other) for other in others if other is not None]


def _costs(outcomes: Sequence[Outcome]) -> list[float | None]:
    return [outcome.cost_usd for outcome in outcomes]


def _beyond(differences: Sequence[float], margin: float) -> float:
    """Return by how much their mean exceeds ``margin``, scaled so that it stays in [-1, 1]."""
    return (sum(differences) / len(differences) - margin) / (1.0 + margin)
