"""A challenger on a small share of live traffic: who gets it, and when it is taken back.

Answers of the challenger are compared with answers that the champion gave at the same time. Each
way of doing harm has an e-process of its own; together they take back a challenger that does none
with probability at most ``ALPHA``, however long it runs and however often one looks. The split
draws keys, so keys are what is compared: of each, the first answer that either side gave it.
Source: Waudby-Smith and Ramdas 2024, doi 10.1093/jrsssb/qkad009; the split: a hash of salt and key;
what is drawn is what is analysed: Larsen and others 2022, arXiv:2212.11366.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from penin_core.omega.evidence import EProcess

from .streams import Arm, Block, Streams

__all__ = ["ALPHA", "LEVELS", "Arm", "Monitor", "Outcome", "Verdict", "arm_of", "percentile"]

Verdict = Literal["harmful", "safe", "inconclusive"]

#: The chance of taking back a challenger that does no harm, and its shares.
ALPHA = 0.01
LEVELS = {
    "errors": 0.003,
    "error_limit": 0.0005,
    "vetoes": 0.0005,
    "utility": 0.003,
    "feedback": 0.0005,
    "cost": 0.001,
    "latency": 0.0005,
    "tail": 0.001,
}
#: Differences up to this are no harm.
MARGIN = 0.01
#: An error rate above this is harm, whatever the champion's is.
ERROR_LIMIT = 0.05
#: Safe: at most this much worse, each shown at ``SAFE_ALPHA``, on so many requests. Whether answers
#: are good may be shown by scores or by feedback, which have half of it each.
SAFE_MARGIN, SAFE_ALPHA, SAFE_REQUESTS = 0.05, 0.01, 50
#: The share of slow answers is 0.05 by definition: so much more of them is too many.
SAFE_TAIL = 0.03
#: So many failures of the challenger in a row end it at once.
MOST_FAILURES = 5
#: The champion's 95th percentile is that of so many of its first answers.
WARM_UP = 500

#: What can be shown in the challenger's favour, and by how much it may be worse all the same.
FAVOURS = {
    "no_more_errors": SAFE_MARGIN,
    "no_worse": SAFE_MARGIN,
    "liked": SAFE_MARGIN,
    "no_dearer": SAFE_MARGIN,
    "no_slower": SAFE_TAIL,
    "gain": 0.0,
}
#: The harm that each of them is the opposite of, where outcomes show it.
_OPPOSITES = {
    "no_more_errors": "errors",
    "no_worse": "utility",
    "no_dearer": "cost",
    "no_slower": "tail",
}


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


def _processes(margins: Mapping[str, float]) -> dict[str, EProcess]:
    return {name: EProcess(margin) for name, margin in margins.items()}


@dataclass
class Monitor:
    """Watches one canary; ``verdict`` is None as long as nothing is known.

    ``harms`` has an e-process for each way of doing harm, ``favours`` one for each claim in favour:
    no more errors, no worse by score, by feedback, by cost and by slow answers, each within its
    margin, and a gain in feedback.
    """

    verdict: Verdict | None = None
    reason: str = ""
    champion: int = 0
    challenger: int = 0
    in_a_row: int = 0
    votes: dict[str, int] = field(default_factory=lambda: {"champion": 0, "challenger": 0})
    harms: dict[str, EProcess] = field(
        default_factory=lambda: _processes(dict.fromkeys(LEVELS, 0.0))
    )
    favours: dict[str, EProcess] = field(default_factory=lambda: _processes(FAVOURS))
    _answers: Streams[Outcome] = field(default_factory=Streams)
    _votes: Streams[float] = field(default_factory=Streams)
    _warm_up: list[float] = field(default_factory=list)
    _slow_ms: float | None = None

    @property
    def taken_back(self) -> bool:
        """Whether the challenger did harm."""
        return self.verdict == "harmful"

    def observe(self, arm: Arm, outcome: Outcome, *, first: bool = True) -> None:
        """Take one outcome into account; after a verdict of harm nothing changes any more.

        ``first`` says that its key had no answer of this side before. Later ones are no draws of
        their own: they count where nothing is compared (failures in a row, the limit of errors).
        """
        if self.taken_back:
            return
        if arm == "champion":
            self._of_champion(outcome)
        else:
            self._of_challenger(outcome)
        block = self._answers.add(arm, outcome) if first else None
        if block is not None and not self.taken_back:
            worse = _differences(block, self._slow_ms)
            self._harmed({harm: _beyond(by, MARGIN) for harm, by in worse.items()})
            for favour, harm in _OPPOSITES.items():
                if harm in worse:
                    self.favours[favour].take(-worse[harm])
            self._look_for_safety()

    def vote(self, arm: Arm, score: float) -> None:
        """Take one user's feedback into account, a number in [0, 1].

        Votes count once for each user: those of one user are no draws of their own.

        Raises:
            ValueError: ``score`` is not in [0, 1].
        """
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"score = {score!r} must lie in [0, 1]")
        if self.taken_back:
            return
        self.votes[arm] += 1
        if (block := self._votes.add(arm, score)) is not None:
            gain = _mean(block.challenger) - _mean(block.champion)
            self.favours["liked"].take(gain)
            self.favours["gain"].take(gain)
            self._harmed({"feedback": _beyond(-gain, MARGIN)})
            self._look_for_safety()

    def fail(self, reason: str) -> None:
        """End it as harmful, at once: what was seen cannot be put into an outcome."""
        if not self.taken_back:
            self.verdict, self.reason = "harmful", reason

    def end(self, reason: str = "") -> None:
        """Close without a verdict: silence is no success."""
        if self.verdict is None:
            said = f"{self.challenger} requests showed neither harm nor safety"
            self.verdict, self.reason = "inconclusive", reason or said

    def log_e(self) -> dict[str, float]:
        """Return the natural logarithm of every e-value, by what it speaks of."""
        return {name: made.log_e for name, made in {**self.harms, **self.favours}.items()}

    def export_state(self) -> dict[str, Any]:
        """Return all of it as JSON keeps it, to the last bit."""
        plain = ("verdict", "reason", "champion", "challenger", "in_a_row", "votes", "_slow_ms")
        return {
            **{name: getattr(self, name) for name in plain},
            "harms": {name: made.export_state() for name, made in self.harms.items()},
            "favours": {name: made.export_state() for name, made in self.favours.items()},
            "_answers": asdict(self._answers),
            "_votes": asdict(self._votes),
            "_warm_up": [*self._warm_up],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the monitor that ``export_state`` described.

        Raises:
            ValueError: it describes none.
        """
        try:
            made = cls(**{name: state[name] for name in cls.__dataclass_fields__})
            for group, known in (("harms", LEVELS), ("favours", FAVOURS)):
                kept = {name: EProcess.from_state(state[group][name]) for name in known}
                setattr(made, group, kept)
            waiting = ([Outcome(**o) for o in state["_answers"][arm]] for arm in made.votes)
            made._answers = Streams(*waiting)
            made._votes = Streams(**state["_votes"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no state of a canary: {error!r}") from error
        return made

    def _of_champion(self, outcome: Outcome) -> None:
        self.champion += 1
        if self._slow_ms is None and outcome.latency_ms is not None:
            self._warm_up.append(outcome.latency_ms)
            if len(self._warm_up) == WARM_UP:
                self._slow_ms, self._warm_up = percentile(self._warm_up, 0.95), []

    def _of_challenger(self, outcome: Outcome) -> None:
        self.challenger += 1
        self.in_a_row = self.in_a_row + 1 if outcome.failed or outcome.vetoed else 0
        if self.in_a_row >= MOST_FAILURES:
            self.fail(f"{self.in_a_row} requests in a row failed or were vetoed")
        else:
            self._harmed({"error_limit": _beyond(float(outcome.failed), ERROR_LIMIT)})

    def _harmed(self, worse: Mapping[str, float]) -> None:
        for harm, beyond in worse.items():
            self.harms[harm].take(beyond)
            if self.harms[harm].reached(LEVELS[harm]):
                self.fail(f"{harm}: shown at level {LEVELS[harm]} after {self.challenger} requests")
                return

    def _look_for_safety(self) -> None:
        if self.verdict is not None or self.challenger < SAFE_REQUESTS or self._warm_up:
            return
        good = any(self._shown(name, SAFE_ALPHA / 2) for name in ("no_worse", "liked"))
        # What nobody measures cannot be shown.
        other = ("no_dearer", "no_slower")
        fine = all(self._shown(name, SAFE_ALPHA) for name in other if self.favours[name].n)
        if good and fine and self._shown("no_more_errors", SAFE_ALPHA):
            self.verdict = "safe"
            self.reason = f"no worse by more than {SAFE_MARGIN} on {self.challenger} requests"

    def _shown(self, favour: str, alpha: float) -> bool:
        return self.favours[favour].reached(alpha)


Get = Callable[[Outcome], float | None]


def _differences(block: Block[Outcome], slow_ms: float | None) -> dict[str, float]:
    """Return by how much the challenger was worse, between -1 and 1, in each way of doing harm."""
    found = {
        "errors": _difference(block, lambda outcome: float(outcome.failed)),
        "vetoes": _difference(block, lambda outcome: float(outcome.vetoed)),
        "utility": _negated(_difference(block, lambda outcome: outcome.utility)),
        "cost": _excess(block, lambda outcome: outcome.cost_usd),
        "latency": _excess(block, lambda outcome: outcome.latency_ms),
    }
    if slow_ms is not None:
        found["tail"] = _difference(block, lambda outcome: _slower(outcome.latency_ms, slow_ms))
    return {harm: worse for harm, worse in found.items() if worse is not None}


def _measured(block: Block[Outcome], get: Get) -> tuple[list[float], list[float]] | None:
    """Return what both sides measured; None where one of them has nothing."""
    mine = [value for outcome in block.challenger if (value := get(outcome)) is not None]
    others = [value for outcome in block.champion if (value := get(outcome)) is not None]
    return (mine, others) if mine and others else None


def _difference(block: Block[Outcome], get: Get) -> float | None:
    """Return the challenger's mean less the champion's."""
    found = _measured(block, get)
    return None if found is None else _mean(found[0]) - _mean(found[1])


def _excess(block: Block[Outcome], get: Get) -> float | None:
    """Return the mean of (c - c0) / (c + c0) over all pairs of the block."""
    if (found := _measured(block, get)) is None:
        return None
    return _mean([_relative(mine, other) for mine in found[0] for other in found[1]])


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _slower(latency_ms: float | None, slow_ms: float) -> float | None:
    return None if latency_ms is None else float(latency_ms > slow_ms)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _beyond(difference: float, margin: float) -> float:
    """Return by how much it exceeds ``margin``, scaled so that it stays in [-1, 1]."""
    return (difference - margin) / (1.0 + margin)
