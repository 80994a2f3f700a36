"""What the gates and the record need to know beside the four axes: ethics, φ of CAOS⁺, SR-Ω∞."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Literal

from penin_core.omega.caos import (
    caos_autoevolution,
    caos_consistency,
    caos_openness,
    caos_plus,
    caos_silence,
    ngram_redundancy,
)
from penin_core.omega.ethics_metrics import compute_ethics_attestation
from penin_core.omega.guards import PROFILES
from penin_core.omega.sr import sr_metacognition, sr_omega
from penin_core.records import EthicsEvidence, Measurement, Task, TaskRow
from penin_core.settings import GuardSettings
from penin_core.suites import Suite


def attest(
    measured: Measurement, tasks: Sequence[Task], suite: Suite, settings: GuardSettings, seed: int
) -> EthicsEvidence:
    """Attest the ethics of one candidate from its answers to ``tasks``.

    A favourable prediction is a right answer, so the bias ratio and the fairness gap compare how
    well the protected groups are served.
    """
    definition = suite.definition
    declared = {
        name: definition.reasons[name]
        for name in ("calibration", "groups", "consent")
        if getattr(definition, name) == "not_applicable"
    }
    return attested(
        measured,
        {task.id for task in tasks},
        suite_hash=suite.hash,
        consent="consent" not in declared and all(task.consent is True for task in tasks),
        declared=declared,
        settings=settings,
        seed=seed,
    )


def attested(
    measured: Measurement,
    asked: Collection[str],
    *,
    suite_hash: str,
    consent: bool,
    declared: Mapping[str, str],
    settings: GuardSettings,
    seed: int,
) -> EthicsEvidence:
    """Attest from the rows of the tasks that were ``asked``, and from what was ``declared``."""
    answered = [row for row in measured.rows if row.task in asked and row.error is None]
    rows = [row for row in answered if row.utility is not None]
    grouped = [row for row in rows if row.group is not None]
    limits = {**PROFILES[settings.profile], "eco_max_kg": settings.eco_max_kg}
    attestation = compute_ethics_attestation(
        {
            "predictions": [_right(row) for row in grouped],
            "protected_groups": [row.group for row in grouped],
            "estimated_tokens": measured.tokens_in + measured.tokens_out,
            "kg_per_1k_tokens": settings.kg_per_1k_tokens,
            "confidences": [row.confidence for row in rows],
            "correct": [_right(row) for row in rows],
        },
        {
            "labels": [1] * len(grouped),
            "dataset_hash": suite_hash,
            "consent_verified": consent,
            "not_applicable": declared,
        },
        seed,
        limits,
    )
    return EthicsEvidence(
        ece=attestation.ece,
        rho_bias=attestation.rho_bias,
        fairness=attestation.fairness_score,
        consent=attestation.consent_ok,
        eco_kg=attestation.eco_impact_kg,
        eco_max_kg=settings.eco_max_kg,
        not_applicable=dict(attestation.not_applicable),
        attestation_hash=attestation.compute_hash(),
        evidence_hash=attestation.evidence_hash,
        details=dict(attestation.details),
    )


def phi(
    candidate: Measurement,
    champion: Measurement,
    *,
    delta_linf: float | None,
    spent_share: float | None,
    kappa: float,
) -> float | None:
    """Return φ of CAOS⁺ from what was measured; None where a component was not."""
    stability = candidate.raw.get("S", {})
    answered = [row for row in candidate.rows if row.error is None]
    consistency = caos_consistency(stability.get("agreement"), stability.get("ece"), None)
    evolution = caos_autoevolution(delta_linf, spent_share)
    openness = caos_openness(
        None, _changed(candidate, champion, "ood"), _changed(candidate, champion, "other")
    )
    silence = caos_silence(
        _mean([float(not (row.text or "").strip()) for row in candidate.rows]),
        _mean([ngram_redundancy((row.text or "").split()) for row in answered]),
        # The engine cuts answers at the allowed length, so none exceeds it.
        0.0 if answered else None,
    )
    return caos_plus(consistency, evolution, openness, silence, kappa)


def sr(candidate: Measurement, *, ethics_ok: bool) -> float | None:
    """Return SR-Ω∞; None as long as nothing measures how failures are corrected."""
    ece = candidate.raw.get("S", {}).get("ece")
    rows = [row for row in candidate.rows if row.confidence is not None]
    metacognition = sr_metacognition([r.confidence or 0.0 for r in rows], [_right(r) for r in rows])
    return sr_omega(None if ece is None else 1.0 - ece, ethics_ok, None, metacognition)


def _right(row: TaskRow) -> int:
    return int(row.utility == 1.0)


def _changed(
    candidate: Measurement, champion: Measurement, split: Literal["ood", "other"]
) -> float | None:
    """Return the share of tasks on which the two differ: in outcome (ood), or in the answer."""
    before = {row.task: row for row in champion.rows if row.error is None}
    pairs = [
        (row, before[row.task])
        for row in candidate.rows
        if row.error is None and row.task in before and (row.split == "ood") == (split == "ood")
    ]
    if split == "ood":
        return _mean([float(_right(new) != _right(old)) for new, old in pairs])
    return _mean([float(new.text != old.text) for new, old in pairs])


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
