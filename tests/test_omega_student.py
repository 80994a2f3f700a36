import math

import pytest
from scipy.stats import t as scipy_t

from penin_core.omega._student import student_quantile, student_upper_tail

DEGREES = (1, 2, 3, 8, 19, 99, 498, 1999)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("tail", [1e-14, 1e-6, 0.01, 0.025, 0.05, 0.3, 0.49, 0.6, 0.95, 0.9999])
def test_the_quantile_is_that_of_scipy(df, tail):
    assert student_quantile(tail, df) == pytest.approx(scipy_t.isf(tail, df), rel=1e-10)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("t", [0.0, 0.01, 0.3, 1.0, 2.5, 40.0, 1e6])
def test_the_tail_is_that_of_scipy(df, t):
    assert student_upper_tail(t, df) == pytest.approx(scipy_t.sf(t, df), rel=1e-10, abs=1e-300)


def test_the_tail_near_zero_keeps_its_digits():
    # One degree of freedom is the Cauchy distribution: 1/2 - arctan(t)/π.
    assert student_upper_tail(1e-9, 1) == 0.5 - math.atan(1e-9) / math.pi


def test_a_t_beyond_all_doubles_leaves_no_tail():
    assert student_upper_tail(1e200, 5) == 0.0


def test_the_median_is_zero_and_the_quantile_is_odd():
    assert student_quantile(0.5, 7) == 0.0
    assert student_quantile(0.975, 7) == pytest.approx(-student_quantile(0.025, 7), rel=1e-12)


@pytest.mark.parametrize(("tail", "df"), [(0, 3), (1, 3), (0.05, 0), (0.05, 1.5), (True, 3)])
def test_levels_and_degrees_that_make_no_sense_are_refused(tail, df):
    with pytest.raises(ValueError):  # noqa: PT011
        student_quantile(tail, df)
