"""How parameters move: Muon for matrices, AdamW for the rest; a short rise, then a falling rate.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024) for the
orthogonalised momentum; Loshchilov and Hutter, ICLR 2019 (arXiv 1711.05101) for AdamW, here without
decay. The average of the weights is Polyak's, exponential.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .gradients import Parameters, Reals

#: Parameters that Muon moves, by the end of their names, and the square blocks each is made of.
_MUON = {"qkv": 3, "o": 1, "up": 1, "down": 1, "pq": 1, "pk": 1}
_MUON_MOMENTUM = np.float32(0.95)
#: How much further Muon moves at the same rate than AdamW on a parameter.
_MUON_RATE = np.float32(16.0)
#: The same for AdamW on low-rank factors.
_FACTOR_RATE = np.float32(8.0)
_FIRST, _SECOND = 0.9, 0.98
_EPSILON = np.float32(1e-8)
_WARM_UP = 20
#: The rate at the end, as a share of the highest.
_END = 0.02
_AVERAGE = 0.99


class Optimizer:
    """Moves arrays in place; ``average`` holds their running mean."""

    def __init__(self, trained: dict[str, Reals]) -> None:
        self.trained = trained
        self.average = {name: value.copy() for name, value in trained.items()}
        self._first = {name: np.zeros_like(value) for name, value in trained.items()}
        self._second = {
            name: np.zeros_like(value) for name, value in trained.items() if not _blocks(name)
        }
        self.steps = 0

    def step(self, gradients: Parameters, rate: float) -> None:
        """Take one step at ``rate``, with the gradients scaled to a norm of at most 1."""
        self.steps += 1
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
        bound = np.float32(1.0 / max(1.0, norm))
        keep = np.float32(1.0 - min(_AVERAGE, (1.0 + self.steps) / (10.0 + self.steps)))
        for name, value in self.trained.items():
            move = self._muon if _blocks(name) else self._adam
            value -= np.float32(rate) * move(name, gradients[name] * bound)
            self.average[name] += keep * (value - self.average[name])

    def state(self) -> dict[str, Reals]:
        """Return all arrays that going on depends on."""
        return {
            f"{kind}/{name}": value
            for kind, arrays in self._kinds().items()
            for name, value in arrays.items()
        }

    def restore(self, state: Mapping[str, Reals], steps: int) -> None:
        """Go on from what :meth:`state` returned after ``steps`` steps."""
        self.steps = steps
        for kind, arrays in self._kinds().items():
            for name, value in arrays.items():
                value[...] = state[f"{kind}/{name}"]

    def _kinds(self) -> dict[str, dict[str, Reals]]:
        return {
            "trained": self.trained,
            "average": self.average,
            "first": self._first,
            "second": self._second,
        }

    def _adam(self, name: str, gradient: Reals) -> Reals:
        first, second = self._first[name], self._second[name]
        first += np.float32(1.0 - _FIRST) * (gradient - first)
        second += np.float32(1.0 - _SECOND) * (gradient * gradient - second)
        mean = first / np.float32(1.0 - _FIRST**self.steps)
        square = second / np.float32(1.0 - _SECOND**self.steps)
        further = _FACTOR_RATE if ":" in name else np.float32(1.0)
        return np.asarray(further * mean / (np.sqrt(square) + _EPSILON))

    def _muon(self, name: str, gradient: Reals) -> Reals:
        momentum = self._first[name]
        momentum *= _MUON_MOMENTUM
        momentum += gradient
        ahead = gradient + _MUON_MOMENTUM * momentum
        parts = [_orthogonal(part) for part in np.split(ahead, _blocks(name), axis=1)]
        return _MUON_RATE * np.concatenate(parts, axis=1)


def rate_at(step: int, steps: int) -> float:
    """Return the share of the highest rate at ``step``: a short rise, then half a cosine."""
    rise = min(1.0, step / min(_WARM_UP, max(1, steps // 10)))
    return rise * (_END + (1.0 - _END) * 0.5 * (1.0 + math.cos(math.pi * step / steps)))


def _blocks(name: str) -> int:
    """Return of how many blocks a matrix for Muon is made; 0 for what AdamW moves."""
    return _MUON.get(name.rpartition(".")[2], 0)


def _orthogonal(matrix: Reals) -> Reals:
    """Return about U V' of the matrix U S V', scaled up where it has more columns than rows.

    Five steps of the Newton-Schulz iteration with the constants of the source.
    """
    turned = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if turned else matrix) / (np.linalg.norm(matrix) + np.float32(1e-7))
    for _ in range(5):
        square = x @ x.T
        x = (
            np.float32(3.4445) * x
            + (np.float32(-4.7750) * square + np.float32(2.0315) * (square @ square)) @ x
        )
    scale = np.float32(max(1.0, matrix.shape[1] / matrix.shape[0]) ** 0.5)
    return np.asarray((x.T if turned else x) * scale)
