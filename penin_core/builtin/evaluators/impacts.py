"""EcoLogits' estimate of what an answer takes, where EcoLogits is installed.

It knows the models of large services and runs offline. Source: Rincé and Banse 2025, "EcoLogits:
Evaluating the environmental impacts of generative AI", JOSS 10(111), doi 10.21105/joss.07471.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Impact(NamedTuple):
    """Energy between two bounds in Wh, and grams of CO2e where they were estimated."""

    low: float
    high: float
    grams: float | None


def estimate(name: str, tokens_out: int, seconds: float, zone: str | None) -> Impact:
    """Return EcoLogits' estimate of one answer by ``name``, written ``provider/model``.

    Raises: ValueError for a name or zone that EcoLogits does not know, or where it is not
    installed.
    """
    provider, _, model = name.partition("/")
    found = _impacts_of()(provider, model, tokens_out, seconds, zone)
    if found.errors:
        raise ValueError("; ".join(error.message for error in found.errors))
    low, high = _bounds(found.energy.value)
    return Impact(1000 * low, 1000 * high, 1000 * sum(_bounds(found.gwp.value)) / 2)


def _impacts_of() -> Any:
    """Return EcoLogits' function of provider, model, output tokens, seconds and zone."""
    try:
        return import_module("ecologits.tracers.utils").llm_impacts
    except (ImportError, AttributeError) as error:
        raise ValueError("EcoLogits is not installed: pip install ecologits") from error


def _bounds(value: Any) -> tuple[float, float]:
    """Return both ends of a range; a plain number is both."""
    return float(getattr(value, "min", value)), float(getattr(value, "max", value))
