"""By hand, too, the champion moves only on proof, and every move can be taken back."""

import json

import pytest

from penin_core import Configuration, LedgerInvalid, PromotionRefused, StateError
from penin_core.league.confirmation import task_mark
from penin_core.league.promotion import LeagueOrchestrator, promotion_body
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.store import WORMLedger

FIRST = Configuration(provider="p", model="first")
PAIRS = ["c1", "c2", "c3"]
FURTHER = "c4"


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


def add_run(
    league, run_id, config, *, proved=True, champion=FIRST, guards=True, params=None, **row
):
    """Record a run that may be promoted, unless ``row`` says otherwise."""
    files = {
        "config.json": json.dumps(config.model_dump(mode="json")).encode(),
        "pairs.jsonl": b"".join(json.dumps({"task": task}).encode() + b"\n" for task in PAIRS),
        "further.jsonl": json.dumps({"task": FURTHER}).encode(),
    }
    manifest = write_run(league.state, run_id, files)
    detail = {
        "champion": champion.hash,
        **({"params": {"beta_min": 0.02}} if params is None else params),
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
    assert entry.body["spent"] == [task_mark(task) for task in (*PAIRS, FURTHER)]


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


@pytest.mark.parametrize(
    ("params", "delta", "needed"),
    [
        ({"params": {"beta_min": 0.06}}, 0.05, "at least 0.06 is needed"),
        ({"params": {}}, 0.019, "at least 0.02 is needed"),
        ({}, 0.019, "at least 0.02 is needed"),
    ],
)
def test_the_gain_that_is_needed_is_the_one_of_its_cycle(league, params, delta, needed):
    run_id = add_run(league, "run-b", config_of("b"), params=params, delta_linf=delta)
    with pytest.raises(PromotionRefused, match=needed):
        league.promote(run_id)
    enough = add_run(league, "run-c", config_of("c"), params=params, delta_linf=0.06)
    assert league.promote(enough).run_id == "run-c"


def test_a_run_without_detail_is_refused_and_nothing_breaks(league):
    run_id = add_run(league, "run-b", config_of("b"), detail={})
    with pytest.raises(PromotionRefused, match="its gain is not proved; it was measured against"):
        league.promote(run_id)


def test_files_that_were_changed_are_not_promoted(league):
    run_id = add_run(league, "run-b", config_of("b"))
    pairs = league.state / "runs" / run_id / "pairs.jsonl"
    pairs.chmod(0o600)
    pairs.write_bytes(b"")
    with pytest.raises(LedgerInvalid):
        league.promote(run_id)
    assert kinds(league) == ["BOOTSTRAP"]


def test_what_nobody_gave_a_reason_for_was_done_by_hand(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    league.rollback()
    assert league.ledger.events("PROMOTE")[0].body["reason"] == "by hand"
    back = league.ledger.events("ROLLBACK")[0].body
    assert (back["reason"], back["previous_run_id"]) == ("by hand", "run-b")


def test_every_refusal_says_what_to_do(league):
    run_id = add_run(league, "run-b", config_of("b"), proved=False)
    asked = {
        "--force --reason TEXT overrides, and the ledger says so": lambda: league.promote(run_id),
        "add --reason TEXT": lambda: league.promote(run_id, force=True),
        "penin champion shows the history": league.rollback,
        "penin promote makes a candidate champion": lambda: league.rollback(run_id),
    }
    for hint, ask in asked.items():
        with pytest.raises((PromotionRefused, StateError)) as caught:
            ask()
        assert caught.value.hint == hint


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
