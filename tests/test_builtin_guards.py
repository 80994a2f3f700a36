"""The built-in guards pass on proof only; what is missing, or worse, is a veto."""

import pytest

from penin_core import (
    EthicsEvidence,
    GuardEvidence,
    GuardResult,
    Measurement,
    compute_ethics_attestation,
)
from penin_core.builtin.guards import Contractive, Sigma
from penin_core.omega.guards import PROFILES

GOOD = EthicsEvidence(ece=0.005, rho_bias=1.0, fairness=1.0, consent=True, eco_kg=0.01)


def measured(risk):
    return Measurement(S=None if risk is None else 1.0 - risk, harm=0.0)


def evidence(risk=0.2, before=0.2, history=(), profile="standard", ethics=GOOD):
    return GuardEvidence(
        candidate=measured(risk),
        champion=measured(before),
        ethics=ethics,
        risk_history=history,
        profile=profile,
    )


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_sigma_passes_where_every_gate_holds(profile):
    result = Sigma().check(evidence(profile=profile))
    assert result.ok is True
    assert result.reason == "every gate holds"


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"ece": 0.11}, "ece"),
        ({"ece": None}, "ece"),
        ({"rho_bias": 1.26}, "rho_bias"),
        ({"rho_bias": None}, "rho_bias"),
        ({"rho_bias": 0.5}, "rho_bias"),
        ({"fairness": 0.79}, "fairness"),
        ({"fairness": None}, "fairness"),
        ({"consent": False}, "consent"),
        ({"consent": None}, "consent"),
        ({"eco_kg": 1.0}, "eco"),
        ({"eco_kg": None}, "eco"),
        ({"eco_kg": 0.5, "eco_max_kg": 0.5}, "eco"),
    ],
)
def test_sigma_vetoes_and_names_the_one_gate_that_fails(changes, gate):
    result = Sigma().check(evidence(ethics=GOOD.model_copy(update=changes)))
    assert result.ok is False
    assert [name for name, detail in result.details.items() if detail.get("ok") is False] == [gate]
    assert result.reason.startswith(f"{gate} (")


def test_sigma_gates_the_bounds_that_the_attestation_names():
    bounds = {"ece": 0.02, "rho_bias": 1.01, "fairness": 0.97}
    seen = GOOD.model_copy(update={"details": {"gated": bounds}})
    result = Sigma().check(evidence(ethics=seen, profile="strict"))
    assert result.ok is False
    assert result.details["ece"]["value"] == 0.02
    assert result.details["fairness"]["value"] == 0.97


def attested(confidences, profile):
    n = len(confidences)
    outputs = {"confidences": confidences, "correct": [1] * n, "estimated_tokens": 10}
    truth = {"consent_verified": True, "not_applicable": {"groups": "no people"}}
    found = compute_ethics_attestation(outputs, truth, 0, PROFILES[profile])
    return GOOD.model_copy(update={"ece": found.ece, "details": dict(found.details)})


@pytest.mark.parametrize(
    ("confidences", "profile", "said"),
    [
        ([0.9] * 85, "standard", "not measured: calibration needs at least 100 samples, got 85"),
        (
            [0.9] * 70 + [None] * 50,
            "standard",
            "not measured: calibration needs a probability for every answer, 50 of 120 have none",
        ),
        ([0.9] * 120, "strict", "0.116803, must be at most 0.01 (the bound of a measured 0.1)"),
    ],
    ids=["too few", "some missing", "a bound"],
)
def test_sigma_says_what_lies_behind_the_value_that_fails(confidences, profile, said):
    result = Sigma().check(evidence(ethics=attested(confidences, profile), profile=profile))
    assert result.ok is False
    assert result.reason == f"ece ({said})"
    assert result.details["ece"]["reason"] == said


def test_the_strict_profile_has_stricter_limits():
    middling = GOOD.model_copy(update={"ece": 0.05, "rho_bias": 1.2})
    assert Sigma().check(evidence(ethics=middling)).ok is True
    strict = Sigma().check(evidence(ethics=middling, profile="strict"))
    assert strict.ok is False
    assert "ece" in strict.reason
    assert "rho_bias" in strict.reason


def test_sigma_records_what_was_declared_not_applicable():
    declared = GOOD.model_copy(update={"not_applicable": {"groups": "no people"}})
    assert Sigma().check(evidence(ethics=declared)).details["not_applicable"] == {
        "groups": "no people"
    }


def test_nothing_measured_is_a_veto_of_both():
    nothing = GuardEvidence(
        candidate=Measurement(), champion=Measurement(), ethics=EthicsEvidence()
    )
    assert [guard.check(nothing).ok for guard in (Sigma(), Contractive())] == [False, False]


@pytest.mark.parametrize("profile", ["standard", "strict"])
@pytest.mark.parametrize(("risk", "ok"), [(0.25, True), (0.251, False), (0.9, False)])
def test_a_risk_over_the_champions_by_more_than_a_twentieth_is_vetoed(risk, ok, profile):
    result = Contractive().check(evidence(risk, 0.2, profile=profile))
    assert result.ok is ok
    assert result.measured is not ok


@pytest.mark.parametrize(
    ("risk", "before", "whose"), [(None, 0.2, "candidate's"), (0.2, None, "champion's")]
)
def test_a_risk_that_was_not_measured_is_a_veto(risk, before, whose):
    result = Contractive().check(evidence(risk, before))
    assert (result.ok, result.measured) == (False, True)
    assert result.reason == f"the {whose} risk was not measured"


@pytest.mark.parametrize("history", [(), (0.3,)])
def test_while_the_series_begins_it_is_allowed_and_said_so(history):
    result = Contractive().check(evidence(0.2, 0.2, history))
    assert (result.ok, result.measured) == (True, False)


@pytest.mark.parametrize(
    ("history", "risk", "standard", "strict"),
    [
        ((0.8, 0.4, 0.2), 0.1, True, True),
        ((0.1, 0.2, 0.4), 0.8, False, False),
        ((0.3, 0.2, 0.3, 0.2), 0.3, True, False),
        ((0.3, 0.3, 0.3), 0.3, True, False),
        ((0.01, 0.02, 0.03), 0.04, True, True),
    ],
    ids=["shrinks", "grows", "wobbles", "stays", "below the floor"],
)
def test_standard_forbids_growth_and_strict_demands_contraction(history, risk, standard, strict):
    for profile, ok in (("standard", standard), ("strict", strict)):
        result = Contractive().check(evidence(risk, risk, history, profile))
        assert (result.ok, result.measured) == (ok, True)
        assert result.details["series"][-1] == pytest.approx(risk)


def test_only_the_last_ten_risks_count():
    old_sins = (0.01, 0.9, 0.01, 0.9)
    recent = tuple(0.8 * 0.8**n for n in range(9))
    with_past = Contractive().check(evidence(0.1, 0.2, (*old_sins, *recent), "strict"))
    without = Contractive().check(evidence(0.1, 0.2, recent, "strict"))
    assert with_past.details == without.details
    assert len(with_past.details["series"]) == 10
    assert with_past.ok is True


@pytest.mark.parametrize("guard", [Sigma(), Contractive()])
def test_a_guard_answers_with_its_own_name(guard):
    result = guard.check(evidence())
    assert isinstance(result, GuardResult)
    assert result.guard == guard.name
