"""Who gets the challenger, and when it is taken back."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.league.canary import ALPHA, LEVELS, Monitor, Outcome, arm_of, percentile
from penin_core.omega.evidence import EProcess, log_e_path


def watched(rng, requests, fraction=0.1, **challenger):
    """Watch a canary of random outcomes; ``challenger`` says what is different about it."""
    monitor = Monitor()
    for key in range(requests):
        arm = arm_of(str(key), "salt", fraction)
        usual = {"errors": 0.02, "utility": 0.8, "cost": 1.0, "latency": 1.0}
        made = {**usual, **challenger} if arm == "challenger" else usual
        failed = bool(rng.random() < made["errors"])
        monitor.observe(
            arm,
            Outcome(
                failed=failed,
                utility=0.0 if failed else float(rng.random() < made["utility"]),
                cost_usd=0.001 * made["cost"] * math.exp(rng.normal(0, 0.3)),
                latency_ms=500 * made["latency"] * math.exp(rng.normal(0, 0.5)),
            ),
        )
    return monitor


def test_the_levels_share_one_error():
    assert math.fsum(LEVELS.values()) == pytest.approx(ALPHA, rel=1e-12)


@given(st.text(max_size=20), st.text(max_size=20), st.floats(0, 1))
def test_a_key_stays_on_its_arm_and_moves_only_to_the_challenger_as_its_share_grows(k, salt, f):
    bucket = int(
        hashlib.sha256(f"{salt}:{k}".encode("utf-8", "surrogatepass")).hexdigest()[:16], 16
    )
    assert (arm_of(k, salt, f) == "challenger") is (bucket < f * 2**64)
    assert arm_of(k, salt, 0.0) == "champion"
    if arm_of(k, salt, f) == "challenger":
        assert arm_of(k, salt, 1.0) == "challenger"


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.25, 0.5])
def test_the_split_is_fair_within_three_standard_errors(fraction):
    n = 20_000
    taken = sum(arm_of(f"user-{key}", "s", fraction) == "challenger" for key in range(n))
    assert abs(taken / n - fraction) <= 3 * math.sqrt(fraction * (1 - fraction) / n)


def test_a_key_may_be_any_text():
    broken = "half a pair: \ud800"
    assert arm_of(broken, "s", 0.0) == "champion"
    assert arm_of(broken, "s", 1.0) == "challenger"


def test_another_salt_draws_other_keys():
    keys = [str(key) for key in range(2000)]
    first, second = ([arm_of(k, salt, 0.5) for k in keys] for salt in ("a", "b"))
    same = sum(a == b for a, b in zip(first, second, strict=True))
    assert abs(same / 2000 - 0.5) < 3 * math.sqrt(0.25 / 2000)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_a_share_is_a_share(fraction):
    with pytest.raises(ValueError, match="fraction"):
        arm_of("k", "s", fraction)


def test_the_percentile_is_one_of_the_values():
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([3.0], 0.95) == 3.0


@pytest.mark.parametrize(
    ("worse", "harm"),
    [
        ({"errors": 0.12}, "errors"),
        ({"utility": 0.5}, "utility"),
        ({"cost": 1.5}, "cost"),
        ({"latency": 1.5}, "latency"),
    ],
)
def test_harm_is_found_and_named(worse, harm):
    monitor = watched(np.random.default_rng(1), 20_000, **worse)
    assert monitor.taken_back
    assert monitor.reason.startswith(f"{harm}: shown at level {LEVELS[harm]}")


def test_equals_are_not_taken_back_and_prove_to_be_safe():
    monitor = watched(np.random.default_rng(2), 20_000)
    assert monitor.verdict == "safe"
    assert monitor.challenger >= 50
    assert max(monitor.log_e()[harm] for harm in ("errors", "utility", "cost")) < 6


def test_safe_is_said_on_fifty_requests_and_not_before():
    monitor = Monitor()
    for asked in range(1, 51):
        assert monitor.verdict is None
        monitor.observe("champion", Outcome(failed=True, utility=0.0))
        monitor.observe("challenger", Outcome(utility=1.0))
        assert monitor.challenger == asked
    assert monitor.verdict == "safe"
    assert monitor.reason == "no worse by more than 0.05 on 50 requests"


@pytest.mark.parametrize(("failed", "gain"), [(True, 0.0), (False, 1.0)])
def test_safe_takes_both_answers_as_good_and_errors_as_rare(failed, gain):
    monitor = Monitor()
    for _ in range(60):
        monitor.observe("champion", Outcome(failed=failed, utility=0.0))
        monitor.observe("challenger", Outcome(utility=gain))
    assert monitor.verdict is None


def test_after_harm_nothing_changes_any_more():
    monitor = Monitor()
    for _ in range(5):
        monitor.observe("challenger", Outcome(failed=True))
    reason = monitor.reason
    monitor.observe("champion", Outcome(utility=0.0))
    monitor.end()
    assert (monitor.verdict, monitor.reason, monitor.champion) == ("harmful", reason, 0)


@pytest.mark.parametrize("how", [{"failed": True}, {"vetoed": True}])
def test_five_failures_in_a_row_end_it_at_once(how):
    monitor = Monitor()
    for _ in range(4):
        monitor.observe("challenger", Outcome(**how))
    assert not monitor.taken_back
    monitor.observe("challenger", Outcome())
    for _ in range(4):
        monitor.observe("challenger", Outcome(**how))
    assert not monitor.taken_back
    monitor.observe("challenger", Outcome(**how))
    assert monitor.reason == "5 requests in a row failed or were vetoed"


def test_silence_is_inconclusive():
    monitor = Monitor()
    for key in range(4000):
        monitor.observe("champion" if key % 10 else "challenger", Outcome(latency_ms=5.0))
    assert monitor.verdict is None
    monitor.end()
    assert (monitor.verdict, monitor.champion) == ("inconclusive", 3600)
    assert monitor.reason == "400 requests showed neither harm nor safety"


def test_an_answer_stands_against_the_mean_of_those_that_came_before_it():
    monitor = Monitor()
    for failed in (True, False, False, True):
        monitor.observe("champion", Outcome(failed=failed))
    monitor.observe("challenger", Outcome(failed=True))
    (expected,) = log_e_path([(0.5 - 0.01) / 1.01])
    assert monitor.harms["errors"].log_e == pytest.approx(expected, rel=1e-12)
    assert monitor.harms["utility"].n == monitor.harms["cost"].n == 0


def test_every_e_value_is_told_by_what_it_speaks_of():
    monitor = Monitor()
    assert monitor.log_e() == dict.fromkeys([*LEVELS, "no_worse", "no_more"], 0.0)
    monitor.observe("champion", Outcome(utility=0.5))
    monitor.observe("challenger", Outcome(utility=1.0))
    told = monitor.log_e()
    assert told["no_worse"] == EProcess(0.05).update(0.5)
    assert told["no_more"] == EProcess(0.05).update(0.0)
    assert told["utility"] == EProcess().update((-0.5 - 0.01) / 1.01)


@pytest.mark.parametrize(("fine", "mean"), [(63, 1 - 1 / 64), (64, 1.0)])
def test_an_answer_stands_against_sixty_four_others_at_most(fine, mean):
    monitor = Monitor()
    for failed in (True, *[False] * fine):
        monitor.observe("champion", Outcome(failed=failed))
    monitor.observe("challenger", Outcome(failed=True))
    (expected,) = log_e_path([(mean - 0.01) / 1.01])
    assert monitor.harms["errors"].log_e == pytest.approx(expected, rel=1e-12)


def test_slow_is_what_the_champion_was_in_the_slowest_twentieth_of_its_first_answers():
    monitor, process = Monitor(), EProcess()
    for latency in [None, *[200.0] * 10, *[100.0] * 189]:
        monitor.observe("champion", Outcome(latency_ms=latency))
    monitor.observe("challenger", Outcome(latency_ms=300.0))
    assert monitor.harms["tail"].n == 0
    monitor.observe("champion", Outcome(latency_ms=100.0))
    for latency, slower in ((100.0, 0.0), (100.1, 1.0), (300.0, 0.5)):
        monitor.observe("challenger", Outcome(latency_ms=latency))
        expected = process.update((slower - 0.01) / 1.01)
        assert monitor.harms["tail"].log_e == pytest.approx(expected, rel=1e-12)
        monitor.observe("champion", Outcome(latency_ms=100.0))
        if slower:
            monitor.observe("champion", Outcome(latency_ms=100.5))


def test_what_one_side_did_not_measure_is_not_compared():
    known = {"utility": 0.5, "cost_usd": 0.1, "latency_ms": 5.0}
    for champion, challenger in ((known, {}), ({}, known)):
        monitor = Monitor()
        monitor.observe("champion", Outcome(**champion))
        monitor.observe("challenger", Outcome(**challenger))
        compared = {harm for harm, process in monitor.harms.items() if process.n}
        assert compared == {"errors", "error_limit"}
        assert (monitor.no_worse.n, monitor.no_more_errors.n) == (0, 1)


def test_an_answer_waits_for_one_of_the_champion():
    monitor = Monitor()
    monitor.observe("challenger", Outcome(utility=1.0))
    assert monitor.harms["utility"].n == 0
    monitor.observe("champion", Outcome(utility=0.5))
    assert monitor.harms["utility"].n == 1


def test_free_answers_cost_the_same():
    monitor = Monitor()
    monitor.observe("champion", Outcome(cost_usd=0.0))
    monitor.observe("challenger", Outcome(cost_usd=0.0))
    assert monitor.harms["cost"].log_e < 0
