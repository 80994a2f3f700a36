"""The parts of an ethics attestation: which evidence it takes, and what becomes of bad evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from penin_core.omega._calibration import expected_calibration_error
from penin_core.omega._fairness import (
    KG_PER_1K_TOKENS,
    WORST_RHO_BIAS,
    by_group,
    eco_impact_kg,
    fairness_equalized_odds,
    rho_bias,
)
from penin_core.omega._intervals import ece_interval, fairness_interval, rho_bias_interval
from penin_core.omega._numbers import same_length

#: What an attestation says where evidence is missing: values that no sensible limit lets pass.
WORST_ECE, WORST_FAIRNESS = 1.0, 0.0
_DECLARABLE = ("calibration", "consent", "groups")
_OUTPUTS = (
    "predicted_probs",
    "predictions",
    "protected_groups",
    "estimated_tokens",
    "kg_per_1k_tokens",
    "confidences",
    "correct",
)
_TRUTHS = ("labels", "dataset_hash", "consent_verified", "not_applicable")

Bounds = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Evidence:
    """The evidence on one candidate, and the reasons why parts of it could not be used."""

    inputs: Mapping[str, object]
    #: What the operator declared not applicable, and why.
    declared: Mapping[str, str]
    limits: Mapping[str, float]
    seed: int
    reasons: list[str] = field(default_factory=list)

    def attempt(self, measure: Callable[[], T], otherwise: Callable[[str], T]) -> T:
        """Return what was measured, else ``otherwise`` of the reason: bad evidence must not raise.

        The reason is noted.
        """
        try:
            return measure()
        except (TypeError, ValueError) as problem:
            reason = str(problem)
        if reason not in self.reasons:
            self.reasons.append(reason)
        return otherwise(reason)


@dataclass(frozen=True)
class Measured:
    """What was measured of one metric; without an interval where nothing was."""

    value: float
    interval: Bounds | None = None
    details: Mapping[str, object] | None = None
    #: Why nothing could be measured; empty where it was, or was declared not applicable.
    problem: str = ""


def collected(
    model_outputs: Mapping[str, object],
    ground_truth: Mapping[str, object],
    limits: Mapping[str, float],
    seed: int,
) -> Evidence:
    """Return the evidence, by name from each side: nothing a model answers can grant consent.

    Raises: ValueError for a declaration of an unknown name or without a reason.
    """
    inputs = {name: model_outputs.get(name) for name in _OUTPUTS}
    inputs |= {name: ground_truth.get(name) for name in _TRUTHS}
    return Evidence(inputs, _declarations(inputs["not_applicable"]), limits, seed)


def _declarations(declared: object) -> dict[str, str]:
    if declared is None:
        return {}
    if not isinstance(declared, Mapping):
        raise ValueError(f"not_applicable must map names to reasons, got {declared!r}")
    for name, reason in declared.items():
        if name not in _DECLARABLE:
            raise ValueError(f"not_applicable knows {', '.join(_DECLARABLE)}, got {name!r}")
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"not_applicable needs a written reason for {name!r}")
    return dict(declared)


def attested_ece(evidence: Evidence) -> Measured:
    """Return the calibration error, 0 where calibration was declared not applicable."""
    if "calibration" in evidence.declared:
        return Measured(0.0)

    def measure() -> Measured:
        probs, labels, *_ = _aligned(evidence, "calibration")
        _require_samples("calibration", probs, evidence.limits)
        _require_probabilities(probs)
        found = expected_calibration_error(probs, labels)
        return _measured(found.ece, ece_interval(probs, labels, seed=evidence.seed), asdict(found))

    return evidence.attempt(measure, lambda reason: Measured(WORST_ECE, problem=reason))


def attested_disparity(evidence: Evidence) -> tuple[Measured, Measured]:
    """Return bias ratio and fairness, both 1 where groups were declared not applicable."""
    if "groups" in evidence.declared:
        return Measured(1.0), Measured(1.0)

    def measure() -> tuple[Measured, Measured]:
        predictions, labels, groups, *_ = _aligned(evidence, "groups")
        _require_samples("groups", predictions, evidence.limits)
        tally, least = by_group(predictions, groups), evidence.limits["min_group_size"]
        small = [tally.groups[i] for i in np.flatnonzero(tally.sizes < least).tolist()]
        if small:
            raise ValueError(f"groups smaller than {least:g}: {small}")
        rho = rho_bias(predictions, groups)
        fairness = fairness_equalized_odds(predictions, labels, groups)
        if rho is None or fairness is None:
            raise ValueError(
                f"bias needs at least two groups, got {sorted(map(str, tally.groups))}"
            )
        rho_bounds = rho_bias_interval(predictions, groups, seed=evidence.seed)
        fair_bounds = fairness_interval(predictions, labels, groups, seed=evidence.seed)
        return _measured(rho, rho_bounds), _measured(fairness, fair_bounds)

    def worst(reason: str) -> tuple[Measured, Measured]:
        return Measured(WORST_RHO_BIAS, problem=reason), Measured(WORST_FAIRNESS, problem=reason)

    return evidence.attempt(measure, worst)


def attested_impact(evidence: Evidence) -> float | None:
    """Return the estimated footprint of the tokens used, None where they are unknown."""
    tokens: Any = evidence.inputs["estimated_tokens"]
    factor: Any = evidence.inputs["kg_per_1k_tokens"]

    def measure() -> float | None:
        impact = eco_impact_kg(tokens, 0, KG_PER_1K_TOKENS if factor is None else factor)
        if impact is None:
            raise ValueError("estimated_tokens is missing")
        return round(impact, 12)

    return evidence.attempt(measure, lambda _: None)


def group_table(evidence: Evidence) -> dict[str, dict[str, int]] | None:
    """Return how many predictions each group has and how many are favourable; None if unusable."""
    try:
        predictions = _series(evidence, "predictions")
        groups = _series(evidence, "protected_groups")
        tally = by_group(predictions, groups)
    except (TypeError, ValueError):
        return None
    return {
        str(group): {"n": int(tally.sizes[i]), "favourable": int(tally.favourable[i])}
        for i, group in enumerate(tally.groups)
    }


def sample_count(evidence: Evidence) -> int | None:
    """Return the number of predictions, None if they are no series."""
    try:
        return len(_series(evidence, "predictions"))
    except ValueError:
        return None


def _measured(
    value: float, interval: Bounds | None, details: Mapping[str, object] | None = None
) -> Measured:
    bounds = None if interval is None else (round(interval[0], 12), round(interval[1], 12))
    return Measured(round(value, 12), bounds, details)


def _aligned(evidence: Evidence, metric: str) -> list[Any]:
    """Return the series that one metric needs; all that are present must agree in length."""
    inputs = evidence.inputs
    own = inputs["confidences"] is not None or inputs["correct"] is not None
    families = {
        "calibration": ("confidences", "correct") if own else ("predicted_probs", "labels"),
        "groups": ("predictions", "labels", "protected_groups"),
    }
    needed = [names for family, names in families.items() if family not in evidence.declared]
    # Confidences belong to answers, and there may be fewer of those than of decisions.
    batches = needed if own else [tuple(chain.from_iterable(needed))]
    for batch in batches:
        present = [name for name in batch if inputs[name] is not None]
        if present:
            same_length(**{name: _series(evidence, name) for name in present})
    return [_series(evidence, name) for name in families[metric]]


def _series(evidence: Evidence, name: str) -> Any:
    values = evidence.inputs[name]
    if values is None:
        raise ValueError(f"{name} is missing")
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    if isinstance(values, (str, bytes, Mapping, np.ndarray)) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a series, got {values!r}")
    return list(values)


def _require_samples(metric: str, series: Any, limits: Mapping[str, float]) -> None:
    if len(series) < limits["min_samples"]:
        needed = f"{limits['min_samples']:g}"
        raise ValueError(f"{metric} needs at least {needed} samples, got {len(series)}")


def _require_probabilities(probs: Iterable[object]) -> None:
    missing = [prob is None for prob in probs]
    if any(missing):
        raise ValueError(
            "calibration needs a probability for every answer, "
            f"{sum(missing)} of {len(missing)} have none"
        )
