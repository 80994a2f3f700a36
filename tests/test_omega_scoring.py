import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega.scoring import ema, linf_harmonic, normalize_series, score_gate

units = st.floats(0, 1)
positive_units = st.floats(1e-6, 1)
weights = st.floats(1e-6, 1e6)
finite_floats = st.floats(allow_nan=False, allow_infinity=False)


# --- series


@given(st.lists(finite_floats, min_size=2))
def test_minmax_spans_the_unit_interval_in_order(values):
    result = normalize_series(values)
    if min(values) == max(values):
        assert result == [0.5] * len(values)
        return
    assert result[values.index(min(values))] == 0.0
    assert result[values.index(max(values))] == 1.0
    ordered = [after for _, after in sorted(zip(values, result, strict=True))]
    assert ordered == sorted(ordered)


def test_minmax_keeps_small_differences_and_survives_huge_ones():
    assert normalize_series([1e-12, 2e-12, 3e-12]) == [0.0, pytest.approx(0.5), 1.0]
    assert normalize_series([-1.7e308, 0.0, 1.7e308]) == [0.0, 0.5, 1.0]
    assert normalize_series([7]) == [0.5]
    assert normalize_series([]) == normalize_series([], "sigmoid") == []


def test_sigmoid_is_the_logistic_and_never_overflows():
    assert normalize_series([0, 1, -1], "sigmoid") == pytest.approx(
        [0.5, 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))]
    )
    assert normalize_series([-1.7e308, 1.7e308], "sigmoid") == [0.0, 1.0]
    assert normalize_series([3, 5], "sigmoid", center=3, scale=2)[0] == 0.5


def test_sigmoid_of_the_z_score_uses_the_population_deviation():
    z = math.sqrt(1.5)
    expected = [1 / (1 + math.exp(z)), 0.5, 1 / (1 + math.exp(-z))]
    for values in ([1, 2, 3], [1e308, 1.2e308, 1.4e308]):
        result = normalize_series(values, "sigmoid", center="mean", scale="std")
        assert result == pytest.approx(expected)
    assert normalize_series([0.1] * 3, "sigmoid", center="mean", scale="std") == [0.5] * 3
    low, high = normalize_series([1e-300, 1e308], "sigmoid", center="mean", scale="std")
    assert (low, high) == pytest.approx((1 / (1 + math.e), 1 / (1 + 1 / math.e)))


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([1, math.nan], {}),
        ([1, 2], {"method": "zscore"}),
        ([1, 2], {"center": 1.0}),
        ([1, 2], {"method": "sigmoid", "scale": 0}),
        ([1, 1], {"method": "sigmoid", "scale": "std"}),
    ],
)
def test_series_that_make_no_sense_are_refused(values, options):
    with pytest.raises(ValueError):  # noqa: PT011
        normalize_series(values, **options)


def test_ema_starts_at_the_first_value_and_halves_after_its_half_life():
    half_life = 5
    series = ema([1.0] + [0.0] * half_life, alpha=1 - 2 ** (-1 / half_life))
    assert series[0] == 1.0
    assert series[-1] == pytest.approx(0.5)
    assert ema([3, 1], alpha=1) == [3, 1]
    assert ema([]) == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0.01, 1))
def test_ema_never_leaves_the_range_of_what_it_has_seen(series, alpha):
    smoothed = ema(series, alpha)
    assert len(smoothed) == len(series)
    for i, value in enumerate(smoothed):
        seen = series[: i + 1]
        assert min(seen) - 1e-9 <= value <= max(seen) + 1e-9


@pytest.mark.parametrize("alpha", [0, -0.1, 1.1, math.nan])
def test_ema_refuses_rates_outside_the_half_open_unit_interval(alpha):
    with pytest.raises(ValueError, match="alpha"):
        ema([1], alpha)


# --- L∞


def linf(w, m, cost=0.0, lambda_c=0.5, ethical_ok=True):
    return linf_harmonic(w, m, cost, lambda_c, ethical_ok)


@pytest.mark.parametrize(
    ("metrics", "printed", "value"),
    [([0.85, 0.78, 0.92], 0.7380, 0.77260), ([0.82, 0.76, 0.94], 0.738, 0.75618)],
)
def test_linf_of_the_published_examples_is_what_the_formula_gives(metrics, printed, value):
    result = linf([0.4, 0.4, 0.2], metrics, cost=0.15, lambda_c=0.5)
    assert result == pytest.approx(value, abs=5e-6)
    assert result != pytest.approx(printed, abs=1e-2)


def test_linf_is_a_harmonic_mean_discounted_by_cost():
    assert linf([1, 1], [0.5, 1.0]) == pytest.approx(2 / 3)
    assert linf([1, 1], [0.5, 1.0], cost=2, lambda_c=0.5) == pytest.approx(2 / 3 * math.exp(-1))


@given(st.lists(st.tuples(weights, positive_units), min_size=1, max_size=6), st.floats(1e-9, 1e9))
def test_linf_is_homogeneous_in_the_weights(pairs, factor):
    w, m = zip(*pairs, strict=True)
    assert linf([x * factor for x in w], m) == pytest.approx(linf(w, m), rel=1e-12)


@given(st.lists(st.tuples(weights, positive_units), min_size=1, max_size=6))
def test_linf_lies_between_the_least_metric_and_its_bounds(pairs):
    w, m = zip(*pairs, strict=True)
    value = linf(w, m)
    total = math.fsum(w)
    assert min(m) <= value <= max(m)
    assert value <= min(x / (v / total) for v, x in pairs) * (1 + 1e-12)
    assert value <= math.fsum(v * x for v, x in pairs) / total * (1 + 1e-12)


@given(
    st.lists(st.tuples(weights, units), min_size=1, max_size=4),
    st.floats(0, 5),
    st.floats(0, 5),
    st.data(),
)
def test_linf_grows_with_every_metric_and_falls_with_cost(pairs, cost, more, data):
    w, m = (list(column) for column in zip(*pairs, strict=True))
    before = linf(w, m, cost)
    assert linf(w, m, cost + more) <= before
    place = data.draw(st.integers(0, len(m) - 1))
    m[place] = data.draw(st.floats(m[place], 1))
    assert linf(w, m, cost) >= before * (1 - 1e-12)


@given(
    st.lists(st.tuples(weights, st.just(0.0) | positive_units), min_size=1, max_size=6),
    st.floats(0, 5),
    st.data(),
)
def test_linf_is_zero_exactly_when_a_metric_is(pairs, cost, data):
    w, m = (list(column) for column in zip(*pairs, strict=True))
    assert (linf(w, m, cost) == 0) == (0 in m)
    m[data.draw(st.integers(0, len(m) - 1))] = 0.0
    assert linf(w, m, cost) == 0.0


def test_one_metric_at_zero_is_fatal_unless_it_has_no_weight():
    assert linf([1, 1, 1], [0.9, 0.9, 0.0]) == 0.0
    assert linf([1, 1, 0], [0.9, 0.9, 0.0]) == pytest.approx(0.9)
    assert linf({"U": 1, "L": 0}, {"U": 0.9, "L": None}) == pytest.approx(0.9)


def test_extreme_magnitudes_neither_overflow_nor_vanish():
    assert linf([1e308] * 3, [0.5] * 3) == 0.5
    assert linf([5e-324, 1e308, 1.0], [0.25, 0.5, 0.75]) == 0.5
    assert linf([1, 1], [1e-320, 1]) == pytest.approx(2e-320, rel=1e-3)
    assert linf([1], [1], cost=1e308, lambda_c=1e308) == 0.0


@pytest.mark.parametrize("granted", [False, None, 1, "yes", "True"])
def test_only_true_lifts_the_ethics_veto(granted):
    assert linf([1], [0.9], ethical_ok=granted) == 0.0


@pytest.mark.parametrize(
    ("w", "m", "cost", "lambda_c"),
    [
        ([], [], 0, 0.5),
        ([1], [0.5, 0.5], 0, 0.5),
        ([0, 0], [0.5, 0.5], 0, 0.5),
        ([-1, 2], [0.5, 0.5], 0, 0.5),
        ([1], [85], 0, 0.5),
        ([1], [None], 0, 0.5),
        ([0, 1], [85, 0.5], 0, 0.5),
        ([math.inf], [0.5], 0, 0.5),
        ([1], [math.nan], 0, 0.5),
        ([1], [0.5], -0.1, 0.5),
        ([1], [0.5], 0.1, -0.5),
        ([1], [0.5], math.inf, 0.5),
        ({"U": 1}, {"S": 0.5}, 0, 0.5),
        ({"U": 1}, [0.5], 0, 0.5),
    ],
)
def test_linf_refuses_what_it_cannot_mean_even_under_a_veto(w, m, cost, lambda_c):
    for ethical_ok in (True, False):
        with pytest.raises(ValueError):  # noqa: PT011
            linf(w, m, cost, lambda_c, ethical_ok)


def test_what_does_not_match_is_named():
    for w, m, message in (
        ({"U": 1}, {"S": 0.5}, r"keys differ: weights \['U'\], metrics \['S'\]"),
        ({"U": 1}, [0.5], "both be mappings"),
        ([1], {"U": 0.5}, "both be mappings"),
        ([1], [0.5, 0.5], "weights 1, metrics 2"),
        ({"U": 1}, {"U": 85}, r"metrics\[U\] must lie in"),
        ([1, -1], [0.5, 0.5], r"weights\[1\] must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            linf(w, m)


# --- the gate


def gate(U=0.8, S=0.8, C=0.2, L=0.8, tau=0.7, **options):
    weights = {"wU": 0.3, "wS": 0.3, "wC": 0.2, "wL": 0.2}
    return score_gate(U, S, C, L, **{**weights, **options}, tau=tau)


def test_a_limit_is_reached_within_the_tolerance_and_not_beyond():
    def verdict(U):
        return score_gate(U, None, None, None, 1, 0, 0, 0, tau=0.5, canary_margin=0.25).verdict

    assert (verdict(0.5 - 1e-12), verdict(0.5 - 2e-12)) == ("pass", "canary")
    assert (verdict(0.25 - 1e-12), verdict(0.25 - 2e-12)) == ("canary", "fail")


def test_cost_counts_inverted_so_that_dear_candidates_lose():
    assert gate(C=0.0).score == pytest.approx(0.84)
    assert gate(C=1.0).score == pytest.approx(0.64)
    assert gate(C=0.0).contributions == pytest.approx({"U": 0.24, "S": 0.24, "C": 0.2, "L": 0.16})


def test_a_score_at_a_limit_reaches_it():
    assert gate(0.7, 0.7, 0.3, 0.7).verdict == "pass"
    assert gate(0.6, 0.6, 0.4, 0.6).verdict == "canary"
    assert gate(0.6, 0.6, 0.4 + 1e-9, 0.6).verdict == "fail"
    assert gate(0.7, 0.7, 0.3, 0.7 - 1e-9).verdict == "canary"
    assert gate(0.7, 0.7, 0.3, 0.6, canary_margin=0.0).verdict == "fail"
    assert (gate().tau, gate().tau_low) == (0.7, pytest.approx(0.6))


@given(units, units, units, units, st.lists(weights, min_size=4, max_size=4), st.floats(1e-6, 1e6))
def test_the_score_is_a_weighted_mean(U, S, C, L, w, factor):
    result = score_gate(U, S, C, L, *w, tau=0.5)
    terms = [U, S, 1 - C, L]
    assert min(terms) - 1e-12 <= result.score <= max(terms) + 1e-12
    assert math.fsum(result.contributions.values()) == pytest.approx(result.score)
    assert score_gate(1, 1, 0, 1, *w, tau=0.5).score <= 1
    scaled = score_gate(U, S, C, L, *(x * factor for x in w), tau=0.5)
    assert scaled.score == pytest.approx(result.score)


@given(st.tuples(units, units, units, units), st.integers(0, 3), units)
def test_the_score_grows_with_every_axis_and_falls_with_cost(axes, place, more):
    raised = list(axes)
    raised[place] = max(axes[place], more)
    before, after = gate(*axes).score, gate(*raised).score
    assert (after <= before + 1e-15) if place == 2 else (after >= before - 1e-15)
    order = ["fail", "canary", "pass"]
    if place != 2:
        assert order.index(gate(*raised).verdict) >= order.index(gate(*axes).verdict)


def test_an_axis_that_the_suite_lacks_is_left_out_and_the_others_take_its_weight():
    result = gate(L=None, wL=0.0)
    assert result.score == pytest.approx((0.3 * 0.8 + 0.3 * 0.8 + 0.2 * 0.8) / 0.8)
    assert set(result.contributions) == {"U", "S", "C"}
    assert set(gate(S=None, wS=0.0).contributions) == {"U", "C", "L"}


@pytest.mark.parametrize(
    "options",
    [
        {"L": None},
        {"U": 1.2},
        {"C": math.nan},
        {"wU": -0.1},
        {"wU": 0, "wS": 0, "wC": 0, "wL": 0},
        {"tau": 70},
        {"canary_margin": -0.1},
    ],
)
def test_the_gate_refuses_what_it_cannot_mean(options):
    with pytest.raises(ValueError):  # noqa: PT011
        gate(**options)
