"""The kernel against implementations by others: scikit-learn, mpmath, rouge-score, Fairlearn.

They are heavy, so a test is left out where its oracle is not installed.
"""

import math
import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from penin_core.omega.ethics_metrics import (
    expected_calibration_error,
    fairness_demographic_parity,
    fairness_equalized_odds,
    rho_bias,
)
from penin_core.omega.guards import contraction_bounds
from penin_core.omega.metrics import exact_match, normalize_text, rouge_l_f, token_f1
from penin_core.omega.scoring import linf_harmonic
from penin_core.omega.sr import sr_metacognition, sr_omega

relaxed = settings(deadline=None, max_examples=60)


def oracle(name):
    return pytest.importorskip(name, reason=f"{name} is the oracle of this test")


# --- scikit-learn


def graded(seed, n):
    rng = np.random.default_rng(seed)
    probs = rng.random(n)
    return probs, (rng.random(n) < probs**1.5).astype(int)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_bins", [5, 10, 15])
def test_equal_width_calibration_is_that_of_scikit_learn(seed, n_bins):
    curve = oracle("sklearn.calibration").calibration_curve
    probs, labels = graded(seed, 400)
    seen, stated = curve(labels, probs, n_bins=n_bins, strategy="uniform")
    counts = np.histogram(probs, bins=np.linspace(0, 1, n_bins + 1))[0]
    expected = (counts[counts > 0] * np.abs(seen - stated)).sum() / 400
    found = expected_calibration_error(probs, labels, n_bins, "equal_width").ece
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_bins", [5, 10, 20])
def test_equal_mass_calibration_without_ties_is_that_of_scikit_learn(seed, n_bins):
    curve = oracle("sklearn.calibration").calibration_curve
    probs, labels = graded(seed, 400)
    seen, stated = curve(labels, probs, n_bins=n_bins, strategy="quantile")
    found = expected_calibration_error(probs, labels, n_bins).ece
    assert found == pytest.approx(np.abs(seen - stated).mean(), rel=1e-12)


@relaxed
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=50))
def test_metacognition_is_the_area_under_the_curve_of_scikit_learn(samples):
    area = oracle("sklearn.metrics").roc_auc_score
    confidence = [level / 9 for level, _ in samples]
    correct = [right for _, right in samples]
    if len(set(correct)) == 2:
        expected = max(0.0, 2 * area(correct, confidence) - 1)
        assert sr_metacognition(confidence, correct) == pytest.approx(expected, abs=1e-12)


# --- mpmath

positive = st.floats(1e-300, 1)
weights = st.floats(1e-6, 1e6)


@relaxed
@given(st.lists(st.tuples(weights, positive), min_size=1, max_size=6), st.floats(0, 20))
def test_linf_is_the_harmonic_mean_to_fifty_digits(pairs, cost):
    mp = oracle("mpmath")
    with mp.workdps(50):
        inverse = mp.fsum(mp.mpf(w) / mp.mpf(m) for w, m in pairs)
        mean = mp.fsum(mp.mpf(w) for w, _ in pairs) / inverse
        expected = float(mean * mp.exp(-mp.mpf(0.5) * mp.mpf(cost)))
    w, m = zip(*pairs, strict=True)
    assert linf_harmonic(w, m, cost, 0.5, True) == pytest.approx(expected, rel=1e-13, abs=1e-320)


@relaxed
@given(
    st.lists(st.tuples(weights, st.floats(1e-6, 1)), min_size=3, max_size=3),
    st.floats(-50, -1e-9) | st.sampled_from([-1.0, -5.0, -1e-12, -700.0]),
)
def test_min_soft_is_the_power_mean_to_fifty_digits(pairs, p):
    mp = oracle("mpmath")
    with mp.workdps(80):
        total = mp.fsum(mp.mpf(w) for w, _ in pairs)
        power = mp.fsum(mp.mpf(w) / total * mp.mpf(x) ** mp.mpf(p) for w, x in pairs)
        expected = float(power ** (1 / mp.mpf(p)))
    w, (a, b, c) = (list(column) for column in zip(*pairs, strict=True))
    assert sr_omega(a, True, b, c, "min_soft", w, p) == pytest.approx(expected, rel=1e-12)


@relaxed
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_in_one_bin_is_the_gap_of_the_means_to_fifty_digits(samples):
    mp = oracle("mpmath")
    probs, labels = zip(*samples, strict=True)
    with mp.workdps(50):
        gap = abs(mp.fsum(mp.mpf(p) for p in probs) - sum(labels)) / len(probs)
    found = expected_calibration_error(probs, labels, n_bins=1).ece
    assert found == pytest.approx(float(gap), rel=1e-15)


# --- rouge-score

words = st.lists(
    st.sampled_from(["the", "cat", "Sat", "on", "7", "mats,", "today.", "(dog)"]), max_size=15
)


@relaxed
@given(words, words)
def test_text_overlaps_are_those_of_rouge_score(answer, reference):
    scorer = oracle("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rougeL"])
    found, wanted = " ".join(answer), " ".join(reference)
    # Two empty texts agree for us, and have nothing in common for rouge-score.
    if answer or reference:
        expected = scorer.score(wanted, found)
        assert rouge_l_f(found, wanted) == pytest.approx(expected["rougeL"].fmeasure)
        assert token_f1(found, wanted) == pytest.approx(expected["rouge1"].fmeasure)


@pytest.mark.parametrize(
    ("answer", "reference", "ours", "theirs"),
    [
        # rouge-score cuts at every character but a-z and 0-9; punctuation is deleted here.
        ("state-of-the-art", "state of the art", 0.0, 1.0),
        ("it's", "its", 1.0, 0.0),
        # It has no letters beyond ASCII.
        ("café", "caf", 0.0, 1.0),
        ("人工", "人工", 1.0, 0.0),
        ("5 + 3", "5 3", 0.8, 1.0),
        ("", "", 1.0, 0.0),
    ],
)
def test_where_rouge_score_reads_words_differently(answer, reference, ours, theirs):
    scorer = oracle("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    assert rouge_l_f(answer, reference) == pytest.approx(ours)
    assert scorer.score(reference, answer)["rougeL"].fmeasure == pytest.approx(theirs)


# --- SQuAD


def squad_words(text):
    """Normalise as published: lower case, ASCII punctuation out, articles out, spaces collapsed."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def squad_f1(answer, reference):
    found, wanted = squad_words(answer), squad_words(reference)
    shared = (Counter(found) & Counter(wanted)).total()
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


answers = st.lists(
    st.sampled_from(["Cat", "cat", "sat.", "(on)", "7", "U.S.", '"mats"', "it's", "état", "-"]),
    min_size=1,
    max_size=8,
).map(" ".join)


@given(answers, answers)
def test_without_articles_and_symbols_answers_are_graded_as_by_squad(answer, reference):
    assert exact_match(answer, reference) == (squad_words(answer) == squad_words(reference))
    if squad_words(answer) or squad_words(reference):
        assert token_f1(answer, reference) == pytest.approx(squad_f1(answer, reference))


@pytest.mark.parametrize(
    ("answer", "reference", "ours", "theirs"),
    [
        # Articles count here; SQuAD is about English noun phrases and drops them.
        ("the cat", "cat", False, True),
        ("vitamin A", "vitamin", False, True),
        # Symbols such as $, +, < and ^ are no punctuation of Unicode, and change a meaning.
        ("$5", "5", False, True),
        ("C++", "C", False, True),
        # Punctuation beyond ASCII is punctuation, widths and ß are folded.
        ("«cat»", "cat", True, False),
        ("ｃａｔ", "cat", True, False),
        ("Straße", "STRASSE", True, False),
    ],
)
def test_where_squad_normalises_differently(answer, reference, ours, theirs):
    assert (normalize_text(answer) == normalize_text(reference)) is ours
    assert (squad_words(answer) == squad_words(reference)) is theirs


# --- Fairlearn


def decisions(seed, groups=3, n=90):
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.arange(n) % groups)
    # Every group has both labels, as Fairlearn needs.
    labels = (np.arange(n) // groups) % 2
    order = np.argsort(names, kind="stable")
    return rng.integers(0, 2, n), labels[np.argsort(order)], names


@pytest.mark.parametrize("seed", range(20))
def test_fairness_and_bias_are_those_of_fairlearn(seed):
    fairlearn = oracle("fairlearn.metrics")
    predictions, labels, groups = decisions(seed)
    grouped = {"sensitive_features": groups}
    odds = fairlearn.equalized_odds_difference(labels, predictions, **grouped)
    parity = fairlearn.demographic_parity_difference(labels, predictions, **grouped)
    ratio = fairlearn.demographic_parity_ratio(labels, predictions, **grouped)
    assert fairness_equalized_odds(predictions, labels, groups) == pytest.approx(1 - odds)
    assert fairness_demographic_parity(predictions, groups) == pytest.approx(1 - parity)
    assert rho_bias(predictions, groups) == pytest.approx(1 / ratio)


# --- SciPy


@pytest.mark.parametrize("seed", range(10))
def test_the_bounds_of_a_contraction_are_those_of_scipy(seed):
    risks = np.random.default_rng(seed).uniform(0.05, 0.6, 8)
    fit = stats.linregress(np.arange(8), np.log(risks))
    rho, lower, upper = contraction_bounds(risks.tolist())
    margin = stats.t.isf(0.05, 6) * fit.stderr
    expected = [fit.slope, fit.slope - margin, fit.slope + margin]
    assert [math.log(bound) for bound in (rho, lower, upper)] == pytest.approx(expected, rel=1e-9)


@relaxed
@given(
    st.lists(st.tuples(weights, st.floats(1e-3, 1)), min_size=3, max_size=3), st.floats(-20, -0.01)
)
def test_means_are_those_of_scipy(pairs, p):
    w, (a, b, c) = (list(column) for column in zip(*pairs, strict=True))
    harmonic = stats.hmean([a, b, c], weights=w)
    assert linf_harmonic(w, [a, b, c], 0, 0, True) == pytest.approx(harmonic, rel=1e-12)
    assert sr_omega(a, True, b, c, weights=w) == pytest.approx(harmonic, rel=1e-12)
    power = stats.pmean([a, b, c], p, weights=w)
    assert sr_omega(a, True, b, c, "min_soft", w, p) == pytest.approx(power, rel=1e-9)
