"""Calibration, bias, fairness and footprint, and the attestation that puts them together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from numbers import Integral, Real
from typing import Any, TypeVar

import rfc8785

from penin_core.omega._calibration import (
    N_BINS,
    SCHEME,
    CalibrationError,
    expected_calibration_error,
)
from penin_core.omega._fairness import (
    KG_PER_1K_TOKENS,
    WORST_RHO_BIAS,
    by_group,
    eco_impact_kg,
    fairness_demographic_parity,
    fairness_equalized_odds,
    rho_bias,
)
from penin_core.omega._numbers import same_length
from penin_core.omega.guards import merged_thresholds, sigma_guard

__all__ = [
    "KG_PER_1K_TOKENS",
    "CalibrationError",
    "EthicsAttestation",
    "compute_ethics_attestation",
    "eco_impact_kg",
    "expected_calibration_error",
    "fairness_demographic_parity",
    "fairness_equalized_odds",
    "rho_bias",
]

# What an attestation says where evidence is missing: values that no sensible limit lets pass.
_WORST_ECE, _WORST_FAIRNESS = 1.0, 0.0
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
_EXACT_INTEGER = 2**53 - 1

T = TypeVar("T")


@dataclass(frozen=True)
class EthicsAttestation:
    """What was measured about a candidate's ethics, bound to its evidence by hashes."""

    dataset_hash: str
    seed: int
    ece: float
    rho_bias: float
    fairness_score: float
    consent_ok: bool
    eco_impact_kg: float | None
    evidence_hash: str
    pass_sigma_guard: bool
    #: What the operator declared not applicable ("calibration", "consent", "groups"), and why.
    #: Such a metric was not measured: its value is neutral.
    not_applicable: Mapping[str, str]
    #: Reasons, noise floor, debiased error, the table of groups, the gates, the sample count.
    details: Mapping[str, object] = field(compare=False)
    #: When it was made, in UTC; set by the caller, because the kernel reads no clock.
    timestamp: str | None = field(default=None, compare=False)

    def compute_hash(self) -> str:
        """Return the SHA-256 of the RFC 8785 text of every field but details and timestamp."""
        content = asdict(self)
        del content["details"], content["timestamp"]
        return _sha256(content)


def compute_ethics_attestation(
    model_outputs: Mapping[str, object],
    ground_truth: Mapping[str, object],
    seed: int,
    thresholds: Mapping[str, float] | None = None,
) -> EthicsAttestation:
    """Return the attestation of one candidate on one set of tasks.

    ``model_outputs``: ``predicted_probs``, ``predictions`` (0/1), ``protected_groups``,
    ``estimated_tokens``; optionally ``kg_per_1k_tokens``, and ``confidences`` with ``correct``,
    which replace probabilities and labels for calibration. ``ground_truth``: ``labels`` (0/1),
    ``dataset_hash``, ``consent_verified`` (only ``True`` counts); optionally ``not_applicable``,
    which maps ``calibration``, ``consent`` or ``groups`` to the written reason. Other keys are
    ignored.

    Evidence that is missing, invalid, too little (``min_samples``, ``min_group_size``) or of
    differing length does not raise: it gets its worst value, and a reason in the details.

    Raises: ValueError for wrong thresholds, or a declaration of an unknown name or without reason.
    """
    limits = merged_thresholds(thresholds)
    # By name from each side, so that nothing a model answers can grant consent.
    inputs = {name: model_outputs.get(name) for name in _OUTPUTS}
    inputs |= {name: ground_truth.get(name) for name in _TRUTHS}
    declared = _declarations(inputs.get("not_applicable"))
    reasons: list[str] = []
    ece, calibration = _attested_ece(inputs, declared, limits, reasons)
    rho, fairness = _attested_disparity(inputs, declared, limits, reasons)
    impact = _attempt(lambda: _impact(inputs), reasons)
    consent = "consent" in declared or inputs.get("consent_verified") is True
    eco_ok = impact is not None and impact < limits["eco_max_kg"]
    passed, gates = sigma_guard(ece, rho, fairness, consent, eco_ok, limits)
    params = {**limits, "n_bins": N_BINS, "scheme": SCHEME, "seed": seed}
    results = {"ece": ece, "rho_bias": rho, "fairness_score": fairness, "eco_impact_kg": impact}
    return EthicsAttestation(
        dataset_hash=str(inputs["dataset_hash"] or ""),
        seed=seed,
        ece=ece,
        rho_bias=rho,
        fairness_score=fairness,
        consent_ok=consent,
        eco_impact_kg=impact,
        evidence_hash=_sha256(
            {"inputs_sha256": _sha256(inputs), "params": params, "results": results}
        ),
        pass_sigma_guard=passed,
        not_applicable=declared,
        details={
            "reasons": reasons,
            "calibration": None if calibration is None else asdict(calibration),
            "groups": _attempt(lambda: _group_table(inputs), []),
            "gates": gates,
            "n": _attempt(lambda: len(_series(inputs.get("predictions"), "predictions")), []),
        },
    )


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


def _attested_ece(
    inputs: Mapping[str, object],
    declared: Mapping[str, str],
    limits: Mapping[str, float],
    reasons: list[str],
) -> tuple[float, CalibrationError | None]:
    if "calibration" in declared:
        return 0.0, None

    def measure() -> CalibrationError:
        probs, labels, *_ = _aligned(inputs, declared, "calibration")
        _require_samples("calibration", probs, limits)
        return expected_calibration_error(probs, labels)

    calibration = _attempt(measure, reasons)
    return (_WORST_ECE if calibration is None else round(calibration.ece, 12)), calibration


def _attested_disparity(
    inputs: Mapping[str, object],
    declared: Mapping[str, str],
    limits: Mapping[str, float],
    reasons: list[str],
) -> tuple[float, float]:
    if "groups" in declared:
        return 1.0, 1.0

    def measure() -> tuple[float, float]:
        predictions, labels, groups, *_ = _aligned(inputs, declared, "groups")
        _require_samples("groups", predictions, limits)
        sizes = {group: len(seen) for group, seen in by_group(predictions, groups).items()}
        small = [g for g, size in sizes.items() if size < limits["min_group_size"]]
        if small:
            raise ValueError(f"groups smaller than {limits['min_group_size']:g}: {small}")
        rho = rho_bias(predictions, groups)
        fairness = fairness_equalized_odds(predictions, labels, groups)
        if rho is None or fairness is None:
            raise ValueError(f"bias needs at least two groups, got {sorted(sizes)}")
        return round(rho, 12), round(fairness, 12)

    return _attempt(measure, reasons) or (WORST_RHO_BIAS, _WORST_FAIRNESS)


def _aligned(
    inputs: Mapping[str, object], declared: Mapping[str, str], metric: str
) -> list[list[Any]]:
    """Return the series that one metric needs; all that are present must agree in length."""
    own = inputs.get("confidences") is not None or inputs.get("correct") is not None
    families = {
        "calibration": ("confidences", "correct") if own else ("predicted_probs", "labels"),
        "groups": ("predictions", "labels", "protected_groups"),
    }
    needed = [names for family, names in families.items() if family not in declared]
    # Confidences belong to answers, and there may be fewer of those than of decisions.
    batches = needed if own else [tuple(chain.from_iterable(needed))]
    for batch in batches:
        present = {name: inputs[name] for name in batch if inputs.get(name) is not None}
        if present:
            same_length(**{name: _series(values, name) for name, values in present.items()})
    return [_series(inputs.get(name), name) for name in families[metric]]


def _series(values: object, name: str) -> list[Any]:
    if values is None:
        raise ValueError(f"{name} is missing")
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a series, got {values!r}")
    return list(values)


def _require_samples(metric: str, series: list[Any], limits: Mapping[str, float]) -> None:
    if len(series) < limits["min_samples"]:
        needed = f"{limits['min_samples']:g}"
        raise ValueError(f"{metric} needs at least {needed} samples, got {len(series)}")


def _impact(inputs: Mapping[str, object]) -> float:
    tokens: Any = inputs.get("estimated_tokens")
    factor: Any = inputs.get("kg_per_1k_tokens")
    impact = eco_impact_kg(tokens, 0, KG_PER_1K_TOKENS if factor is None else factor)
    if impact is None:
        raise ValueError("estimated_tokens is missing")
    return round(impact, 12)


def _group_table(inputs: Mapping[str, object]) -> dict[str, dict[str, int]]:
    predictions = _series(inputs.get("predictions"), "predictions")
    groups = _series(inputs.get("protected_groups"), "protected_groups")
    return {
        str(group): {"n": len(seen), "favourable": sum(seen)}
        for group, seen in sorted(by_group(predictions, groups).items())
    }


def _attempt(measure: Callable[[], T], reasons: list[str]) -> T | None:
    """Return what was measured, or None with the reason noted: bad evidence must not raise."""
    try:
        return measure()
    except (TypeError, ValueError) as problem:
        if str(problem) not in reasons:
            reasons.append(str(problem))
        return None


def _sha256(content: object) -> str:
    return hashlib.sha256(rfc8785.dumps(_plain(content))).hexdigest()


def _plain(value: Any) -> Any:
    """Return ``value`` as RFC 8785 allows it; what that forbids, such as NaN, becomes text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Integral):
        return int(value) if abs(int(value)) <= _EXACT_INTEGER else str(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"
