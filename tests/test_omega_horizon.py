"""Giving up: where a test can hardly be won any more, and never once it is over."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega.evidence import Look, horizon_crossed, horizon_looks, out_of_reach

Z_80 = 0.8416212335729143


def with_t(t, n):
    """Return n values whose t statistic is t."""
    values = np.array([1.0, -1.0] * (n // 2))
    spread = math.sqrt(n / (n - 1))
    return list(values + t * spread / math.sqrt(n))


def chance(t, share, needed):
    """Return P(B(1) >= c | B(s) = t √s) at the drift c + z_80, from the normal law."""
    left = 1 - share
    z = (needed - t * math.sqrt(share) - (needed + Z_80) * left) / math.sqrt(left)
    return math.erfc(z / math.sqrt(2)) / 2


@pytest.mark.parametrize("needed", [2.0405, 2.7162, 4.0])
@pytest.mark.parametrize("n", [100, 200, 300, 400])
def test_it_is_out_of_reach_where_the_chance_is_below_a_fifth(n, needed):
    edge = next(t for t in np.arange(-9, 9, 0.001) if chance(t, n / 500, needed) >= 0.2)
    assert out_of_reach(with_t(edge - 0.01, n), 500, needed)
    assert not out_of_reach(with_t(edge + 0.01, n), 500, needed)


def test_the_chance_is_right_in_simulation():
    rng = np.random.default_rng(8)
    drift = (2.04 + Z_80) / math.sqrt(500)
    left = rng.standard_normal((4000, 300)).sum(axis=1) + 300 * drift
    start = 0.6 * math.sqrt(200)
    rate = np.mean((start + left) / math.sqrt(500) >= 2.04)
    assert rate == pytest.approx(chance(0.6, 0.4, 2.04), abs=0.025)


@pytest.mark.parametrize("values", [[], [-1.0] * 9, [-1.0] * 500, [0.0] * 501])
def test_too_few_values_and_all_of_them_are_never_out_of_reach(values):
    assert not out_of_reach(values, 500, 2.0)


def test_ten_values_are_enough():
    assert out_of_reach([-1.0] * 10, 500, 2.0)
    assert out_of_reach([-1.0] * 499, 500, 2.0)
    assert not out_of_reach([1.0] * 10, 500, 2.0)


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=60), st.floats(1.5, 4.0))
def test_whoever_loses_more_is_given_up_no_later(values, needed):
    worse = [value - 0.5 for value in values]
    if out_of_reach(values, 100, needed):
        assert out_of_reach(worse, 100, needed)


def test_a_spread_too_small_for_a_double_is_none():
    tiny = [0.0] * 9 + [1e-300]
    assert not out_of_reach(tiny, 500, 2.0)
    assert horizon_crossed(tiny, [Look(10, 2.0)])


def test_giving_up_hardly_costs_power():
    rng = np.random.default_rng(3)
    looks = horizon_looks(500, 0.025)
    runs = np.where(rng.random((400, 500)) < 0.175, 1.0, 0.0)
    runs -= np.where(rng.random((400, 500)) < 0.075, 1.0, 0.0)
    lost = sum(
        horizon_crossed(run, looks)
        and any(out_of_reach(run[: k * 100], 500, looks[-1].critical_t) for k in (1, 2, 3))
        for run in runs
    )
    assert lost <= 4


@pytest.mark.parametrize("wrong", [math.nan, math.inf, None])
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match="value must be"):
        out_of_reach([wrong] * 10, 500, 2.0)
