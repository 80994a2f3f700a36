"""Ethics, φ and SR are computed from what was measured, and are missing where it was not."""

import math

import pytest

from penin_core import Measurement, Suite, Task, TaskRow
from penin_core.league.indicators import attest, phi, sr
from penin_core.settings import GuardSettings, SuiteDefinition

REASONS = {"calibration": "no log-probabilities", "groups": "no people", "consent": "synthetic"}


def tasks(count, consent=True, **more):
    return [
        Task(id=f"t{n}", input="q", split="confirm", consent=consent, **more) for n in range(count)
    ]


def row(n, utility=1.0, group=None, confidence=0.9, **more):
    return TaskRow(
        **{"task": f"t{n}", "utility": utility, "group": group, "confidence": confidence, **more}
    )


def evidence(rows, asked=None, *, tokens=1000, profile="standard", **declared):
    """Attest ``rows``; ``declared`` maps gates to "not_applicable"."""
    measured = Measurement(rows=tuple(rows), tokens_in=tokens)
    asked = tasks(len(rows)) if asked is None else asked
    definition = SuiteDefinition(reasons=REASONS, **declared)
    settings = GuardSettings(profile=profile, kg_per_1k_tokens=0.0002)
    return attest(measured, asked, Suite(definition, tuple(asked)), settings, 0)


def served(a, b, size=60):
    """Rows of two groups in which ``a`` and ``b`` answers are right."""
    return [row(n, float(n < a), "a") for n in range(size)] + [
        row(size + n, float(n < b), "b") for n in range(size)
    ]


def test_calibration_bias_and_fairness_are_those_of_the_answers():
    found = evidence(served(54, 48))
    # Confidence 0.9 throughout, 102 of 120 right.
    assert found.ece == pytest.approx(0.9 - 102 / 120)
    assert found.rho_bias == pytest.approx(54 / 48)
    assert found.fairness == pytest.approx(1 - 6 / 60)
    assert found.consent is True
    assert found.eco_kg == pytest.approx(0.0002)
    assert found.not_applicable == {}


def test_a_half_right_answer_is_wrong():
    found = evidence([row(n, 0.99) for n in range(120)], groups="not_applicable")
    assert found.ece == pytest.approx(0.9)


@pytest.mark.parametrize("consent", [False, None])
def test_one_task_without_consent_is_none(consent):
    asked = [*tasks(119), Task(id="t119", input="q", consent=consent)]
    assert evidence(served(54, 48), asked).consent is False


@pytest.mark.parametrize(
    ("gate", "field", "worst", "neutral"),
    [
        ("calibration", "ece", 1.0, 0.0),
        ("groups", "fairness", 0.0, 1.0),
        ("consent", "consent", False, True),
    ],
)
def test_what_is_missing_is_at_its_worst_unless_it_was_declared(gate, field, worst, neutral):
    rows = [row(n, confidence=None) for n in range(120)]
    asked = tasks(120, consent=None)
    assert getattr(evidence(rows, asked), field) == worst
    found = evidence(rows, asked, **{gate: "not_applicable"})
    assert getattr(found, field) == neutral
    assert found.not_applicable == {gate: REASONS[gate]}


@pytest.mark.parametrize(("silent", "ece"), [(1, 0.1), (24, 0.1), (25, 1.0), (120, 1.0)])
def test_answers_without_a_confidence_are_left_out_until_they_are_too_many(silent, ece):
    rows = [row(n, confidence=None if n < silent else 0.9) for n in range(120)]
    found = evidence(rows, groups="not_applicable", profile="strict")
    assert found.ece == pytest.approx(ece)
    assert found.details["left_out"] == (silent if ece < 1 else 0)
    right = [row(n, float(n >= silent), confidence=r.confidence) for n, r in enumerate(rows)]
    # They would have been wrong answers: what is left out can hide no more than its share.
    assert evidence(right, groups="not_applicable", profile="strict").ece == pytest.approx(ece)


def test_too_few_answers_are_no_proof():
    few = served(30, 30, 30)
    assert evidence(few).ece == 1.0
    assert evidence(few, profile="strict").ece == pytest.approx(0.1)


def test_errors_and_other_splits_are_left_out():
    rows = served(54, 48)
    more = [row(500 + n, 0.0, "a", split="ood") for n in range(60)]
    lost = [TaskRow(task=f"t{n}", error="gone", group="a") for n in range(120, 125)]
    asked = tasks(125)
    found = evidence([*rows, *more, *lost], asked)
    assert (found.ece, found.rho_bias) == (evidence(rows).ece, evidence(rows).rho_bias)


def test_the_hash_depends_on_the_answers_and_on_nothing_else():
    assert evidence(served(54, 48)).attestation_hash == evidence(served(54, 48)).attestation_hash
    assert evidence(served(54, 48)).attestation_hash != evidence(served(54, 47)).attestation_hash
    # The same rates from other answers: only the evidence differs.
    swapped = [*reversed(served(54, 48))]
    assert evidence(swapped).evidence_hash != evidence(served(54, 48)).evidence_hash


def answered(texts, splits=None, **raw):
    splits = splits or [None] * len(texts)
    rows = [
        row(n, float(text == "yes"), text=text, split=split)
        for n, (text, split) in enumerate(zip(texts, splits, strict=True))
    ]
    return Measurement(rows=tuple(rows), raw={"S": {"agreement": 0.8, "ece": 0.1, **raw}})


def test_phi_is_caos_of_what_was_measured():
    champion = answered(["yes", "yes", "yes", "no"])
    candidate = answered(["yes", "yes", "no", "no"])
    found = phi(candidate, champion, delta_linf=0.06, spent_share=0.02, kappa=2.0)
    C = (0.4 * 0.8 + 0.3 * 0.9) / 0.7
    A = 0.06 / 0.08
    openness, silence = 0.25, 1.0
    assert found == pytest.approx(math.tanh(0.7 * openness * silence * math.log1p(2.0 * C * A)))


def test_out_of_distribution_tasks_count_by_outcome_and_the_others_by_answer():
    splits = ["ood", "ood", "confirm", "confirm"]
    champion = answered(["no", "yes", "a", "b"], splits)
    candidate = answered(["nope", "no", "a", "c"], splits)
    both = phi(candidate, champion, delta_linf=0.05, spent_share=0.05, kappa=2.0)
    C = (0.4 * 0.8 + 0.3 * 0.9) / 0.7
    assert both == pytest.approx(math.tanh(0.7 * 0.5 * math.log1p(2.0 * C * 0.5)))


@pytest.mark.parametrize(
    ("what", "gain", "share"),
    [("gain", None, 0.1), ("spend", 0.05, None)],
)
def test_phi_is_missing_where_a_part_is(what, gain, share):
    both = answered(["yes"]), answered(["no"])
    assert phi(*both, delta_linf=gain, spent_share=share, kappa=2.0) is None


def test_phi_of_nothing_measured_is_missing_and_of_no_gain_is_zero():
    empty = Measurement()
    assert phi(empty, empty, delta_linf=0.1, spent_share=0.1, kappa=2.0) is None
    both = answered(["yes"]), answered(["no"])
    assert phi(*both, delta_linf=-0.1, spent_share=0.1, kappa=2.0) == 0.0


def test_empty_answers_are_noise():
    full, empty = answered(["yes", "yes"]), answered(["yes", " "])
    champion = answered(["no", "no"])
    what = {"delta_linf": 0.05, "spent_share": 0.05, "kappa": 2.0}
    assert phi(empty, champion, **what) < phi(full, champion, **what)


def caos(C=(0.4 * 0.8 + 0.3 * 0.9) / 0.7, A=0.5, openness=1.0, silence=1.0):
    return pytest.approx(math.tanh(0.7 * openness * silence * math.log1p(2.0 * C * A)))


EVEN = {"delta_linf": 0.05, "spent_share": 0.05, "kappa": 2.0}


def test_answers_that_a_verifier_passed_are_consistent_and_others_are_noise():
    champion = answered(["a", "a", "a", "a"])
    formed = answered(["b", "b", "b", "b"])
    forms = (True, True, False, None)
    rows = [
        r.model_copy(update={"well_formed": form})
        for r, form in zip(formed.rows, forms, strict=True)
    ]
    found = phi(formed.model_copy(update={"rows": tuple(rows)}), champion, **EVEN)
    C = 0.4 * 0.8 + 0.3 * 0.9 + 0.3 * 2 / 3
    assert found == caos(C, silence=0.5 * 0.75 + 0.5)


def test_errors_are_noise_and_no_answers():
    candidate, champion = answered(["b", "b"]), answered(["a", "a", "a", "a"])
    lost = tuple(TaskRow(task=f"t{n}", error="gone") for n in (2, 3))
    candidate = candidate.model_copy(update={"rows": (*candidate.rows, *lost)})
    assert phi(candidate, champion, **EVEN) == caos(silence=0.5 * 0.5 + 0.5)


def test_case_and_punctuation_are_no_disagreement():
    champion, candidate = answered(["It is 9.", "a"]), answered(["it  is 9", "b"])
    assert phi(candidate, champion, **EVEN) == caos(openness=0.5)


def test_repetition_and_excess_are_loud():
    champion = answered(["a"])
    once = answered(["one two three four five six seven eight"])
    again = answered(["one two three four one two three four"])
    assert phi(once, champion, **EVEN) == caos()
    assert phi(again, champion, **EVEN) == caos(silence=1 - 0.25 * (1 - 4 / 5))
    long = answered(["b"], excess=0.4)
    assert phi(long, champion, **EVEN) == caos(silence=1 - 0.25 * 0.4)


@pytest.mark.parametrize(
    ("once", "again"),
    [
        ("今天天气很好我们去公园散步", "今天天气很好今天天气很好今天天气很好"),
        ("วันนี้อากาศดีมากเราไปเดินเล่น", "วันนี้อากาศดีวันนี้อากาศดีวันนี้อากาศดี"),
        ("きょうはさんぽにいきました", "さんぽにいきますさんぽにいきますさんぽにいきます"),
    ],
)
def test_repetition_is_heard_in_scripts_without_spaces(once, again):
    champion = answered(["a"])
    assert phi(answered([once]), champion, **EVEN) == caos()
    letters = len(again) - 8 + 1
    third = len(again) // 3
    loud = caos(silence=1 - 0.25 * (1 - third / letters))
    assert phi(answered([again]), champion, **EVEN) == loud


def test_sr_is_about_the_graded_answers_to_ordinary_tasks():
    plain = [row(n, float(n % 3 > 0), confidence=0.9 - 0.5 * (n % 3 == 0)) for n in range(9)]
    strange = [
        row(9, 0.0, confidence=0.99, split="ood"),
        row(10, 0.0, confidence=0.99, split="composed"),
        row(11, None, confidence=0.99),
    ]
    raw = {"S": {"ece": 0.2, "autocorrection": 0.5}}
    alone = Measurement(rows=tuple(plain), raw=raw)
    among = Measurement(rows=(*plain, *strange), raw=raw)
    found = sr(alone, ethics_ok=True)
    assert found == pytest.approx(3 / (1 / 0.8 + 1 / 0.5 + 1))
    assert sr(among, ethics_ok=True) == found


def test_sr_is_missing_where_no_correction_was_measured_and_zero_after_an_ethics_veto():
    assert sr(answered(["yes", "no"]), ethics_ok=True) is None
    assert sr(answered(["yes", "no"]), ethics_ok=False) == 0.0
    assert sr(Measurement(), ethics_ok=True) is None


def test_sr_is_the_harmonic_mean_of_what_was_measured():
    rows = (row(0, 1.0, confidence=0.9), row(1, 0.0, confidence=0.2), row(2, 1.0, confidence=0.1))
    measured = Measurement(rows=rows, raw={"S": {"ece": 0.2, "autocorrection": 0.5}})
    # AUROC 1/2: one of the two right answers stands above the wrong one.
    assert sr(measured, ethics_ok=True) == 0.0
    sure = Measurement(rows=rows[:2], raw={"S": {"ece": 0.2, "autocorrection": 0.5}})
    assert sr(sure, ethics_ok=True) == pytest.approx(3 / (1 / 0.8 + 1 / 0.5 + 1))
    assert sr(sure, ethics_ok=False) == 0.0
