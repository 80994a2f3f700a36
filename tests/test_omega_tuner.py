import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core.omega.tuner import (
    DEFAULTS,
    RANGES,
    OnlineTuner,
    ReplayCandidate,
    ReplayCycle,
    project_weights,
    replay_gradients,
    replay_objective,
)

WEIGHTS = ("wU", "wS", "wC", "wL")
CAPS = {name: 0.02 * min(1.0, high - low) for name, (low, high) in RANGES.items()}
gradients = st.dictionaries(
    st.sampled_from(sorted(RANGES)), st.floats() | st.floats(-10, 10), max_size=8
)


methods = st.sampled_from(["adagrad", "ons"])
both_methods = pytest.mark.parametrize("method", ["adagrad", "ons"])


def check_step(before, after):
    for name, (low, high) in RANGES.items():
        assert low <= after[name] <= high
        assert abs(after[name] - before[name]) <= CAPS[name] + 1e-12
    assert abs(math.fsum(after[name] for name in WEIGHTS) - 1) <= 1e-9


@settings(deadline=None)
@given(st.lists(gradients, min_size=1, max_size=30), st.sampled_from([0.01, 1.0, 1e6]), methods)
def test_no_gradient_ever_breaks_a_range_a_cap_or_the_sum(steps, rate, method):
    tuner = OnlineTuner(learning_rate=rate, warmup=0, method=method)
    for step in steps:
        before = tuner.get_params()
        after = tuner.update(0.0, step)
        check_step(before, after)
        unfit = {name for name, g in step.items() if not math.isfinite(g)}
        assert unfit <= set(tuner.skipped) <= set(step)


@both_methods
def test_ten_thousand_random_cycles_never_leave_a_range_or_a_cap(method):
    rng = np.random.default_rng(12)
    tuner = OnlineTuner(learning_rate=0.1, method=method)
    scales = 10.0 ** rng.integers(-6, 7, 10_000)
    slopes = rng.standard_normal((10_000, 8)) * scales[:, np.newaxis]
    slopes[rng.random(slopes.shape) < 0.01] = math.nan
    slopes[rng.random(slopes.shape) < 0.01] = math.inf
    names, version = list(RANGES), 0
    for cycle, (slope, chance) in enumerate(zip(slopes.tolist(), rng.random(10_000), strict=True)):
        before = tuner.get_params()
        after = tuner.update(0.0, dict(zip(names, slope, strict=True)))
        check_step(before, after)
        assert tuner.version - version == (after != before)
        version = tuner.version
        if cycle > 9000 and chance < 0.01:
            tuner.note_outcome("rolled_back" if chance < 0.008 else "promoted")
        if cycle % 1000 == 999:
            tuner = OnlineTuner.from_state(json.loads(json.dumps(tuner.export_state())))
    assert tuner.calls == 10_000
    assert version > 5000


def test_a_thousand_steps_in_one_direction_end_at_the_edges():
    tuner = OnlineTuner(learning_rate=0.1, warmup=0)
    for _ in range(1000):
        before = tuner.get_params()
        push = {name: 1.0 for name in RANGES if name not in WEIGHTS}
        check_step(before, tuner.update(0.0, {**push, "wU": 5.0, "wL": -5.0}))
    end = tuner.get_params()
    assert end["tau"] == 0.95
    assert end["beta_min"] == 0.1
    assert end["wL"] == pytest.approx(0.05)
    assert end["wU"] > 0.6


def test_the_first_step_is_adagrad_and_the_second_remembers_it():
    tuner = OnlineTuner(learning_rate=0.01, warmup=0)
    reach = RANGES["lambda_c"][1] - RANGES["lambda_c"][0]
    first = tuner.update(0.0, {"lambda_c": 3.0})["lambda_c"]
    assert first == pytest.approx(0.5 + reach * 0.01)
    second = tuner.update(0.0, {"lambda_c": 4.0})["lambda_c"]
    assert second == pytest.approx(first + reach * 0.01 * 4 / 5)


def test_a_gradient_that_is_next_to_nothing_makes_half_a_step():
    after = OnlineTuner(warmup=0).update(0.0, {"tau": 1e-12 / 0.45})
    assert after["tau"] == pytest.approx(0.70 + 0.45 * 0.01 / 2)


def test_ranges_and_starting_values_are_the_documented_ones():
    assert dict(RANGES) == {
        "kappa": (1.0, 10.0),
        "lambda_c": (0.05, 2.0),
        "wU": (0.05, 0.8),
        "wS": (0.05, 0.8),
        "wC": (0.05, 0.8),
        "wL": (0.05, 0.8),
        "beta_min": (0.005, 0.1),
        "tau": (0.5, 0.95),
    }
    start = [2.0, 0.5, 0.3, 0.3, 0.2, 0.2, 0.02, 0.70]
    assert dict(DEFAULTS) == dict(zip(RANGES, start, strict=True))
    tuner = OnlineTuner()
    assert (tuner.learning_rate, tuner.max_delta, tuner.warmup) == (0.01, 0.02, 5)
    assert tuner.method == "adagrad"


def test_both_ends_of_a_range_are_allowed():
    for end in (0, 1):
        params = {name: RANGES[name][end] for name in ("kappa", "lambda_c", "beta_min", "tau")}
        assert OnlineTuner(params).get_params() == {**DEFAULTS, **params}


def test_steps_are_cut_to_the_cap():
    after = OnlineTuner(learning_rate=1.0, warmup=0).update(0.0, {"kappa": 1.0, "beta_min": -1.0})
    assert after["kappa"] == pytest.approx(2.02)
    assert after["beta_min"] == pytest.approx(0.02 - 0.02 * 0.095)


def test_the_warm_up_records_and_leaves_everything_alone():
    tuner = OnlineTuner(warmup=5)
    for _ in range(5):
        assert tuner.update(0.5, {"tau": 100.0}) == dict(DEFAULTS)
    assert (tuner.calls, tuner.version) == (5, 0)
    after = tuner.update(0.5, {"tau": 1.0})
    assert after["tau"] == pytest.approx(0.70 + 0.45 * 0.01)
    assert tuner.version == 1


def test_a_zero_gradient_changes_nothing():
    tuner = OnlineTuner(warmup=0)
    assert tuner.update(0.0, dict.fromkeys(RANGES, 0.0)) == dict(DEFAULTS)
    assert tuner.update(0.0, {}) == dict(DEFAULTS)
    assert tuner.version == 0


def test_a_gradient_that_is_not_finite_is_skipped_and_flagged():
    tuner = OnlineTuner(warmup=0)
    after = tuner.update(0.0, {"tau": math.nan, "kappa": math.inf, "lambda_c": 1.0})
    assert tuner.skipped == ("tau", "kappa")
    assert (after["tau"], after["kappa"]) == (0.70, 2.0)
    assert after["lambda_c"] > 0.5


@pytest.mark.parametrize("gradient", [None, "1", True, math.nan, -math.inf])
def test_a_gradient_that_is_no_number_is_skipped_and_flagged(gradient):
    tuner = OnlineTuner(warmup=0)
    assert tuner.update(0.0, {"tau": gradient}) == DEFAULTS
    assert tuner.skipped == ("tau",)


def test_a_frozen_parameter_stays_although_the_others_move():
    tuner = OnlineTuner(warmup=0)
    tuner.freeze("wS")
    tuner.freeze("tau")
    for _ in range(50):
        tuner.update(0.0, {"wU": 1.0, "wS": -1.0, "tau": 1.0})
    after = tuner.get_params()
    assert (after["wS"], after["tau"]) == (0.3, 0.70)
    assert after["wU"] > 0.3
    for name in ("wC", "wL"):
        tuner.freeze(name)
    before = tuner.get_params(), tuner.version
    tuner.update(0.0, {"wU": 1.0})
    assert (tuner.get_params(), tuner.version) == before


def test_it_climbs_a_concave_objective_without_swinging():
    target = {"lambda_c": 1.2, "tau": 0.6, "wU": 0.4, "wS": 0.25, "wC": 0.2, "wL": 0.15}
    tuner = OnlineTuner(learning_rate=0.02)
    gaps = []
    for _ in range(600):
        params = tuner.get_params()
        gaps.append(max(abs(params[name] - goal) for name, goal in target.items()))
        slopes = {name: goal - params[name] for name, goal in target.items()}
        check_step(params, tuner.update(-(gaps[-1] ** 2), slopes))
    assert gaps[-1] < 0.02
    assert all(later <= earlier + 0.02 for earlier, later in pairwise(gaps))


@both_methods
def test_a_tuner_that_was_exported_goes_on_exactly_as_before(method):
    tuner = OnlineTuner(learning_rate=0.05, max_delta=0.01, warmup=2, method=method)
    tuner.freeze("kappa")
    steps = [{"tau": 0.3 * i, "wU": 1.0 - i, "kappa": 1.0} for i in range(12)]
    for step in steps[:6]:
        tuner.update(0.1, step)
    tuner.note_outcome("rolled_back")
    twin = OnlineTuner.from_state(json.loads(json.dumps(tuner.export_state(), allow_nan=False)))
    for step in steps[6:]:
        assert twin.update(0.1, step) == tuner.update(0.1, step)
        assert twin.note_outcome("rolled_back") == tuner.note_outcome("rolled_back")
    assert twin.export_state() == tuner.export_state()


@pytest.mark.parametrize(
    ("options"),
    [
        {"params": {"kapa": 2.0}},
        {"params": {"tau": 0.99}},
        {"params": {"wU": 0.4}},
        {"params": {"tau": math.nan}},
        {"learning_rate": 0},
        {"max_delta": -0.1},
        {"warmup": -1},
        {"method": "adam"},
    ],
)
def test_a_tuner_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError):  # noqa: PT011
        OnlineTuner(**options)


def test_a_parameter_that_is_no_number_is_named():
    with pytest.raises(ValueError, match=r"^tau must be a finite number, got '0.7'$"):
        OnlineTuner({"tau": "0.7"})


def test_unknown_gradients_and_unknown_objectives_are_refused():
    with pytest.raises(ValueError, match="unknown parameter 'kapa'"):
        OnlineTuner().update(0.0, {"kapa": 1.0})
    with pytest.raises(ValueError, match="objective"):
        OnlineTuner().update(math.nan, {})
    with pytest.raises(ValueError, match="unknown parameter"):
        OnlineTuner().freeze("kapa")


KNOWN = "kappa, lambda_c, wU, wS, wC, wL, beta_min, tau"
UNKNOWN = f"unknown parameter 'kapa'; known are {KNOWN}"
CROOKED = f"matrix must be symmetric, one row for each of {KNOWN}"


@pytest.mark.parametrize(
    ("method", "change", "words"),
    [
        ("adagrad", {"root_sums": {"kapa": 1.0}}, "unknown parameter 'kapa' in root_sums"),
        ("adagrad", {"root_sums": {"tau": -1.0}}, "tau must be at least 0, got -1.0"),
        ("ons", {"matrix": [[1.0]]}, CROOKED),
        ("ons", {"matrix": np.eye(8)[::-1, [1, 0, 2, 3, 4, 5, 6, 7]].tolist()}, CROOKED),
        ("ons", {"matrix": np.triu(np.ones((8, 8))).tolist()}, CROOKED),
        ("ons", {"matrix": np.zeros((8, 8)).tolist()}, "matrix must be positive definite"),
        (
            "ons",
            {"matrix": np.diag([1.0] * 7 + [-1.0]).tolist()},
            "matrix must be positive definite",
        ),
        ("ons", {"matrix": [[math.nan] * 8] * 8}, "matrix must be a finite number, got nan"),
        ("ons", {"frozen": ["kapa"]}, UNKNOWN),
        ("ons", {"moved": {"kapa": 1}}, UNKNOWN),
        ("ons", {"moved": {"tau": 0}}, "moved must be a whole number of at least 1, got 0"),
        ("ons", {"rollbacks": {"kapa": 1}}, UNKNOWN),
        (
            "ons",
            {"rollbacks": {"tau": -1}},
            "rollbacks must be a whole number of at least 0, got -1",
        ),
        ("ons", {"calls": -1}, "calls must be a whole number of at least 0, got -1"),
        ("ons", {"version": 0.5}, "version must be a whole number of at least 0, got 0.5"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused_and_the_reason_is_said(method, change, words):
    state = OnlineTuner(method=method).export_state() | change
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        OnlineTuner.from_state(state)


@pytest.mark.parametrize("missing", list(OnlineTuner().export_state()))
def test_a_state_that_lacks_something_is_refused(missing):
    state = OnlineTuner().export_state()
    del state[missing]
    with pytest.raises(KeyError, match=missing):
        OnlineTuner.from_state(state)


# --- the online Newton step


def test_the_newton_step_is_the_formula():
    tuner = OnlineTuner(learning_rate=0.001, warmup=0, method="ons")
    names = ["kappa", "lambda_c", "tau"]
    widths = np.array([9.0, 1.95, 0.45])
    matrix, expected = 0.01 * np.eye(3), np.array([2.0, 0.5, 0.70])
    for slopes in ([0.1, -0.2, 0.4], [0.05, 0.3, -0.1]):
        scaled = np.array(slopes) * widths
        matrix = matrix + np.outer(scaled, scaled)
        expected = expected + widths * 0.001 * (np.linalg.inv(matrix) @ scaled)
        after = tuner.update(0.0, dict(zip(names, slopes, strict=True)))
        assert [after[name] for name in names] == pytest.approx(expected.tolist(), rel=1e-9)


def test_the_newton_step_leaves_alone_what_has_no_gradient_of_its_own():
    tuner = OnlineTuner(warmup=0, method="ons")
    tuner.update(0.0, {"kappa": 0.1, "tau": 0.5})
    tuner.freeze("lambda_c")
    before = tuner.get_params()
    after = tuner.update(0.0, {"kappa": 0.1, "tau": 0.0, "lambda_c": 1.0})
    assert after["kappa"] > before["kappa"]
    assert {n for n in RANGES if after[n] != before[n]} == {"kappa"}
    assert tuner.update(0.0, {}) == after


def test_gradients_beyond_a_thousand_are_cut_in_the_newton_step():
    steps = []
    for slope in (1e3 / 0.45, 1e9, -1e9):
        after = OnlineTuner(learning_rate=10.0, warmup=0, method="ons").update(0.0, {"tau": slope})
        steps.append((after["tau"] - 0.70) / 0.45)
    assert steps == pytest.approx([0.01, 0.01, -0.01])


def test_the_newton_step_climbs_a_concave_objective():
    target = {"lambda_c": 0.8, "tau": 0.6, "beta_min": 0.05}
    tuner = OnlineTuner(learning_rate=0.5, method="ons")
    gaps = []
    for _ in range(400):
        params = tuner.get_params()
        gaps.append(max(abs(params[name] - goal) for name, goal in target.items()))
        check_step(params, tuner.update(0.0, {n: g - params[n] for n, g in target.items()}))
    assert gaps[-1] < gaps[0] / 3
    assert all(later <= earlier + 0.02 for earlier, later in pairwise(gaps))


# --- what became of promotions


def tuned(*steps):
    tuner = OnlineTuner(warmup=0)
    for step in steps:
        tuner.update(0.0, step)
    return tuner


def test_three_rollbacks_in_a_row_freeze_what_had_moved_by_then():
    tuner = tuned({"tau": 1.0}, {"kappa": 1.0})
    assert tuner.note_outcome("rolled_back", version=1) == ()
    assert tuner.note_outcome("rolled_back", version=2) == ()
    assert tuner.note_outcome("rolled_back", version=2) == ("tau",)
    assert tuner.note_outcome("rolled_back") == ("kappa",)
    assert tuner.note_outcome("rolled_back") == ()
    before = tuner.get_params()
    after = tuner.update(0.0, {"tau": 1.0, "kappa": 1.0, "lambda_c": 1.0})
    assert {n for n in RANGES if after[n] != before[n]} == {"lambda_c"}


def test_a_champion_that_stood_starts_the_count_afresh():
    tuner = tuned({"tau": 1.0}, {"kappa": 1.0})
    tuner.note_outcome("rolled_back")
    tuner.note_outcome("rolled_back")
    assert tuner.note_outcome("promoted", version=1) == ()
    assert tuner.note_outcome("rolled_back") == ("kappa",)
    assert tuner.note_outcome("rolled_back") == ()
    assert tuner.note_outcome("rolled_back") == ("tau",)


def test_parameters_that_never_moved_are_not_answerable():
    tuner = OnlineTuner(warmup=0)
    assert [tuner.note_outcome("rolled_back") for _ in range(4)] == [()] * 4
    tuner.update(0.0, {"tau": 1.0})
    assert [tuner.note_outcome("rolled_back", version=0) for _ in range(4)] == [()] * 4


def test_weights_that_the_projection_moves_are_answerable_too():
    tuner = tuned({"wU": 1.0})
    frozen = [tuner.note_outcome("rolled_back") for _ in range(3)][-1]
    assert frozen == ("wC", "wL", "wS", "wU")


@pytest.mark.parametrize(
    ("outcome", "version"),
    [("rollback", None), (True, None), ("promoted", 2), ("promoted", -1), ("promoted", 0.5)],
)
def test_outcomes_and_versions_that_there_are_not_are_refused(outcome, version):
    with pytest.raises(ValueError, match=r"outcome must be|version must be"):
        tuned({"tau": 1.0}).note_outcome(outcome, version)


# --- projection


@given(
    st.lists(st.floats(-1, 2), min_size=4, max_size=4),
    st.lists(st.tuples(st.floats(0, 0.25), st.floats(0.25, 1)), min_size=4, max_size=4),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_the_projection_is_the_nearest_point_of_the_box_that_sums_to_one(values, limits, other):
    weights = dict(zip(WEIGHTS, values, strict=True))
    boxes = dict(zip(WEIGHTS, limits, strict=True))
    found = project_weights(weights, boxes)
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-12)
    assert all(boxes[name][0] <= found[name] <= boxes[name][1] for name in WEIGHTS)
    # No feasible direction comes closer: (weights - found)·(rival - found) <= 0.
    rival = project_weights(dict(zip(WEIGHTS, other, strict=True)), boxes)
    slope = sum((weights[n] - found[n]) * (rival[n] - found[n]) for n in WEIGHTS)
    assert slope <= 1e-9


def test_boxes_that_leave_one_point_are_allowed():
    even, steep = dict.fromkeys(WEIGHTS, 0.25), {"wU": 1.0, "wS": 0.0, "wC": 0.3, "wL": 0.7}
    for box in ((0.25, 0.9), (0.0, 0.25)):
        assert project_weights(steep, dict.fromkeys(WEIGHTS, box)) == pytest.approx(even)


def test_boxes_that_cannot_sum_to_one_are_refused():
    for box, sums in (((0.0, 0.2), "0.0, 0.8"), ((0.3, 0.9), "1.2, 3.6")):
        with pytest.raises(ValueError, match=rf"^weights .* sum to \[{sums}\], which misses 1$"):
            project_weights(dict.fromkeys(WEIGHTS, 0.25), dict.fromkeys(WEIGHTS, box))


# --- replay


def candidate(U, reward, C=0.5, S=0.8, L=0.7):
    return ReplayCandidate(U=U, S=S, C=C, L=L, reward=reward)


def cycle(*candidates, spend=0.0):
    return ReplayCycle(candidate(0.7, 0.5), candidates, spend)


GOOD = [cycle(candidate(0.8, 0.6), candidate(0.85, 0.65)) for _ in range(5)]
BAD = [cycle(candidate(0.72, 0.2)) for _ in range(10)]


def test_fewer_than_ten_candidates_say_nothing():
    assert replay_objective(DEFAULTS, GOOD[:4]) is None
    assert replay_gradients(DEFAULTS, GOOD[:4]) is None
    assert replay_objective(DEFAULTS, GOOD) is not None


def test_the_reward_lies_between_the_champion_and_the_best_candidate_less_the_spend():
    value = replay_objective(DEFAULTS, GOOD)
    assert 0.5 < value < 0.65
    dear = [cycle(*c.candidates, spend=1.0) for c in GOOD]
    assert replay_objective(DEFAULTS, dear) == pytest.approx(value - 0.1)


def test_one_cycle_is_the_formula():
    params = {**DEFAULTS, "tau": 0.6}
    history = [ReplayCycle(candidate(0.7, 0.5), [candidate(0.9, 0.8)]) for _ in range(10)]
    score = 0.3 * 0.9 + 0.3 * 0.8 + 0.2 * 0.5 + 0.2 * 0.7
    harmonic = [1 / (0.4 / u + 0.3 / 0.8 + 0.3 / 0.7) for u in (0.7, 0.9)]
    gain = (harmonic[1] - harmonic[0]) * math.exp(-0.25)
    gates = 1 / (1 + math.exp(-(score - 0.6) / 0.05)) / (1 + math.exp(-(gain - 0.02) / 0.05))
    assert replay_objective(params, history) == pytest.approx(0.5 + gates * 0.3)


def test_candidates_share_a_cycle_by_the_softmax_of_their_scores():
    # With τ and β_min far below, every gate is open: what is left are the shares.
    params = {**DEFAULTS, "tau": 0.5, "beta_min": 0.005, "lambda_c": 0.05}
    first, second = (
        candidate(1.0, 0.9, C=0.0, S=1.0, L=1.0),
        candidate(1.0, 0.1, C=0.2, S=1.0, L=1.0),
    )
    weak = ReplayCandidate(U=0.1, S=0.1, C=1.0, L=0.1, reward=0.5)
    history = [ReplayCycle(weak, [first, second])] * 5
    share = 1 / (1 + math.exp(-0.2 * 0.2 / 0.05))
    expected = share * 0.9 + (1 - share) * 0.1
    assert replay_objective(params, history) == pytest.approx(expected, abs=1e-3)


def test_a_cycle_without_candidates_keeps_its_champion():
    empty = replay_objective(DEFAULTS, [*GOOD, *[cycle()] * 5])
    assert empty == pytest.approx((replay_objective(DEFAULTS, GOOD) + 0.5) / 2)


def test_thresholds_loosen_when_promotions_pay_and_tighten_when_they_do_not():
    loosen, tighten = replay_gradients(DEFAULTS, GOOD), replay_gradients(DEFAULTS, BAD)
    assert loosen["tau"] < 0 < tighten["tau"]
    assert loosen["beta_min"] < 0 < tighten["beta_min"]
    assert loosen["kappa"] == tighten["kappa"] == 0.0
    assert set(loosen) == set(RANGES)


def test_gradients_are_slopes_of_the_objective_even_at_the_end_of_a_range():
    edge = {**DEFAULTS, "tau": 0.95}
    gradient = replay_gradients(edge, GOOD, h=0.05)["tau"]
    below = replay_objective({**edge, "tau": 0.95 - 0.05 * 0.45}, GOOD)
    rise = replay_objective(edge, GOOD) - below
    assert gradient == pytest.approx(rise / (0.05 * 0.45))
    assert replay_gradients(edge, GOOD) == replay_gradients(edge, GOOD, h=0.05)
    assert replay_gradients(DEFAULTS, GOOD, h=0.5) is not None
    for h in (0, 0.6, -0.1):
        with pytest.raises(ValueError, match="h must"):
            replay_gradients(DEFAULTS, GOOD, h=h)


def test_every_gradient_is_a_central_difference_over_a_tenth_of_the_range():
    found = replay_gradients(DEFAULTS, BAD)
    for name, (low, high) in RANGES.items():
        ends = [
            min(high, max(low, DEFAULTS[name] + sign * 0.05 * (high - low))) for sign in (-1, 1)
        ]
        below, above = (replay_objective({**DEFAULTS, name: end}, BAD) for end in ends)
        assert found[name] == pytest.approx((above - below) / (ends[1] - ends[0]))


def test_axes_that_the_suite_lacks_are_left_out():
    bare = [
        ReplayCycle(
            ReplayCandidate(0.7, None, None, None, 0.5),
            [ReplayCandidate(0.8, None, None, None, 0.6)],
        )
        for _ in range(10)
    ]
    slopes = replay_gradients(DEFAULTS, bare)
    assert slopes["wL"] == slopes["wS"] == slopes["lambda_c"] == 0.0
    assert slopes["tau"] < 0


@pytest.mark.parametrize("history", [GOOD, BAD], ids=["good", "bad"])
def test_tuning_on_a_fixed_history_raises_the_reward(history):
    tuner = OnlineTuner(warmup=0)
    rewards = []
    for _ in range(30):
        params = tuner.get_params()
        rewards.append(replay_objective(params, history))
        check_step(params, tuner.update(rewards[-1], replay_gradients(params, history)))
    assert all(before < after for before, after in pairwise(rewards))
