import math
import unicodedata
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.omega.metrics import (
    composition_score,
    cost_ratio,
    cost_score,
    count_unspaced,
    exact_match,
    exact_mean,
    field_f1,
    learning_gain,
    learning_score,
    normalize_text,
    object_exact,
    parse_json_object,
    pass_at_k,
    robustness,
    rouge_l_f,
    split_words,
    stability_score,
    token_f1,
    utility_score,
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
    ascii_text = "".join(map(chr, range(128)))
    assert normalize_text(ascii_text) == normalize_text(f"{ascii_text}—")


@given(st.text(st.characters(max_codepoint=127)) | st.text())
def test_normalisation_goes_character_by_character(text):
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = [c for c in folded if not unicodedata.category(c).startswith("P")]
    assert normalize_text(text) == " ".join("".join(kept).split())


def test_exact_match_is_equality_and_not_containment():
    assert exact_match("Forty-two.", "forty two") == 0.0
    assert exact_match(" Forty-Two! ", "fortytwo") == 1.0
    assert exact_match("142", "42") == 0.0
    assert exact_match("", "42") == 0.0
    assert exact_match("北 京", "北京") == 0.0


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("125", "-12.5"),
        ("5", "-5"),
        ("$5", "-$5"),
        ("5", "\u20135"),
        ("15", "1.5"),
        ("5", ".5"),
        ("15", "1,5"),
        ("34", "3/4"),
        ("1:030", "10:30"),
        ("20240102", "2024-01-02"),
        ("v11.0.0", "v1.10.0"),
        ("it rose by 15 %", "it rose by 1.5 %"),
    ],
)
def test_what_makes_another_number_is_no_exact_match(answer, reference):
    assert normalize_text(answer) == normalize_text(reference)
    assert exact_match(answer, reference) == exact_match(reference, answer) == 0.0
    assert field_f1({"n": answer}, {"n": reference}) == 0.0


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("1234.50", "1,234.50"),
        ("12,345,678", "12345678"),
        ("(7)", "7."),
        ("7:", "7"),
        ("covid19", "COVID-19"),
        ("２", "2"),
        ("-5", "\u20135"),
        ("at 6 a.m.", "At 6 am"),
        ("...5", "5"),
        ("3'", "3"),
    ],
)
def test_numbers_may_be_grouped_and_have_punctuation_around_them(answer, reference):
    assert exact_match(answer, reference) == exact_match(reference, answer) == 1.0


@pytest.mark.parametrize(("answer", "reference"), [("", "?"), (")", "("), ("&", "&&"), ("@", "#")])
def test_signs_alone_are_compared_as_they_are(answer, reference):
    assert exact_match(answer, reference) == 0.0
    assert exact_match(f" {answer} ", answer) == 1.0
    assert object_exact({"a": answer}, {"a": reference}) == 0.0


def test_the_letters_of_scripts_without_spaces_are_words():
    assert token_f1("首席执行官是王小明", "公司的首席执行官是王小明") == pytest.approx(18 / 21)
    assert rouge_l_f("日本の首都は東京です", "東京は日本の首都です") == pytest.approx(14 / 20)
    assert split_words("iPhone 15 手机 pro") == ["iPhone", "15", "手", "机", "pro"]
    assert split_words("Straße naïve 서울") == ["Straße", "naïve", "서울"]
    assert count_unspaced("東京タワー tower ไทย") == 8


@given(st.text(st.characters(max_codepoint=127)))
def test_other_texts_are_split_at_spaces(text):
    assert split_words(text) == text.split() == split_words(f"{text} é")[:-1]


def test_token_f1_counts_repeated_words():
    assert token_f1("the cat the", "the the dog") == pytest.approx(2 / 3)
    assert token_f1("cat", "cat sat") == pytest.approx(2 / 3)
    assert token_f1("a a a b", "a b b a") == pytest.approx(3 / 4)


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
def test_token_f1_agrees_with_counting_both_bags(a, b):
    found, wanted = Counter(a.split()), Counter(b.split())
    sizes = found.total() + wanted.total()
    assert token_f1(a, b) == (2 * (found & wanted).total() / sizes if sizes else 1.0)


@given(words, words)
def test_overlaps_are_symmetric_and_order_never_helps(a, b):
    assert token_f1(a, b) == token_f1(b, a)
    assert rouge_l_f(a, b) == rouge_l_f(b, a)
    assert 0 <= rouge_l_f(a, b) <= token_f1(a, b) <= 1
    assert exact_match(a, b) <= rouge_l_f(a, b)


def test_long_texts_are_compared_whole():
    text = " ".join(str(i % 97) for i in range(20_000))
    assert rouge_l_f(text, text) == 1.0
    assert rouge_l_f(text, text[: len(text) // 2]) < 0.7


# --- objects


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n{"a": {"b": [1, "}"]}} ', {"a": {"b": [1, "}"]}}),
        ('Sure!\n```json\n{"a": 1}\n``` and {"b": 2}', {"a": 1}),
        ("{}", {}),
        ('{"a": 1.5}', {"a": 1.5}),
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
        ('Here {x} is it: {"a": 1}', {"a": 1}),
        ('of {1, 2} and \\frac{\\sqrt{2}}{3}, {"a": 1}', {"a": 1}),
        ('the set {"x"}: {"a": 1}', {"a": 1}),
        ('}{"a\\"}": 1}', {'a"}': 1}),
        ("{ } or {x}", {}),
        ('{a: {"b": 1}}', None),
        ('{{"a": 1}}', None),
        ('{"a": oops} {"b": 1}', None),
        ("{x}" * 50_000 + '{"a": 1}', {"a": 1}),
        ('{"' * 50_000, None),
        ("{ " * 50_000, None),
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
    assert field_f1({"n": True}, {"n": False}) == field_f1({"n": False}, {"n": None}) == 0.0
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
    assert robustness([5e-324], [[1.0]]) == 1.0
    for perturbed in ([[]], np.zeros((1, 0))):
        with pytest.raises(ValueError, match="no perturbed forms"):
            robustness([1.0], perturbed)


scores = st.sampled_from([0.0, 5e-324, 0.1, 0.3, 0.7, 1.0]) | st.floats(0, 1)


@given(st.integers(0, 4), st.data())
def test_robustness_of_an_array_is_bit_for_bit_that_of_its_rows(width, data):
    row = st.tuples(
        st.just(0.0) if width == 0 else scores, st.lists(scores, min_size=width, max_size=width)
    )
    original, perturbed = [], []
    for score, forms in data.draw(st.lists(row, max_size=12)):
        original.append(score)
        perturbed.append(forms)
    table = np.array(perturbed, dtype=np.float64).reshape(len(original), width)
    found = robustness(np.array(original), table)
    assert found == robustness(original, perturbed)
    assert 0 <= found <= 1


@pytest.mark.parametrize(
    ("original", "perturbed", "message"),
    [
        ([0.5], [[85]], "perturbed must lie in"),
        ([85], [[0.5]], "original must lie in"),
        ([0.5, 0.5], [[0.5]], "differ in length"),
    ],
)
def test_robustness_refuses_what_it_cannot_compare(original, perturbed, message):
    for forms in (perturbed, np.array(perturbed)):
        with pytest.raises(ValueError, match=message):
            robustness(original, forms)


def test_robustness_of_more_rows_than_one_block_holds():
    rng = np.random.default_rng(3)
    original, perturbed = rng.integers(0, 3, 40_000) / 2, rng.random((40_000, 2))
    rows = robustness(original.tolist(), perturbed.tolist())
    assert robustness(original, perturbed) == rows


def test_a_mean_does_not_depend_on_the_order():
    values = [1e16, 1.0, -1e16, 3.0]
    assert exact_mean(values) == exact_mean(values[::-1]) == exact_mean(np.array(values)) == 1.0
    with pytest.raises(ValueError, match="no values"):
        exact_mean([])
    with pytest.raises(ValueError, match="finite number"):
        exact_mean([math.inf])


def test_utility_weighs_every_family_the_same():
    assert utility_score({"em": [0.8], "f1": [0.9], "rouge": [0.8, 0.9]}) == pytest.approx(0.85)
    assert utility_score({"em": np.array([1.0, 0.0, 0.0, 1.0])}) == 0.5
    for families, message in (
        ({}, "no families"),
        ({"em": [1], "f1": [], "rouge": []}, "no scores in f1, rouge"),
        ({"em": [85]}, "em must lie in"),
    ):
        with pytest.raises(ValueError, match=message):
            utility_score(families)


def test_stability_is_the_worse_of_its_parts():
    assert stability_score(0.08, 0.96) == pytest.approx(0.92)
    assert stability_score(0.08, 0.5) == 0.5
    assert stability_score(None, 0.5) is stability_score(0.1, None) is None
    with pytest.raises(ValueError, match="ece must lie in"):
        stability_score(8, None)
    with pytest.raises(ValueError, match="robustness must lie in"):
        stability_score(None, 96)


def test_learning_is_the_mean_of_its_parts():
    assert learning_score(0.6, 0.8) == pytest.approx(0.7)
    assert learning_score(None, 0.5) is learning_score(0.1, None) is None
    with pytest.raises(ValueError, match="reuse must lie in"):
        learning_score(60, None)
    with pytest.raises(ValueError, match="composition must lie in"):
        learning_score(None, 80)


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
