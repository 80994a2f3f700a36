"""By hand, too, the champion moves only on proof, and every move can be taken back."""

import asyncio
import json
import shutil
from dataclasses import replace

import pytest

from penin_core import Configuration, LedgerInvalid, PromotionRefused, StateError
from penin_core.league.confirmation import task_mark
from penin_core.league.promotion import (
    Feedback,
    LeagueOrchestrator,
    promotion_body,
    utility_lost,
)
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.checkpoints import read_kept
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import OnlineTuner

FIRST = Configuration(provider="p", model="first")
PAIRS = ["c1", "c2", "c3"]
FURTHER = "c4"
#: log 1/0.025, the first level of a campaign, is about 3.69.
PROOF = {"claim": "better", "t": 1, "alpha": 0.025, "n": 300, "log_e": 4.0}


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
    league,
    run_id,
    config,
    *,
    proved=True,
    champion=FIRST,
    guards=True,
    params=None,
    further=True,
    confirmation=None,
    **row,
):
    """Record a run that may be promoted, unless ``row`` says otherwise."""
    files = {
        "config.json": json.dumps(config.model_dump(mode="json")).encode(),
        "pairs.jsonl": b"".join(json.dumps({"task": task}).encode() + b"\n" for task in PAIRS),
    }
    if further:
        files["further.jsonl"] = json.dumps({"task": FURTHER}).encode()
    manifest = write_run(league.state, run_id, files)
    detail = {
        "champion": champion.hash,
        **({"params": {"beta_min": 0.02}} if params is None else params),
        "confirmation": {**PROOF, "proved": proved, **(confirmation or {})},
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
        "param_version": 0,
        "artifacts_path": f"runs/{run_id}",
        "manifest_sha256": manifest,
        "detail": detail,
    }
    fields |= row
    if fields["detail"] is None:
        del fields["detail"]
    league.ledger.record_run(fields)
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
    assert (entry.body["run_id"], entry.body["previous_run_id"]) == ("run-b", "run-first")


OBJECTIONS = [
    ("it is the champion's own baseline", {"kind": "baseline"}),
    ("it was a dry run", {"dry_run": True}),
    ("its verdict was fail (as it was)", {"verdict": "fail"}),
    ("its verdict was rollback (as it was)", {"verdict": "rollback"}),
    ("its verdict was canary (as it was)", {"verdict": "canary"}),
    ("Σ-Guard did not pass", {"sigma_guard_ok": False}),
    ("Σ-Guard did not pass", {"sigma_guard_ok": None}),
    ("IR→IC did not pass", {"ir_ic_ok": False}),
    ("IR→IC did not pass", {"guards": False}),
    ("ΔL∞ is 0.019, at least 0.02 is needed", {"delta_linf": 0.019}),
    ("ΔL∞ is None, at least 0.02 is needed", {"delta_linf": None}),
    ("its gain is not proved", {"proved": False}),
    ("its gain is not proved", {"proved": "yes"}),
    ("its gain is not proved", {"confirmation": {"log_e": 3.6}}),
    ("its gain is not proved", {"confirmation": {"alpha": 0.05}}),
    ("its gain is not proved", {"confirmation": {"n": 99}}),
    ("its gain is not proved", {"confirmation": {"claim": "cheaper"}}),
    ("its gain is not proved", {"confirmation": {"claim": "nicer"}}),
    ("it was measured against another champion", {"champion": config_of("other")}),
]


@pytest.mark.parametrize(("objection", "spoiled"), OBJECTIONS)
def test_every_single_objection_refuses_and_is_the_only_one_named(league, objection, spoiled):
    run_id = add_run(league, "run-b", config_of("b"), **spoiled)
    with pytest.raises(PromotionRefused) as caught:
        league.promote(run_id)
    assert str(caught.value) == f"run run-b is not promoted: {objection}"
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


@pytest.mark.parametrize("detail", [None, {}])
def test_a_run_without_detail_is_refused_and_nothing_breaks(league, detail):
    run_id = add_run(league, "run-b", config_of("b"), detail=detail)
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


def test_files_and_manifest_that_were_replaced_together_are_not_promoted(league):
    run_id = add_run(league, "run-b", config_of("b"))
    shutil.rmtree(league.state / "runs" / run_id)
    write_run(league.state, run_id, {"config.json": config_of("b").model_dump_json().encode()})
    with pytest.raises(LedgerInvalid):
        league.promote(run_id)
    assert kinds(league) == ["BOOTSTRAP"]


def test_where_nothing_further_was_asked_the_pairs_alone_are_spent(league):
    league.promote(add_run(league, "run-b", config_of("b"), further=False))
    (entry,) = league.ledger.events("PROMOTE")
    assert entry.body["spent"] == [task_mark(task) for task in PAIRS]


def test_the_key_that_signs_a_move_is_named_after_the_owner(league):
    mine = LeagueOrchestrator(league.state, league.ledger, owner="models.example")
    mine.promote(add_run(league, "run-b", config_of("b")))
    assert read_kept(league.state).last.text.startswith("penin.models.example/ledger/")


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
        with pytest.raises(PromotionRefused, match=r"^an override needs a reason$"):
            league.promote(run_id, force=True, reason=reason)
    assert kinds(league) == ["BOOTSTRAP"]
    assert league.promote(run_id, force=True, reason="the boss says so").run_id == "run-b"
    assert kinds(league) == ["BOOTSTRAP", "OVERRIDE", "PROMOTE"]
    override = league.ledger.events("OVERRIDE")[0].body
    assert (override["run_id"], override["reason"]) == ("run-b", "the boss says so")
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
            with pytest.raises(StateError) as caught:
                move()
            assert str(caught.value) == "there is no champion yet"
            assert caught.value.hint == "penin evolve makes one"


def test_a_rollback_returns_to_the_last_good_and_quarantines_what_is_left(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    back = league.rollback(reason="angry users")
    assert (back.config["model"], back.run_id) == ("first", "run-first")
    assert pointer(league)["run_id"] == "run-first"
    assert league.quarantined() == {config_of("b").hash}
    assert league.ledger.events("ROLLBACK")[0].body["reason"] == "angry users"
    again = add_run(league, "run-b2", config_of("b"))
    with pytest.raises(PromotionRefused, match=r": it is quarantined after a rollback$"):
        league.promote(again)
    assert league.promote(again, force=True, reason="fixed").run_id == "run-b2"


def test_two_rollbacks_go_back_two_champions(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    league.promote(add_run(league, "run-c", config_of("c"), champion=config_of("b")))
    assert [league.rollback().run_id, league.rollback().run_id] == ["run-b", "run-first"]
    with pytest.raises(StateError, match=r"^there is no earlier champion to return to$"):
        league.rollback()


def test_a_rollback_to_a_run_needs_one_that_was_champion(league):
    league.promote(add_run(league, "run-b", config_of("b")))
    league.promote(add_run(league, "run-c", config_of("c"), champion=config_of("b")))
    never = add_run(league, "run-n", config_of("n"))
    with pytest.raises(StateError, match="never was the champion"):
        league.rollback(never)
    assert league.rollback("run-first").config["model"] == "first"


def test_the_champion_is_not_moved_to_where_it_is(league):
    run_id = league.promote(add_run(league, "run-b", config_of("b"))).run_id
    before = kinds(league)
    with pytest.raises(StateError, match="run-b has the configuration of the present one"):
        league.rollback(run_id)
    for options in ({}, {"force": True, "reason": "again"}):
        with pytest.raises(PromotionRefused, match=r"its configuration is the champion's$"):
            league.promote(run_id, **options)
    assert kinds(league) == before
    assert league.quarantined() == frozenset()


def test_a_dry_run_before_the_first_champion_says_what_makes_one(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        empty = LeagueOrchestrator(tmp_path, ledger)
        run_id = add_run(empty, "run-b", config_of("b"), dry_run=True)
        with pytest.raises(
            StateError, match="it was a dry run, and there is no champion"
        ) as caught:
            empty.promote(run_id, force=True, reason="now")
        assert "penin evolve, without --dry-run, makes the first champion" in caught.value.hint


def test_what_becomes_of_a_champion_is_a_lesson_for_the_tuner(league):
    tuner = OnlineTuner(warmup=0)
    tuner.update(0.0, {"tau": 1.0})
    state = {"param_version": 1, "params": tuner.get_params(), "state": tuner.export_state()}
    league.ledger.record_event("TUNE", state)
    league.promote(add_run(league, "run-b", config_of("b"), param_version=1))
    league.rollback()
    league.promote(add_run(league, "run-c", config_of("c"), param_version=1))
    league.promote(
        add_run(league, "run-d", config_of("d"), champion=config_of("c"), param_version=1)
    )
    outcomes = [entry.body["outcome"] for entry in league.ledger.events("TUNE")[1:]]
    assert [(said["run_id"], said["fate"]) for said in outcomes] == [
        ("run-b", "rolled_back"),
        ("run-c", "promoted"),
    ]


def test_a_canary_gets_five_percent_for_five_minutes_unless_told(league, monkeypatch):
    async def noted(*_, **options):
        return options

    monkeypatch.setattr("penin_core.league.promotion.try_on_traffic", noted)
    told = asyncio.run(league.canary_test(None, FIRST, config_of("b"), traffic=[]))
    assert (told["fraction"], told["duration_s"]) == (0.05, 300)


def test_a_pointer_that_was_left_behind_is_brought_up_to_date(league):
    league.champion()
    run_id = add_run(league, "run-b", config_of("b"))
    body = promotion_body(config_of("b").model_dump(mode="json"), run_id, league.champion())
    league.ledger.record_event("PROMOTE", body)
    assert pointer(league)["run_id"] == "run-first"
    assert league.champion().run_id == "run-b"
    assert pointer(league)["run_id"] == "run-b"


# What promotions gave away


def crowned(league, run_id, before, after, **row):
    """Promote a run that measured ``after`` where its predecessor measured ``before``."""
    detail = {} if before is None else {"before": {"U": before}}
    row = {"u_score": after, "detail": detail, **row}
    config = config_of(run_id)
    body = promotion_body(
        config.model_dump(mode="json"),
        add_run(league, run_id, config, **row),
        league.champion(),
    )
    league.ledger.record_event("PROMOTE", body)


def test_without_a_promotion_nothing_was_given_away(league, tmp_path):
    assert utility_lost(league.ledger) == 0.0
    with WORMLedger(tmp_path / "empty.db") as empty:
        assert utility_lost(empty) == 0.0


def test_losses_add_up_and_gains_are_not_set_off(league):
    for run_id, before, after in (("a", 0.8, 0.77), ("b", 0.7, 0.75), ("c", 0.75, 0.74)):
        crowned(league, run_id, before, after)
    assert utility_lost(league.ledger) == pytest.approx(0.04)


def test_what_was_rolled_back_from_no_longer_counts(league):
    for run_id, before, after in (("a", 0.8, 0.77), ("b", 0.77, 0.75), ("c", 0.75, 0.74)):
        crowned(league, run_id, before, after)
    league.rollback("a")
    assert utility_lost(league.ledger) == pytest.approx(0.03)


@pytest.mark.parametrize(("before", "after"), [(None, 0.5), (0.9, None), (None, None)])
def test_what_was_not_measured_counts_nothing_and_hides_nothing(league, before, after):
    crowned(league, "a", 0.8, 0.77)
    crowned(league, "b", before, after)
    crowned(league, "c", 0.77, 0.75)
    crowned(league, "d", None, 0.1, detail=None)
    assert utility_lost(league.ledger) == pytest.approx(0.05)


def test_a_champion_that_was_never_measured_gave_nothing_away(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        body = promotion_body(FIRST.model_dump(mode="json"), None, None)
        ledger.record_event("BOOTSTRAP", body)
        assert utility_lost(ledger) == 0.0
        made = LeagueOrchestrator(tmp_path, ledger)
        crowned(made, "a", 0.8, 0.77)
        assert utility_lost(ledger) == pytest.approx(0.03)


def test_a_run_that_was_promoted_twice_counts_once(league):
    crowned(league, "a", 0.8, 0.77)
    crowned(league, "b", 0.77, 0.75)
    body = promotion_body(config_of("a").model_dump(mode="json"), "a", league.champion())
    league.ledger.record_event("PROMOTE", body)
    assert utility_lost(league.ledger) == pytest.approx(0.05)


def test_every_move_says_which_plugins_were_loaded_where_that_is_known(league):
    stamped = LeagueOrchestrator(league.state, league.ledger, loaded={"core": "1", "plugins": []})
    stamped.promote(add_run(league, "run-b", config_of("b")), force=True, reason="x")
    stamped.rollback()
    moved = league.ledger.events(("OVERRIDE", "PROMOTE", "ROLLBACK"))
    assert [entry.body["loaded"] for entry in moved] == [{"core": "1", "plugins": []}] * 3


def test_what_stands_beside_a_move_is_written_with_it_or_not_at_all(league):
    run_id = add_run(league, "run-b", config_of("b"))
    with pytest.raises(ValueError, match="neither RUN nor an event kind"):
        league.promote(run_id, beside=[("NOTHING", {})])
    assert kinds(league) == ["BOOTSTRAP"]
    league.promote(run_id, beside=[("CANARY_STOP", {"experiment": "x"})])
    assert kinds(league) == ["BOOTSTRAP", "CANARY_STOP", "PROMOTE"]


PARKED = {"verdict": "canary", "reason": "not proved on 300 tasks: parked", "score": 0.6}
RULE = {"params": {"beta_min": 0.02, "tau": 0.5}}
HEARD = Feedback("live-1", 1, 3.7, {"champion": 100, "challenger": 100})


def test_feedback_takes_the_place_of_the_missing_proof(league):
    run_id = add_run(league, "run-b", config_of("b"), proved=False, params=RULE, **PARKED)
    with pytest.raises(PromotionRefused, match="its verdict was canary"):
        league.promote(run_id)
    assert league.promote(run_id, feedback=HEARD).run_id == "run-b"
    assert league.ledger.events("PROMOTE")[0].body["feedback"]["t"] == 1


@pytest.mark.parametrize(
    ("heard", "row", "why"),
    [
        ({"log_e": 3.6}, {}, "its gain is not proved"),
        ({"t": 2}, {}, "its gain is not proved"),
        ({"votes": {"champion": 99, "challenger": 900}}, {}, "its gain is not proved"),
        ({"votes": {}}, {}, "its gain is not proved"),
        ({}, {"score": 0.4}, "its verdict was canary"),
        ({}, {"score": None}, "its verdict was canary"),
        ({}, {"params": {"params": {"beta_min": 0.02}}}, "its verdict was canary"),
        ({}, {"verdict": "rollback"}, "its verdict was rollback"),
        ({}, {"delta_linf": 0.01}, "ΔL∞ is 0.01"),
        ({}, {"sigma_guard_ok": False}, "Σ-Guard did not pass"),
        ({}, {"champion": config_of("other")}, "measured against another champion"),
    ],
)
def test_feedback_takes_the_place_of_nothing_else(league, heard, row, why):
    fields = {"proved": False, "params": RULE, **PARKED, **row}
    run_id = add_run(league, "run-b", config_of("b"), **fields)
    with pytest.raises(PromotionRefused, match=why):
        league.promote(run_id, feedback=replace(HEARD, **heard))
    assert league.champion().run_id == "run-first"
