import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penin_core.omega.caos import (
    caos_autoevolution,
    caos_consistency,
    caos_openness,
    caos_plus,
    caos_silence,
    ngram_redundancy,
    pairwise_agreement,
)

units = st.floats(0, 1)
any_positive = st.floats(0, allow_nan=False, allow_infinity=False)
components = st.tuples(units, units, units, units)


@given(components, st.floats(0, allow_nan=False), any_positive, any_positive)
@example((1, 1, 1, 1), math.inf, 1.7e308, 1.7e308)
def test_phi_stays_below_one_for_every_finite_input(parts, kappa, gamma, kappa_max):
    assert 0 <= caos_plus(*parts, kappa=kappa, gamma=gamma, kappa_max=kappa_max) < 1


def test_phi_of_the_documented_example_is_what_the_formula_gives():
    # The documentation prints 1.86 for (1 + 20·0.88·0.40)^(0.35·0.82); phi is tanh(γ·ln) of it.
    caos = math.atanh(caos_plus(0.88, 0.40, 0.35, 0.82, kappa=20, gamma=1, kappa_max=20))
    assert math.exp(caos) == pytest.approx(1.8189, abs=5e-5)


def test_phi_tops_out_where_the_defaults_say():
    assert caos_plus(1, 1, 1, 1) == pytest.approx(math.tanh(0.7 * math.log(3)))
    assert caos_plus(1, 1, 1, 1) == pytest.approx(0.646, abs=1e-3)
    assert caos_plus(1, 1, 1, 1, kappa=10) == pytest.approx(0.933, abs=1e-3)
    assert caos_plus(1, 1, 1, 1, kappa=math.inf) == caos_plus(1, 1, 1, 1, kappa=10)


@pytest.mark.parametrize("place", range(4))
@given(parts=components, more=units)
def test_phi_grows_with_every_component(place, parts, more):
    higher = list(parts)
    higher[place] = max(parts[place], more)
    assert caos_plus(*higher) >= caos_plus(*parts) - 1e-15


@given(components, st.floats(0, 20), st.floats(0, 20))
def test_phi_grows_with_kappa_and_gamma(parts, a, b):
    low, high = sorted((a, b))
    assert caos_plus(*parts, kappa=high) >= caos_plus(*parts, kappa=low) - 1e-15
    assert caos_plus(*parts, gamma=high) >= caos_plus(*parts, gamma=low) - 1e-15


def test_phi_is_strict_in_c_while_its_partners_live():
    values = [caos_plus(c / 10, 0.5, 0.5, 0.5) for c in range(11)]
    assert all(before < after for before, after in pairwise(values))


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ((0, 1, 1, 1), {}),
        ((1, 0, 1, 1), {}),
        ((1, 1, 0, 1), {}),
        ((1, 1, 1, 0), {}),
        ((1, 1, 1, 1), {"kappa": 0}),
        ((1, 1, 1, 1), {"gamma": 0}),
        ((1, 1, 1, 1), {"kappa_max": 0}),
    ],
)
def test_a_dead_partner_makes_phi_exactly_zero(parts, options):
    assert caos_plus(*parts, **options) == 0.0


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ((1.1, 1, 1, 1), {}),
        ((1, 1, math.nan, 1), {}),
        ((None, 1, 1, 7), {}),
        ((1, 1, 1, 1), {"kappa": math.nan}),
        ((1, 1, 1, 1), {"kappa": -1}),
        ((1, 1, 1, 1), {"gamma": -1}),
        ((1, 1, 1, 1), {"gamma": math.inf}),
        ((1, 1, 1, 1), {"kappa_max": -1}),
        ((1, 1, 1, 1), {"kappa_max": math.inf}),
    ],
)
def test_phi_refuses_what_it_cannot_mean(parts, options):
    with pytest.raises(ValueError):  # noqa: PT011
        caos_plus(*parts, **options)


def test_a_component_that_was_not_measured_leaves_phi_unknown():
    assert caos_plus(1, 1, None, 1) is None


def test_consistency_weighs_what_is_there():
    assert caos_consistency(0.9, 0.1, 0.8) == pytest.approx(0.4 * 0.9 + 0.3 * 0.9 + 0.3 * 0.8)
    assert caos_consistency(0.9, 0.1, None) == pytest.approx(0.9)
    assert caos_consistency(None, 0.25, None) == pytest.approx(0.75)
    assert caos_consistency(None, None, None) is None


def test_autoevolution_is_the_gain_against_the_cost():
    assert caos_autoevolution(0.02, 0.06) == pytest.approx(0.25)
    assert caos_autoevolution(0.02, 0.0) == 1.0
    assert caos_autoevolution(-0.3, 0.0) == 0.0
    assert caos_autoevolution(None, 0.1) is None
    assert caos_autoevolution(0.1, None) is None
    with pytest.raises(ValueError, match="cost_norm"):
        caos_autoevolution(None, -0.1)


def test_openness_weighs_what_is_there():
    assert caos_openness(0.5, 0.2, 0.1) == pytest.approx(0.2 + 0.06 + 0.03)
    assert caos_openness(None, 0.2, 0.4) == pytest.approx(0.3)
    assert caos_openness(None, None, None) is None


def test_silence_needs_all_of_its_parts():
    assert caos_silence(0.2, 0.4, 0.0) == pytest.approx(0.4 + 0.15 + 0.25)
    assert caos_silence(0.2, None, 0.0) is None


def test_agreement_is_the_unbiased_chance_that_two_runs_agree():
    assert pairwise_agreement([["a", "a", "b"]]) == pytest.approx(1 / 3)
    assert pairwise_agreement([["a", "a"], ["a", "b"], ["c"]]) == pytest.approx(0.5)
    assert pairwise_agreement([["a"], []]) is None
    with pytest.raises(ValueError, match="sequence of answers"):
        pairwise_agreement(["aa"])


def test_redundancy_is_the_share_of_repeated_ngrams():
    assert ngram_redundancy(list("abcdabcd")) == pytest.approx(0.2)
    assert ngram_redundancy(list("abc")) == 0.0
    assert ngram_redundancy(["a"] * 10, n=1) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="n must be"):
        ngram_redundancy(["a"], n=0)
