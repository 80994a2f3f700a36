"""A promotion needs the rule, every axis, group and guard, and the evidence: all of them."""

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Confirmation, GuardResult, Measurement, decide_promotion
from penin_core.league.decision import decide, gate, holds, linf, worst_loss
from penin_core.omega.tuner import DEFAULTS
from penin_core.settings import Margins

AXES = ("U", "S", "C", "L")
YES = GuardResult(guard="sigma", ok=True, reason="fine")
NO = GuardResult(guard="mine", ok=False, reason="no")
MARGINS = Margins()


def scored(score=0.8, tau=0.7, tau_low=0.6):
    return SimpleNamespace(score=score, tau=tau, tau_low=tau_low)


def confirmation(**changes):
    fields = {"claim": "better", "t": 1, "alpha": 0.025, "n": 300, "log_e": 9.0, "proved": True}
    return Confirmation(**{**fields, **changes})


def measured(U=0.8, S=0.9, C=0.5, L=0.8, **groups):
    return Measurement(U=U, S=S, C=C, L=L, groups=groups)


BETTER, BEFORE = measured(U=0.9), measured(U=0.7)


def decided(finalist=BETTER, champion=BEFORE, **changes):
    what = {
        "axes": AXES,
        "params": DEFAULTS,
        "guards": (YES,),
        "confirmation": confirmation(),
        "margins": MARGINS,
    }
    return decide(finalist, champion, **{**what, **changes})


# The rule on point values


@pytest.mark.parametrize(
    ("score", "delta", "verdict"),
    [
        (0.7, 0.02, "promote"),
        (0.7 - 1e-13, 0.02 - 1e-13, "promote"),
        (1.0, 1.0, "promote"),
        (0.7 - 1e-9, 0.02, "canary"),
        (0.7, 0.02 - 1e-9, "canary"),
        (0.6, 0.0, "canary"),
        (0.6 - 1e-13, 0.5, "canary"),
        (0.9, -0.02 + 1e-9, "canary"),
        (0.6 - 1e-9, 0.5, "rollback"),
        (0.9, -0.02, "rollback"),
        (0.9, -0.3, "rollback"),
        (0.0, 0.0, "rollback"),
    ],
)
def test_the_rule_at_and_around_its_thresholds(score, delta, verdict):
    assert decide_promotion(scored(score), delta, True) == verdict


def test_the_rule_takes_its_parameters_by_the_names_of_the_brief():
    assert (
        decide_promotion(score_result=scored(), delta_linf=0.03, guards_ok=True, beta_min=0.04)
        == "canary"
    )


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=4),
    st.sampled_from([math.nan, math.inf, -math.inf, "1", [], {}, 1j]),
    st.floats(),
    st.integers(-3, 3),
)


@given(anything, anything, anything)
def test_whatever_is_missing_or_wrong_never_promotes(score, delta, guards_ok):
    verdict = decide_promotion(scored(score), delta, guards_ok)
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (score, delta))
    good = plain and math.isfinite(score) and math.isfinite(delta) and guards_ok is True
    if not (good and score >= 0.7 - 1e-12 and delta >= 0.02 - 1e-12):
        assert verdict != "promote"
    if not good:
        assert verdict == "rollback"


@pytest.mark.parametrize("guards_ok", [False, None, 1, "yes", "True", [True], object()])
def test_only_the_object_true_is_a_yes_of_the_guards(guards_ok):
    assert decide_promotion(scored(), 0.5, guards_ok) == "rollback"


# The whole decision


def test_all_together_promote():
    decision = decided()
    assert (decision.verdict, decision.reason) == ("promote", "better, proved on 300 tasks")
    assert decision.delta_linf > 0.02
    assert decision.score >= decision.tau
    assert decision.delta_score == pytest.approx(0.3 * (0.9 - 0.7))
    assert decision.worst_axis is None, "nothing became worse"


@pytest.mark.parametrize("axis", AXES)
def test_a_declared_axis_that_was_not_measured_fails(axis):
    missing = BETTER.model_copy(update={axis: None})
    decision = decided(missing)
    assert (decision.verdict, decision.reason) == ("fail", f"not measured: {axis}")
    before = decided(champion=BEFORE.model_copy(update={axis: None}))
    assert (before.verdict, before.reason) == ("fail", f"not measured: {axis} of the champion")
    rest = tuple(other for other in AXES if other != axis)
    if axis != "U":
        both = (measured(0.9).model_copy(update={axis: None}), BEFORE)
        assert decided(*both, axes=rest).verdict == "promote"


def test_all_that_was_not_measured_is_named():
    missing = BETTER.model_copy(update={"S": None, "L": None})
    assert decided(missing).reason == "not measured: S, L"
    assert decided(axes=(*AXES, "X")).reason == "not measured: X"
    assert decided(axes=()).reason == "not measured: anything"


def test_the_gain_that_is_needed_is_a_parameter():
    decision = decided(params={**DEFAULTS, "beta_min": 0.5})
    change = f"L∞ changes by {decision.delta_linf:+.3f}, beta_min is 0.5"
    assert (decision.verdict, decision.reason) == ("canary", change)
    assert decided(params={**DEFAULTS, "beta_min": 0.01}).verdict == "promote"


def test_the_evidence_alone_does_not_promote():
    small = decided(measured(U=0.701))
    assert (small.verdict, small.delta_linf > 0) == ("canary", True)
    assert "beta_min" in small.reason
    low = decided(params={**DEFAULTS, "tau": 0.9})
    assert low.verdict == "canary"
    assert "under tau" in low.reason


def test_the_rule_alone_is_a_canary_that_is_parked():
    decision = decided(confirmation=confirmation(proved=False, n=500))
    assert (decision.verdict, decision.reason) == ("canary", "not proved on 500 tasks: parked")


@pytest.mark.parametrize(
    ("stopped", "reason"),
    [
        ("tasks", "not proved on 200 tasks: parked"),
        ("hopeless", "not proved on 200 tasks, and more were not likely to: parked"),
    ],
)
def test_what_is_parked_says_why_its_confirmation_ended(stopped, reason):
    found = decided(confirmation=confirmation(proved=False, n=200, stopped=stopped))
    assert (found.verdict, found.reason) == ("canary", reason)
    assert decided(confirmation=None).reason == "not proved on no tasks: parked"


def test_neither_is_a_rollback():
    unproved = confirmation(proved=False)
    decision = decided(measured(0.76, 0.86, 0.5, 0.76), measured(0.8), confirmation=unproved)
    assert decision.verdict == "rollback"
    assert decision.reason == f"L∞ changes by {decision.delta_linf:+.3f}, beta_min is 0.02"
    assert decision.delta_linf < -0.02


@pytest.mark.parametrize(("n", "verdict"), [(0, "canary"), (99, "canary"), (100, "promote")])
def test_fewer_than_a_hundred_pairs_never_prove(n, verdict):
    assert decided(confirmation=confirmation(n=n)).verdict == verdict


@pytest.mark.parametrize("proved", [1, "yes", None])
def test_only_true_is_a_proof(proved):
    forged = Confirmation.model_construct(**{**dict(confirmation()), "proved": proved})
    assert decided(confirmation=forged).verdict == "canary"


@pytest.mark.parametrize("guards", [(), (NO,), (YES, NO), (NO, YES)])
def test_a_veto_or_no_guard_at_all_is_a_rollback(guards):
    decision = decided(guards=guards)
    assert decision.verdict == "rollback"
    assert decision.reason == ("vetoed by mine" if guards else "vetoed by no guard at all")
    assert decision.linf == 0.0


def test_all_who_veto_are_named_whatever_they_are():
    assert decided(guards=(NO, YES, "odd")).reason == "vetoed by mine, odd"


@pytest.mark.parametrize("ok", [1, "yes", None, [True]])
def test_a_guard_that_does_not_say_true_vetoes(ok):
    forged = GuardResult.model_construct(guard="odd", ok=ok, reason="", details={}, measured=True)
    assert decided(guards=(YES, forged)).verdict == "rollback"


@pytest.mark.parametrize(
    ("axis", "at", "beyond"),
    [("S", 0.85, 0.849), ("C", 0.55, 0.551), ("L", 0.75, 0.749)],
)
def test_an_axis_may_be_worse_by_its_margin_and_no_more(axis, at, beyond):
    assert decided(measured(U=0.95, **{axis: at})).verdict == "promote"
    decision = decided(measured(U=0.95, **{axis: beyond}))
    assert decision.verdict == "rollback"
    assert decision.reason.startswith(f"axis {axis} is worse by 0.05")
    assert decision.worst_axis == f"axis {axis}"


def test_utility_may_be_worse_by_its_margin_where_the_claim_is_cheaper():
    claim = confirmation(claim="cheaper", log_e_cost=9.0)
    before = measured(U=0.8)
    assert decided(measured(U=0.75, C=0.2), before, confirmation=claim).verdict == "promote"
    assert decided(measured(U=0.749, C=0.2), before, confirmation=claim).verdict == "rollback"


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ({"a": 0.75, "b": 0.5}, "promote"),
        ({"a": 0.749, "b": 0.9}, "rollback"),
        ({"b": 0.9}, "rollback"),
        ({"a": 0.9, "b": 0.9, "new": 0.0}, "promote"),
    ],
)
def test_no_protected_group_is_left_behind(after, verdict):
    decision = decided(measured(U=0.95, **after), measured(U=0.7, a=0.8, b=0.5))
    assert decision.verdict == verdict
    if verdict == "rollback":
        assert decision.worst_axis == "group 'a'"


def test_every_axis_has_its_own_margin():
    wide = Margins(S=0.2)
    assert decided(measured(U=0.99, S=0.75), margins=wide).verdict == "promote"
    assert decided(measured(U=0.99, S=0.75, L=0.74), margins=wide).verdict == "rollback"


def test_the_worst_loss_is_the_one_furthest_beyond_its_margin():
    finalist, champion = measured(S=0.8, C=0.58), measured(S=0.9, C=0.5)
    assert worst_loss(finalist, champion, AXES, Margins(S=0.2, C=0.05)) == (
        "axis C",
        pytest.approx(0.08),
        0.05,
    )


def test_a_quality_of_zero_never_promotes():
    decision = decided(measured(U=1.0, L=0.0), margins=Margins(L=0.99))
    assert (decision.linf, decision.verdict) == (0.0, "rollback")


# What the decision is computed from


def test_the_score_weighs_the_axes_and_inverts_the_cost():
    found = gate(measured(0.8, 0.6, 0.3, 0.5), AXES, DEFAULTS).score
    assert found == pytest.approx(0.3 * 0.8 + 0.3 * 0.6 + 0.2 * 0.7 + 0.2 * 0.5)


def test_an_axis_that_the_suite_lacks_has_no_weight():
    found = gate(measured(0.8, 0.6, 0.3, 0.5), ("U", "C"), DEFAULTS).score
    assert found == pytest.approx((0.3 * 0.8 + 0.2 * 0.7) / 0.5)


def test_l_infinity_is_the_harmonic_mean_discounted_by_cost():
    found = linf(measured(0.8, 0.6, 0.3, 0.5), AXES, DEFAULTS, ethical_ok=True)
    assert found == pytest.approx(1 / (0.4 / 0.8 + 0.3 / 0.6 + 0.3 / 0.5) * math.exp(-0.5 * 0.3))
    free = linf(measured(0.8, 0.6, 0.0, 0.5), AXES, DEFAULTS, ethical_ok=True)
    assert free == pytest.approx(1 / (0.4 / 0.8 + 0.3 / 0.6 + 0.3 / 0.5))
    without = linf(measured(0.8, 0.6, 0.3, 0.5), ("U", "S"), DEFAULTS, ethical_ok=True)
    assert without == pytest.approx(0.7 / (0.4 / 0.8 + 0.3 / 0.6))
    assert linf(measured(), AXES, DEFAULTS, ethical_ok=False) == 0.0


unit = st.floats(0, 1)


@given(st.tuples(*[unit] * 4), st.tuples(*[unit] * 4), st.booleans(), st.booleans(), st.booleans())
def test_a_promotion_always_means_that_everything_agreed(new, old, proved, first, second):
    finalist, champion = measured(*new), measured(*old)
    guards = tuple(YES.model_copy(update={"ok": ok}) for ok in (first, second))
    decision = decided(finalist, champion, guards=guards, confirmation=confirmation(proved=proved))
    if decision.verdict == "promote":
        assert proved
        assert first
        assert second
        assert decision.score >= decision.tau - 1e-12
        assert decision.delta_linf >= 0.02 - 1e-12
        for axis in "USL":
            assert getattr(finalist, axis) >= getattr(champion, axis) - 0.05 - 1e-9
        assert finalist.C <= champion.C + 0.05 + 1e-9


# What is missing or wrong


ODD = (None, math.nan, math.inf, -math.inf, True, "0.9", -0.1, 1.1, [0.9], 10**400, 0.9j)


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("axis", AXES)
def test_an_axis_that_is_no_number_in_the_unit_interval_fails(axis, odd):
    forged = BETTER.model_copy(update={axis: odd})
    assert decided(forged).verdict == "fail"
    assert decided(champion=BEFORE.model_copy(update={axis: odd})).verdict == "fail"


@pytest.mark.parametrize("name", ["wU", "wS", "wC", "wL", "tau", "beta_min", "lambda_c"])
@pytest.mark.parametrize("odd", [None, math.nan, math.inf, "0.3", True])
def test_a_parameter_that_is_no_number_fails(name, odd):
    decision = decided(params={**DEFAULTS, name: odd})
    assert (decision.verdict, decision.reason) == ("fail", f"parameter {name} is {odd!r}")


@pytest.mark.parametrize("odd", [None, math.nan, math.inf, "0.05", -0.1])
def test_a_margin_that_is_no_number_fails(odd):
    for name in (*AXES, "group"):
        decision = decided(margins=MARGINS.model_copy(update={name: odd}))
        assert decision.verdict == "fail"
        assert decision.reason == "a margin is no number in [0, 1]"
    assert decided(lost=odd).verdict == "fail"
    assert decided(margins=odd).verdict == "fail"


def test_groups_that_are_no_numbers_fail():
    for odd in (None, {"a": math.nan}, {"a": "1"}, {"a": None}):
        forged = {"groups": odd}
        after = decided(BETTER.model_copy(update=forged))
        before = decided(champion=BEFORE.model_copy(update=forged))
        assert (after.verdict, after.reason) == ("fail", "the groups are no numbers")
        assert before.verdict == "fail"
        assert before.reason == "the groups of the champion are no numbers"


def test_measurements_of_different_suites_are_not_compared():
    stale = BETTER.model_copy(update={"suite_hash": "old"})
    assert decided(stale).reason == "finalist and champion were measured on different suites"


def test_without_axes_there_is_nothing_to_decide_on():
    assert decided(axes=()).verdict == "fail"


@pytest.mark.parametrize(
    "changes",
    [
        {"log_e": math.log(40) - 1e-6},
        {"log_e": math.nan},
        {"log_e": None},
        {"log_e": "9"},
        {"log_e": 9},
        {"alpha": 0.05},
        {"alpha": math.nan},
        {"t": 2},
        {"t": 0},
        {"t": None},
        {"n": math.nan},
        {"n": None},
        {"claim": "cheaper"},
        {"claim": "cheaper", "log_e_cost": 3.0},
        {"claim": "nicer"},
        {"mode": "whenever"},
        {"proved": "True"},
    ],
    ids=repr,
)
def test_a_proof_has_to_hold_by_its_own_numbers(changes):
    forged = Confirmation.model_construct(**{**dict(confirmation()), **changes})
    assert not holds(forged)
    assert decided(confirmation=forged).verdict == "canary"
    assert holds(confirmation(claim="cheaper", log_e_cost=4.0))
    assert holds(confirmation(log_e=math.log(40)))
    assert holds(confirmation(mode="horizon", log_e=0.0))
    assert not holds(confirmation(mode="horizon", claim="cheaper", log_e=9.0, log_e_cost=9.0))


def test_no_confirmation_at_all_proves_nothing():
    assert decided(confirmation=None).verdict == "canary"


# Small losses add up


def test_the_utility_that_earlier_promotions_gave_away_narrows_the_margin():
    claim = confirmation(claim="cheaper", log_e_cost=9.0)
    before, after = measured(U=0.8), measured(U=0.77, C=0.2)
    assert decided(after, before, confirmation=claim).verdict == "promote"
    assert decided(after, before, confirmation=claim, lost=0.02).verdict == "promote"
    refused = decided(after, before, confirmation=claim, lost=0.03)
    assert refused.verdict == "rollback"
    assert refused.reason == (
        "axis U is worse by 0.030, the margin is 0.02 after 0.030 that earlier promotions gave away"
    )
    for all_of_it in (1.0, sys.float_info.max):
        assert decided(lost=all_of_it).verdict == "promote"


# Fuzzed


def spoiled():
    """The benchmark that spoils decisions, of which this is the short form."""
    path = Path(__file__).parent.parent / "bench" / "spoiled.py"
    spec = importlib.util.spec_from_file_location("spoiled", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        # Dataclasses look their module up.
        patched.setitem(sys.modules, "spoiled", module)
        spec.loader.exec_module(module)
    return module


def test_only_utility_is_said_to_have_been_given_away_before():
    low = decided(measured(U=0.7, S=0.8), measured(U=0.7, S=0.9), lost=0.02)
    assert low.reason == "axis S is worse by 0.100, the margin is 0.05"
    first = decided(measured(U=0.6), BEFORE)
    assert first.reason == "axis U is worse by 0.100, the margin is 0.05"


def test_a_score_that_is_exactly_tau_falls_short_of_something_else():
    score = decided().score
    same = decided(champion=BETTER, params={**DEFAULTS, "tau": score})
    assert same.reason.startswith("L∞ changes by +0.000")


def test_twenty_thousand_spoiled_decisions_promote_nothing():
    tried = spoiled().fuzz(20_000, seed=1)
    assert tried.clean == tried.clean_promoted == 800
    assert tried.spoiled > 19_000
    assert tried.spoiled_promoted == 0
