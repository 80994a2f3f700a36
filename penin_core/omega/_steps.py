"""How far a gradient moves each parameter, as a share of its range and before any cap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from penin_core.omega._numbers import finite, non_negative
from penin_core.omega._tuned import RANGES

#: What A starts from; slopes of a reward in [0, 1] over a whole range are of the order of 0.1.
ONS_EPSILON = 0.01
#: Longer gradients are cut, or A would lose its digits.
_STEEPEST = 1e3


class AdaGrad:
    """η·g / √(Σ g²), by parameter.

    Source: Duchi, Hazan and Singer 2011, JMLR 12, "Adaptive subgradient methods".
    """

    def __init__(self, learning_rate: float) -> None:
        """Start without any memory of gradients."""
        self._rate = learning_rate
        self._root_sums = dict.fromkeys(RANGES, 0.0)

    def steps(self, gradients: Mapping[str, float]) -> dict[str, float]:
        """Remember the gradients and return the steps that they ask for."""
        steps = {}
        for name, g in gradients.items():
            # hypot keeps √G without squaring, which could overflow.
            root = math.hypot(self._root_sums[name], g)
            self._root_sums[name] = root
            steps[name] = self._rate * (g / (root + 1e-12))
        return steps

    def export(self) -> dict[str, Any]:
        """Return the memory as plain JSON values."""
        return {"root_sums": dict(self._root_sums)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what ``export`` returned.

        Raises: KeyError for a state that lacks it, ValueError for one that makes no sense.
        """
        for name, total in state["root_sums"].items():
            if name not in RANGES:
                raise ValueError(f"unknown parameter {name!r} in root_sums")
            self._root_sums[name] = non_negative(name, total)


class NewtonStep:
    """η·A⁻¹·g with A = ε·I + Σ g·gᵀ, the online Newton step.

    Its logarithmic regret needs an exp-concave objective and a projection in the norm of A. The
    replayed reward is not exp-concave, and the steps are capped and projected in the ordinary norm,
    so here it is a heuristic: it learns which parameters pull together, and promises nothing.
    Source: Hazan, Agarwal and Kale 2007, doi 10.1007/s10994-007-5016-8.
    """

    def __init__(self, learning_rate: float) -> None:
        """Start from A = ε·I."""
        self._rate = learning_rate
        self._matrix = ONS_EPSILON * np.eye(len(RANGES))

    def steps(self, gradients: Mapping[str, float]) -> dict[str, float]:
        """Remember the gradients and return the steps that they ask for.

        Only the named parameters move, by the part of A that belongs to them.
        """
        if not gradients:
            return {}
        places = [list(RANGES).index(name) for name in gradients]
        slope = np.clip(np.array(list(gradients.values())), -_STEEPEST, _STEEPEST)
        block = np.ix_(places, places)
        self._matrix[block] += np.outer(slope, slope)
        moves = self._rate * np.linalg.solve(self._matrix[block], slope)
        return {name: float(moves[i]) for i, name in enumerate(gradients)}

    def export(self) -> dict[str, Any]:
        """Return A as plain JSON values, row by row."""
        return {"matrix": self._matrix.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what ``export`` returned.

        Raises: KeyError for a state that lacks it, ValueError for one that makes no sense.
        """
        matrix = np.array([[finite("matrix", x) for x in row] for row in state["matrix"]])
        if matrix.shape != self._matrix.shape or not np.array_equal(matrix, matrix.T):
            raise ValueError(f"matrix must be symmetric, one row for each of {', '.join(RANGES)}")
        if np.linalg.eigvalsh(matrix)[0] <= 0:
            raise ValueError("matrix must be positive definite")
        self._matrix = matrix


#: The rules by the name under which a tuner asks for them.
METHODS: Mapping[str, type[AdaGrad] | type[NewtonStep]] = {"adagrad": AdaGrad, "ons": NewtonStep}
