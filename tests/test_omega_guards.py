import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from penin_core.omega.guards import (
    PROFILES,
    contraction_bounds,
    ir_to_ic_contractive,
    merged_thresholds,
    sigma_guard,
)

GOOD = {"ece": 0.005, "rho_bias": 1.02, "fairness": 0.9, "consent": True, "eco_ok": True}


def sigma(thresholds=None, **changed):
    return sigma_guard(**{**GOOD, **changed}, thresholds=thresholds)


# --- Σ-Guard


def test_complete_good_evidence_passes():
    ok, details = sigma()
    assert ok
    assert list(details) == ["ece", "rho_bias", "fairness", "consent", "eco"]
    assert details["ece"] == {
        "value": 0.005,
        "threshold": 0.01,
        "ok": True,
        "reason": "0.005, must be at most 0.01",
    }


def test_a_value_at_its_limit_passes():
    assert sigma(ece=0.01 + 1e-13, rho_bias=1.05 + 1e-13, fairness=0.8 - 1e-13)[0]
    assert sigma(ece=0.0, rho_bias=1.0, fairness=1.0)[0]
    assert sigma(ece=0.01 + 1e-12, fairness=0.8 - 1e-12)[0]
    assert sigma(ece=-1e-12, rho_bias=1 - 1e-12, fairness=1 + 1e-12)[0]


BAD = {
    "ece": [None, math.nan, math.inf, "0", True, -0.01, 0.02, 1.2],
    "rho_bias": [None, math.nan, math.inf, 0.8, 1.06, 1e6],
    "fairness": [None, math.nan, 0.79, 1.01, -1],
    "consent": [None, False, 1, "yes", "True", np.True_],
    "eco_ok": [None, False, 1, "ok"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD.items() for v in vs])
def test_bad_or_missing_evidence_fails_exactly_its_own_gate(name, value):
    ok, details = sigma(**{name: value})
    assert not ok
    failing = [gate for gate, detail in details.items() if not detail["ok"]]
    assert failing == ["eco" if name == "eco_ok" else name]
    json.dumps(details, allow_nan=False)


def test_no_limit_however_wide_lets_an_impossible_value_pass():
    wide = {"ece_max": 5, "rho_bias_max": 1e9, "fairness_min": -5}
    assert sigma(wide, ece=1.0, rho_bias=1e8, fairness=0.0)[0]
    for changed in ({"ece": 1.1}, {"ece": -0.1}, {"rho_bias": 0.9}, {"fairness": -0.1}):
        assert not sigma(wide, **changed)[0]


def test_a_gate_says_what_it_saw():
    _, seen = sigma()
    assert seen["consent"] == {"value": True, "threshold": True, "ok": True, "reason": "granted"}
    assert seen["fairness"]["reason"] == "0.9, must be at least 0.8"
    _, seen = sigma(consent="yes", eco_ok=False, ece="0", rho_bias=0.5)
    assert seen["consent"]["value"] is None
    assert seen["consent"]["reason"] == "not granted: 'yes'"
    assert seen["eco"]["value"] is False
    assert seen["ece"]["value"] is None
    assert seen["ece"]["reason"] == "not a finite number: '0'"
    assert seen["rho_bias"]["reason"] == "0.5 is outside [1, inf]"


def test_every_gate_is_reported_when_everything_is_missing():
    ok, details = sigma_guard(None, None, None, None, None, None)
    assert not ok
    assert not any(detail["ok"] for detail in details.values())


@given(st.floats(), st.floats(), st.floats(), st.booleans(), st.booleans())
def test_passing_means_that_every_limit_of_the_profile_holds(ece, rho, fairness, consent, eco):
    limits = PROFILES["standard"]
    ok, _ = sigma_guard(ece, rho, fairness, consent, eco, limits)
    tolerance = 1e-12
    assert ok == (
        -tolerance <= ece <= limits["ece_max"] + tolerance
        and 1 - tolerance <= rho <= limits["rho_bias_max"] + tolerance
        and limits["fairness_min"] - tolerance <= fairness <= 1 + tolerance
        and consent
        and eco
    )


def test_thresholds_overlay_the_strict_profile():
    assert sigma(thresholds={"ece_max": 0.1}, ece=0.09)[0]
    assert not sigma(thresholds={"ece_max": 0.1}, rho_bias=1.2)[0]
    assert merged_thresholds(None) == dict(PROFILES["strict"])


@pytest.mark.parametrize(
    "thresholds",
    [
        {"ece_maximum": 0.1},
        {"ece_max": math.nan},
        {"ece_max": "0.1"},
        {"use_bounds": 0.5},
        {"use_bounds": True},
    ],
)
def test_wrong_thresholds_never_mean_the_default(thresholds):
    with pytest.raises(ValueError, match=r"ece_max|use_bounds"):
        sigma(thresholds=thresholds)


def test_the_profiles_hold_the_documented_limits():
    assert PROFILES["strict"]["ece_max"] == 0.01
    assert PROFILES["strict"]["rho_bias_max"] == 1.05
    assert PROFILES["standard"]["ece_max"] == 0.10
    assert PROFILES["standard"]["rho_bias_max"] == 1.25
    assert PROFILES["standard"]["min_samples"] == 100
    assert (PROFILES["strict"]["use_bounds"], PROFILES["standard"]["use_bounds"]) == (1, 0)
    assert PROFILES["strict"]["min_samples"] == 30
    assert all(profile["min_group_size"] == 10 for profile in PROFILES.values())
    assert all(profile["eco_max_kg"] == 1.0 for profile in PROFILES.values())
    assert all(profile["fairness_min"] == 0.80 for profile in PROFILES.values())
    with pytest.raises(TypeError):
        PROFILES["strict"]["ece_max"] = 1.0


# --- IR→IC


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.99, 1.03])
@pytest.mark.parametrize("scale", [1e-320, 1e-3, 1.0, 1e300])
def test_the_factor_of_a_geometric_series_is_found_at_any_scale(factor, scale):
    series = [scale * factor**i for i in range(8)]
    contractive, rho = ir_to_ic_contractive(series)
    assert rho == pytest.approx(factor, rel=1e-2 if scale < 1e-300 else 1e-12)
    assert contractive == (factor < 1)


def test_a_series_that_swings_around_a_level_does_not_contract():
    contractive, rho = ir_to_ic_contractive([0.2, 0.1, 0.1, 0.2])
    assert rho == pytest.approx(1.0)
    assert not contractive
    assert not ir_to_ic_contractive([0.1] * 5)[0]


def test_short_and_quiet_series():
    assert ir_to_ic_contractive([]) == (False, 1.0)
    assert ir_to_ic_contractive([0.0]) == (False, 1.0)
    assert ir_to_ic_contractive([0.0, 0.0]) == (True, 0.0)
    assert ir_to_ic_contractive([0.0, 0.0, 0.0], risk_floor=0.05) == (True, 0.0)
    assert ir_to_ic_contractive([0.01, 0.05], risk_floor=0.05) == (True, 1.0)
    assert ir_to_ic_contractive([0.1, 0.05], confidence=0.95) == (False, pytest.approx(0.5))


def test_a_single_zero_counts_as_a_millionth_of_the_highest_risk():
    assert ir_to_ic_contractive([1.0, 0.0])[1] == pytest.approx(1e-6)
    assert ir_to_ic_contractive([1.0, 0.0], risk_floor=0.05)[1] == pytest.approx(0.05)


def test_the_threshold_is_strict():
    assert not ir_to_ic_contractive([0.4, 0.2], rho_threshold=0.5)[0]
    assert ir_to_ic_contractive([0.4, 0.2], rho_threshold=0.5 + 1e-9)[0]


@given(
    st.lists(st.floats(0.01, 1), min_size=3, max_size=12),
    st.sampled_from([0.0, 0.05]),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_the_bounds_are_those_of_ordinary_least_squares(series, floor, confidence):
    rho, lower, upper = contraction_bounds(series, floor, confidence)
    logs = np.log(np.maximum(series, max(floor, 1e-6 * max(series))))
    assume(np.ptp(logs) > 1e-3)
    fit = stats.linregress(np.arange(len(series)), logs)
    margin = stats.t.ppf(confidence, len(series) - 2) * fit.stderr
    assert rho == pytest.approx(math.exp(fit.slope), rel=1e-9)
    assert lower == pytest.approx(math.exp(fit.slope - margin), rel=1e-6)
    assert upper == pytest.approx(math.exp(min(709, fit.slope + margin)), rel=1e-6)
    contractive, _ = ir_to_ic_contractive(series, 1.0, floor, confidence)
    assert contractive == (upper < 1 - 1e-12 or max(series) <= floor)


def test_quiet_series_and_wild_ones_have_bounds():
    assert contraction_bounds([0.01, 0.03, 0.02], risk_floor=0.05) == (1.0, 1.0, 1.0)
    assert contraction_bounds([1.0, 1e-6, 1.0], confidence=0.99999) == (1.0, 0.0, math.exp(709))


def test_two_points_bound_nothing():
    assert contraction_bounds([0.4, 0.2]) == (pytest.approx(0.5), 0.0, math.inf)
    assert contraction_bounds([0.4]) == (1.0, 0.0, math.inf)


def test_the_bound_certifies_noise_at_its_nominal_rate_and_finds_real_contraction():
    rng = np.random.default_rng(11)
    rates = {}
    for factor in (1.0, 0.95, 1.03):
        noise = np.exp(0.1 * rng.standard_normal((1500, 10)))
        series = factor ** np.arange(10) * noise
        rates[factor] = np.mean([ir_to_ic_contractive(s, confidence=0.95)[0] for s in series])
    assert rates[1.0] == pytest.approx(0.05, abs=0.02)
    assert rates[0.95] > 0.98
    assert rates[1.03] < 0.005


@pytest.mark.parametrize(
    ("series", "options"),
    [
        ([0.1, -0.1], {}),
        ([0.1, math.nan], {}),
        ([0.1, math.inf], {}),
        ([0.1], {"rho_threshold": 0.0}),
        ([0.1], {"rho_threshold": 1.3}),
        ([0.1], {"risk_floor": -0.1}),
        ([0.1], {"confidence": 1.0}),
        ([0.1], {"confidence": 0.0}),
    ],
)
def test_risks_and_limits_that_make_no_sense_are_refused(series, options):
    with pytest.raises(ValueError):  # noqa: PT011
        ir_to_ic_contractive(series, **options)
