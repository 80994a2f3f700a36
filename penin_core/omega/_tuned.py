"""The parameters that the tuner may move: names, ranges and starting values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Least and greatest value by parameter.
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "kappa": (1.0, 10.0),
        "lambda_c": (0.05, 2.0),
        "wU": (0.05, 0.8),
        "wS": (0.05, 0.8),
        "wC": (0.05, 0.8),
        "wL": (0.05, 0.8),
        "beta_min": (0.005, 0.1),
        "tau": (0.5, 0.95),
    }
)

#: Value of every parameter before anything was learned.
DEFAULTS: Mapping[str, float] = MappingProxyType(
    {
        "kappa": 2.0,
        "lambda_c": 0.5,
        "wU": 0.3,
        "wS": 0.3,
        "wC": 0.2,
        "wL": 0.2,
        "beta_min": 0.02,
        "tau": 0.70,
    }
)

#: The parameters that sum to 1.
WEIGHTS = ("wU", "wS", "wC", "wL")
