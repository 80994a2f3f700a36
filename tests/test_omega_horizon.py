"""Planned looks, and giving up: where a test can hardly be won, and never once it is over."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from penin_core.omega._horizon import _boundary
from penin_core.omega.evidence import (
    Look,
    campaign_alpha,
    horizon_crossed,
    horizon_looks,
    out_of_reach,
)

Z_80 = 0.8416212335729143


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Have every test compute its boundary anew."""
    _boundary.cache_clear()


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
    assert not horizon_crossed(tiny, [Look(10, 2.0)])


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
    with pytest.raises(ValueError, match=r"^value must be"):
        out_of_reach([wrong] * 10, 500, 2.0)
    with pytest.raises(ValueError, match=r"^difference must be"):
        horizon_crossed([0.5, wrong], [Look(2, 2.0)])


@pytest.mark.parametrize("wrong", [1.05, -1.05])
def test_what_is_no_difference_of_two_scores_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^a difference must lie in \[-1, 1\]"):
        horizon_crossed([0.5, wrong], [Look(2, 2.0)])


# --- planned looks


def test_the_boundary_is_that_of_o_brien_and_fleming():
    # Jennison and Turnbull 2000, table 2.3: C_B(5, 0.05) = 2.040, two-sided, hence 0.025 here.
    looks = horizon_looks(100_000, 0.025)
    assert [look.tasks for look in looks] == [20_000, 40_000, 60_000, 80_000, 100_000]
    for look in looks:
        z = 2.040 / math.sqrt(look.tasks / 100_000)
        assert look.critical_t == pytest.approx(z, rel=1e-3)


def test_small_looks_take_student_for_normal():
    first, *_, last = horizon_looks(500, 0.025)
    tail = stats.norm.sf(2.0400731751734 / math.sqrt(0.2))
    assert first.critical_t == pytest.approx(stats.t.isf(tail, 99), rel=1e-9)
    assert last.critical_t == pytest.approx(2.0454, abs=1e-3)


def test_the_recursion_agrees_with_the_multivariate_normal_law():
    boundary = horizon_looks(100_000, 0.1)[-1].critical_t
    times = np.arange(1, 6) / 5
    law = stats.multivariate_normal(np.zeros(5), np.minimum.outer(times, times), seed=1)
    assert 1 - law.cdf(np.full(5, boundary)) == pytest.approx(0.1, abs=2e-4)


def test_the_planned_looks_keep_their_level_and_find_real_gains():
    rng = np.random.default_rng(9)
    looks = horizon_looks(200, 0.05)
    rates = {}
    for gain in (0.0, 0.15):
        law = [0.15 + gain / 2, 0.7, 0.15 - gain / 2]
        runs = rng.choice([1.0, 0.0, -1.0], size=(600, 200), p=law).tolist()
        rates[gain] = np.mean([horizon_crossed(run, looks) for run in runs])
    assert rates[0.0] == pytest.approx(0.05, abs=0.025)
    assert rates[0.15] > 0.95


def cautious(values):
    """Return t by SciPy with one imagined -1, lowered by Hall's transformation where it leans."""
    counted = [*values, -1.0]
    t = float(stats.ttest_1samp(counted, 0).statistic)
    lean = min(0.0, float(stats.skew(counted))) / math.sqrt(len(counted))
    return min(t, t + lean * (t * t / 3 + 1 / 6) + lean**2 * t**3 / 27)


@pytest.mark.parametrize("law", [(-0.2, 0.5), (-0.9, -0.2), (0.1, 0.2), (-1.0, 1.0)])
def test_a_look_compares_a_t_statistic_with_one_imagined_loss_that_is_not_trusted_to_lean(law):
    for seed in range(5):
        values = np.random.default_rng(seed).uniform(*law, 12).tolist()
        t = cautious(values)
        assert t <= stats.ttest_1samp([*values, -1.0], 0).statistic
        assert horizon_crossed(values, [Look(12, t - 1e-9 * abs(t))])
        assert horizon_crossed([*values, -1.0], [Look(12, t - 1e-9 * abs(t))])
        assert not horizon_crossed(values, [Look(12, t + 1e-9 * abs(t))])


def test_a_law_that_leans_to_the_right_takes_students_t_as_it_is():
    values = [1.0] * 5 + [0.0] * 20 + [-1.0]
    t = float(stats.ttest_1samp([*values, -1.0], 0).statistic)
    assert stats.skew([*values, -1.0]) > 0
    assert horizon_crossed(values, [Look(26, t - 1e-9)])
    assert not horizon_crossed(values, [Look(26, t + 1e-9)])


def test_nothing_raises_students_t():
    # Here γ is nearly -1 and t is 30, where the cubic term alone is a thousand.
    t = float(stats.ttest_1samp([1.0] * 60 + [-1.0], 0).statistic)
    assert t == pytest.approx(29.5, abs=0.5)
    assert horizon_crossed([1.0] * 60, [Look(60, t * (1 - 1e-9))])
    assert not horizon_crossed([1.0] * 60, [Look(60, t * (1 + 1e-9))])


def test_equal_values_are_no_proof_until_losses_would_have_shown():
    # With 500 equal values, losses of 1 that come in 0.74 % of all tasks stay away in 2.5 %.
    looks = horizon_looks(500, 0.025)
    assert not horizon_crossed([0.0074] * 500, looks)
    assert horizon_crossed([0.0160] * 500, looks)
    assert not horizon_crossed([-1.0] * 500, looks)


def level_of_rare_losses(n, alpha, losses, loss):
    """Return the exact level where D is -loss in ``losses`` of n tasks, else what makes up for it.

    The number of losses is all that a look depends on. What has a probability below 1e-12 is left
    out.
    """
    rate = losses / n
    gain = loss * rate / (1 - rate)
    alive, crossed, before = np.ones(1), 0.0, 0
    for look in horizon_looks(n, alpha):
        new = look.tasks - before
        alive = np.convolve(alive, stats.binom.pmf(range(new + 1), new, rate))
        before = look.tasks
        for k in range(int(stats.binom.isf(1e-12, before, rate)) + 1):
            if horizon_crossed([-loss] * k + [gain] * (before - k), [look]):
                crossed, alive[k] = crossed + alive[k], 0.0
    return crossed


@pytest.mark.parametrize("loss", [1.0, 0.5])
@pytest.mark.parametrize("losses", [1, 3, 8, 15, 90])
@pytest.mark.parametrize("t", [1, 5, 20])
def test_rare_large_losses_are_mistaken_for_a_gain_no_more_often_than_declared(t, losses, loss):
    alpha = campaign_alpha(t)
    assert level_of_rare_losses(300, alpha, losses, loss) <= alpha


def test_looks_that_were_not_reached_say_nothing():
    looks = horizon_looks(100, 0.05)
    assert not horizon_crossed([1.0] * 19, looks)
    assert horizon_crossed([1.0] * 20, looks)
    assert not horizon_crossed([0.0] * 100, looks)
    assert not horizon_crossed([0.0] * 100, [Look(100, 0.5)])
    assert not horizon_crossed([-1.0] * 100, looks)
    assert [look.tasks for look in horizon_looks(10, 0.5)] == [2, 4, 6, 8, 10]
    for n, alpha, message in ((9, 0.05, "n must be"), (100, 0.6, "alpha must be at most")):
        with pytest.raises(ValueError, match=message):
            horizon_looks(n, alpha)
