"""Pairs and units of evidence, and what their tests say."""

import math

import pytest

from penin_core import TaskRow
from penin_core.league.looks import MARGIN, Evidence, Pair, pair_of, units
from penin_core.omega.evidence import EProcess, horizon_looks


def row(utility=1.0, tokens=10, error=None, **more):
    return TaskRow(task="t", utility=utility, tokens_in=tokens, error=error, **more)


def pair(difference, saving=0.0, cluster=None):
    return Pair("t", 0.0, 0.0, difference, saving, cluster)


def evidence(claim="better", mode="anytime", planned=200, alpha=0.025, values=()):
    made = Evidence(claim, alpha, mode, planned)
    for value in values:
        made.look(*value)
    return made


def test_a_pair_holds_both_scores_their_difference_and_the_saving():
    found = pair_of(row(0.25, 30), row(0.75, 10), {"tokens": 5.0}, "doc")
    assert found == Pair("t", 0.25, 0.75, 0.5, (6 - 2) / (6 + 2), "doc")


def test_the_saving_weighs_money_and_tokens():
    baseline = {"cost_usd": 0.01, "latency_ms": 100.0, "tokens": 10.0}
    dear = row(tokens=20, cost_usd=0.03, latency_ms=50.0)
    cheap = row(tokens=8, tokens_out=2, cost_usd=0.01, latency_ms=100.0)
    before, after = (0.5 * 3 + 0.2 * 2) / 0.7, 1.0
    found = pair_of(dear, cheap, baseline).saving
    assert found == pytest.approx((before - after) / (before + after))


def test_time_saves_nothing():
    slow, quick = row(latency_ms=900.0), row(latency_ms=1.0)
    assert pair_of(slow, quick, {"latency_ms": 100.0, "tokens": 10.0}).saving == 0.0
    assert pair_of(slow, quick, {"latency_ms": 100.0}).saving == 0.0


def test_a_failed_call_saves_nothing():
    gone = row(None, error="gone")
    assert pair_of(row(), gone, {"tokens": 5.0}).saving == -1.0
    assert pair_of(gone, row(), {"tokens": 5.0}).saving == -1.0


@pytest.mark.parametrize("baseline", [{}, {"tokens": 0.0, "cost_usd": 0.0, "latency_ms": 0.0}])
def test_where_the_baseline_costs_nothing_nobody_saves(baseline):
    assert pair_of(row(tokens=30), row(tokens=10), baseline).saving == 0.0
    assert pair_of(row(None, error="gone"), row(), baseline).saving == -1.0


def test_a_unit_is_a_pair_or_the_mean_of_neighbours_of_one_cluster():
    assert units([]) == []
    assert units([pair(0.5, 0.1), pair(-0.5, 0.2)]) == [(0.5, 0.1), (-0.5, 0.2)]
    clustered = [pair(1.0, 0.5, "a"), pair(0.0, 0.0, "a"), pair(-1.0, 1.0, "b"), pair(0.0, 0.2)]
    assert units(clustered) == [(0.5, 0.25), (-1.0, 1.0), (0.0, 0.2)]


def test_better_bets_on_the_difference_alone():
    made, process = evidence(values=[(0.5, -1.0)] * 30), EProcess()
    assert made.log_e == max(process.update(0.5) for _ in range(30))
    assert (made.log_e_cost, made.cost, made.proved) == (None, None, True)


def test_cheaper_bets_on_both_and_takes_both():
    made = evidence("cheaper", values=[(0.0, 0.5)] * 60)
    process = EProcess(MARGIN)
    assert made.log_e == max(process.update(0.0) for _ in range(60))
    assert made.log_e_cost > -math.log(0.025) > made.log_e
    assert not made.proved
    assert evidence("cheaper", values=[(0.0, 0.5)] * 200).proved
    assert not evidence("cheaper", values=[(0.0, 0.0)] * 200).proved


def test_evidence_is_the_best_look_and_starts_at_nothing():
    assert evidence().log_e == 0.0
    assert evidence("cheaper").log_e_cost == 0.0
    made = evidence(values=[(1.0, 0.0)] * 5 + [(-1.0, 0.0)] * 5)
    assert made.log_e == evidence(values=[(1.0, 0.0)] * 5).log_e


def test_planned_looks_decide_where_they_are_planned():
    better = evidence(mode="horizon", planned=100)
    for _ in range(19):
        better.look(1.0, 0.0)
    assert not better.proved
    better.look(1.0, 0.0)
    assert better.proved
    spread = [(0.02, 0.1), (-0.06, 0.3)] * 50
    assert not evidence("better", "horizon", 100, values=spread).proved


def test_cheaper_is_looked_at_anytime_in_every_mode():
    # No loss came yet: Student's t knows no spread, the bettor knows what he has not seen.
    lucky = [(0.0, 0.5)] * 100
    assert not evidence("cheaper", "horizon", 100, values=lucky).proved
    for values in (lucky, lucky * 2, [(0.02, -0.1), (-0.06, 0.05)] * 200):
        anytime, planned = (
            evidence("cheaper", mode, 400, values=values) for mode in ("anytime", "horizon")
        )
        assert (anytime.log_e, anytime.log_e_cost) == (planned.log_e, planned.log_e_cost)
        assert (anytime.proved, anytime.hopeless) == (planned.proved, planned.hopeless)


@pytest.mark.parametrize(
    ("mode", "needed"),
    [
        ("anytime", math.sqrt(2 * math.log(40))),
        ("horizon", horizon_looks(200, 0.025)[-1].critical_t),
    ],
)
def test_what_is_needed_at_the_end_belongs_to_the_mode(mode, needed):
    assert evidence(mode=mode).utility.needed == pytest.approx(needed)


@pytest.mark.parametrize("mode", ["anytime", "horizon"])
def test_hopeless_is_what_loses_and_never_what_is_proved_or_over(mode):
    assert not evidence(mode=mode).hopeless
    assert evidence(mode=mode, values=[(-1.0, 0.0)] * 40).hopeless
    assert not evidence(mode=mode, values=[(-1.0, 0.0)] * 200).hopeless
    assert not evidence(mode=mode, values=[(1.0, 0.0)] * 40 + [(-1.0, 0.0)] * 150).hopeless


def test_a_claim_of_two_parts_is_hopeless_where_one_is():
    assert evidence("cheaper", values=[(0.5, -0.5)] * 40).hopeless
    assert evidence("cheaper", values=[(-0.5, 0.5)] * 40).hopeless
    assert not evidence("cheaper", values=[(0.5, 0.5)] * 40).hopeless
    assert not evidence("better", values=[(0.5, -0.5)] * 40).hopeless
