"""By hand, too, the champion moves only on proof, and every move can be taken back."""

import json

import pytest

from penin_core import Configuration, PromotionRefused, StateError
from penin_core.league.confirmation import task_mark
from penin_core.league.promotion import LeagueOrchestrator, promotion_body
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.store import WORMLedger

FIRST = Configuration(provider="p", model="first")
PAIRS = ["c1", "c2", "c3"]


@pytest.fixture
def league(tmp_path):
    """A ledger whose champion is FIRST, and its orchestrator."""
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        made = LeagueOrchestrator(tmp_path, ledger)
        add_run(made, "run-first", FIRST, kind="baseline")
        body = promotion_body(FIRST.model_dump(mode="json"), "run-first", None)
        ledger.record_event("BOOTSTRAP", body)
        yield made


def config_of(name):
    return Configuration(provider="p", model=name)


def add_run(league, run_id, config, *, proved=True, champion=FIRST, guards=True, **row):
    """Record a run that may be promoted, unless ``row`` says otherwise."""
    files = {
        "config.json": json.dumps(config.model_dump(mode="json")).encode(),
        "pairs.jsonl": b"".join(json.dumps({"task": task}).encode() + b"\n" for task in PAIRS),
    }
    manifest = write_run(league.state, run_id, files)
    detail = {
        "champion": champion.hash,
        "params": {"beta_min": 0.02},
        "confirmation": {"proved": proved},
        "guards": [{"guard": "sigma", "ok": True}] if guards else [],
    }
    fields = {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": config.hash,
        "verdict": "promote",
        "reason": "as it was",
        "dry_run": False,
        "sigma_guard_ok": True,
        "ir_ic_ok": True,
        "delta_linf": 0.05,
        "artifacts_path": f"runs/{run_id}",
        "manifest_sha256": manifest,
        "detail": detail,
    }
    league.ledger.record_run({**fields, **row})
    return run_id


def kinds(league):
    return [entry.kind for entry in league.ledger.events()]


def pointer(league):
    return json.loads((league.state / "champion.json").read_text())


def test_a_run_that_passed_everything_becomes_champion(league):
    champion = league.promote(add_run(league, "run-b", config_of("b")))
    assert champion.config["model"] == "b"
    assert champion.run_id == pointer(league)["run_id"] == "run-b"
    assert champion.previous_run_id == "run-first"
    assert kinds(league) == ["BOOTSTRAP", "PROMOTE"]
    assert league.ledger.verify().valid


def test_the_tasks_that_proved_it_are_spent(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    (entry,) = league.ledger.events("PROMOTE")
    assert entry.body["spent"] == [task_mark(task) for task in PAIRS]


OBJECTIONS = {
    "own baseline": {"kind": "baseline"},
    "dry run": {"dry_run": True},
    "its verdict was fail (as it was)": {"verdict": "fail"},
    "its verdict was rollback (as it was)": {"verdict": "rollback"},
    "its verdict was canary (as it was)": {"verdict": "canary"},
    "Σ-Guard did not pass": {"sigma_guard_ok": False},
    "Σ-Guard did": {"sigma_guard_ok": None},
    "IR→IC did not pass": {"ir_ic_ok": False},
    "IR→IC": {"guards": False},
    "ΔL∞ is 0.019": {"delta_linf": 0.019},
    "ΔL∞ is None": {"delta_linf": None},
    "not proved": {"proved": False},
    "gain is not proved": {"proved": "yes"},
    "against another champion": {"champion": config_of("other")},
}


@pytest.mark.parametrize("objection", OBJECTIONS)
def test_every_single_objection_refuses(league, objection):
    run_id = add_run(league, "run-b", config_of("b"), **OBJECTIONS[objection])
    with pytest.raises(PromotionRefused, match="run-b is not promoted") as caught:
        league.promote(run_id)
    assert objection in str(caught.value)
    assert "; " not in str(caught.value), "one objection was made, one is named"
    assert caught.value.exit_code == 3
    assert league.champion().run_id == "run-first"
    assert kinds(league) == ["BOOTSTRAP"]


def test_risk_that_was_not_measurable_yet_is_no_objection(league):
    assert league.promote(add_run(league, "run-b", config_of("b"), ir_ic_ok=None))


def test_force_needs_a_reason_and_the_ledger_keeps_both_objections_and_reason(league):
    run_id = add_run(league, "run-b", config_of("b"), verdict="fail", proved=False)
    for reason in ("", "  "):
        with pytest.raises(PromotionRefused, match="needs a reason"):
            league.promote(run_id, force=True, reason=reason)
    assert kinds(league) == ["BOOTSTRAP"]
    assert league.promote(run_id, force=True, reason="the boss says so").run_id == "run-b"
    assert kinds(league) == ["BOOTSTRAP", "OVERRIDE", "PROMOTE"]
    override = league.ledger.events("OVERRIDE")[0].body
    assert override["reason"] == "the boss says so"
    assert len(override["objections"]) == 2


def test_a_configuration_that_was_changed_on_disk_is_not_promoted(league):
    run_id = add_run(league, "run-b", config_of("b"), candidate_cfg_hash=config_of("c").hash)
    with pytest.raises(StateError, match="is not the measured one"):
        league.promote(run_id, force=True, reason="x")


def test_an_unknown_run_is_named(league):
    with pytest.raises(StateError, match="'run-x' is not in the ledger"):
        league.promote("run-x")


def test_without_a_champion_nothing_moves(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        empty = LeagueOrchestrator(tmp_path, ledger)
        run_id = add_run(empty, "run-b", config_of("b"))
        for move in (lambda: empty.promote(run_id), empty.rollback):
            with pytest.raises(StateError, match="there is no champion yet"):
                move()


def test_a_rollback_returns_to_the_last_good_and_quarantines_what_is_left(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    back = league.rollback(reason="angry users")
    assert (back.config["model"], back.run_id) == ("first", "run-first")
    assert pointer(league)["run_id"] == "run-first"
    assert league.quarantined() == {config_of("b").hash}
    assert league.ledger.events("ROLLBACK")[0].body["reason"] == "angry users"
    again = add_run(league, "run-b2", config_of("b"))
    with pytest.raises(PromotionRefused, match="quarantined after a rollback"):
        league.promote(again)
    assert league.promote(again, force=True, reason="fixed").run_id == "run-b2"


def test_two_rollbacks_go_back_two_champions(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    league.promote(add_run(league, "run-c", config_of("c"), champion=config_of("b")))
    assert [league.rollback().run_id, league.rollback().run_id] == ["run-b", "run-first"]
    with pytest.raises(StateError, match="no earlier champion"):
        league.rollback()


def test_a_rollback_to_a_run_needs_one_that_was_champion(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    league.promote(add_run(league, "run-c", config_of("c"), champion=config_of("b")))
    never = add_run(league, "run-n", config_of("n"))
    with pytest.raises(StateError, match="never was the champion"):
        league.rollback(never)
    assert league.rollback("run-first").config["model"] == "first"


def test_a_pointer_that_was_left_behind_is_brought_up_to_date(league):
    league.champion()
    run_id = add_run(league, "run-b", config_of("b"))
    body = promotion_body(config_of("b").model_dump(mode="json"), run_id, league.champion())
    league.ledger.record_event("PROMOTE", body)
    assert pointer(league)["run_id"] == "run-first"
    assert league.champion().run_id == "run-b"
    assert pointer(league)["run_id"] == "run-b"
