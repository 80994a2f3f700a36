"""The online tuner: small, capped steps on the parameters that decide who is promoted.

It follows the gradient of a replayed outcome under frozen reference weights. Maximising L∞ itself
would let it grade its own work: it would lower λ_c, the weights of hard axes and the thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from penin_core.omega._numbers import SNAP, TOLERANCE, count, finite, is_finite, non_negative
from penin_core.omega._replay import (
    ReplayCandidate,
    ReplayCycle,
    replay_gradients,
    replay_objective,
)
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


class OnlineTuner:
    """AdaGrad on the tuned parameters, to maximise an objective.

    Symbols, with R = hi - lo the range of a parameter: g_z = g·R, G += g_z², step
    R·η·g_z / (√G + 1e-12), cut to max_delta·min(1, R) and to the range. The weights are then
    projected onto those that sum to 1, within their ranges and steps. The first ``warmup`` calls
    only count. Source: Duchi, Hazan and Singer 2011, JMLR 12, "Adaptive subgradient methods".
    """

    def __init__(
        self,
        params: Mapping[str, float] | None = None,
        learning_rate: float = 0.01,
        max_delta: float = 0.02,
        warmup: int = 5,
    ) -> None:
        """Start from ``DEFAULTS`` overlaid with ``params``.

        Raises: ValueError for an unknown or out-of-range parameter, weights that do not sum to 1, a
        learning rate or max_delta that is not positive, or a negative warm-up.
        """
        self._params = _checked({**DEFAULTS, **(params or {})})
        self.learning_rate = _positive("learning_rate", learning_rate)
        self.max_delta = _positive("max_delta", max_delta)
        self.warmup = count("warmup", warmup)
        self._root_sums = dict.fromkeys(RANGES, 0.0)
        self._frozen: set[str] = set()
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
        proposed = dict(self._params)
        for name, g in scaled.items():
            if math.isfinite(g) and g != 0 and name not in self._frozen:
                proposed[name] += self._step(name, g)
        self._accept(proposed)
        return self.get_params()

    def freeze(self, name: str) -> None:
        """Keep a parameter where it is from now on.

        Raises: ValueError for an unknown parameter.
        """
        self._frozen.add(_known(name))

    def export_state(self) -> dict[str, Any]:
        """Return everything that ``from_state`` needs, as plain JSON values."""
        return {
            "params": self.get_params(),
            "learning_rate": self.learning_rate,
            "max_delta": self.max_delta,
            "warmup": self.warmup,
            "root_sums": dict(self._root_sums),
            "frozen": sorted(self._frozen),
            "calls": self.calls,
            "version": self.version,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> OnlineTuner:
        """Return the tuner that ``export_state`` described; it goes on exactly as that one would.

        Raises: KeyError for a state that lacks something, ValueError for one that makes no sense.
        """
        tuner = cls(state["params"], state["learning_rate"], state["max_delta"], state["warmup"])
        for name, total in state["root_sums"].items():
            tuner._root_sums[_known(name)] = non_negative(name, total)
        for name in state["frozen"]:
            tuner.freeze(name)
        tuner.calls = count("calls", state["calls"])
        tuner.version = count("version", state["version"])
        return tuner

    def _step(self, name: str, scaled_gradient: float) -> float:
        # hypot keeps √G without squaring, which could overflow.
        root = math.hypot(self._root_sums[name], scaled_gradient)
        self._root_sums[name] = root
        low, high = RANGES[name]
        step = (high - low) * self.learning_rate * (scaled_gradient / (root + 1e-12))
        cap = self._cap(name)
        return max(-cap, min(cap, step))

    def _cap(self, name: str) -> float:
        low, high = RANGES[name]
        return self.max_delta * min(1.0, high - low)

    def _accept(self, proposed: dict[str, float]) -> None:
        moved = {name: _clamped(name, value) for name, value in proposed.items()}
        if any(moved[name] != self._params[name] for name in WEIGHTS):
            boxes = {name: self._box(name) for name in WEIGHTS}
            moved |= project_weights({name: moved[name] for name in WEIGHTS}, boxes)
        # The projection may move a weight by a rounding error, which is no change.
        if any(abs(value - self._params[name]) > TOLERANCE for name, value in moved.items()):
            self._params = moved
            self.version += 1

    def _box(self, name: str) -> tuple[float, float]:
        """Return where one step may take a weight."""
        value = self._params[name]
        cap = 0.0 if name in self._frozen else self._cap(name)
        return _clamped(name, value - cap), _clamped(name, value + cap)


def project_weights(
    weights: Mapping[str, float], boxes: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Return the nearest weights (Euclidean) that lie in their boxes and sum to 1.

    They are the weights less one common shift, cut to the boxes; the shift is found by bisection.

    Raises: ValueError when no weights in the boxes sum to 1.
    """
    lowest = math.fsum(low for low, _ in boxes.values())
    highest = math.fsum(high for _, high in boxes.values())
    if lowest > 1 + SNAP or highest < 1 - SNAP:
        raise ValueError(f"weights in these boxes sum to [{lowest}, {highest}], which misses 1")

    def shifted(shift: float) -> dict[str, float]:
        return {
            name: max(boxes[name][0], min(boxes[name][1], weight - shift))
            for name, weight in weights.items()
        }

    left = min(weights[name] - high for name, (_, high) in boxes.items())
    right = max(weights[name] - low for name, (low, _) in boxes.items())
    for _ in range(100):
        middle = (left + right) / 2
        if math.fsum(shifted(middle).values()) > 1:
            left = middle
        else:
            right = middle
    return shifted(right)


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
    low, high = RANGES[name]
    return finite(name, gradient) * (high - low) if is_finite(gradient) else math.nan


def _clamped(name: str, value: float) -> float:
    low, high = RANGES[name]
    return max(low, min(high, value))
