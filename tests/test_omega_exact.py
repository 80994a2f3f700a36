import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega._columns import (
    binary_column,
    coded,
    number_column,
    sorted_outcomes,
    unit_column,
)
from penin_core.omega._exact import exact_parts, exact_sum, segment_starts, sizes_of

moderate = st.floats(-(2.0**23), 2.0**23)
finite_floats = st.floats(-1e300, 1e300)


# --- sums


@given(st.lists(finite_floats, max_size=30))
def test_a_sum_is_exactly_rounded(values):
    assert exact_sum(np.array(values, dtype=np.float64)) == math.fsum(values)


@given(st.lists(moderate, min_size=1, max_size=30), st.data())
def test_the_parts_of_every_segment_sum_to_it_exactly(values, data):
    cuts = data.draw(st.sets(st.integers(0, len(values) - 1)))
    starts = sorted({0, *cuts})
    parts = exact_parts(np.array(values), np.array(starts))
    ends = [*starts[1:], len(values)]
    for start, end, found in zip(starts, ends, parts, strict=True):
        assert sum(map(Fraction, found)) == sum(map(Fraction, values[start:end]))


def test_a_hundred_thousand_terms_lose_nothing():
    rng = np.random.default_rng(1)
    for scale in (1.0, 1e7, 1e12, 1e-300):
        values = rng.uniform(-1, 1, 100_000) * scale
        assert exact_sum(values) == math.fsum(values.tolist())
        assert exact_sum(np.sort(values)) == exact_sum(values)


def test_large_values_of_one_sign_lose_nothing_either():
    values = np.random.default_rng(5).uniform(2**22, 2**23, 100_000)
    for series in (values, -values):
        parts = exact_parts(series, np.array([0, 50_000]))
        for found, segment in zip(parts, np.split(series, 2), strict=True):
            assert math.fsum(found) == math.fsum(segment.tolist())


def test_the_smallest_term_decides_where_the_rest_lies_halfway():
    halfway = np.array([2.0**1000, 2.0**947, 5e-324])
    for series in (halfway, -halfway):
        assert exact_sum(series[:2]) == series[0]
        assert exact_sum(series) == math.fsum(series.tolist()) != series[0]


def test_runs_of_equal_values_begin_where_they_change():
    starts = segment_starts(np.array([0.1, 0.1, 0.2, 0.5, 0.5]))
    assert (starts.tolist(), starts.dtype) == ([0, 2, 3], np.intp)
    assert sizes_of(starts, 5) == [2, 1, 2]
    assert sizes_of(np.array([0]), 7) == [7]
    assert segment_starts(np.array([0.5])).tolist() == [0]


# --- columns

NUMBERS = [0.25, 1, 0, 0.5]


@pytest.mark.parametrize(
    "values",
    [
        NUMBERS,
        tuple(NUMBERS),
        np.array(NUMBERS),
        np.array(NUMBERS, dtype=np.float32),
        np.array(NUMBERS, dtype=object),
        [np.float32(0.25), np.int64(1), 0, Fraction(1, 2)],
        [0.25, 1 + 1e-9, -1e-9, 0.5],
        np.array([0.25, 1 + 1e-9, -1e-9, 0.5]),
    ],
)
def test_units_are_the_same_from_every_kind_of_series(values):
    column = unit_column("scores", values)
    assert column.tolist() == NUMBERS
    assert column.dtype == np.float64


def test_series_of_whole_numbers_are_numbers_too():
    assert unit_column("scores", [0, 1]).tolist() == [0.0, 1.0]
    assert unit_column("scores", np.array([0, 1], dtype=np.uint8)).tolist() == [0.0, 1.0]
    assert number_column("values", [10**20, -3]).tolist() == [1e20, -3.0]
    assert unit_column("scores", []).tolist() == number_column("values", []).tolist() == []


def test_arrays_that_need_no_change_are_not_copied():
    for clean in (np.array([0.0, 0.5, 1.0]), np.array([0.25])):
        assert unit_column("scores", clean) is clean
        assert number_column("values", clean) is clean
    outcomes = np.array([0, 1, 1], dtype=np.uint8)
    assert binary_column("labels", outcomes) is outcomes
    assert unit_column("scores", np.array([0.5, 1 + 1e-9])).tolist() == [0.5, 1.0]
    assert unit_column("scores", np.array([-1e-9, 0.5])).tolist() == [0.0, 0.5]


def test_groups_that_are_numbered_without_gaps_are_not_numbered_anew():
    names = np.array([1, 0, 1])
    found, codes = coded(names)
    assert (found, codes.tolist()) == ([0, 1], [1, 0, 1])
    assert coded(np.array([5, 7, 5]))[0] == [5, 7]
    assert coded(np.array([2, 3, 2]))[1].tolist() == [0, 1, 0]
    assert coded(np.array([70_000, 0, 1]))[0] == [70_000, 0, 1]
    assert coded(np.array([65_535, 0, 1]))[0] == [0, 1, 65_535]
    assert coded(np.array([65_536, 0, 1]))[0] == [65_536, 0, 1]


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint8, np.uint64, np.int64])
def test_groups_may_have_any_whole_numbers_that_their_type_holds(kind):
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    for far in (low, high - 3):
        names = np.array([high, far, high, far + 1], dtype=kind)
        found, codes = coded(names)
        assert [found[code] for code in codes] == names.tolist()
        assert sorted(found) == [far, far + 1, high]
        assert codes.dtype == np.intp


def test_the_caller_keeps_his_array():
    scores = np.array([-1e-10, -0.0, 1 + 1e-10])
    kept = scores.copy()
    sorted_outcomes(unit_column("scores", scores), binary_column("labels", [1, 0, 1]))
    assert scores.tolist() == kept.tolist()
    inside = np.array([0.5, -0.0])
    sorted_outcomes(unit_column("scores", inside), binary_column("labels", [1, 0]))
    assert inside.tolist() == [0.5, 0.0]


def test_a_negative_zero_is_sorted_as_zero():
    probabilities, outcomes = sorted_outcomes(
        unit_column("probs", np.array([0.5, -0.0, 0.0])), binary_column("labels", [1, 1, 0])
    )
    assert probabilities.tolist() == [0.0, 0.0, 0.5]
    assert outcomes.tolist() == [0, 1, 1]


WRONG_UNITS = [
    [0.5, 1.5],
    np.array([0.5, 1.5]),
    [0.5, math.nan],
    [0.5, 85],
    [0.5, -0.1],
    [0.5, None],
    [0.5, "0.5"],
    [0.5, True],
    [0.5, np.True_],
    [0.5, 10**400],
    [0.5, [0.5]],
    np.array([0.5, math.nan]),
    np.array([0.5, 85]),
    np.array([0.5, -0.1]),
    np.array([True, False]),
    np.array(["0.5"]),
    np.array([[0.5]]),
]


@pytest.mark.parametrize("values", WRONG_UNITS, ids=repr)
def test_what_is_no_unit_is_refused_in_a_series_as_alone(values):
    with pytest.raises(ValueError, match=r"^scores must"):
        unit_column("scores", values)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, 10**400])
def test_what_is_no_finite_number_is_refused_in_a_series_as_alone(value):
    with pytest.raises(ValueError, match="values must be a finite number"):
        number_column("values", [1.0, value])


def test_an_array_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="values must be a finite number"):
        number_column("values", np.array([1.0, math.inf]))


OUTCOMES = [0, 1, 1, 0]


@pytest.mark.parametrize(
    "values",
    [
        OUTCOMES,
        [False, True, True, False],
        [0.0, 1.0, True, np.False_],
        [0, Fraction(1), 1, 0],
        np.array(OUTCOMES),
        np.array(OUTCOMES, dtype=bool),
        np.array(OUTCOMES, dtype=np.float32),
        np.array(OUTCOMES, dtype=object),
    ],
)
def test_outcomes_are_the_same_from_every_kind_of_series(values):
    assert binary_column("labels", values).tolist() == OUTCOMES


@pytest.mark.parametrize(
    "values",
    [[1, 2], [0.5], ["1"], [None], [math.nan], [10**30], np.array([1, 2]), np.array(["1"])],
    ids=repr,
)
def test_what_is_no_outcome_is_refused_in_a_series_as_alone(values):
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        binary_column("labels", values)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), max_size=30))
def test_outcomes_are_sorted_along_with_their_probabilities(pairs):
    probabilities = unit_column("probs", [p for p, _ in pairs])
    outcomes = binary_column("labels", [y for _, y in pairs])
    found = zip(
        *(column.tolist() for column in sorted_outcomes(probabilities, outcomes)), strict=True
    )
    assert list(found) == sorted(pairs)


groups = st.lists(st.sampled_from(["a", "b", "c"]), max_size=20)


@given(groups)
def test_groups_are_numbered_in_the_order_in_which_they_appear(names):
    for series in (names, np.array(names, dtype=object)):
        found, codes = coded(series)
        assert found == list(dict.fromkeys(names))
        assert [found[code] for code in codes] == names


@given(st.lists(st.sampled_from([-3, 0, 7, 8, 10**6]), max_size=20))
def test_whole_numbers_may_name_groups_however_far_apart(names):
    for series in (names, np.array(names, dtype=np.int64)):
        found, codes = coded(series)
        assert sorted(found) == sorted(set(names))
        assert [found[code] for code in codes] == names


def test_groups_of_an_array_with_rows_cannot_be_compared():
    with pytest.raises(TypeError):
        coded(np.array([[1], [2]]))
