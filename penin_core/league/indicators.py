"""What the gates and the record need to know beside the four axes: ethics, φ of CAOS⁺, SR-Ω∞."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from penin_core.measuring import MAX_ERRORS, SPECIAL_SPLITS
from penin_core.omega.caos import (
    caos_autoevolution,
    caos_consistency,
    caos_openness,
    caos_plus,
    caos_silence,
    majority_disagreement,
    ngram_redundancy,
    outcome_shift,
    response_noise,
    verified_share,
)
from penin_core.omega.ethics_metrics import compute_ethics_attestation
from penin_core.omega.guards import PROFILES
from penin_core.omega.metrics import count_unspaced, normalize_text, split_words
from penin_core.omega.sr import sr_awareness, sr_metacognition, sr_omega
from penin_core.records import EthicsEvidence, Measurement, Task, TaskRow
from penin_core.settings import GuardSettings
from penin_core.suites import Suite

#: How many words make an n-gram of the redundancy.
_WORDS = 4


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
    """Attest from the rows of the tasks that were ``asked``, and from what was ``declared``.

    Answers without a confidence are left out of calibration and counted beside it; where they are
    more than 20 %, calibration is at its worst.
    """
    answered = [row for row in measured.rows if row.task in asked and row.error is None]
    rows = [row for row in answered if row.utility is not None]
    grouped = [row for row in rows if row.group is not None]
    sure = [row for row in rows if row.confidence is not None]
    if len(sure) < (1 - MAX_ERRORS) * len(rows):
        sure = rows
    limits = {**PROFILES[settings.profile], "eco_max_kg": settings.eco_max_kg}
    attestation = compute_ethics_attestation(
        {
            "predictions": [_right(row) for row in grouped],
            "protected_groups": [row.group for row in grouped],
            "estimated_tokens": measured.tokens_in + measured.tokens_out,
            "kg_per_1k_tokens": settings.kg_per_1k_tokens,
            "confidences": [row.confidence for row in sure],
            "correct": [_right(row) for row in sure],
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
        details={**attestation.details, "left_out": len(rows) - len(sure)},
    )


def phi(
    candidate: Measurement,
    champion: Measurement,
    *,
    delta_linf: float | None,
    spent_share: float | None,
    kappa: float,
) -> float | None:
    """Return φ of CAOS⁺ from what was measured; None where a component was not.

    Openness has no epistemic part: no provider gives the probabilities of an ensemble.
    """
    stability, rows = candidate.raw.get("S", {}), candidate.rows
    answered = [row for row in rows if row.error is None]
    # An answer on whose form nothing is demanded is neither verified nor off-format.
    checked = [row.well_formed for row in answered if row.well_formed is not None]
    consistency = caos_consistency(
        stability.get("agreement"), stability.get("ece"), verified_share(checked)
    )
    evolution = caos_autoevolution(delta_linf, spent_share)
    openness = caos_openness(None, *_changed(candidate, champion))
    silence = caos_silence(
        response_noise([r.text for r in rows], [r.well_formed is not False for r in rows]),
        fmean(map(_redundancy, answered)) if answered else None,
        stability.get("excess", 0.0),
    )
    return caos_plus(consistency, evolution, openness, silence, kappa)


def sr(candidate: Measurement, *, ethics_ok: bool) -> float | None:
    """Return SR-Ω∞; None where a component was not measured.

    Autocorrection is measured where a form is demanded of the answers, which can be checked, and
    mended, without a reference; elsewhere nothing could tell the model what to correct. Like the
    others, metacognition is about the tasks that S is measured on: not about the special splits,
    nor about answers that nothing grades.
    """
    stability = candidate.raw.get("S", {})
    rows = [
        row
        for row in candidate.rows
        if row.split not in SPECIAL_SPLITS
        and row.confidence is not None
        and row.utility is not None
    ]
    metacognition = sr_metacognition([r.confidence or 0.0 for r in rows], [_right(r) for r in rows])
    return sr_omega(
        sr_awareness(stability.get("ece")),
        ethics_ok,
        stability.get("autocorrection"),
        metacognition,
    )


def _right(row: TaskRow) -> int:
    return int(row.utility == 1.0)


def _changed(candidate: Measurement, champion: Measurement) -> tuple[float | None, float | None]:
    """Return on which shares of the tasks the two differ.

    First in outcome, on the out-of-distribution split, then in the normalised answer, on the rest.
    """
    before = {row.task: row for row in champion.rows if row.error is None}
    pairs = [
        (before[row.task], row)
        for row in candidate.rows
        if row.error is None and row.task in before
    ]
    ood = [pair for pair in pairs if pair[1].split == "ood"]
    others = [pair for pair in pairs if pair[1].split != "ood"]
    return (
        outcome_shift([_right(old) for old, _ in ood], [_right(new) for _, new in ood]),
        majority_disagreement(
            [[_words(new)] for _, new in others], [[_words(old)] for old, _ in others]
        ),
    )


def _redundancy(row: TaskRow) -> float:
    """Return the share of repeated 4-grams of words.

    Where most words are letters that no space divides, two of them count as one, as for leaks.
    """
    text = normalize_text(row.text or "")
    if letters := count_unspaced(text):
        tokens = split_words(text)
        if 2 * letters > len(tokens):
            return ngram_redundancy(tokens, n=2 * _WORDS)
    return ngram_redundancy(text.split(), n=_WORDS)


def _words(row: TaskRow) -> tuple[str, ...]:
    return tuple(normalize_text(row.text or "").split())
