import math
from itertools import combinations
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega.metrics import (
    composition_score,
    cost_ratio,
    cost_score,
    exact_match,
    field_f1,
    learning_gain,
    normalize_text,
    object_exact,
    parse_json_object,
    pass_at_k,
    robustness,
    rouge_l_f,
    token_f1,
)

BASELINE = {"cost_usd": 0.002, "latency_ms": 400.0, "tokens": 50.0}
words = st.lists(st.sampled_from("abcde"), max_size=12).map(" ".join)
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab .", max_size=3)
objects = st.dictionaries(
    st.text("xy", max_size=2),
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text("xy", max_size=2), inner)
        ),
        max_leaves=6,
    ),
    max_size=4,
)

# --- text


def test_normalisation_folds_width_case_punctuation_and_spaces():
    assert normalize_text("  Ｈｅｌｌｏ,\n«WORLD»! ") == "hello world"
    assert normalize_text("STRASSE") == normalize_text("straße")
    assert normalize_text("R$ 5+2") == "r$ 5+2"
    assert normalize_text("ﬁne—print") == "fineprint"
    assert normalize_text("...") == ""


def test_exact_match_is_equality_and_not_containment():
    assert exact_match("Forty-two.", "forty two") == 0.0
    assert exact_match(" Forty-Two! ", "fortytwo") == 1.0
    assert exact_match("142", "42") == 0.0
    assert exact_match("", "42") == 0.0
    assert exact_match("", "?!") == 1.0


def test_token_f1_counts_repeated_words():
    assert token_f1("the cat the", "the the dog") == pytest.approx(2 / 3)
    assert token_f1("cat", "cat sat") == pytest.approx(2 / 3)


def test_rouge_l_follows_the_order_of_the_words():
    # Lin 2004, section 3.1: the common subsequences have length 3 and 2.
    reference = "police killed the gunman"
    assert rouge_l_f("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_l_f("the gunman kill police", reference) == pytest.approx(2 / 4)


@pytest.mark.parametrize("metric", [token_f1, rouge_l_f])
def test_empty_texts_agree_only_with_each_other(metric):
    assert metric("", "!") == 1.0
    assert metric("a", "") == 0.0
    assert metric("", "a") == 0.0


def subsequence_length(first, second):
    return next(
        size
        for size in range(len(first), -1, -1)
        for chosen in combinations(first, size)
        if is_subsequence(chosen, second)
    )


def is_subsequence(chosen, whole):
    rest = iter(whole)
    return all(word in rest for word in chosen)


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_rouge_l_agrees_with_trying_every_subsequence(first, second):
    length = subsequence_length(first, second)
    expected = 2 * length / (len(first) + len(second)) if first or second else 1.0
    assert rouge_l_f(" ".join(first), " ".join(second)) == expected


@given(words, words)
def test_overlaps_are_symmetric_and_order_never_helps(a, b):
    assert token_f1(a, b) == token_f1(b, a)
    assert rouge_l_f(a, b) == rouge_l_f(b, a)
    assert 0 <= rouge_l_f(a, b) <= token_f1(a, b) <= 1
    assert exact_match(a, b) <= rouge_l_f(a, b)


def test_long_texts_are_compared_quickly():
    text = " ".join(str(i % 97) for i in range(20_000))
    start = perf_counter()
    assert rouge_l_f(text, text) == 1.0
    assert perf_counter() - start < 2


# --- objects


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n{"a": {"b": [1, "}"]}} ', {"a": {"b": [1, "}"]}}),
        ('Sure!\n```json\n{"a": 1}\n``` and {"b": 2}', {"a": 1}),
        ("{}", {}),
        ("", None),
        ("no object", None),
        ('{"a": 1', None),
        ("{a: 1}", None),
        ('{"a": 1, "a": 1}', None),
        ('{"x": {"b": 1, "b": 2}} {"c": 3}', None),
        ('{"a": NaN}', None),
        ('{"a": -Infinity}', None),
        ('{"a": 1e999}', None),
        ('[{"a": 1}]', None),
        ('"{}"', None),
        ('{"a":' * 100_000, None),
        ('{"a": ' + "1" * 5000 + "}", None),
    ],
)
def test_an_object_is_found_or_refused_whole(text, found):
    assert parse_json_object(text) == found


def test_field_f1_counts_pairs():
    reference = {"people": "5 adults", "time": "6 a.m."}
    assert field_f1({"people": "5 Adults", "time": "6 am"}, reference) == 1.0
    assert field_f1({"people": "5 adults"}, reference) == pytest.approx(2 / 3)
    assert field_f1({"people": "5 adults", "time": "7", "date": "x"}, reference) == 2 / 5
    assert field_f1({"time": "5 adults"}, reference) == 0.0


def test_values_are_compared_by_kind():
    assert field_f1({"n": 5.0}, {"n": 5}) == 1.0
    for wrong in ("5", True, None, [5], {"n": 5}, 6):
        assert field_f1({"n": wrong}, {"n": 5}) == 0.0
    assert field_f1({"n": True}, {"n": 1}) == 0.0
    assert field_f1({"n": None}, {"n": None}) == 1.0
    assert field_f1({"n": []}, {"n": {}}) == 0.0


def test_nested_objects_and_arrays_count_leaf_by_leaf():
    reference = {"a": {"b": 1, "c": [1, 2]}}
    assert field_f1({"a": {"b": 1, "c": [1, 3]}}, reference) == pytest.approx(2 / 3)
    assert field_f1({"a": {"c": [1, 2], "b": 1}}, reference) == 1.0
    assert field_f1({"a": {"b": 1, "c": {"0": 1, "1": 2}}}, reference) == pytest.approx(1 / 3)


def test_the_empty_object_is_an_answer_and_no_object_is_none():
    assert field_f1({}, {}) == 1.0
    assert field_f1({}, {"a": 1}) == 0.0
    assert field_f1({"a": 1}, {}) == 0.0
    assert field_f1(None, {}) == 0.0
    assert object_exact(None, {}) == 0.0
    with pytest.raises(ValueError, match="reference must be an object"):
        field_f1({}, None)


@given(objects, objects)
def test_objects_agree_exactly_when_their_f1_is_one(a, b):
    assert field_f1(a, a) == object_exact(a, a) == 1.0
    assert field_f1(a, b) == field_f1(b, a)
    assert object_exact(a, b) == float(field_f1(a, b) == 1.0)


# --- combinations


def test_pass_at_k_counts_the_draws_without_a_right_sample():
    for n, c, k in ((5, 2, 3), (4, 0, 2), (4, 4, 1), (6, 1, 6), (7, 3, 2)):
        draws = list(combinations(range(n), k))
        hits = sum(any(i < c for i in draw) for draw in draws)
        assert pass_at_k(n, c, k) == pytest.approx(hits / len(draws))
    assert pass_at_k(10_000, 1, 1) == 1e-4


@pytest.mark.parametrize(
    ("n", "c", "k"), [(5, 6, 1), (5, 1, 6), (5, 1, 0), (5, -1, 1), (5, 0.5, 1)]
)
def test_pass_at_k_refuses_impossible_counts(n, c, k):
    with pytest.raises(ValueError):  # noqa: PT011
        pass_at_k(n, c, k)


def test_cost_at_the_baseline_is_one_half_and_never_saturates():
    assert cost_score(0.002, 400, 50, BASELINE) == pytest.approx(0.5)
    assert cost_score(0, 0, 0, BASELINE) == 0.0
    twice, twenty = (cost_score(0.002 * k, 400 * k, 50 * k, BASELINE) for k in (2, 20))
    assert (twice, twenty) == (pytest.approx(2 / 3), pytest.approx(20 / 21))
    assert cost_ratio(0.004, 400, 50, BASELINE) == pytest.approx(1.5)
    assert cost_score(1e308, 0, 0, {"cost_usd": 1e-300}) == 1.0


def test_parts_without_a_baseline_leave_their_weight_to_the_others():
    free = {**BASELINE, "cost_usd": 0.0}
    assert cost_ratio(0.0, 800, 50, free) == pytest.approx((0.3 * 2 + 0.2) / 0.5)
    assert cost_ratio(0.004, 0, 0, {"cost_usd": 0.002}) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("used", "baseline"),
    [
        ((0.1, 1, 1), {}),
        ((0.1, 1, 1), {"cost_usd": 0.0}),
        ((0.1, 1, 1), {"cost": 1.0}),
        ((-0.1, 1, 1), BASELINE),
        ((None, 1, 1), BASELINE),
        ((math.nan, 1, 1), BASELINE),
        ((0.1, 1, 1), {"cost_usd": -1.0}),
    ],
)
def test_cost_refuses_what_it_cannot_compare(used, baseline):
    with pytest.raises(ValueError):  # noqa: PT011
        cost_score(*used, baseline)


def test_robustness_looks_at_solved_tasks_and_rewards_no_luck():
    assert robustness([1.0, 0.5, 0.0], [[1.0, 0.0], [1.0], [1.0]]) == pytest.approx(0.75)
    assert robustness([0.0], [[1.0]]) == 0.0
    assert robustness([], []) == 0.0
    with pytest.raises(ValueError, match="no perturbed forms"):
        robustness([1.0], [[]])


def test_learning_gain_is_the_share_of_the_headroom():
    assert learning_gain(0.6, 0.8) == pytest.approx(0.5)
    assert learning_gain(0.8, 0.6) == 0.0
    assert learning_gain(1.0, 1.0) == 1.0
    assert learning_gain(1.0, 0.9) == 0.0
    assert learning_gain(0.0, 1.0) == 1.0


def test_composition_is_relative_to_the_atomic_tasks():
    assert composition_score(0.4, 0.8) == pytest.approx(0.5)
    assert composition_score(0.9, 0.8) == 1.0
    assert composition_score(0.9, 0.0) == 0.0
