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
    epistemic_uncertainty,
    majority_disagreement,
    ngram_redundancy,
    outcome_shift,
    pairwise_agreement,
    response_noise,
    token_excess,
    verified_share,
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
    assert caos_silence(0.2, 0.4, 0.1) == pytest.approx(0.4 + 0.15 + 0.225)
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
    assert ngram_redundancy(list("abcd")) == 0.0
    assert ngram_redundancy(["a"] * 10, n=1) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="n must be"):
        ngram_redundancy(["a"], n=0)


parts = st.none() | units


@given(parts, parts, parts)
def test_every_component_is_a_share_or_unknown(a, b, c):
    for component in (caos_consistency, caos_openness, caos_silence):
        value = component(a, b, c)
        assert value is None or 0 <= value <= 1
    assert (caos_consistency(a, b, c) is None) == (a is b is c is None)
    assert (caos_silence(a, b, c) is None) == (None in (a, b, c))


@given(st.floats(-1, 1), any_positive)
def test_autoevolution_is_a_share_for_every_gain_and_cost(gain, cost):
    assert 0 <= caos_autoevolution(gain, cost) <= 1


@pytest.mark.parametrize("component", [caos_consistency, caos_openness, caos_silence])
@pytest.mark.parametrize("place", range(3))
def test_a_part_that_is_no_share_is_refused(component, place):
    measured = [0.5, 0.5, 0.5]
    measured[place] = 85
    with pytest.raises(ValueError, match="must lie in"):
        component(*measured)


def test_only_true_counts_as_verified():
    assert verified_share([True, False, False, 1]) == 0.25
    assert verified_share([]) is None


def test_members_that_contradict_each_other_are_uncertain_and_vague_ones_are_not():
    # One bit of information of one bit: each member is sure, together they are not.
    assert epistemic_uncertainty([[[1, 0], [0, 1]]]) == pytest.approx(1.0)
    assert epistemic_uncertainty([[[0.5, 0.5], [0.5, 0.5]]]) == 0.0
    assert epistemic_uncertainty([[[1, 0, 0, 0], [0, 1, 0, 0]]]) == pytest.approx(0.5)
    assert epistemic_uncertainty([[[1, 0], [0, 1]], [[1, 0], [1, 0]]]) == pytest.approx(0.5)


def test_epistemic_uncertainty_is_the_mutual_information_of_the_joint_law():
    members = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]
    mixed = [0.4, 0.4, 0.2]
    information = sum(
        0.5 * p * math.log(p / q) for law in members for p, q in zip(law, mixed, strict=True)
    )
    assert epistemic_uncertainty([members]) == pytest.approx(information / math.log(3))


def test_tasks_without_a_choice_or_a_second_member_say_nothing():
    assert epistemic_uncertainty([]) is None
    assert epistemic_uncertainty([[], [[0.5, 0.5]], [[1.0], [1.0]]]) is None
    assert epistemic_uncertainty([[[0.5, 0.5]], [[1, 0], [0, 1]]]) == pytest.approx(1.0)


laws = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(
    lambda weights: [weight / math.fsum(weights) for weight in weights]
)


@given(st.lists(st.lists(laws, min_size=2, max_size=4), min_size=1, max_size=4))
def test_epistemic_uncertainty_is_a_share(probabilities):
    assert 0 <= epistemic_uncertainty(probabilities) <= 1
    agreed = [[members[0]] * 3 for members in probabilities]
    assert epistemic_uncertainty(agreed) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([[0.5, 0.5], [0.2, 0.3, 0.5]], r"\[2, 3\] classes"),
        ([[0.5, 0.4], [0.5, 0.5]], "sum to 1, got 0.9"),
        ([[0.5, 0.50001], [0.5, 0.5]], "sum to 1"),
        ([[85, 0.5], [0.5, 0.5]], "probabilities must lie in"),
    ],
)
def test_what_is_no_law_of_the_classes_is_refused(members, message):
    with pytest.raises(ValueError, match=message):
        epistemic_uncertainty([members])
    rounded = [[0.3333333, 0.6666667], [0.5, 0.5]]
    assert epistemic_uncertainty([rounded]) > 0


def test_an_outcome_that_changed_is_a_shift():
    assert outcome_shift(["right", "wrong", "right"], ["right", "right", "wrong"]) == 2 / 3
    assert outcome_shift([], []) is None
    with pytest.raises(ValueError, match="before 1, after 0"):
        outcome_shift(["right"], [])


def test_majorities_disagree_when_they_have_no_answer_in_common():
    assert majority_disagreement([["a", "a", "b"], ["a", "b", "b"]], [["a"], ["a"]]) == 0.5
    assert majority_disagreement([["a", "b"]], [["b", "c"]]) == 0.0
    assert majority_disagreement([["a", "b", "a"]], [["b", "c"]]) == 1.0
    assert majority_disagreement([["a"], [], ["b"]], [["b"], ["a"], []]) == 1.0
    assert majority_disagreement([[]], [["a"]]) is None
    for answers, champion in (([["a"]], []), (["a"], [["a"]]), ([["a"]], ["a"])):
        with pytest.raises(ValueError, match=r"differ in length|sequence of answers"):
            majority_disagreement(answers, champion)


def test_errors_blanks_and_broken_formats_are_noise():
    assert response_noise(["fine", None, " \n", "{}"]) == 0.5
    assert response_noise(["fine", "{", None], [True, False, True]) == pytest.approx(2 / 3)
    assert response_noise(["fine"], [1]) == 1.0
    assert response_noise([]) is None
    with pytest.raises(ValueError, match="differ in length"):
        response_noise(["fine"], [])


def test_tokens_beyond_the_allowance_are_excess():
    assert token_excess([100, 50, 0, 10], [80, 50, 10, 0]) == pytest.approx((0.2 + 1) / 4)
    assert token_excess([0], [0]) == 0.0
    assert token_excess([], []) is None
    with pytest.raises(ValueError, match="actual"):
        token_excess([-1], [1])
    with pytest.raises(ValueError, match="allowed"):
        token_excess([1], [-1])
    with pytest.raises(ValueError, match="differ in length"):
        token_excess([1], [])
