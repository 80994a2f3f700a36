"""The online tuner: small, capped steps on the parameters that decide who is promoted.

It follows the gradient of a replayed outcome under frozen reference weights. Maximising L∞ itself
would let it grade its own work: it would lower λ_c, the weights of hard axes and the thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from penin_core.omega._numbers import SNAP, TOLERANCE, clipped, count, finite, is_finite
from penin_core.omega._replay import (
    ReplayCandidate,
    ReplayCycle,
    replay_gradients,
    replay_objective,
)
from penin_core.omega._simplex import project_weights
from penin_core.omega._steps import METHODS
from penin_core.omega._tuned import DEFAULTS, RANGES, WEIGHTS

__all__ = [
    "DEFAULTS",
    "RANGES",
    "OnlineTuner",
    "ReplayCandidate",
    "ReplayCycle",
    "project_weights",
    "replay_gradients",
    "replay_objective",
]


#: So many promotions in a row must be taken back before the parameters behind them are frozen.
ROLLBACKS_TO_FREEZE = 3


class OnlineTuner:
    """Small steps on the tuned parameters, to maximise an objective.

    Symbols, with R = hi - lo the range of a parameter: g_z = g·R, and with the method ``adagrad``
    G += g_z² and the step R·η·g_z / (√G + 1e-12); with ``ons`` A += g_z·g_zᵀ from ε·I and the step
    R·η·A⁻¹·g_z, which is a heuristic here. Steps are cut to max_delta·min(1, R) and to the range.
    The weights are then projected onto those that sum to 1, within their ranges and steps. The
    first ``warmup`` calls only count. Sources: Duchi, Hazan and Singer 2011, JMLR 12, "Adaptive
    subgradient methods"; Hazan, Agarwal and Kale 2007, doi 10.1007/s10994-007-5016-8.
    """

    def __init__(
        self,
        params: Mapping[str, float] | None = None,
        learning_rate: float = 0.01,
        max_delta: float = 0.02,
        warmup: int = 5,
        method: str = "adagrad",
    ) -> None:
        """Start from ``DEFAULTS`` overlaid with ``params``.

        Raises: ValueError for an unknown or out-of-range parameter, weights that do not sum to 1, a
        learning rate or max_delta that is not positive, a negative warm-up, or an unknown method.
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self._params = _checked({**DEFAULTS, **(params or {})})
        self.learning_rate = _positive("learning_rate", learning_rate)
        self.max_delta = _positive("max_delta", max_delta)
        self.warmup = count("warmup", warmup)
        self.method = method
        self._rule = METHODS[method](self.learning_rate)
        self._frozen: set[str] = set()
        # By parameter: the version that first moved it, and its rollbacks in a row.
        self._moved: dict[str, int] = {}
        self._rollbacks: dict[str, int] = {}
        #: Calls of ``update`` so far, the warm-up included.
        self.calls = 0
        #: Accepted updates so far: it grows exactly when a parameter changed.
        self.version = 0
        #: Parameters that the last update left alone because their gradient was not finite.
        self.skipped: tuple[str, ...] = ()

    def get_params(self) -> dict[str, float]:
        """Return the parameters in force."""
        return dict(self._params)

    def update(self, objective: float, gradients: Mapping[str, float]) -> dict[str, float]:
        """Take one step and return the parameters then in force.

        ``gradients`` are the derivatives of the objective, which is to be maximised. Parameters
        left out, frozen or without a finite gradient do not follow it.

        Raises: ValueError for an unknown parameter, or an objective that is not finite.
        """
        finite("objective", objective)
        for name in gradients:
            _known(name)
        self.calls += 1
        self.skipped = ()
        if self.calls <= self.warmup:
            return self.get_params()
        scaled = {name: _scaled(name, g) for name, g in gradients.items()}
        self.skipped = tuple(name for name, g in scaled.items() if not math.isfinite(g))
        followed = {
            name: g
            for name, g in scaled.items()
            if math.isfinite(g) and g != 0 and name not in self._frozen
        }
        proposed = dict(self._params)
        for name, share in self._rule.steps(followed).items():
            cap = self._cap(name)
            proposed[name] += clipped(_width(name) * share, -cap, cap)
        self._accept(proposed)
        return self.get_params()

    def freeze(self, name: str) -> None:
        """Keep a parameter where it is from now on.

        Raises: ValueError for an unknown parameter.
        """
        self._frozen.add(_known(name))

    def note_outcome(self, outcome: str, version: int | None = None) -> tuple[str, ...]:
        """Take note of what became of a promotion; return the parameters that this freezes.

        ``outcome`` is ``promoted`` for a champion that stood and ``rolled_back`` for one that was
        taken back, ``version`` the one under which it was promoted (the present one, if left out).
        Answerable are the parameters that had left their starting values by then. One that is
        answerable for three rollbacks in a row is frozen where it is; a champion that stood
        starts the count afresh for those answerable for it.

        Raises: ValueError for another outcome, or a version that there has not been.
        """
        if outcome not in ("promoted", "rolled_back"):
            raise ValueError(f"outcome must be 'promoted' or 'rolled_back', got {outcome!r}")
        under = self.version if version is None else count("version", version)
        if under > self.version:
            raise ValueError(f"version must be at most {self.version}, got {version!r}")
        frozen = []
        for name in (name for name, since in self._moved.items() if since <= under):
            streak = self._rollbacks.get(name, 0) + 1 if outcome == "rolled_back" else 0
            self._rollbacks[name] = streak
            if streak >= ROLLBACKS_TO_FREEZE and name not in self._frozen:
                self.freeze(name)
                frozen.append(name)
        return tuple(sorted(frozen))

    def export_state(self) -> dict[str, Any]:
        """Return everything that ``from_state`` needs, as plain JSON values."""
        return {
            "params": self.get_params(),
            "learning_rate": self.learning_rate,
            "max_delta": self.max_delta,
            "warmup": self.warmup,
            "method": self.method,
            **self._rule.export(),
            "frozen": sorted(self._frozen),
            "moved": dict(self._moved),
            "rollbacks": dict(self._rollbacks),
            "calls": self.calls,
            "version": self.version,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> OnlineTuner:
        """Return the tuner that ``export_state`` described; it goes on exactly as that one would.

        Raises: KeyError for a state that lacks something, ValueError for one that makes no sense.
        """
        options = {name: state[name] for name in ("learning_rate", "max_delta", "warmup", "method")}
        tuner = cls(state["params"], **options)
        tuner._rule.restore(state)
        for name in state["frozen"]:
            tuner.freeze(name)
        for name, value in state["moved"].items():
            tuner._moved[_known(name)] = count("moved", value, least=1)
        for name, value in state["rollbacks"].items():
            tuner._rollbacks[_known(name)] = count("rollbacks", value)
        tuner.calls = count("calls", state["calls"])
        tuner.version = count("version", state["version"])
        return tuner

    def _cap(self, name: str) -> float:
        return self.max_delta * min(1.0, _width(name))

    def _accept(self, proposed: dict[str, float]) -> None:
        moved = {name: _clamped(name, value) for name, value in proposed.items()}
        if any(moved[name] != self._params[name] for name in WEIGHTS):
            boxes = {name: self._box(name) for name in WEIGHTS}
            moved |= project_weights({name: moved[name] for name in WEIGHTS}, boxes)
        # The projection may move a weight by a rounding error, which is no change.
        changed = [n for n, value in moved.items() if abs(value - self._params[n]) > TOLERANCE]
        if changed:
            self._params = moved
            self.version += 1
            for name in changed:
                self._moved.setdefault(name, self.version)

    def _box(self, name: str) -> tuple[float, float]:
        """Return where one step may take a weight."""
        value = self._params[name]
        cap = 0.0 if name in self._frozen else self._cap(name)
        return _clamped(name, value - cap), _clamped(name, value + cap)


def _checked(params: Mapping[str, float]) -> dict[str, float]:
    checked = {}
    for name, value in params.items():
        low, high = RANGES[_known(name)]
        checked[name] = finite(name, value)
        if not low <= checked[name] <= high:
            raise ValueError(f"{name} must lie in [{low}, {high}], got {value!r}")
    total = math.fsum(checked[name] for name in WEIGHTS)
    if abs(total - 1) > SNAP:
        raise ValueError(f"the weights {', '.join(WEIGHTS)} must sum to 1, got {total!r}")
    return checked


def _known(name: str) -> str:
    if name not in RANGES:
        raise ValueError(f"unknown parameter {name!r}; known are {', '.join(RANGES)}")
    return name


def _positive(name: str, value: object) -> float:
    number = finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def _scaled(name: str, gradient: object) -> float:
    return float(gradient) * _width(name) if is_finite(gradient) else math.nan


def _width(name: str) -> float:
    low, high = RANGES[name]
    return high - low


def _clamped(name: str, value: float) -> float:
    return clipped(value, *RANGES[name])
