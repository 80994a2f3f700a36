import math
from fractions import Fraction

import numpy as np
import pytest

from penin_core.omega._numbers import (
    available_mean,
    binary,
    count,
    finite,
    harmonic_mean,
    is_finite,
    non_negative,
    optional_unit,
    same_length,
    unit,
)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, True, 10**400, 1j, np.True_])
def test_only_real_finite_numbers_are_numbers(value):
    with pytest.raises(ValueError, match="weight must be a finite number"):
        finite("weight", value)


def test_a_flag_and_a_number_beyond_all_doubles_are_not_finite():
    assert [is_finite(value) for value in (True, "1", 10**400, math.nan)] == [False] * 4
    assert is_finite(10**300) is True


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1), Fraction(1)])
def test_every_kind_of_real_number_is_taken(value):
    assert finite("weight", value) == 1.0
    assert type(finite("weight", value)) is float


def test_rounding_errors_are_snapped_to_the_edge_of_the_unit_interval():
    assert unit("metric", -1e-9) == 0.0
    assert unit("metric", 1 + 1e-9) == 1.0
    for value in (-2e-9, 1 + 2e-9, 85):
        with pytest.raises(ValueError, match=r"^metric must lie in"):
            unit("metric", value)
    for checked in (unit, optional_unit, non_negative):
        with pytest.raises(ValueError, match=r"^metric must be a finite number, got nan$"):
            checked("metric", math.nan)


def test_counts_are_whole_and_not_booleans():
    assert count("n", np.int64(3)) == 3
    assert count("n", 0) == 0
    for value in (-1, 1.0, True, "1"):
        with pytest.raises(ValueError, match="n must be a whole number"):
            count("n", value)


def test_outcomes_are_zero_or_one():
    assert [binary("label", value) for value in (0, 1, True, False, np.True_, 1.0)] == [
        0, 1, 1, 0, 1, 1,
    ]  # fmt: skip
    for value in (2, "1", None, math.nan):
        with pytest.raises(ValueError, match="label must be 0 or 1"):
            binary("label", value)


def test_differing_lengths_are_named():
    with pytest.raises(ValueError, match="probs 1, labels 2"):
        same_length(probs=[1], labels=[1, 2])


def test_missing_parts_leave_their_weight_to_the_others():
    assert available_mean([(0.4, 1.0), (0.3, None), (0.3, 0.0)]) == pytest.approx(4 / 7)
    assert available_mean([(0.4, None)]) is None


def test_no_rounding_lifts_a_harmonic_mean_above_the_highest_value():
    # As computed, this one would be higher than both by one unit in the last place.
    values = 0.03677877374896443, 0.03677877374896444
    found = harmonic_mean([(1.1428010067264645, values[0]), (5.652437553878151, values[1])])
    assert found == values[1]
