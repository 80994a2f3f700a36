"""The tuner learns from finalists in the ledger, and speaks only when there are enough of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from penin_core.canonical import digest
from penin_core.league.fates import restored
from penin_core.ledger.store import WORMLedger
from penin_core.omega._replay import SPEND_WEIGHT
from penin_core.omega.tuner import DEFAULTS, RANGES, OnlineTuner, replay_objective
from penin_core.project import parameters
from penin_core.tuning import replay_history, tune

GOOD = {"U": 0.8, "S": 0.9, "C": 0.5, "L": 0.7}


@pytest.fixture
def ledger(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as opened:
        body = {"config": {}, "config_hash": digest({}), "run_id": None, "param_version": 0}
        opened.record_event("BOOTSTRAP", {**body, "params": {**DEFAULTS, "tau": 0.6}})
        yield opened


def row(run_id, cycle, kind="challenger", axes=GOOD, **more):
    scores = {f"{axis.lower()}_score": value for axis, value in axes.items()}
    fields = {"id": run_id, "cycle_id": cycle, "kind": kind, "candidate_cfg_hash": "0" * 64}
    return {**fields, "verdict": "rollback", "dry_run": False, "n_tasks": 100, **scores, **more}


def add_cycle(ledger, n, gain=0.05, **more):
    """Append a cycle with a baseline and one finalist that is better by ``gain``."""
    finalist = {**GOOD, "U": GOOD["U"] + gain}
    ledger.record_run(row(f"b{n}", f"cycle-{n}", "baseline", **more))
    ledger.record_run(row(f"c{n}", f"cycle-{n}", axes=finalist, score=0.7, **more))


def cycle(ledger, dry_run=False):
    version, params = parameters(ledger)
    project = SimpleNamespace(plugins=SimpleNamespace(loaded=dict))
    about = {"params": params, "param_version": version, "project": project}
    return SimpleNamespace(ledger=ledger, dry_run=dry_run, **about)


def tuned(ledger):
    return [entry.body for entry in ledger.events("TUNE")]


def test_nothing_is_tuned_before_ten_finalists_were_measured(ledger):
    for n in range(9):
        add_cycle(ledger, n)
        assert tune(cycle(ledger)) is False
    assert tuned(ledger) == []
    add_cycle(ledger, 9)
    assert tune(cycle(ledger)) is True
    (entry,) = tuned(ledger)
    assert set(entry) == {*("param_version", "params", "objective", "gradients", "state", "loaded")}


def test_a_dry_run_tunes_nothing_and_teaches_nothing(ledger):
    for n in range(12):
        add_cycle(ledger, n, dry_run=True)
    assert tune(cycle(ledger)) is False
    assert replay_history(ledger) == []
    for n in range(12, 24):
        add_cycle(ledger, n)
    assert tune(cycle(ledger, dry_run=True)) is False
    assert tuned(ledger) == []


def test_only_finalists_with_their_champion_are_history(ledger):
    add_cycle(ledger, 1)
    raced = {"U": 0.5, "S": None, "C": 0.5, "L": None}
    ledger.record_run(row("r1", "cycle-1", axes=raced))
    ledger.record_run(row("flawed", "cycle-1", axes={**GOOD, "L": None}))
    ledger.record_run(row("alone", "cycle-2", score=0.7))
    ledger.record_run(row("first", "cycle-3", "baseline"))
    ledger.record_run(row("unmeasured", "cycle-1", n_tasks=0))
    (found,) = replay_history(ledger)
    assert found.champion.U == 0.8
    assert [candidate.U for candidate in found.candidates] == [pytest.approx(0.85)]
    assert found.candidates[0].reward > found.champion.reward


def test_what_a_cycle_spent_is_a_cost_of_its_outcome(ledger):
    for n in range(10):
        add_cycle(ledger, n, detail={"spent_share": 0.4} if n % 2 else {})
    assert [past.spend for past in replay_history(ledger)] == [0.0, 0.4] * 5
    tune(cycle(ledger))
    free = [replace(past, spend=0.0) for past in replay_history(ledger)]
    params = parameters(ledger)[1]
    assert tuned(ledger)[0]["objective"] == pytest.approx(
        replay_objective(params, free) - SPEND_WEIGHT * 0.2
    )


def test_the_warm_up_only_counts_and_then_every_step_is_small_and_in_range(ledger):
    for n in range(10):
        add_cycle(ledger, n, gain=0.03 if n % 2 else -0.04)
    before = parameters(ledger)[1]
    for step in range(8):
        tune(cycle(ledger))
        version, after = parameters(ledger)
        if step < 5:
            assert (version, after) == (0, {**DEFAULTS, "tau": 0.6})
        for name, (low, high) in RANGES.items():
            assert low <= after[name] <= high
            assert abs(after[name] - before[name]) <= 0.02 * min(1, high - low) + 1e-12
        before = after
    assert version == 3
    assert after["tau"] != 0.6
    assert sum(after[name] for name in ("wU", "wS", "wC", "wL")) == pytest.approx(1)


def test_the_tuner_goes_on_where_the_ledger_says_that_it_was(ledger):
    for n in range(10):
        add_cycle(ledger, n)
    for _ in range(7):
        tune(cycle(ledger))
    again = restored(ledger, {})
    assert again.export_state() == tuned(ledger)[-1]["state"]
    assert again.get_params() == parameters(ledger)[1]
    assert again.calls == 7


def test_a_new_tuner_starts_at_the_parameters_in_force(ledger):
    made = restored(ledger, parameters(ledger)[1])
    assert made.get_params() == {**DEFAULTS, "tau": 0.6}
    assert made.export_state() == OnlineTuner({"tau": 0.6}).export_state()


def test_the_parameters_are_those_of_the_last_entry_that_set_them(tmp_path):
    with WORMLedger(tmp_path / "other.db") as empty:
        assert parameters(empty) == (0, dict(DEFAULTS))
        empty.record_event("TUNE", {"param_version": 4, "params": {"tau": 0.55}})
        empty.record_event("CONFIRM", {"params": {"tau": 0.9}})
        assert parameters(empty) == (4, {**DEFAULTS, "tau": 0.55})


@pytest.mark.parametrize("axes", ["USC", "UCL", "UC", "US", "U"])
def test_a_suite_without_an_axis_is_replayed_without_it(ledger, axes):
    before = {axis: GOOD[axis] if axis in axes else None for axis in GOOD}
    for n in range(10):
        ledger.record_run(row(f"b{n}", f"y{n}", "baseline", axes=before))
        ledger.record_run(row(f"c{n}", f"y{n}", axes={**before, "U": 0.85}, score=0.7))
        ledger.record_run(row(f"r{n}", f"y{n}", axes={**before, "S": None, "L": None}))
    assert tune(cycle(ledger)) is True
    assert [len(past.candidates) for past in replay_history(ledger)] == [1] * 10
    for past in replay_history(ledger):
        assert {a for a in GOOD if getattr(past.champion, a) is not None} == set(axes)


def test_the_champion_counts_as_it_was_measured_beside_the_finalist(ledger):
    first = row("first", "cycle-1", "baseline", axes={**GOOD, "U": 0.5}, score=0.5)
    ledger.record_run({**first, "verdict": "promote"})
    add_cycle(ledger, 1)
    (found,) = replay_history(ledger)
    assert found.champion.U == 0.8
