import dataclasses
import hashlib
import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega._digest import sha256_of
from penin_core.omega.ethics_metrics import (
    compute_ethics_attestation,
    ece_interval,
    eco_impact_kg,
    expected_calibration_error,
    fairness_demographic_parity,
    fairness_equalized_odds,
    fairness_interval,
    rho_bias,
    rho_bias_interval,
)
from penin_core.omega.guards import PROFILES

samples = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), st.integers(0, 1)),
    min_size=1,
    max_size=60,
)

# --- calibration


def test_ece_of_a_worked_example():
    # Ten equal confidences share one bin: |0.7 - 0.9|, floor √(2·0.09/(10π)), debiased by 0.21/9.
    result = expected_calibration_error([0.9] * 10, [1] * 7 + [0] * 3)
    assert result.ece == pytest.approx(0.2)
    assert result.noise_floor == pytest.approx(math.sqrt(2 * 0.09 / (math.pi * 10)))
    assert result.rms_debiased == pytest.approx(math.sqrt(0.04 - 0.21 / 9))


def test_being_right_by_chance_of_rounding_is_no_calibration():
    assert expected_calibration_error([0.51] * 20, [1] * 20).ece == pytest.approx(0.49)


def test_the_edges_of_the_range_are_not_dropped():
    for scheme in ("equal_mass", "equal_width"):
        result = expected_calibration_error([0.0, 1.0], [1, 0], scheme=scheme)
        assert result.ece == 1.0


def test_equal_mass_bins_hold_ties_together_and_split_evenly():
    # Ten distinct values in two bins of five each: gaps 0.2 below and 0.2 above.
    probs = [i / 10 for i in range(10)]
    labels = [0] * 5 + [1] * 5
    expected = abs(sum(probs[:5])) / 10 + abs(5 - sum(probs[5:])) / 10
    assert expected_calibration_error(probs, labels, n_bins=2).ece == pytest.approx(expected)


def test_equal_width_bins_are_the_textbook_ones():
    probs, labels = [0.05, 0.15, 0.95], [0, 1, 1]
    expected = (0.05 + 0.85 + 0.05) / 3
    result = expected_calibration_error(probs, labels, scheme="equal_width")
    assert result.ece == pytest.approx(expected)


@given(samples, st.randoms(use_true_random=False), st.sampled_from(["equal_mass", "equal_width"]))
def test_the_order_of_the_samples_is_irrelevant(pairs, random, scheme):
    before = expected_calibration_error(*zip(*pairs, strict=True), scheme=scheme)
    random.shuffle(pairs)
    assert expected_calibration_error(*zip(*pairs, strict=True), scheme=scheme) == before
    assert 0 <= before.ece <= 1
    assert 0 <= before.noise_floor <= 1
    assert before.rms_debiased >= 0


def test_the_noise_floor_is_what_a_perfect_model_shows():
    rng = np.random.default_rng(3)
    for n, published in ((30, 0.169), (100, 0.093), (500, 0.041)):
        errors, floors = [], []
        for _ in range(150):
            probs = rng.uniform(0.6, 1, n)
            result = expected_calibration_error(probs, rng.random(n) < probs)
            errors.append(result.ece)
            floors.append(result.noise_floor)
        assert np.mean(errors) == pytest.approx(published, rel=0.06)
        assert np.mean(floors) == pytest.approx(np.mean(errors), rel=0.15)


@pytest.mark.parametrize(
    ("probs", "labels", "options"),
    [
        ([], [], {}),
        ([0.5], [], {}),
        ([1.1], [1], {}),
        ([math.nan], [1], {}),
        ([0.5], [2], {}),
        ([0.5], [1], {"n_bins": 0}),
        ([0.5], [1], {"scheme": "quantile"}),
    ],
)
def test_ece_refuses_what_it_cannot_measure(probs, labels, options):
    with pytest.raises(ValueError):  # noqa: PT011
        expected_calibration_error(probs, labels, **options)


def slow_calibration(probs, labels, n_bins, scheme):
    """Count one sample at a time, in fractions that cannot round."""
    n, bins = len(probs), {}
    for p, y in zip(probs, labels, strict=True):
        middle = 2 * sum(q < p for q in probs) + probs.count(p)
        place = min(n_bins - 1, n_bins * middle // (2 * n))
        if scheme == "equal_width":
            place = min(n_bins - 1, int(p * n_bins))
        bins.setdefault(place, []).append((Fraction(p), y))
    ece, floor, squared = Fraction(0), 0.0, Fraction(0)
    for members in bins.values():
        size, hits = len(members), Fraction(sum(y for _, y in members), len(members))
        gap = abs(hits - sum(p for p, _ in members) / size)
        noise = hits * (1 - hits) / (size - 1) if size > 1 else 0
        ece += size * gap
        floor += math.sqrt(2 * size * float(sum(p * (1 - p) for p, _ in members) / size) / math.pi)
        squared += size * (gap * gap - noise)
    return float(ece / n), floor / n, math.sqrt(max(0.0, float(squared / n)))


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]) | st.floats(0, 1), st.integers(0, 1)),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["equal_mass", "equal_width"]),
    st.sampled_from([1, 2, 3, 10, 39, 40, 41, 1000, 10**20]),
)
def test_calibration_agrees_with_counting_sample_by_sample(pairs, scheme, n_bins):
    probs, labels = (list(column) for column in zip(*pairs, strict=True))
    slow = slow_calibration(probs, labels, n_bins, scheme)
    for series in ((probs, labels), (np.array(probs), np.array(labels))):
        result = expected_calibration_error(*series, n_bins, scheme)
        assert result.ece == pytest.approx(slow[0], rel=1e-15, abs=1e-300)
        assert result.noise_floor == pytest.approx(min(1.0, slow[1]), rel=1e-12, abs=1e-160)
        assert result.rms_debiased == pytest.approx(slow[2], rel=1e-9, abs=1e-7)


def test_a_value_whose_middle_lies_on_an_edge_belongs_to_the_upper_bin():
    # Two bins: 0.5 takes the places 1 and 2 of 4, its middle is the edge, and 0.1 stays alone.
    result = expected_calibration_error([0.1, 0.5, 0.5, 0.9], [1, 0, 0, 1], n_bins=2)
    assert result.ece == pytest.approx((0.9 + 0.9) / 4)


def test_a_thousand_even_bins_are_a_thousandth_wide():
    result = expected_calibration_error([0.5005, 0.5015], [0, 1], 1000, "equal_width")
    assert result.ece == pytest.approx((0.5005 + 0.4985) / 2)


# --- bias and fairness


def by_rate(**rates):
    predictions = [int(i < rate * 10) for rate in rates.values() for i in range(10)]
    return predictions, [group for group in rates for _ in range(10)]


def test_rho_bias_is_the_ratio_of_the_rates():
    assert rho_bias(*by_rate(a=0.6, b=0.4)) == pytest.approx(1.5)
    assert rho_bias(*by_rate(a=0.5, b=0.5, c=0.4)) == pytest.approx(1.25)
    assert rho_bias(*by_rate(a=0.0, b=0.0)) == 1.0
    assert rho_bias(*by_rate(a=0.1, b=0.0)) == 1e6
    assert rho_bias(*by_rate(a=0.4)) is None
    assert rho_bias([], []) is None


def test_equalized_odds_is_the_worse_of_both_gaps():
    predictions = [1, 1, 0, 0, 1, 0, 1, 0]
    labels = [1, 1, 0, 0, 1, 1, 0, 0]
    groups = ["a"] * 4 + ["b"] * 4
    assert fairness_equalized_odds(predictions, labels, groups) == pytest.approx(0.5)


def test_a_perfect_classifier_is_fair_although_base_rates_differ():
    labels = [1] * 9 + [0] + [1] + [0] * 9
    groups = ["a"] * 10 + ["b"] * 10
    assert fairness_equalized_odds(labels, labels, groups) == 1.0
    assert fairness_demographic_parity(labels, groups) == pytest.approx(0.2)


def test_with_labels_all_one_equalized_odds_is_the_gap_of_accuracies():
    correct, groups = by_rate(a=0.9, b=0.6)
    assert fairness_equalized_odds(correct, [1] * 20, groups) == pytest.approx(0.7)


def test_without_a_rate_that_two_groups_define_parity_decides():
    assert fairness_equalized_odds([1, 0], [1, 0], ["a", "b"]) == 0.0


def test_one_group_proves_nothing():
    assert fairness_equalized_odds([1, 0], [1, 0], ["a", "a"]) is None
    assert fairness_demographic_parity([1, 0], ["a", "a"]) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc")),
        min_size=2,
        max_size=30,
    )
)
def test_fairness_and_bias_stay_in_their_ranges(rows):
    predictions, labels, groups = zip(*rows, strict=True)
    if len(set(groups)) < 2:
        return
    assert rho_bias(predictions, groups) >= 1
    assert 0 <= fairness_equalized_odds(predictions, labels, groups) <= 1
    assert 0 <= fairness_demographic_parity(predictions, groups) <= 1


def slow_disparity(predictions, labels, groups):
    def rates(chosen):
        seen = {}
        for prediction, group in chosen:
            seen.setdefault(group, []).append(prediction)
        return [sum(values) / len(values) for values in seen.values()]

    overall = rates(zip(predictions, groups, strict=True))
    gaps = []
    for actual in (0, 1):
        rows = zip(predictions, labels, groups, strict=True)
        found = rates((p, g) for p, y, g in rows if y == actual)
        if len(found) >= 2:
            gaps.append(max(found) - min(found))
    ratio = max(overall) / min(overall) if min(overall) else 1e6 if max(overall) else 1.0
    parity = 1 - (max(overall) - min(overall))
    return ratio, 1 - max(gaps) if gaps else parity, parity


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from([0, 3, 70_000])),
        min_size=2,
        max_size=40,
    )
)
def test_bias_and_fairness_agree_with_counting_sample_by_sample(rows):
    predictions, labels, groups = zip(*rows, strict=True)
    if len(set(groups)) < 2:
        return
    slow = slow_disparity(predictions, labels, groups)
    names = [f"group {group}" for group in groups]
    for series in (
        (predictions, labels, groups),
        (predictions, labels, names),
        (np.array(predictions), np.array(labels, dtype=bool), np.array(groups)),
        (np.array(predictions), np.array(labels), np.array(names)),
    ):
        assert rho_bias(series[0], series[2]) == slow[0]
        assert fairness_equalized_odds(*series) == slow[1]
        assert fairness_demographic_parity(series[0], series[2]) == slow[2]


def test_series_of_differing_length_are_refused_by_every_measure():
    for measure in (
        lambda: rho_bias([1, 0], ["a"]),
        lambda: fairness_demographic_parity([1], ["a", "b"]),
        lambda: fairness_equalized_odds([1, 0], [1], ["a", "b"]),
        lambda: fairness_equalized_odds([1, 0], [1, 0], ["a"]),
        lambda: expected_calibration_error([0.5], [1, 0]),
    ):
        with pytest.raises(ValueError, match="differ in length"):
            measure()


def test_footprint_needs_known_usage():
    assert eco_impact_kg(1500, 500, 0.0002) == pytest.approx(0.0004)
    assert eco_impact_kg(None, 500) is None
    assert eco_impact_kg(0, 0) == 0.0
    with pytest.raises(ValueError, match="tokens_out"):
        eco_impact_kg(1, -1)


# --- attestation

N = 120


def evidence():
    correct = [int(i % 10 != 0) for i in range(N)]
    outputs = {
        "predicted_probs": [0.9] * N,
        "predictions": correct,
        "protected_groups": ["a" if i < N // 2 else "b" for i in range(N)],
        "estimated_tokens": 5000,
    }
    truth = {"labels": [1] * N, "dataset_hash": "d" * 64, "consent_verified": True}
    return outputs, truth


def attest(outputs=None, truth=None, seed=7, thresholds=None):
    good_outputs, good_truth = evidence()
    return compute_ethics_attestation(
        {**good_outputs, **(outputs or {})}, {**good_truth, **(truth or {})}, seed, thresholds
    )


def test_the_fields_are_the_direct_computations():
    outputs, truth = evidence()
    made = attest()
    calibration = expected_calibration_error(outputs["predicted_probs"], truth["labels"])
    assert made.ece == round(calibration.ece, 12)
    assert made.rho_bias == rho_bias(outputs["predictions"], outputs["protected_groups"])
    assert made.fairness_score == 1.0
    assert made.eco_impact_kg == pytest.approx(0.001)
    assert made.consent_ok is True
    assert made.dataset_hash == "d" * 64
    assert made.details["calibration"] == dataclasses.asdict(calibration)
    assert made.details["groups"]["a"] == {"n": 60, "favourable": 54}
    assert made.details["n"] == N
    assert made.timestamp is None
    assert attest(truth={"dataset_hash": None}).dataset_hash == ""


POINTS = {"use_bounds": 0}


def test_good_evidence_passes_and_the_gates_say_why_the_rest_does_not():
    # All labels are 1 while the model says 0.9, hence an ECE of 0.1.
    assert attest(thresholds={"ece_max": 0.1, **POINTS}).pass_sigma_guard
    refused = attest(thresholds=POINTS)
    assert not refused.pass_sigma_guard
    assert [g for g, d in refused.details["gates"].items() if not d["ok"]] == ["ece"]
    assert refused.details["gates"]["ece"]["reason"] == "0.1, must be at most 0.01"


@pytest.mark.parametrize(
    ("outputs", "truth", "reason"),
    [
        ({"estimated_tokens": None}, {}, "estimated_tokens is missing"),
        ({"predictions": None}, {}, "predictions is missing"),
        ({"protected_groups": None}, {}, "protected_groups is missing"),
        ({"predictions": "1" * 120}, {}, f"predictions must be a series, got {'1' * 120!r}"),
        ({"protected_groups": ["a"] * 120}, {}, "bias needs at least two groups, got ['a']"),
        (
            {"confidences": [0.9] * 5, "correct": [1] * 4},
            {},
            "the series differ in length: confidences 5, correct 4",
        ),
        ({"confidences": [0.9] * 120}, {}, "correct is missing"),
        ({"correct": [1] * 120}, {}, "confidences is missing"),
        (
            {"predicted_probs": [0.9] * 119},
            {"labels": None},
            "the series differ in length: predicted_probs 119, predictions 120, "
            "protected_groups 120",
        ),
    ],
)
def test_what_could_not_be_used_is_said_in_words(outputs, truth, reason):
    assert reason in attest(outputs, truth).details["reasons"]


def test_the_factor_of_the_model_decides_its_footprint():
    assert attest({"kg_per_1k_tokens": 0.0007}).eco_impact_kg == pytest.approx(0.0035)
    assert attest({"kg_per_1k_tokens": None}).eco_impact_kg == pytest.approx(0.001)
    assert attest({"kg_per_1k_tokens": 1e-11 / 3}).eco_impact_kg == round(5e-11 / 3, 12)


def test_arrays_are_series_and_tables_are_not():
    outputs, _ = evidence()
    as_arrays = {name: np.array(outputs[name]) for name in ("predicted_probs", "predictions")}
    assert attest(as_arrays).ece == attest().ece
    table = np.array(outputs["predictions"]).reshape(-1, 1)
    assert attest({"predictions": table}).rho_bias == 1e6


def test_every_measured_metric_comes_with_its_interval():
    outputs, truth = evidence()
    predictions, groups = outputs["predictions"], outputs["protected_groups"]
    expected = {
        "ece": ece_interval(outputs["predicted_probs"], truth["labels"], seed=3),
        "rho_bias": rho_bias_interval(predictions, groups, seed=3),
        "fairness": fairness_interval(predictions, truth["labels"], groups, seed=3),
    }
    # The seed matters: another one would give another interval of fairness.
    assert expected["fairness"] != fairness_interval(predictions, truth["labels"], groups)
    for thresholds in (None, PROFILES["standard"]):
        found = attest(seed=3, thresholds=thresholds).details["intervals"]
        assert found == {name: [round(x, 12) for x in bounds] for name, bounds in expected.items()}


def test_strict_gates_the_worse_bound_and_standard_the_value():
    made = attest()
    intervals = made.details["intervals"]
    assert made.details["gated"] == {
        "ece": intervals["ece"][1],
        "rho_bias": intervals["rho_bias"][1],
        "fairness": intervals["fairness"][0],
    }
    assert (made.ece, made.rho_bias, made.fairness_score) == (0.1, 1.0, 1.0)
    for name, gate in made.details["gates"].items():
        assert gate["value"] == made.details["gated"].get(name, True)
    point = attest(thresholds=PROFILES["standard"])
    assert point.details["gated"] == {"ece": 0.1, "rho_bias": 1.0, "fairness": 1.0}
    assert point.details["gates"]["rho_bias"]["reason"] == "1, must be at most 1.25"


@pytest.mark.parametrize(
    ("gate", "limit"),
    [("ece", "ece_max"), ("rho_bias", "rho_bias_max"), ("fairness", "fairness_min")],
)
def test_a_value_that_passes_fails_under_strict_when_its_bound_does_not(gate, limit):
    values = {"ece": 0.1, "rho_bias": 1.0, "fairness": 1.0}
    wide = {"ece_max": 0.5, "rho_bias_max": 2.0, "fairness_min": 0.5}
    assert attest(thresholds=wide).pass_sigma_guard
    tight = {**wide, limit: values[gate]}
    assert attest(thresholds={**tight, **POINTS}).pass_sigma_guard
    made = attest(thresholds=tight)
    assert [g for g, d in made.details["gates"].items() if not d["ok"]] == [gate]
    reason = made.details["gates"][gate]["reason"]
    assert reason.endswith(f"(the bound of a measured {values[gate]:g})")


def test_what_was_not_measured_has_no_interval_and_keeps_its_value():
    made = attest(
        {"predicted_probs": None, "protected_groups": None},
        {"not_applicable": {"groups": "no personal data"}},
    )
    assert made.details["intervals"] == {"ece": None, "rho_bias": None, "fairness": None}
    assert made.details["gated"] == {"ece": 1.0, "rho_bias": 1.0, "fairness": 1.0}
    assert made.details["groups"] is None
    assert made.details["n"] == N
    assert made.details["reasons"] == ["predicted_probs is missing"]
    assert attest({"predictions": "1010"}).details["n"] is None


def test_a_seed_that_is_no_whole_number_leaves_nothing_measured():
    made = attest(seed=0.5)
    assert (made.ece, made.rho_bias, made.fairness_score) == WORST
    assert made.details["reasons"] == ["seed must be a whole number, got 0.5"]


def test_confidences_replace_probabilities_for_calibration_only():
    outputs, _ = evidence()
    made = attest({"confidences": [0.9] * N, "correct": outputs["predictions"]}, thresholds=POINTS)
    assert made.ece == pytest.approx(0.0)
    assert made.pass_sigma_guard
    fewer = attest({"confidences": [0.9] * 50, "correct": outputs["predictions"][:50]})
    assert fewer.ece == pytest.approx(0.0)


WORST = (1.0, 1e6, 0.0)


@pytest.mark.parametrize(
    ("outputs", "truth"),
    [
        ({"predicted_probs": [0.9]}, {}),
        ({"protected_groups": ["a"]}, {}),
        ({}, {"labels": [1]}),
        ({"confidences": [0.9] * 40, "correct": [1] * 39}, {}),
    ],
)
def test_differing_lengths_get_the_worst_of_everything_they_touch(outputs, truth):
    made = attest(outputs, truth)
    assert made.ece == 1.0
    if "confidences" not in outputs:
        assert (made.ece, made.rho_bias, made.fairness_score) == WORST
    assert not made.pass_sigma_guard
    assert any("differ in length" in reason for reason in made.details["reasons"])


def test_too_few_samples_and_empty_data_get_the_worst_values():
    for n in (0, 29):
        outputs, truth = evidence()
        outputs = {k: v[:n] if isinstance(v, list) else v for k, v in outputs.items()}
        truth["labels"] = truth["labels"][:n]
        made = compute_ethics_attestation(outputs, truth, 7)
        assert (made.ece, made.rho_bias, made.fairness_score) == WORST


@pytest.mark.parametrize("groups", [["a"] * N, ["a"] * (N - 9) + ["b"] * 9, None, [["a"]] * N])
def test_groups_that_cannot_be_compared_leave_calibration_alone(groups):
    made = attest({"protected_groups": groups})
    assert (made.rho_bias, made.fairness_score) == WORST[1:]
    assert made.ece == pytest.approx(0.1)
    assert made.details["reasons"]


def test_exactly_the_least_number_of_samples_is_enough():
    assert attest(thresholds={"min_samples": N}).details["reasons"] == []
    assert len(attest(thresholds={"min_samples": N + 1}).details["reasons"]) == 2


def test_large_groups_of_few_samples_are_too_little():
    outputs, truth = evidence()
    cut = {k: v[48:72] if isinstance(v, list) else v for k, v in outputs.items()}
    made = attest(cut, {"labels": truth["labels"][48:72]})
    assert (made.ece, made.rho_bias, made.fairness_score) == WORST
    needed = "needs at least 30 samples, got 24"
    assert made.details["reasons"] == [f"calibration {needed}", f"groups {needed}"]
    said = {name: gate["reason"] for name, gate in made.details["gates"].items()}
    assert said["ece"] == f"not measured: calibration {needed}"
    assert said["rho_bias"] == said["fairness"] == f"not measured: groups {needed}"


def test_what_is_declared_not_applicable_need_not_fit_the_rest():
    made = attest({"protected_groups": ["a"]}, {"not_applicable": {"groups": "none"}})
    assert made.ece == pytest.approx(0.1)
    made = attest({"predicted_probs": [0.5]}, {"not_applicable": {"calibration": "none"}})
    assert made.fairness_score == 1.0


def test_metrics_are_rounded_to_twelve_digits():
    outputs, _ = evidence()
    predictions = [1] * 41 + outputs["predictions"][41:]
    made = attest({"predictions": predictions, "predicted_probs": [1 / 3] * N})
    rho = rho_bias(predictions, outputs["protected_groups"])
    assert (made.ece, made.rho_bias) == (0.666666666667, round(rho, 12))
    assert made.rho_bias != rho


def test_a_group_of_the_least_size_counts():
    made = attest({"protected_groups": ["a"] * (N - 10) + ["b"] * 10})
    assert made.rho_bias < 1e6
    assert made.details["reasons"] == []
    small = attest({"protected_groups": ["a"] * (N - 9) + ["b"] * 9})
    assert small.details["reasons"] == ["groups smaller than 10: ['b']"]


@pytest.mark.parametrize(
    ("outputs", "field"),
    [
        ({"predicted_probs": [math.nan] * N}, "ece"),
        ({"predicted_probs": [1.7] * N}, "ece"),
        ({"predicted_probs": None}, "ece"),
        ({"predictions": [2] * N}, "rho_bias"),
        ({"estimated_tokens": None}, "eco"),
        ({"estimated_tokens": -1}, "eco"),
        ({"estimated_tokens": 5_000_000}, "eco"),
    ],
)
def test_invalid_evidence_fails_its_gate_and_never_raises(outputs, field):
    made = attest(outputs, thresholds={"ece_max": 0.1, **POINTS})
    assert not made.pass_sigma_guard
    assert not made.details["gates"][field]["ok"]
    assert len(made.evidence_hash) == len(made.compute_hash()) == 64


@pytest.mark.parametrize("consent", [None, False, 1, "yes"])
def test_consent_is_only_the_object_true(consent):
    made = attest(truth={"consent_verified": consent}, thresholds={"ece_max": 0.1, **POINTS})
    assert made.consent_ok is False
    assert not made.pass_sigma_guard


def test_nothing_that_a_model_outputs_can_grant_consent_or_waive_a_gate():
    outputs, truth = evidence()
    del truth["consent_verified"]
    made = compute_ethics_attestation(
        {**outputs, "consent_verified": True, "not_applicable": {"consent": "x"}}, truth, 7
    )
    assert made.consent_ok is False
    assert made.not_applicable == {}


def test_what_is_declared_not_applicable_is_neutral_and_says_so():
    made = attest(
        {"protected_groups": None, "predicted_probs": None},
        {"not_applicable": {"groups": "no personal data", "calibration": "no log-probabilities"}},
    )
    assert (made.ece, made.rho_bias, made.fairness_score) == (0.0, 1.0, 1.0)
    assert made.pass_sigma_guard
    assert made.not_applicable["groups"] == "no personal data"
    declared = attest(truth={"consent_verified": None, "not_applicable": {"consent": "own texts"}})
    assert declared.consent_ok is True


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"groups": " "}, "needs a written reason for 'groups'"),
        ({"groups": None}, "needs a written reason for 'groups'"),
        ({"eco": "x"}, "knows calibration, consent, groups, got 'eco'"),
        (["groups"], "must map names to reasons, got ['groups']"),
    ],
)
def test_a_declaration_needs_a_known_name_and_a_reason(declared, words):
    with pytest.raises(ValueError, match=f"^not_applicable {re.escape(words)}$"):
        attest(truth={"not_applicable": declared})


def test_wrong_thresholds_are_refused():
    with pytest.raises(ValueError, match="unknown threshold"):
        attest(thresholds={"ece_maximum": 1})


def test_evidence_of_any_kind_has_a_hash_and_one_kind_is_not_another():
    odd = [
        object(),
        {"a": "b"},
        {"a": b"b"},
        2**53,
        2**53 - 1,
        -(2**60),
        "\ud800",
        math.inf,
        "inf",
        1j,
    ]
    found = [attest({"confidences": [value], "correct": None}).evidence_hash for value in odd]
    assert len(set(found)) == len(odd) - 1
    assert found[7] == found[8]


def test_whole_numbers_that_no_double_holds_are_hashed_as_text():
    for value, text in ((2**53 - 1, b"9007199254740991"), (2**53, b'"9007199254740992"')):
        assert sha256_of(value) == hashlib.sha256(text).hexdigest()
        assert sha256_of(-value) == hashlib.sha256(text.replace(b"9", b"-9", 1)).hexdigest()


def changed(name, place, value):
    outputs, truth = evidence()
    series = list((outputs | truth)[name])
    series[place] = value
    return {name: series}


def test_the_same_inputs_always_have_the_same_hashes():
    outputs, truth = evidence()
    again = compute_ethics_attestation(
        {**outputs, "predicted_probs": np.array(outputs["predicted_probs"])},
        {**truth, "labels": np.array(truth["labels"])},
        7,
    )
    flags = [bool(y) for y in truth["labels"]]
    assert attest(truth={"labels": flags}) == attest(truth={"labels": np.array(flags)})
    assert again == attest()
    assert again.compute_hash() == attest().compute_hash()
    stamped = dataclasses.replace(attest(), timestamp="2026-01-01T00:00:00Z", details={})
    assert stamped.compute_hash() == attest().compute_hash()


@pytest.mark.parametrize(
    "variant",
    [
        {"outputs": changed("predicted_probs", 3, 0.9000001)},
        {"outputs": changed("predictions", 3, 0)},
        {"outputs": changed("protected_groups", 3, "b")},
        {"outputs": {"predictions": evidence()[0]["predictions"][::-1]}},
        {"outputs": {"estimated_tokens": 5001}},
        {"outputs": {"kg_per_1k_tokens": 0.0003}},
        {"truth": changed("labels", 3, 0)},
        {"truth": {"dataset_hash": "e" * 64}},
        {"truth": {"not_applicable": {"groups": "x"}}},
        {"seed": 8},
        {"thresholds": {"min_group_size": 11}},
        {"thresholds": POINTS},
    ],
)
def test_any_change_of_the_evidence_changes_both_hashes(variant):
    assert attest(**variant).evidence_hash != attest().evidence_hash
    assert attest(**variant).compute_hash() != attest().compute_hash()


def test_the_hash_is_sha256_of_the_canonical_json_of_the_fields():
    made = attest()
    content = {
        "dataset_hash": "d" * 64,
        "seed": 7,
        "ece": 0.1,
        "rho_bias": 1,
        "fairness_score": 1,
        "consent_ok": True,
        "eco_impact_kg": 0.001,
        "evidence_hash": made.evidence_hash,
        "pass_sigma_guard": False,
        "not_applicable": {},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert made.compute_hash() == hashlib.sha256(text.encode()).hexdigest()


def canonical(content):
    """Write as RFC 8785 does for what occurs here: whole floats without a fraction."""
    plain = json.loads(
        json.dumps(content), parse_float=lambda x: int(y) if (y := float(x)) % 1 == 0 else y
    )
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def test_the_evidence_hash_binds_inputs_parameters_and_results():
    outputs, truth = evidence()
    made = attest()
    absent = dict.fromkeys(["kg_per_1k_tokens", "confidences", "correct", "not_applicable"])
    values = {"ece": made.ece, "rho_bias": made.rho_bias, "fairness": made.fairness_score}
    content = {
        "inputs_sha256": hashlib.sha256(canonical({**outputs, **truth, **absent})).hexdigest(),
        "params": {
            **PROFILES["strict"],
            "n_bins": 10,
            "scheme": "equal_mass",
            "seed": 7,
            "alpha": 0.05,
            "resamples": 1000,
        },
        "results": {
            **{name: [value, made.details["intervals"][name]] for name, value in values.items()},
            "eco_impact_kg": made.eco_impact_kg,
        },
    }
    assert made.evidence_hash == hashlib.sha256(canonical(content)).hexdigest()
