"""Calibration, bias, fairness and footprint, and the attestation that puts them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from penin_core.omega._attested import (
    Evidence,
    Measured,
    attested_disparity,
    attested_ece,
    attested_impact,
    collected,
    group_table,
    sample_count,
)
from penin_core.omega._calibration import (
    N_BINS,
    SCHEME,
    CalibrationError,
    expected_calibration_error,
)
from penin_core.omega._digest import sha256_of
from penin_core.omega._fairness import (
    KG_PER_1K_TOKENS,
    eco_impact_kg,
    fairness_demographic_parity,
    fairness_equalized_odds,
    rho_bias,
)
from penin_core.omega._intervals import (
    ALPHA,
    RESAMPLES,
    ece_interval,
    fairness_interval,
    rho_bias_interval,
)
from penin_core.omega.guards import GateDetail, merged_thresholds, sigma_guard

__all__ = [
    "KG_PER_1K_TOKENS",
    "CalibrationError",
    "EthicsAttestation",
    "compute_ethics_attestation",
    "ece_interval",
    "eco_impact_kg",
    "expected_calibration_error",
    "fairness_demographic_parity",
    "fairness_equalized_odds",
    "fairness_interval",
    "rho_bias",
    "rho_bias_interval",
]


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
    #: Reasons, noise floor, debiased error, the table of groups, the gates, the sample count, the
    #: ``intervals`` of the metrics at 95 % and the values that were ``gated``.
    details: Mapping[str, object] = field(compare=False)
    #: When it was made, in UTC; set by the caller, because the kernel reads no clock.
    timestamp: str | None = field(default=None, compare=False)

    def compute_hash(self) -> str:
        """Return the SHA-256 of the RFC 8785 text of every field but details and timestamp."""
        content = asdict(self)
        del content["details"], content["timestamp"]
        return sha256_of(content)


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

    The fields are point values. With ``use_bounds`` in the thresholds, as in the profile
    ``strict``, the gates see the worse end of each interval instead: the upper one of ECE and bias
    ratio, the lower one of fairness. Consent and footprint are exact.

    Evidence that is missing, invalid, too little (``min_samples``, ``min_group_size``) or of
    differing length does not raise: it gets its worst value and a reason in the details.

    Raises: ValueError for wrong thresholds, or a declaration of an unknown name or without reason.
    """
    evidence = collected(model_outputs, ground_truth, merged_thresholds(thresholds), seed)
    inputs, limits = evidence.inputs, evidence.limits
    ece = attested_ece(evidence)
    rho, fairness = attested_disparity(evidence)
    impact = attested_impact(evidence)
    consent = "consent" in evidence.declared or inputs["consent_verified"] is True
    eco_ok = impact is not None and impact < limits["eco_max_kg"]
    metrics = {"ece": ece, "rho_bias": rho, "fairness": fairness}
    gated = {name: _gated(name, metric, limits) for name, metric in metrics.items()}
    passed, gates = sigma_guard(**gated, consent=consent, eco_ok=eco_ok, thresholds=limits)
    return EthicsAttestation(
        dataset_hash=str(inputs["dataset_hash"] or ""),
        seed=seed,
        ece=ece.value,
        rho_bias=rho.value,
        fairness_score=fairness.value,
        consent_ok=consent,
        eco_impact_kg=impact,
        evidence_hash=_evidence_hash(evidence, metrics, impact),
        pass_sigma_guard=passed,
        not_applicable=evidence.declared,
        details={
            "reasons": evidence.reasons,
            "calibration": ece.details,
            "gates": _explained(gates, metrics, gated),
            "gated": gated,
            **_described(evidence, metrics),
        },
    )


def _described(evidence: Evidence, metrics: Mapping[str, Measured]) -> dict[str, object]:
    return {
        "groups": group_table(evidence),
        "intervals": {name: _listed(metric) for name, metric in metrics.items()},
        "n": sample_count(evidence),
    }


def _gated(name: str, metric: Measured, limits: Mapping[str, float]) -> float:
    """Return what the gate sees: the value, or with ``use_bounds`` the worse end of its interval.

    A metric without an interval was declared not applicable, or has its worst value already.
    """
    if metric.interval is None or limits["use_bounds"] == 0:
        return metric.value
    return metric.interval[0 if name == "fairness" else 1]


def _explained(
    gates: Mapping[str, GateDetail], metrics: Mapping[str, Measured], gated: Mapping[str, float]
) -> dict[str, GateDetail]:
    """Return the gates with reasons that say why nothing was measured, or what a bound is of."""
    explained = dict(gates)
    for name, metric in metrics.items():
        gate = gates[name]
        if metric.problem:
            explained[name] = {**gate, "reason": f"not measured: {metric.problem}"}
        elif gated[name] != metric.value:
            reason = f"{gate['reason']} (the bound of a measured {metric.value:g})"
            explained[name] = {**gate, "reason": reason}
    return explained


def _listed(metric: Measured) -> list[float] | None:
    return None if metric.interval is None else list(metric.interval)


def _evidence_hash(
    evidence: Evidence, metrics: Mapping[str, Measured], impact: float | None
) -> str:
    params = {
        **evidence.limits,
        "n_bins": N_BINS,
        "scheme": SCHEME,
        "seed": evidence.seed,
        "alpha": ALPHA,
        "resamples": RESAMPLES,
    }
    results = {name: [metric.value, _listed(metric)] for name, metric in metrics.items()}
    return sha256_of(
        {
            "inputs_sha256": sha256_of(evidence.inputs),
            "params": params,
            "results": {**results, "eco_impact_kg": impact},
        }
    )
