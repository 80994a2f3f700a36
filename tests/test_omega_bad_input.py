"""Every function of the kernel refuses a wrong argument, and says which one and what it was."""

import math
import re

import numpy as np
import pytest

from penin_core.omega import caos, ethics_metrics, evidence, guards, metrics, scoring, sr, tuner

NAN = math.nan
#: What is no share of anything: percent instead of a fraction, and what is no number at all.
NO_UNIT = (85, 1.1, -0.1, NAN, math.inf, "0.85", True, 1j)
NO_NUMBER = (NAN, math.inf, -math.inf, "1", True, None)
NEGATIVE = (-0.1, *NO_NUMBER)
NO_COUNT = (-1, 1.5, "2", True, None, NAN)
NO_OUTCOME = (2, 0.5, -1, "1", None, NAN)

UNITS = {
    caos.caos_plus: {"C": 0.5, "A": 0.5, "O": 0.5, "S": 0.5},
    caos.caos_consistency: {"agreement": 0.5, "ece": 0.5, "verified": 0.5},
    caos.caos_openness: {"epistemic": 0.5, "ood": 0.5, "disagreement": 0.5},
    caos.caos_silence: {"noise": 0.5, "redundancy": 0.5, "excess": 0.5},
    sr.sr_awareness: {"ece": 0.5},
    metrics.stability_score: {"ece": 0.5, "robustness": 0.5},
    metrics.learning_score: {"reuse": 0.5, "composition": 0.5},
    metrics.learning_gain: {"acc_zero_shot": 0.5, "acc_k_shot": 0.5},
    metrics.composition_score: {"acc_composed": 0.5, "acc_atomic": 0.5},
    evidence.paired_difference: {"challenger": 0.5, "champion": 0.5},
}
GATE = {"U": 0.5, "S": 0.5, "C": 0.5, "L": 0.5, "wU": 1, "wS": 1, "wC": 1, "wL": 1, "tau": 0.7}
SR = {"awareness": 0.5, "ethics_ok": True, "autocorr": 0.5, "metacog": 0.5}
CAOS = UNITS[caos.caos_plus]
COST = {"cost_usd": 1.0, "latency_ms": 1.0, "tokens": 1.0}
BASELINE = {"cost_usd": 1.0, "latency_ms": 1.0, "tokens": 1.0}
LINF = {"weights": [1.0, 1.0], "metrics": [0.5, 0.5], "cost": 0.1, "lambda_c": 0.5}
PROVABLE = {"n": 100, "alpha": 0.05, "discordance": 0.25, "power": 0.8}
POWER = {"gain": 0.1, "discordance": 0.25, "n": 100, "alpha": 0.05}
RISKS = {"risk_series": [0.5, 0.4, 0.3], "risk_floor": 0.0}
ECE = {"probs": [0.5, 0.6], "labels": [0, 1]}
INTERVAL = {"alpha": 0.05, "resamples": 100, "seed": 0}


def _cases():
    for function, good in UNITS.items():
        for name in good:
            yield from ((function, good, name, bad) for bad in NO_UNIT)
    rows = [
        (scoring.score_gate, GATE, ("U", "S", "C", "L", "tau"), NO_UNIT),
        (scoring.score_gate, GATE, ("wU", "wS", "wC", "wL", "canary_margin"), NEGATIVE),
        (scoring.linf_harmonic, {**LINF, "ethical_ok": True}, ("cost", "lambda_c"), NEGATIVE),
        (scoring.ema, {"series": [1.0]}, ("alpha",), (0, 1.1, *NEGATIVE)),
        (scoring.normalize_series, {"values": [1.0]}, ("method",), ("max", "", None, 1)),
        (scoring.normalize_series, {"values": [1.0], "method": "sigmoid"}, ("center",), NO_NUMBER),
        (scoring.normalize_series, {"values": [1.0], "method": "sigmoid"}, ("scale",), (0, -1)),
        (caos.caos_plus, CAOS, ("kappa",), (-1, NAN, -math.inf, "2", True)),
        (caos.caos_plus, CAOS, ("gamma", "kappa_max"), NEGATIVE),
        (caos.caos_autoevolution, {"delta_linf": 0.1}, ("cost_norm",), NEGATIVE[:-1]),
        (caos.caos_autoevolution, {"cost_norm": 0.1}, ("delta_linf",), NO_NUMBER[:-1]),
        (caos.ngram_redundancy, {"tokens": ["a"]}, ("n",), (0, *NO_COUNT)),
        (sr.sr_omega, SR, ("awareness", "autocorr", "metacog"), NO_UNIT),
        (sr.sr_omega, SR, ("method",), ("soft", "", None)),
        (sr.sr_omega, SR, ("weights",), ([1, 1], [0, 0, 0], [1, 1, 1, 1])),
        (sr.sr_omega, {**SR, "method": "min_soft"}, ("p",), (0, 5, *NO_NUMBER)),
        (sr.sr_autocorrection, {"failed": 2, "fixed": 1}, ("failed", "fixed"), NO_COUNT),
        (metrics.pass_at_k, {"n": 3, "c": 1, "k": 1}, ("n", "c", "k"), NO_COUNT),
        (metrics.pass_at_k, {"n": 3, "c": 1, "k": 1}, ("k",), (0,)),
        (metrics.cost_score, {**COST, "baseline": BASELINE}, tuple(COST), NEGATIVE),
        (metrics.cost_ratio, {**COST, "baseline": BASELINE}, tuple(COST), NEGATIVE),
        (evidence.EProcess, {}, ("margin",), (1, 1.5, *NEGATIVE)),
        (evidence.EProcess, {}, ("grid",), ((), (0.0,), (1.0,), (0.5, 2.0))),
        (evidence.log_e_path, {"differences": [0.1]}, ("margin",), (1, *NEGATIVE)),
        (evidence.relative_saving, {"champion_cost": 1.0}, ("challenger_cost",), NEGATIVE[:-1]),
        (evidence.relative_saving, {"challenger_cost": 1.0}, ("champion_cost",), NEGATIVE[:-1]),
        (evidence.campaign_alpha, {}, ("t",), (0, *NO_COUNT)),
        (evidence.campaign_alpha, {"t": 1}, ("alpha",), (0, 1, 5, *NO_NUMBER)),
        (evidence.crossed, {"log_e": 1.0}, ("alpha",), (0, 1, *NO_NUMBER)),
        (evidence.betting_confidence_sequence, {"differences": []}, ("alpha",), (0, 1, NAN)),
        (evidence.null_crossing_probability, {"alpha": 0.05}, ("n_discordant",), NO_COUNT),
        (evidence.null_crossing_probability, {"n_discordant": 5}, ("alpha",), (0, 1, *NO_NUMBER)),
        (evidence.smallest_provable_gain, PROVABLE, ("discordance", "power"), NO_UNIT),
        (evidence.smallest_provable_gain, PROVABLE, ("n",), NO_COUNT),
        (evidence.crossing_probability, POWER, ("gain",), NO_NUMBER),
        (guards.ir_to_ic_contractive, RISKS, ("rho_threshold",), (0, 1.1, -1, *NO_NUMBER)),
        (guards.ir_to_ic_contractive, RISKS, ("risk_floor",), NEGATIVE),
        (guards.ir_to_ic_contractive, RISKS, ("confidence",), (0, 1, 95, NAN, "0.95")),
        (guards.contraction_bounds, RISKS, ("confidence",), (0, 1, 95, *NO_NUMBER)),
        (ethics_metrics.expected_calibration_error, ECE, ("n_bins",), (0, *NO_COUNT)),
        (ethics_metrics.expected_calibration_error, ECE, ("scheme",), ("equal", "", None)),
        (ethics_metrics.ece_interval, {**ECE, **INTERVAL}, ("alpha",), (0, 1, *NO_NUMBER)),
        (ethics_metrics.ece_interval, {**ECE, **INTERVAL}, ("resamples",), (0, *NO_COUNT)),
        (ethics_metrics.ece_interval, {**ECE, **INTERVAL}, ("seed",), (0.5, "0", True, None)),
        (ethics_metrics.eco_impact_kg, {"tokens_out": 1}, ("tokens_in",), (-1, NAN, "5", True)),
        (ethics_metrics.eco_impact_kg, {"tokens_in": 1}, ("tokens_out",), (-1, NAN, "5", True)),
        (tuner.OnlineTuner, {}, ("learning_rate", "max_delta"), (0, *NEGATIVE)),
        (tuner.OnlineTuner, {}, ("warmup",), NO_COUNT),
        (tuner.OnlineTuner, {}, ("method",), ("sgd", "", None)),
        (tuner.OnlineTuner().update, {"gradients": {}}, ("objective",), NO_NUMBER),
    ]
    for function, good, names, bads in rows:
        yield from ((function, good, name, bad) for name in names for bad in bads)


def named(error, argument, value):
    """Say whether the message has the argument as a word of its own, and the value."""
    text = str(error)
    return re.search(rf"(?<!\w){argument}(?!\w)", text) and repr(value) in text


@pytest.mark.parametrize(
    ("function", "good", "name", "bad"),
    [pytest.param(*c, id=f"{c[0].__name__}-{c[2]}-{c[3]!r}") for c in _cases()],
)
def test_a_wrong_argument_is_named_with_its_value(function, good, name, bad):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the assertion below says more
        function(**{**good, name: bad})
    assert named(caught.value, name, bad), caught.value


SERIES = [
    (scoring.normalize_series, {}, {"values": NO_NUMBER}),
    (scoring.ema, {}, {"series": NO_NUMBER}),
    (metrics.exact_mean, {}, {"values": NO_NUMBER}),
    (guards.ir_to_ic_contractive, {}, {"risk_series": NEGATIVE}),
    (ethics_metrics.expected_calibration_error, ECE, {"probs": NO_UNIT, "labels": NO_OUTCOME}),
    (sr.sr_metacognition, {"confidence": [0.5, 0.6], "correct": [0, 1]}, {"confidence": NO_UNIT}),
    (sr.sr_metacognition, {"confidence": [0.5, 0.6], "correct": [0, 1]}, {"correct": NO_OUTCOME}),
    (metrics.robustness, {"original": [0.5, 0.5], "perturbed": [[0.5]] * 2}, {"original": NO_UNIT}),
    (caos.token_excess, {"actual": [5, 5], "allowed": [9, 9]}, {"actual": NEGATIVE}),
    (caos.token_excess, {"actual": [5, 5], "allowed": [9, 9]}, {"allowed": NEGATIVE}),
    (
        ethics_metrics.rho_bias,
        {"predictions": [0, 1], "groups": ["a", "b"]},
        {"predictions": NO_OUTCOME},
    ),
    (
        ethics_metrics.fairness_equalized_odds,
        {"predictions": [0, 1], "labels": [0, 1], "groups": ["a", "b"]},
        {"predictions": NO_OUTCOME, "labels": NO_OUTCOME},
    ),
    (
        ethics_metrics.fairness_demographic_parity,
        {"predictions": [0, 1], "groups": ["a", "b"]},
        {"predictions": NO_OUTCOME},
    ),
]


@pytest.mark.parametrize(
    ("function", "good", "name", "bad"),
    [
        pytest.param(function, good, name, bad, id=f"{function.__name__}-{name}-{bad!r}")
        for function, good, wrong in SERIES
        for name, bads in wrong.items()
        for bad in bads
    ],
)
def test_one_wrong_value_of_a_series_is_named(function, good, name, bad):
    series = [*good.get(name, [0.5, 0.5])[:1], bad]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(**{**good, name: series})
    assert named(caught.value, name, bad), caught.value


@pytest.mark.parametrize(
    ("function", "series"),
    [
        (ethics_metrics.expected_calibration_error, {"probs": [0.5], "labels": [0, 1]}),
        (ethics_metrics.rho_bias, {"predictions": [1], "groups": ["a", "b"]}),
        (
            ethics_metrics.fairness_equalized_odds,
            {"predictions": [1], "labels": [1, 0], "groups": ["a", "b"]},
        ),
        (ethics_metrics.fairness_demographic_parity, {"predictions": [1], "groups": ["a", "b"]}),
        (sr.sr_metacognition, {"confidence": [0.5], "correct": [0, 1]}),
        (metrics.robustness, {"original": [0.5], "perturbed": [[0.5], [0.5]]}),
        (caos.outcome_shift, {"before": [0], "after": [0, 1]}),
        (caos.majority_disagreement, {"answers": [["a"]], "champion": [["a"], ["b"]]}),
        (caos.response_noise, {"texts": ["a"], "well_formed": [True, True]}),
        (caos.token_excess, {"actual": [5], "allowed": [5, 6]}),
        (scoring.linf_harmonic, {**LINF, "ethical_ok": True, "metrics": [0.5]}),
    ],
)
def test_series_of_different_lengths_are_named_with_their_lengths(function, series):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(**series)
    named_series = [name for name, value in series.items() if isinstance(value, list)]
    for name in named_series:
        assert f"{name} {len(series[name])}" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.exact_mean([]), "there are no values to take the mean of"),
        (lambda: metrics.utility_score({}), "there are no families of metrics"),
        (lambda: metrics.utility_score({"em": [], "f1": [1]}), "no scores in em"),
        (
            lambda: ethics_metrics.expected_calibration_error([], []),
            "there are no samples to measure calibration on",
        ),
        (
            lambda: metrics.cost_score(**COST, baseline={"usd": 1.0, "eur": 1.0}),
            "unknown baseline ['eur', 'usd']; known are cost_usd, latency_ms, tokens",
        ),
        (
            lambda: metrics.cost_score(**COST, baseline={"tokens": 0.0}),
            "the baseline has no positive part to compare the cost with",
        ),
        (
            lambda: metrics.cost_score(**COST, baseline={"tokens": -1.0}),
            "baseline tokens must be at least 0, got -1.0",
        ),
        (lambda: metrics.pass_at_k(3, 4, 1), "c and k must not exceed n (3), got c=4, k=1"),
        (lambda: metrics.pass_at_k(3, 1, 4), "c and k must not exceed n (3), got c=1, k=4"),
        (lambda: sr.sr_autocorrection(1, 2), "fixed must not exceed failed (1), got 2"),
        (
            lambda: scoring.normalize_series([1.0], center=1.0),
            "center and scale belong to method 'sigmoid'",
        ),
        (
            lambda: scoring.linf_harmonic({"U": 1}, {"S": 1}, 0, 0, True),
            "keys differ: weights ['U'], metrics ['S']",
        ),
        (
            lambda: scoring.linf_harmonic({"U": 1}, [1], 0, 0, True),
            "weights and metrics must both be sequences or both be mappings",
        ),
        (
            lambda: scoring.linf_harmonic({"U": 0, "S": 1}, {"U": 85, "S": 0.5}, 0, 0, True),
            "metrics[U] must lie in [0, 1], got 85",
        ),
        (
            lambda: scoring.linf_harmonic([0], [0.5], 0, 0, True),
            "at least one weight must be positive",
        ),
        (
            lambda: scoring.score_gate(**{**GATE, "wU": 0, "wS": 0, "wC": 0, "wL": 0}),
            "at least one of the weights wU, wS, wC, wL must be positive",
        ),
        (
            lambda: guards.sigma_guard(0.1, 1.0, 1.0, True, True, {"ece_mx": 0.1}),
            "unknown threshold 'ece_mx'; known are "
            "ece_max, rho_bias_max, fairness_min, eco_max_kg, min_samples, min_group_size, "
            "use_bounds",
        ),
        (
            lambda: tuner.OnlineTuner({"taus": 0.7}),
            "unknown parameter 'taus'; known are kappa, lambda_c, wU, wS, wC, wL, beta_min, tau",
        ),
        (
            lambda: guards.sigma_guard(0.1, 1.0, 1.0, True, True, {"use_bounds": 2}),
            "use_bounds must be 0 or 1, got 2.0",
        ),
        (
            lambda: metrics.robustness([1.0], [[]]),
            "a solved task has no perturbed forms",
        ),
        (
            lambda: metrics.robustness([1.0, 1.0], [[1.0], []]),
            "a solved task has no perturbed forms",
        ),
        (
            lambda: metrics.robustness(np.array([1.0]), np.empty((1, 0))),
            "a solved task has no perturbed forms",
        ),
        (
            lambda: sr.sr_omega(0.5, True, 0.5, 0.5, weights=[1, 1, -1]),
            "weights must be at least 0, got -1",
        ),
        (
            lambda: ethics_metrics.eco_impact_kg(1, 1, -0.1),
            "kg_per_1k_tokens must be at least 0, got -0.1",
        ),
        (
            lambda: scoring.normalize_series([1.0], "sigmoid", scale="1"),
            "scale must be a finite number, got '1'",
        ),
        (lambda: tuner.OnlineTuner({"tau": 70}), "tau must lie in [0.5, 0.95], got 70"),
        (
            lambda: tuner.OnlineTuner({"wU": 0.8}),
            "the weights wU, wS, wC, wL must sum to 1, got 1.5",
        ),
        (lambda: metrics.object_exact({}, ["a"]), "the reference must be an object, got ['a']"),
    ],
)
def test_what_is_missing_unknown_or_contradictory_is_said(call, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        call()


def test_an_empty_series_has_its_own_meaning_where_it_has_one():
    assert scoring.normalize_series([]) == []
    assert scoring.ema([]) == []
    assert guards.ir_to_ic_contractive([]) == (False, 1.0)
    assert sr.sr_metacognition([], []) is None
    assert ethics_metrics.rho_bias([], []) is None
    assert caos.pairwise_agreement([]) is None


@pytest.mark.parametrize("consent", ["yes", "true", 1, 1.0, [True], None])
def test_what_only_looks_like_consent_fails_the_gate_without_an_error(consent):
    ok, details = guards.sigma_guard(0.005, 1.0, 1.0, consent, True)
    assert not ok
    assert not details["consent"]["ok"]
    assert details["consent"]["reason"]
    ok, details = guards.sigma_guard(0.005, 1.0, 1.0, True, consent)
    assert not ok
    assert not details["eco"]["ok"]
    assert scoring.linf_harmonic(**LINF, ethical_ok=consent) == 0.0
    assert sr.sr_omega(0.9, consent, 0.9, 0.9) == 0.0


@pytest.mark.parametrize("bad", [None, NAN, math.inf, -0.1, "0.1", 85, [0.1], True])
@pytest.mark.parametrize("gate", ["ece", "rho_bias", "fairness"])
def test_a_wrong_number_fails_its_gate_with_a_reason_and_no_other(gate, bad):
    good = {"ece": 0.005, "rho_bias": 1.0, "fairness": 1.0}
    ok, details = guards.sigma_guard(**{**good, gate: bad}, consent=True, eco_ok=True)
    assert not ok
    assert [name for name, found in details.items() if not found["ok"]] == [gate]
    found, known = details[gate], isinstance(bad, float | int) and math.isfinite(bad)
    assert found["ok"] is False
    assert found["value"] == (bad if known and bad is not True else None)
    assert found["threshold"] == {"ece": 0.01, "rho_bias": 1.05, "fairness": 0.8}[gate]
    assert found["reason"]
