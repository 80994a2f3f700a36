import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega.sr import sr_autocorrection, sr_awareness, sr_metacognition, sr_omega

positive_units = st.floats(1e-3, 1)


def test_sr_of_the_documented_example_is_the_mean_of_three_terms():
    assert sr_omega(0.92, True, 0.88, 0.67) == pytest.approx(0.8074, abs=5e-5)


def test_ethics_never_lifts_a_score():
    assert sr_omega(0.9, True, 0.9, 0.9) == pytest.approx(0.9)


@pytest.mark.parametrize("granted", [False, None, 1, "yes"])
def test_only_true_lifts_the_ethics_veto(granted):
    assert sr_omega(0.9, granted, 0.9, 0.9) == 0.0
    assert sr_omega(None, granted, 0.9, 0.9) == 0.0


@pytest.mark.parametrize("method", ["harmonic", "min_soft"])
def test_a_component_at_zero_is_fatal_unless_it_has_no_weight(method):
    assert sr_omega(0.9, True, 0.0, 0.9, method) == 0.0
    assert sr_omega(0.9, True, 0.0, 0.9, method, weights=[1, 0, 1]) == pytest.approx(0.9)


@pytest.mark.parametrize("method", ["harmonic", "min_soft"])
def test_a_component_that_was_not_measured_leaves_sr_unknown(method):
    assert sr_omega(0.9, True, None, 0.9, method) is None


@given(positive_units, positive_units, positive_units, st.floats(-60, -1e-6))
def test_min_soft_is_the_power_mean_and_keeps_to_the_range(a, b, c, p):
    value = sr_omega(a, True, b, c, "min_soft", p=p)
    low = min(a, b, c)
    direct = low * (sum((x / low) ** p for x in (a, b, c)) / 3) ** (1 / p)
    assert value == pytest.approx(direct, rel=1e-6)
    assert low <= value <= max(a, b, c)


@given(positive_units, positive_units, positive_units)
def test_min_soft_falls_from_the_harmonic_mean_to_the_minimum(a, b, c):
    harmonic = sr_omega(a, True, b, c)
    assert sr_omega(a, True, b, c, "min_soft", p=-1) == pytest.approx(harmonic)
    soft = sr_omega(a, True, b, c, "min_soft")
    assert soft == sr_omega(a, True, b, c, "min_soft", [1, 1, 1], -5)
    softer = sr_omega(a, True, b, c, "min_soft", p=-1e6)
    assert soft <= harmonic * (1 + 1e-12)
    assert softer == pytest.approx(min(a, b, c), rel=1e-5)


def test_min_soft_approaches_the_geometric_mean():
    geometric = (0.2 * 0.5 * 0.9) ** (1 / 3)
    assert sr_omega(0.2, True, 0.5, 0.9, "min_soft", p=-1e-12) == pytest.approx(geometric, rel=1e-9)


def test_a_light_minimum_keeps_its_digits():
    # To fifty digits 0.58629309667909092; the sum is 7e-8 of its terms here.
    value = sr_omega(1, True, 1, 0.0625, "min_soft", [1.0, 118771.0, 0.001953125], p=-8)
    assert value == pytest.approx(0.58629309667909092, rel=1e-14)


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.0, 5e-324, 1e-300, 1.0, 1e308]), min_size=3, max_size=3),
    st.sampled_from([-1e-300, -1e-9, -1.0, -5.0, -1e6, -1e300]),
)
def test_nothing_overflows_for_any_finite_weights_and_powers(components, weights, p):
    if max(weights) > 0:
        value = sr_omega(components[0], True, *components[1:], "min_soft", weights, p)
        assert min(components) <= value <= max(components)


def test_a_minimum_beyond_normal_doubles_does_not_overflow():
    components, weights = (2.2e-313, True, 0.0, 1.0), [5e-324, 0.0, 1e-300]
    assert sr_omega(*components, "min_soft", weights, -1e-300) == pytest.approx(1)


@pytest.mark.parametrize("method", ["harmonic", "min_soft"])
def test_weights_that_lie_far_apart_are_weighed(method):
    value = sr_omega(0.25, True, 0.5, 0.75, method, [5e-324, 1e308, 1.0])
    assert value == pytest.approx(0.5)


def test_weights_shift_the_mean():
    assert sr_omega(0.5, True, 1, 1, weights=[2, 1, 1]) == pytest.approx(4 / (2 / 0.5 + 2))


@pytest.mark.parametrize(
    "options",
    [
        {"method": "geometric"},
        {"method": "min_soft", "p": 0},
        {"method": "min_soft", "p": 5},
        {"method": "min_soft", "p": -math.inf},
        {"weights": [1, 1]},
        {"weights": []},
        {"weights": [0, 0, 0]},
        {"weights": [1, -1, 1]},
    ],
)
def test_sr_refuses_what_it_cannot_mean(options):
    for ethics_ok in (True, False):
        with pytest.raises(ValueError):  # noqa: PT011
            sr_omega(0.9, ethics_ok, 0.9, 0.9, **options)


units = st.floats(0, 1)
methods = st.sampled_from(["harmonic", "min_soft"])


@given(st.tuples(units, units, units), st.integers(0, 2), units, methods)
def test_sr_is_a_share_that_grows_with_every_component(components, place, more, method):
    def sr(parts):
        return sr_omega(parts[0], True, parts[1], parts[2], method)

    higher = list(components)
    higher[place] = max(components[place], more)
    assert 0 <= sr(components) <= sr(higher) * (1 + 1e-12)
    assert min(components) <= sr(components) <= max(components)


def test_awareness_is_what_the_calibration_error_leaves():
    assert sr_awareness(0.08) == pytest.approx(0.92)
    assert sr_awareness(None) is None
    with pytest.raises(ValueError, match="ece must lie in"):
        sr_awareness(8)


def test_autocorrection_is_full_when_nothing_failed():
    assert sr_autocorrection(0, 0) == 1.0
    assert sr_autocorrection(9, 4) == 0.5
    with pytest.raises(ValueError, match="fixed must not exceed failed"):
        sr_autocorrection(1, 2)


def test_metacognition_is_the_ordering_of_right_over_wrong():
    assert sr_metacognition([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]) == 1.0
    assert sr_metacognition([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1]) == 0.0
    assert sr_metacognition([0.5] * 4, [1, 0, 1, 0]) == 0.0
    assert sr_metacognition([0.9, 0.5, 0.5], [1, 1, 0]) == pytest.approx(2 * 0.75 - 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_metacognition_agrees_with_counting_all_pairs(samples):
    confidence = [level / 4 for level, _ in samples]
    correct = [right for _, right in samples]
    right = [c for c, ok in zip(confidence, correct, strict=True) if ok]
    wrong = [c for c, ok in zip(confidence, correct, strict=True) if not ok]
    if right and wrong:
        auroc = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
        expected = max(0.0, 2 * auroc / (len(right) * len(wrong)) - 1)
    else:
        expected = 1 - abs(sum(confidence) / len(confidence) - bool(right))
    found = sr_metacognition(confidence, correct)
    assert found == pytest.approx(expected)
    assert sr_metacognition(np.array(confidence), np.array(correct)) == found


def test_a_perfect_model_can_be_scored():
    assert sr_metacognition([0.9, 1.0], [1, 1]) == pytest.approx(0.95)
    assert sr_metacognition([0.2, 0.4], [0, 0]) == pytest.approx(0.7)
    assert sr_metacognition([], []) is None
    with pytest.raises(ValueError, match="differ in length"):
        sr_metacognition([0.5], [])
    with pytest.raises(ValueError, match="confidence must lie in"):
        sr_metacognition([50], [1])
    with pytest.raises(ValueError, match="correct must be 0 or 1"):
        sr_metacognition([0.5], [2])


def test_metacognition_of_a_hundred_thousand_answers_counts_without_rounding():
    confidence = np.arange(100_000) / 100_000
    correct = np.arange(100_000) >= 50_000
    assert sr_metacognition(confidence, correct) == 1.0
