"""How far an experiment is: what was seen, how large the share is, and what has to happen next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from penin_core.league.canary import Arm, Monitor, Outcome, Verdict
from penin_core.suites import MIN_CONFIRM

from .experiment import Experiment

#: Once the challenger has become champion, the former one keeps this share for comparison.
CONTROL = 0.1
#: So many times a server may die while it serves a challenger.
MOST_DEATHS = 3


class Climb(NamedTuple):
    """The next step of the ramp is due."""

    step: int
    fraction: float


class End(NamedTuple):
    """The experiment is over."""

    verdict: Verdict
    reason: str


@dataclass
class Trial:
    """One experiment while it runs.

    ``step`` counts from 1, ``in_step`` the challenger's answers in it. ``served_s`` is the time in
    which traffic was served: the clock on the wall may jump. ``promoted`` says that the challenger
    became champion meanwhile, and is watched on.
    """

    experiment: Experiment
    step: int = 1
    in_step: int = 0
    served_s: float = 0.0
    deaths: int = 0
    promoted: bool = False
    monitor: Monitor = field(default_factory=Monitor)

    @property
    def fraction(self) -> float:
        """The challenger's share of the keys."""
        return 1.0 - CONTROL if self.promoted else self.experiment.ramp[self.step - 1]

    @property
    def proved(self) -> bool:
        """Whether feedback proved the claim that was declared."""
        alpha, monitor = self.experiment.alpha, self.monitor
        enough = min(monitor.votes.values()) >= MIN_CONFIRM
        return alpha is not None and enough and monitor.favours["gain"].reached(alpha)

    def observe(self, arm: Arm, outcome: Outcome, *, first: bool = True) -> None:
        """Take one outcome into account; ``first`` as in ``Monitor.observe``."""
        self.in_step += arm == "challenger"
        self.monitor.observe(arm, outcome, first=first)

    def died(self) -> None:
        """Take into account that the server ended without a word: held against the challenger.

        What was seen last is lost, and the challenger may have been the cause.
        """
        self.deaths += 1
        self.observe("challenger", Outcome(failed=True))

    def climbed(self, step: int) -> None:
        """Go to a step of the ramp."""
        if step != self.step:
            self.step, self.in_step = step, 0

    def became_champion(self) -> None:
        """Watch on: all but a control share is the challenger's now."""
        if not self.promoted:
            self.promoted, self.in_step = True, 0

    def due(self) -> Climb | End | None:
        """Return what has to happen next, if anything."""
        monitor, experiment = self.monitor, self.experiment
        if monitor.taken_back:
            return End("harmful", monitor.reason)
        if self.deaths >= MOST_DEATHS:
            died = f"the server died {self.deaths} times while it served the challenger"
            return End("inconclusive", died)
        if self.served_s >= experiment.duration_s:
            return self._end(f"time is up after {monitor.challenger} requests")
        if self.in_step < experiment.step_requests:
            return None
        if self.step < len(experiment.ramp) and not self.promoted:
            return Climb(self.step + 1, experiment.ramp[self.step])
        if monitor.verdict == "safe" and (experiment.t is None or self.proved or self.promoted):
            return End("safe", monitor.reason)
        return None

    def stopped(self, reason: str) -> End:
        """Return the end that somebody, or something else, brings about; silence is no success."""
        return self._end(reason)

    def _end(self, reason: str) -> End:
        verdict = self.monitor.verdict or "inconclusive"
        return End(verdict, f"{reason}; {self.monitor.reason}".removesuffix("; "))

    def export_state(self) -> dict[str, Any]:
        """Return what the declaration does not say, as JSON keeps it."""
        names = ("step", "in_step", "served_s", "deaths", "promoted")
        return {
            **{name: getattr(self, name) for name in names},
            "monitor": self.monitor.export_state(),
        }

    @classmethod
    def from_state(cls, experiment: Experiment, state: Mapping[str, Any]) -> Self:
        """Return the trial that ``export_state`` described.

        Raises:
            ValueError: it describes none.
        """
        try:
            plain = {name: value for name, value in state.items() if name != "monitor"}
            monitor = Monitor.from_state(state["monitor"])
            return cls(experiment, **plain, monitor=monitor)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no state of an experiment: {error!r}") from error
