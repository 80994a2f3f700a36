import json
import math
import re
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from penin_core.omega._power import binomial_law
from penin_core.omega.evidence import (
    GRID,
    EProcess,
    betting_confidence_sequence,
    campaign_alpha,
    crossed,
    crossing_probability,
    log_e_path,
    null_crossing_probability,
    paired_difference,
    relative_saving,
    smallest_provable_gain,
)

differences = st.lists(st.floats(-1, 1), max_size=40)
outcomes = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=60)
margins = st.sampled_from([0.0, 0.05, 0.5])
scores = st.none() | st.floats(0, 1)


def log_e(values, margin=0.0):
    process = EProcess(margin)
    for value in values:
        process.update(value)
    return process.log_e


# --- the e-process


@given(differences, margins)
def test_the_capital_is_the_mean_of_the_products_over_the_grid(values, margin):
    products = [
        math.prod(1 + bet * (value + margin) / (1 + margin) for value in values) for bet in GRID
    ]
    assert log_e(values, margin) == pytest.approx(math.log(sum(products) / 6), abs=1e-9)


@given(differences, differences)
def test_with_one_bet_the_capital_of_two_batches_is_the_product(first, second):
    def single(values):
        process = EProcess(grid=(0.3,))
        for value in values:
            process.update(value)
        return process.log_e

    assert single(first + second) == pytest.approx(single(first) + single(second), abs=1e-9)


@given(outcomes, st.randoms(use_true_random=False))
def test_of_wins_and_losses_only_the_counts_matter(values, random):
    wins, losses = values.count(1.0), values.count(-1.0)
    expected = math.log(sum((1 + b) ** wins * (1 - b) ** losses for b in GRID) / 6)
    random.shuffle(values)
    assert log_e(values) == pytest.approx(expected, abs=1e-9)


@given(differences, margins)
def test_the_path_is_bit_for_bit_the_process(values, margin):
    process = EProcess(margin)
    assert log_e_path(values, margin) == [process.update(value) for value in values]
    assert process.n == len(values)


def test_long_runs_neither_overflow_nor_vanish():
    assert log_e([1.0] * 5000) == pytest.approx(5000 * math.log(1.7) - math.log(6))
    assert log_e([-1.0] * 5000) == pytest.approx(5000 * math.log(0.95) - math.log(6))
    assert log_e([]) == 0.0


@given(differences, scores, scores, margins)
def test_a_missing_score_never_raises_the_capital(values, challenger, champion, margin):
    seen = log_e([*values, paired_difference(challenger, champion)], margin)
    for lost in (
        paired_difference(None, champion),
        paired_difference(challenger, None),
        paired_difference(None, None),
    ):
        assert log_e([*values, lost], margin) <= seen
        assert log_e([*values, lost]) <= log_e(values)


@given(differences, st.floats(0, 0.9), st.floats(0, 0.09))
def test_a_larger_margin_is_easier_to_prove(values, margin, more):
    assert log_e(values, margin + more) >= log_e(values, margin) - 1e-9


def test_the_expected_capital_under_the_margin_never_grows():
    # Every two-point law on {-1, 1} whose mean is exactly -margin, two steps deep.
    for margin in (0.0, 0.05):
        win = (1 - margin) / 2
        expected = math.fsum(
            math.exp(log_e(path, margin)) * math.prod(win if d > 0 else 1 - win for d in path)
            for path in product((-1.0, 1.0), repeat=6)
        )
        assert expected <= 1 + 1e-12


def test_rounding_errors_of_a_difference_are_snapped():
    assert log_e([1 + 1e-9]) == log_e([1.0])
    assert log_e([-1 - 1e-9]) == log_e([-1.0])


@pytest.mark.parametrize("value", [1.1, -1.1, 1 + 2e-9])
def test_differences_outside_their_range_are_refused(value):
    with pytest.raises(ValueError, match=rf"^a difference must lie in \[-1, 1\], got {value!r}$"):
        EProcess().update(value)


@pytest.mark.parametrize("value", [math.nan, None, "1", True])
def test_differences_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValueError, match=f"^difference must be a finite number, got {value!r}$"):
        EProcess().update(value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": -0.1}, "margin must be at least 0, got -0.1"),
        ({"margin": 1}, "margin must be below 1, got 1"),
        ({"grid": ()}, "the grid needs bets in (0, 1), got ()"),
        ({"grid": (0.0,)}, "the grid needs bets in (0, 1), got (0.0,)"),
        ({"grid": (0.5, 1)}, "the grid needs bets in (0, 1), got (0.5, 1)"),
        ({"grid": (None,)}, "grid must be a finite number, got None"),
    ],
)
def test_margins_and_grids_that_could_ruin_the_bettor_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        EProcess(**options)


def test_missing_scores_enter_at_their_worst():
    assert paired_difference(0.75, 0.5) == 0.25
    assert paired_difference(None, 0.25) == -0.25
    assert paired_difference(0.25, None) == -0.75
    assert paired_difference(None, None) == -1.0


def test_savings_are_relative_and_unknown_costs_the_worst():
    assert relative_saving(3.0, 1.0) == 0.5
    assert relative_saving(1.0, 3.0) == -0.5
    assert relative_saving(0.0, 0.0) == 0.0
    assert relative_saving(1.5e308, 0.5e308) == 0.5
    assert relative_saving(5e-324, 0.0) == 1.0
    assert relative_saving(None, 1.0) == relative_saving(1.0, None) == -1.0


@pytest.mark.parametrize(("name", "place"), [("challenger", 0), ("champion", 1)])
def test_the_side_that_is_no_score_or_cost_is_named(name, place):
    scores, costs = [0.5, 0.5], [1.0, 1.0]
    scores[place], costs[place] = 1.5, -1.0
    with pytest.raises(ValueError, match=rf"^{name} must lie in \[0, 1\], got 1.5"):
        paired_difference(*scores)
    with pytest.raises(ValueError, match=rf"^{name}_cost must be at least 0, got -1.0"):
        relative_saving(*reversed(costs))


def test_campaign_levels_sum_to_the_whole():
    assert campaign_alpha(1) == 0.025
    assert campaign_alpha(4, 0.1) == pytest.approx(0.005)
    assert math.fsum(campaign_alpha(t) for t in range(1, 2001)) == pytest.approx(0.05 * 2000 / 2001)
    for t in (0, 1.0, True):
        with pytest.raises(ValueError, match="t must be"):
            campaign_alpha(t)


def test_reaching_the_limit_is_crossing_it():
    assert crossed(math.log(20), 0.05)
    assert crossed(-math.log(0.05) - 1e-12, 0.05)
    assert not crossed(math.log(20) - 1e-9, 0.05)
    assert not crossed(math.nan, 0.05)
    for alpha in (0, 1, math.nan):
        with pytest.raises(ValueError, match="alpha"):
            crossed(1.0, alpha)


# --- exact error and power


@pytest.mark.parametrize("t", range(1, 11))
def test_the_exact_null_crossing_keeps_the_level_of_every_confirmation(t):
    alpha = campaign_alpha(t)
    probability = null_crossing_probability(alpha, 1000)
    assert alpha / 10 < probability <= alpha


def test_the_null_crossing_is_the_published_one():
    assert null_crossing_probability(0.05, 500) == pytest.approx(0.0318, abs=5e-5)
    assert null_crossing_probability(0.05 / 8, 500) == pytest.approx(0.00359, abs=5e-6)
    assert null_crossing_probability(0.05, 0) == 0.0


def walked(steps, probabilities, alpha):
    """Enumerate every sequence of outcomes and add up those that cross."""
    total = 0.0
    for path in product(range(len(steps)), repeat=8):
        if any(crossed(e, alpha) for e in log_e_path([steps[i] for i in path])):
            total += math.prod(probabilities[i] for i in path)
    return total


@pytest.mark.parametrize("alpha", [0.2, 0.6])
def test_the_dynamic_programme_agrees_with_every_single_sequence(alpha):
    assert null_crossing_probability(alpha, 8) == pytest.approx(walked([1, -1], [0.5] * 2, alpha))


def test_the_power_agrees_with_every_single_sequence():
    expected = walked([1, 0, -1], [0.6, 0.3, 0.1], 0.2)
    assert crossing_probability(0.5, 0.7, 8, 0.2) == pytest.approx(expected)
    certain = walked([1, -1], [0.8, 0.2], 0.2)
    assert crossing_probability(0.6, 1.0, 8, 0.2) == pytest.approx(certain)


@pytest.mark.parametrize(
    ("n", "gain", "powers"),
    [(500, 0.10, (0.95, 0.91, 0.80, 0.68)), (1000, 0.10, (0.99, 0.99, 0.99, 0.99))],
)
def test_the_power_is_the_simulated_one(n, gain, powers):
    for t, power in zip((1, 2, 5, 10), powers, strict=True):
        exact = crossing_probability(gain, 0.25, n, campaign_alpha(t))
        assert exact == pytest.approx(power, abs=0.012)
    assert crossing_probability(0.05, 0.25, 1000, 0.025) == pytest.approx(0.63, abs=0.02)


@pytest.mark.parametrize(("n", "p"), [(0, 0.5), (1, 0.3), (40, 0.02), (1000, 0.75), (5, 1.0)])
def test_the_binomial_law_is_that_of_scipy(n, p):
    expected = stats.binom.pmf(np.arange(n + 1), n, p)
    assert binomial_law(n, p).tolist() == pytest.approx(expected.tolist(), rel=1e-10, abs=1e-300)


def test_without_a_gain_the_power_is_the_error():
    assert 0 < crossing_probability(0.0, 0.25, 500, 0.025) <= 0.025
    assert crossing_probability(-0.05, 0.25, 500, 0.025) < 0.001
    assert crossing_probability(0.0, 0.0, 500, 0.025) == 0.0
    with pytest.raises(ValueError, match="gain must not exceed"):
        crossing_probability(0.3, 0.25, 500, 0.025)


def test_the_smallest_provable_gain_is_the_edge_of_the_power():
    gain = smallest_provable_gain(500, 0.025)
    assert crossing_probability(gain, 0.25, 500, 0.025) >= 0.8
    assert crossing_probability(gain - 1e-4, 0.25, 500, 0.025) < 0.8
    for n in (150, 300, 777, 1200):
        least = smallest_provable_gain(n, 0.025)
        assert round(least * 10_000) / 10_000 == least
        share = max(0.25, least)
        assert crossing_probability(least, share, n, 0.025) >= 0.8
        assert crossing_probability(least - 1e-4, max(0.25, least - 1e-4), n, 0.025) < 0.8
    assert smallest_provable_gain(2000, 0.025) < gain < smallest_provable_gain(100, 0.025)
    assert smallest_provable_gain(30, 0.025) > 0.25
    assert smallest_provable_gain(5, 0.025) is None


# --- confidence sequence


def trinomial(rng, n, discordance, gain):
    return rng.choice(
        [1.0, 0.0, -1.0],
        size=n,
        p=[(discordance + gain) / 2, 1 - discordance, (discordance - gain) / 2],
    )


def test_the_interval_covers_the_mean_far_more_often_than_it_promises():
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(300):
        lower, upper = betting_confidence_sequence(trinomial(rng, 120, 0.4, 0.1), alpha=0.2)
        missed += not lower <= 0.1 <= upper
    assert 0 < missed / 300 <= 0.2


@pytest.mark.parametrize(("n", "discordance"), [(100, 0.25), (300, 0.45), (2000, 0.1)])
def test_the_interval_is_within_half_more_of_the_one_for_a_fixed_count(n, discordance):
    rng = np.random.default_rng(6)
    normal = 2 * 1.96 * math.sqrt(discordance / n)
    widths = []
    for _ in range(5):
        lower, upper = betting_confidence_sequence(trinomial(rng, n, discordance, 0.05))
        widths.append(upper - lower)
    assert np.mean(widths) < 1.5 * normal


@settings(deadline=None)
@given(outcomes, st.sampled_from([0.05, 0.3]))
def test_the_lower_bound_passes_zero_exactly_when_the_e_process_passes(values, alpha):
    lower, upper = betting_confidence_sequence(values, alpha)
    assert -1 <= lower < upper <= 1
    assert [round(bound, 9) for bound in (lower, upper)] == [lower, upper]
    best = max(log_e_path(values), default=0.0)
    worst = max(log_e_path([-value for value in values]), default=0.0)
    needed = math.log(2 / alpha)
    if best < needed - 1e-6 and worst < needed - 1e-6:
        assert lower <= 0 <= upper
    elif best > needed + 1e-6 > worst:
        assert lower > 0


@settings(deadline=None)
@given(differences)
def test_the_interval_mirrors_its_values(values):
    lower, upper = betting_confidence_sequence(values)
    assert betting_confidence_sequence([-value for value in values]) == (-upper, -lower)


def test_more_looks_never_widen_the_interval():
    values = trinomial(np.random.default_rng(7), 200, 0.3, 0.1)
    intervals = [betting_confidence_sequence(values[:n]) for n in range(0, 201, 20)]
    for (low, high), (next_low, next_high) in pairwise(intervals):
        assert low <= next_low < next_high <= high


def test_values_that_drift_beyond_all_means_still_give_an_interval():
    lower, upper = betting_confidence_sequence([1.0] * 1000 + [-1.0] * 1000)
    assert lower < 0 < upper
    # Of the last look alone, so the lower bound is the mean that just it refutes at α/2 = 1/40.
    gains, losses = (
        np.log1p(np.array(GRID) * (value - lower) / (1 + lower)) * 1000 for value in (1, -1)
    )
    log_e = np.logaddexp.reduce(gains + losses) - math.log(len(GRID))
    assert log_e == pytest.approx(math.log(40), abs=1e-4)
    assert betting_confidence_sequence([]) == (-1.0, 1.0)


def test_capital_too_small_for_a_double_leaves_an_interval_too():
    lower, upper = betting_confidence_sequence([1.0] * 2000 + [-1.0] * 2000)
    assert lower < 0 < upper


@pytest.mark.parametrize(("values", "alpha"), [([1.5], 0.05), ([math.nan], 0.05), ([0.5], 0)])
def test_the_interval_refuses_what_it_cannot_mean(values, alpha):
    with pytest.raises(ValueError):  # noqa: PT011
        betting_confidence_sequence(values, alpha)


@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(1e-6, 0.999))
def test_reached_says_of_the_capital_what_crossed_says_of_its_logarithm(differences, alpha):
    process = EProcess()
    for difference in differences:
        process.take(difference)
        assert process.reached(alpha) is crossed(process.log_e, alpha)


@given(st.lists(st.floats(-1, 1), max_size=40), st.sampled_from([0.0, 0.05]))
def test_an_e_process_goes_on_from_its_state_to_the_last_bit(differences, margin):
    whole = EProcess(margin)
    for half in (differences[::2], differences[1::2]):
        state = json.loads(json.dumps(whole.export_state()))
        whole = EProcess.from_state(state)
        for difference in half:
            whole.take(difference)
    assert whole.log_e == (log_e_path([*differences[::2], *differences[1::2]], margin) or [0.0])[-1]
    assert whole.n == len(differences)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"margin": 1.0},
        {"bets": []},
        {"products": [[0.5, 0]]},
        {"products": [[0.0, 0]] * 6},
        {"products": [[math.nan, 0]] * 6},
        {"products": [[0.5, 0.5]] * 6},
        {"products": None},
        {"n": -1},
    ],
)
def test_what_is_no_state_of_an_e_process_is_refused(spoiled):
    with pytest.raises(ValueError, match="no state of an e-process"):
        EProcess.from_state({**EProcess().export_state(), **spoiled})
    with pytest.raises(ValueError, match="no state of an e-process"):
        EProcess.from_state({})


def test_no_power_at_all_is_shown_by_the_smallest_gain_there_is():
    assert smallest_provable_gain(1, 0.05, power=0.0) == 1e-4
