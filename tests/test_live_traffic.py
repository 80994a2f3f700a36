"""Live traffic: who answers, what is found out, and what the ledger says of it."""

import json
import shutil
import subprocess
import sys
import threading
import time
from itertools import count

import pytest

from penin_core import (
    Configuration,
    Evaluator,
    LeagueOrchestrator,
    PromotionRefused,
    SettingsError,
    StateError,
    Suite,
    WORMLedger,
)
from penin_core.league.promotion import promotion_body
from penin_core.ledger.artifacts import write_run
from penin_core.live.start import begin, stop
from penin_core.live.store import LiveReader, LiveStore, Pass
from penin_core.live.traffic import Live, Served
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.settings import LiveSettings, Settings
from penin_core.state import exclusive

FIRST = Configuration(provider="p", model="first")
SECOND = Configuration(provider="p", model="second")
QUICK = LiveSettings(ramp=(0.2, 0.5), step_requests=60)


class Yes(Evaluator):
    """1 where the answer says yes."""

    name = "yes"
    axis = "U"
    verifies = True

    def score(self, task, completions):
        return float("yes" in completions[0].text)


class Rude(Evaluator):
    """1 where the answer is rude."""

    name = "rude"
    axis = "S"
    role = "harm"

    def score(self, task, completions):
        return float("rude" in completions[0].text)

    def redact(self, text):
        return text.replace("rude", "[r]")


def add_run(league, run_id, config, **row):
    """Record a run: by default one that passed all but the evidence."""
    stored = {"config.json": json.dumps(config.model_dump(mode="json")).encode()}
    manifest = write_run(league.state, run_id, stored)
    detail = {
        "champion": FIRST.hash,
        "params": {"beta_min": 0.02, "tau": 0.5},
        "guards": [{"guard": "sigma", "ok": True}],
    }
    fields = {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": config.hash,
        "verdict": "canary",
        "reason": "not proved on 300 tasks: parked",
        "dry_run": False,
        "score": 0.6,
        "sigma_guard_ok": True,
        "ir_ic_ok": True,
        "delta_linf": 0.05,
        "param_version": 0,
        "artifacts_path": f"runs/{run_id}",
        "manifest_sha256": manifest,
        "detail": detail,
    }
    league.ledger.record_run(fields | row)
    return run_id


@pytest.fixture
def league(tmp_path, monkeypatch):
    """A ledger whose champion is FIRST, and a run with SECOND that may be tried."""
    # The id of an experiment is the salt of its split.
    numbers = count()
    monkeypatch.setattr("penin_core.live.start.new_run_id", lambda: f"salt-{next(numbers)}")
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        made = LeagueOrchestrator(tmp_path, ledger, loaded={"core": "0", "plugins": []})
        add_run(made, "run-first", FIRST, kind="baseline")
        body = promotion_body(FIRST.model_dump(mode="json"), "run-first", None)
        ledger.record_event("BOOTSTRAP", body)
        add_run(made, "run-b", SECOND)
        yield made
        assert ledger.verify().valid


@pytest.fixture
def opened(league):
    """Return a function that opens the live traffic; its passes are made by hand."""
    held = []

    def open_it(settings=QUICK, **options):
        options = {"evaluators": [Yes(), Rude()], "redactors": [Rude()], **options}
        held.append(Live(league, settings, **options))
        return held[-1]

    yield open_it
    for live in held:
        live.close()


def serve(live, number_of, *, start=0, good="yes", bad="no", **fields):
    """Answer requests: the champion says ``good``, the challenger ``bad``."""
    arms = []
    for number in range(start, start + number_of):
        name = f"r{number}"
        assigned = live.assign(name, f"user-{number}")
        text = bad if assigned.arm == "challenger" else good
        live.record(Served(name, f"user-{number}", assigned, text=text, **fields))
        if assigned.shadow is not None:
            live.record(Served(name, f"user-{number}", assigned, shadow=True, text=bad))
        arms.append(assigned.arm)
        if number % 10 == 9:
            live._pass()
    live._pass()
    return arms


def kinds(league):
    return [entry.kind for entry in league.ledger.events()]


def test_without_an_experiment_the_champion_answers(opened):
    live = opened()
    assigned = live.assign("r", "anybody")
    assert (assigned.experiment, assigned.arm, assigned.configuration) == (None, "champion", None)
    assert live.status() == {"running": False, "problem": ""}


def test_a_challenger_that_answers_worse_loses_its_share_and_the_ledger_says_why(league, opened):
    experiment, live = begin(league, QUICK, "run-b"), opened()
    arms = serve(live, 400)
    assert "challenger" in arms
    assert "challenger" not in arms[-100:]
    start, end = league.ledger.events(("CANARY_START", "CANARY_STOP"))
    assert (start.body["run_id"], start.body["fraction"]) == ("run-b", 0.2)
    assert (start.body["champion"], start.body["challenger"]) == (FIRST.hash, SECOND.hash)
    assert (end.body["verdict"], end.body["experiment"]) == ("harmful", experiment.id)
    assert end.body["reason"].startswith("utility: shown at level")
    assert end.body["loaded"] == {"core": "0", "plugins": []}
    assert league.champion().config["model"] == "first"


def test_a_challenger_as_good_climbs_the_ramp_and_is_safe_and_does_not_move_the_champion(
    league, opened
):
    begin(league, QUICK, "run-b")
    live = opened()
    arms = serve(live, 1500, bad="yes")
    starts = league.ledger.events("CANARY_START")
    assert [entry.body["fraction"] for entry in starts] == [0.2, 0.5]
    assert starts[1].body["step"] == 2
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "safe"
    assert end.body["challenger_requests"] >= 120
    assert "challenger" not in arms[-100:]
    assert league.champion().run_id == "run-first"
    assert "PROMOTE" not in kinds(league)


def test_a_guard_that_fails_it_elsewhere_takes_it_back(league, opened):
    add_run(league, "run-b1", SECOND, sigma_guard_ok=False, verdict="rollback")
    begin(league, QUICK, "run-b")
    live = opened()
    live._pass()
    assert live.status()["verdict"] is None
    add_run(league, "run-b2", SECOND, sigma_guard_ok=False, verdict="rollback")
    add_run(league, "run-c", Configuration(provider="p", model="c"))
    live._pass()
    (end,) = league.ledger.events("CANARY_STOP")
    assert (end.body["verdict"], end.body["reason"]) == (
        "harmful",
        "Σ-Guard did not pass in run run-b2",
    )


def test_answers_that_harm_end_it_after_five_in_a_row(league, opened):
    begin(league, QUICK, "run-b")
    serve(opened(), 200, bad="yes, but rude")
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["reason"] == "5 requests in a row failed or were vetoed"


def test_a_shadow_answers_nobody_and_is_found_out(league, opened):
    shadow = LiveSettings(shadow=0.5, step_requests=60)
    begin(league, shadow, "run-b", mode="shadow")
    live = opened()
    assert set(serve(live, 400)) == {"champion"}
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "harmful"
    assert end.body["challenger_requests"] >= 10
    assert live.assign("r", "u").shadow is None


def test_what_users_say_beside_a_shadow_is_no_vote(league, opened):
    begin(league, LiveSettings(shadow=0.5), "run-b", mode="shadow")
    live = opened()
    serve(live, 20, bad="yes")
    assert live.feedback("r3", score=1.0)
    live._pass()
    assert live.status()["votes"] == {"champion": 0, "challenger": 0}


def vote(live, start, number_of, champion, challenger):
    """Let every user of some requests say something."""
    for number in range(start, start + number_of):
        assigned = live.assign(f"r{number}", f"user-{number}")
        score = challenger if assigned.arm == "challenger" else champion
        assert live.feedback(f"r{number}", score=score)
    live._pass()


def test_feedback_that_proves_the_claim_moves_the_champion(league, opened):
    begin(league, QUICK, "run-b", claim=True)
    live = opened()
    for start in range(0, 1400, 100):
        serve(live, 100, start=start, bad="yes")
        vote(live, start, 100, champion=0.4, challenger=0.9)
    assert league.champion().run_id == "run-b"
    declared, closed = league.ledger.events("CONFIRM")
    assert (declared.body["t"], declared.body["source"]) == (1, "feedback")
    assert declared.idx < league.ledger.events("CANARY_START")[0].idx
    assert (closed.body["closes"], closed.body["proved"]) == (1, True)
    (moved,) = league.ledger.events("PROMOTE")
    assert moved.body["feedback"]["log_e"] >= 3.69
    assert min(moved.body["feedback"]["votes"].values()) >= 100
    assert live.assign("x", "y").configuration is None


def test_a_promotion_waits_for_a_cycle_that_runs(league, opened, tmp_path):
    begin(league, QUICK, "run-b", claim=True)
    live = opened()
    with exclusive(tmp_path):
        for start in range(0, 1400, 100):
            serve(live, 100, start=start, bad="yes")
            vote(live, start, 100, champion=0.4, challenger=0.9)
        assert "the promotion waits" in live.status()["problem"]
        assert league.champion().run_id == "run-first"
    live._pass()
    assert league.champion().run_id == "run-b"


def test_a_proof_moves_nobody_whom_a_gate_refuses(league, opened):
    add_run(league, "run-c", Configuration(provider="p", model="c"), delta_linf=0.01)
    begin(league, QUICK, "run-c", claim=True)
    live = opened()
    for start in range(0, 1400, 100):
        serve(live, 100, start=start, bad="yes")
        vote(live, start, 100, champion=0.4, challenger=0.9)
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "safe"
    assert "ΔL∞ is 0.01, at least 0.02 is needed" in end.body["reason"]
    assert league.champion().run_id == "run-first"


def test_of_a_user_the_first_feedback_counts(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    assigned = live.assign("r1", "ann")
    for name in ("r1", "r2"):
        live.record(Served(name, "ann", assigned, text="yes"))
    live._pass()
    assert live.feedback("r1", label="Thumbs-Up")
    assert live.feedback("r2", score=0.0)
    assert live.feedback("r1", score=0.5)
    live._pass()
    live._write(last=True)
    assert live.feedback("r2", score=0.0)
    live._pass()
    assert sum(live.status()["votes"].values()) == 1


def test_what_a_service_refuses_counts_once_for_each_user(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    users = [name for n in range(99) if live.assign("", name := f"u{n}").arm == "challenger"]

    def refuse(user, times):
        for number in range(times):
            assigned = live.assign("", user)
            name = f"{user}-{number}"
            live.record(Served(name, user, assigned, failed=True, refused=True))
        live._pass()

    refuse(users[0], 9)
    live.close()
    live = opened()
    refuse(users[0], 9)
    assert live.status()["challenger_requests"] == 1
    assert live.status()["running"]
    for user in users[1:5]:
        refuse(user, 1)
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "harmful"
    assert "in a row" in end.body["reason"]


def test_of_a_user_the_first_answer_of_a_side_is_compared_also_after_a_restart(league, opened):
    begin(league, QUICK, "run-b")
    users, live = [f"u{n}" for n in range(40)], opened()

    def compared():
        # Every block takes one of the challenger's users.
        return live._course.trial.monitor.harms["errors"].n

    def ask(again):
        for user in users:
            assigned = live.assign("", user)
            live.record(Served(f"{user}-{again}", user, assigned, text="yes"))
        live._pass()

    ask(0)
    first = compared()
    assert 0 < first <= len(users)
    ask(1)
    live._write()
    ask(2)
    assert compared() == first
    live.close()
    live = opened()
    ask(3)
    assert compared() == first
    assert live.status()["champion_requests"] + live.status()["challenger_requests"] == 160


@pytest.mark.parametrize("key", ["", "r"])
def test_who_is_not_known_is_somebody_else_each_time(league, opened, key):
    begin(league, LiveSettings(shadow=1.0), "run-b", mode="shadow")
    live = opened()
    for number in range(10):
        name = f"r{number}"
        assigned = live.assign(name, key and name)
        for shadow in (False, True):
            live.record(Served(name, key and name, assigned, shadow=shadow, text="yes"))
    live._pass()
    assert live._course.trial.monitor.harms["errors"].n == 10


def test_an_answer_and_its_copy_of_a_shadow_are_both_compared(league, opened):
    begin(league, LiveSettings(shadow=1.0), "run-b", mode="shadow")
    live = opened()
    for number in range(30):
        user = f"u{number % 10}"
        assigned = live.assign(f"r{number}", user)
        for shadow in (False, True):
            live.record(Served(f"r{number}", user, assigned, shadow=shadow, text="yes"))
    live._pass()
    assert live._course.trial.monitor.harms["errors"].n == 10


def test_who_was_answered_is_forgotten_with_the_next_experiment(tmp_path):
    store = LiveStore(tmp_path)
    for name in ("one", "two"):
        work = Pass.empty()
        work.answered.add((name, "champion", "ann"))
        work.trial = (name, {}, True)
        store.write(work)
        store.prune(0.0, 10)
    assert not store.answered("one", "champion", "ann")
    assert store.answered("two", "champion", "ann")
    assert not store.answered("two", "challenger", "ann")
    store.close()


def test_whoever_reads_waits_for_no_writer_and_changes_nothing(tmp_path):
    store, found = LiveStore(tmp_path), []
    work = Pass.empty()
    work.trial = ("one", {"step": 2}, True)
    store.write(work)
    reader = LiveReader(tmp_path)
    reading = threading.Thread(target=lambda: found.append(reader.trial("one")), daemon=True)
    with store._writing.write():
        reading.start()
        reading.join(30)
    assert found == [({"step": 2}, True)]
    with pytest.raises(StateError, match="readonly"), reader._reading.write() as connection:
        connection.execute("DELETE FROM trial")
    reader.close()
    store.close()


def test_another_process_that_has_read_leaves_what_is_written_next(tmp_path):
    """The last one to close takes the WAL away, and must not take a server for gone."""
    code = (
        "import sys; from pathlib import Path; from penin_core.live.store import LiveReader; "
        "reader = LiveReader(Path(sys.argv[1])); print(reader.trial('one')); reader.close()"
    )
    store, said = LiveStore(tmp_path), []
    for step in (1, 2):
        work = Pass.empty()
        work.trial = ("one", {"step": step}, True)
        store.write(work)
        words = [sys.executable, "-c", code, tmp_path]
        said.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    store.close()
    assert said == ["({'step': 1}, True)\n", "({'step': 2}, True)\n"]


def test_opening_to_read_waits_for_no_writer(tmp_path):
    store, opened = LiveStore(tmp_path), []
    opening = threading.Thread(target=lambda: opened.append(LiveReader(tmp_path)), daemon=True)
    with store._writing.write():
        opening.start()
        opening.join(30)
        assert opened
    opened[0].close()
    store.close()


def test_feedback_on_what_nobody_asked_is_not_known(opened):
    live = opened()
    assert live.feedback("nothing", score=1.0) is False


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "score or a label"),
        ({"score": 1.0, "label": "good"}, "score or a label"),
        ({"score": 1.5}, "must be a number in"),
        ({"score": float("nan")}, "must be a number in"),
        ({"score": True}, "must be a number in"),
        ({"label": "great"}, "known are"),
    ],
)
def test_feedback_that_means_nothing_is_refused(opened, said, why):
    with pytest.raises(ValueError, match=why):
        opened().feedback("r", **said)


def test_a_challenger_that_became_champion_is_watched_on_and_rolled_back(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    league.promote("run-b", force=True, reason="the boss says so")
    arms = serve(live, 100)
    assert arms.count("challenger") > 50
    control = next(a for n in range(99) if (a := live.assign("r", f"x{n}")).arm == "champion")
    assert control.configuration in (FIRST, None)
    serve(live, 400, start=100)
    assert league.champion().run_id == "run-first"
    stop_entry, back = league.ledger.events(("CANARY_STOP", "ROLLBACK"))
    assert back.idx == stop_entry.idx + 1
    assert back.body["reason"].startswith("live traffic: utility")
    assert league.quarantined() == {SECOND.hash}
    assert json.loads((league.state / "champion.json").read_text())["run_id"] == "run-first"


def test_where_no_champion_was_good_a_harmful_one_gives_way_to_the_one_it_did_worse_than(
    league, opened
):
    add_run(league, "run-c", Configuration(provider="p", model="third"))
    league.promote("run-c", force=True, reason="x")
    league.rollback()
    league.rollback("run-c")
    begin(league, QUICK, "run-b")
    live = opened()
    league.promote("run-b", force=True, reason="the boss says so")
    serve(live, 500)
    assert league.champion().run_id == "run-c"
    assert SECOND.hash in league.quarantined()


@pytest.mark.parametrize("seen", [True, False])
def test_harm_of_a_challenger_that_was_replaced_rolls_nobody_back(
    league, opened, monkeypatch, seen
):
    third = Configuration(provider="p", model="third")
    add_run(league, "run-c", third)
    begin(league, QUICK, "run-b")
    live = opened()
    league.promote("run-b", force=True, reason="x")
    live._pass()
    act = live._course.act

    def replaced_meanwhile():
        if live._course.harmful and league.champion().run_id == "run-b":
            league.promote("run-c", force=True, reason="the owner's own choice")
        act()

    if not seen:
        # Somebody else is quicker, after the watcher has looked at the ledger.
        monkeypatch.setattr(live._course, "act", replaced_meanwhile)
    for number in range(40):
        assigned = live.assign(f"r{number}", f"u{number}")
        live.record(Served(f"r{number}", "", assigned, failed=assigned.arm == "challenger"))
    if seen:
        league.promote("run-c", force=True, reason="the owner's own choice")
    live._pass()
    assert league.champion().config_digest == third.hash
    assert "ROLLBACK" not in kinds(league)
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "harmful"


def test_harm_that_was_never_promoted_leaves_the_champion_alone(league, opened):
    add_run(league, "run-c", Configuration(provider="p", model="c"))
    league.promote("run-c", force=True, reason="x")
    begin(league, QUICK, "run-b")
    serve(opened(), 400)
    assert league.ledger.events("CANARY_STOP")[0].body["verdict"] == "harmful"
    assert league.champion().run_id == "run-c"


def test_a_challenger_that_was_promoted_and_rolled_back_by_hand_is_tried_no_more(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    league.promote("run-b", force=True, reason="x")
    live._pass()
    league.rollback()
    live._pass()
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["reason"].startswith("the challenger was promoted, and rolled back again")
    assert live.assign("r", "u").experiment is None


def test_another_champion_ends_it(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    add_run(league, "run-c", Configuration(provider="p", model="c"))
    league.promote("run-c", force=True, reason="x")
    live._pass()
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "inconclusive"
    assert end.body["reason"].startswith("another champion was promoted meanwhile")
    assert live.assign("r", "u").experiment is None


def test_stopping_by_hand_is_seen_and_closes_the_claim(league, opened):
    begin(league, QUICK, "run-b", claim=True)
    live = opened()
    serve(live, 50, bad="yes")
    assert any(live.assign("r", f"u{n}").arm == "challenger" for n in range(60))
    stop(league, live._course.trial, "lunch")
    live._pass()
    assert all(live.assign("r", f"u{n}").arm == "champion" for n in range(60))
    assert (
        league.ledger.events("CANARY_STOP")[0].body["reason"].startswith("stopped by hand: lunch")
    )
    assert league.ledger.events("CONFIRM")[-1].body["proved"] is False


def test_time_that_is_up_is_inconclusive(league, opened):
    begin(league, LiveSettings(ramp=(0.2,), duration="10s"), "run-b")
    now = [0.0]
    live = opened(clock=lambda: now[0])
    for _ in range(6):
        now[0] += 2.0
        live._pass()
    (end,) = league.ledger.events("CANARY_STOP")
    assert (end.body["verdict"], end.body["served_s"]) == ("inconclusive", 10.0)
    assert end.body["reason"].startswith("time is up after 0 requests")


def test_a_clock_that_goes_backwards_adds_nothing(league, opened):
    begin(league, LiveSettings(ramp=(0.2,), duration="10s"), "run-b")
    now = [100.0]
    live = opened(clock=lambda: now[0])
    for step in (-50.0, -40.0, 3.0):
        now[0] += step
        live._pass()
    assert live._course.trial.served_s == 3.0


def test_a_restart_goes_on_where_it_was(league, opened):
    begin(league, QUICK, "run-b")
    first = opened()
    serve(first, 350, bad="yes")
    before = first.status()
    first.close()
    again = opened()
    after = again.status()
    changing = ("served_s",)
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    assert after["deaths"] == 0


def test_a_death_is_held_against_the_challenger_and_three_end_it(league, opened, tmp_path):
    begin(league, QUICK, "run-b")
    for death in range(1, 4):
        live = opened()
        serve(live, 20, start=20 * death, bad="yes")
        live._write()
        # As a killed process leaves it: the lock goes, nothing else is written.
        live._held.close()
        live._held.pop_all()
        live.close = lambda: None
    assert opened().status()["running"] is False
    (end,) = league.ledger.events("CANARY_STOP")
    assert end.body["verdict"] == "inconclusive"
    assert "died 3 times" in end.body["reason"]


def test_one_process_watches_at_a_time(opened):
    opened()
    with pytest.raises(StateError, match="in use by another"):
        opened()


def test_what_cannot_be_written_takes_the_share_away_until_it_can(league, opened, monkeypatch):
    begin(league, QUICK, "run-b")
    now = [0.0]
    live = opened(clock=lambda: now[0])
    serve(live, 30, bad="yes")
    whole = LiveStore.write

    def full(self, work):
        raise StateError("live.db cannot be used: database or disk is full")

    monkeypatch.setattr(LiveStore, "write", full)
    now[0] += 1.0
    serve(live, 10, start=30, bad="yes")
    assert live.assign("r", "u").experiment is None
    assert "disk is full" in live.status()["problem"]
    taken = len(live._work.requests)
    for _ in range(3):
        now[0] += 2.0
        serve(live, 10, start=40, bad="yes")
    assert len(live._work.requests) == taken
    assert len(live._queue) == 30
    monkeypatch.setattr(LiveStore, "write", whole)
    now[0] += 2.0
    live._pass()
    assert live.assign("r", "u").experiment is not None
    assert live.status()["problem"] == ""
    assert live._store.request("r35") is not None
    now[0] += 1.0
    live._pass()
    assert not live._recent


def test_a_thread_that_hangs_takes_the_share_away(league, opened):
    begin(league, QUICK, "run-b")
    now = [0.0]
    live = opened(clock=lambda: now[0])
    assigned = live.assign("r", "u")
    assert assigned.experiment is not None
    now[0] += 6.0
    live.record(Served("r", "u", assigned, text="yes"))
    assert live.assign("r", "u").experiment is None


def test_an_evaluator_that_fails_says_nothing(league, opened):
    class Broken(Yes):
        def score(self, task, completions):
            raise RuntimeError("out of order")

    begin(league, QUICK, "run-b")
    live = opened(evaluators=[Broken()])
    serve(live, 100)
    assert live.status()["challenger_requests"] > 0
    assert live.status()["log_e"]["utility"] == 0.0


def test_the_thread_takes_harm_back_by_itself(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    live.start()
    deadline = time.monotonic() + 30
    for number in range(100_000):
        assigned = live.assign("r", f"u{number}")
        if assigned.experiment is None or time.monotonic() > deadline:
            break
        live.record(Served(f"r{number}", f"u{number}", assigned, failed=assigned.arm != "champion"))
        time.sleep(0.0005)
    live.close()
    assert league.ledger.events("CANARY_STOP")[0].body["verdict"] == "harmful"
    assert not [t for t in threading.enumerate() if t.name == "penin-live"]


REFUSED = [
    ({"run_id": "run-x"}, StateError, "not in the ledger"),
    ({"run_id": "run-first"}, PromotionRefused, "its configuration is the champion's"),
    ({"run_id": "run-no"}, PromotionRefused, "its verdict was rollback"),
    ({"run_id": "run-veto"}, PromotionRefused, "Σ-Guard did not pass"),
    ({"ramp": (0.0,)}, SettingsError, "fraction = 0.0"),
    ({"ramp": (1.0,)}, SettingsError, "fraction = 1.0"),
    ({"ramp": (1.5,), "mode": "shadow"}, SettingsError, "fraction = 1.5"),
    ({"ramp": (float("nan"),)}, SettingsError, "fraction = nan"),
    ({"mode": "shadow", "claim": True}, SettingsError, "a shadow cannot prove a claim"),
]


@pytest.mark.parametrize(("asked", "error", "why"), REFUSED)
def test_what_cannot_be_tried_is_refused_and_leaves_no_entry(league, asked, error, why):
    add_run(league, "run-no", Configuration(provider="p", model="no"), verdict="rollback")
    add_run(league, "run-veto", Configuration(provider="p", model="v"), sigma_guard_ok=False)
    with pytest.raises(error, match=why) as caught:
        begin(league, QUICK, **{"run_id": "run-b", **asked})
    assert caught.value.hint
    assert kinds(league) == ["BOOTSTRAP"]


def test_a_shadow_may_be_one_that_was_raced_out(league):
    add_run(league, "run-no", Configuration(provider="p", model="no"), verdict="rollback")
    assert begin(league, QUICK, "run-no", mode="shadow").ramp == (0.1,)


def test_two_experiments_do_not_run_at_once(league):
    begin(league, QUICK, "run-b")
    with pytest.raises(StateError, match="runs already, with run run-b"):
        begin(league, QUICK, "run-b")


def test_what_was_rolled_back_is_not_tried_again(league):
    league.promote("run-b", force=True, reason="x")
    league.rollback()
    with pytest.raises(PromotionRefused, match="quarantined"):
        begin(league, QUICK, "run-b")


def test_figures_for_monitoring_name_nobody(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    serve(live, 30, bad="yes")
    found = {(name, *labels.values()): value for name, labels, value in live.counts()}
    assert found["penin_live_share",] == 0.2
    assert (
        found["penin_live_requests", "champion"] + found["penin_live_requests", "challenger"] == 30
    )
    assert "user" not in str(found)


SERVER = """
import sys, time
from pathlib import Path
from penin_core import LeagueOrchestrator, WORMLedger
from penin_core.live.traffic import Live, Served
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.settings import LiveSettings, Settings

state = Path(sys.argv[1])
with WORMLedger(state / "ledger.db") as ledger:
    live = Live(LeagueOrchestrator(state, ledger), LiveSettings())
    live.start()
    for number in range(300):
        assigned = live.assign(f"r{number}", f"u{number}")
        live.record(Served(f"r{number}", f"u{number}", assigned, text="yes"))
    while live._store.request("r299") is None:
        time.sleep(0.01)
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_server_loses_nothing_that_was_written_and_lets_go_of_the_directory(
    league, opened, tmp_path
):
    begin(league, QUICK, "run-b")
    league.ledger.close()
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "written\n"
        with pytest.raises(StateError, match=f"process {server.pid}"):
            opened()
        server.kill()
    live = opened()
    found = live.status()
    # One failure more than was seen: the death is held against the challenger.
    assert found["champion_requests"] + found["challenger_requests"] == 301
    assert found["deaths"] == 1
    assert live.feedback("r123", label="good")


KEEPS = LiveSettings(log=True, redact_patterns=(r"\d{4}",))


@pytest.mark.parametrize(
    ("settings", "consent", "kept"),
    [
        (KEEPS, True, 1),
        (KEEPS, False, 0),
        (KEEPS.model_copy(update={"consent": "all"}), False, 1),
        (KEEPS.model_copy(update={"log": False}), True, 0),
    ],
)
def test_only_what_consents_is_kept_and_only_redacted(opened, tmp_path, settings, consent, kept):
    live = opened(settings)
    asked = [{"role": "user", "content": "my pin 1234 and a rude word"}]
    served = Served(
        "r1", "ann", live.assign("r1", "ann"), messages=asked, text="fine", consent=consent
    )
    live.record(served)
    assert live.feedback("r1", score=0.9)
    live._pass()
    live._write(last=True)
    found = list(live._store.traffic())
    assert len(found) == kept
    for each in found:
        assert each.content["messages"][0]["content"] == "my pin [redacted] and a [r] word"
        assert each.score == 0.9
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("live.db*"))
    assert b"1234 and" not in raw
    assert b"ann" not in raw


def test_of_the_metadata_only_what_a_prompt_uses_is_kept(league, opened):
    asks = SECOND.model_copy(update={"prompt": "{{plan}}: {{input}}"})
    begin(league, KEEPS, add_run(league, "run-c", asks))
    live, told = opened(KEEPS), {"plan": "pro", "session": "s-1"}
    asked = {"messages": TURNS, "metadata": told, "text": "fine", "consent": True}
    live.record(Served("r1", "ann", live.assign("r1", "ann"), **asked))
    live._pass()
    live._write(last=True)
    (found,) = live._store.traffic()
    assert found.content["columns"] == {"plan": "pro"}


def test_a_challenger_whose_files_are_gone_stops_nobody_but_itself(league, opened):
    begin(league, QUICK, "run-b")
    shutil.rmtree(league.state / "runs" / "run-b")
    live = opened()
    assert "run-b" in live.status()["problem"]
    assert live.assign("r", "u").experiment is None


def project(tmp_path, **live):
    """A project on the embedded suite, with live settings."""
    plugins = Plugins.load(discover=False)
    settings = Settings(live=LiveSettings(**live))
    suite = Suite(settings.suite, ())
    return Project(settings, tmp_path, plugins, suite)


def test_a_project_brings_its_suites_evaluators_and_the_redactors_that_it_names(league, tmp_path):
    live = Live.of(project(tmp_path, log=True, redact=("personal_data",)), league.ledger)
    assert [e.name for e in live._evaluators] == ["secrets"]
    assert live._redact("ann@example.org") == "[e-mail]"
    live.close()


def test_an_evaluator_that_redacts_nothing_is_no_redactor(league, tmp_path):
    with pytest.raises(SettingsError, match="'exact_match' takes nothing out"):
        Live.of(project(tmp_path, log=True, redact=("exact_match",)), league.ledger)


def test_what_is_not_kept_needs_no_redactor(league, tmp_path):
    Live.of(project(tmp_path, redact=("no such evaluator",)), league.ledger).close()


def test_feedback_that_cannot_be_taken_in_is_refused(opened, monkeypatch):
    monkeypatch.setattr("penin_core.live.traffic.BEHIND", 2)
    live = opened()
    live.record(Served("r", "u", live.assign("r", "u"), text="yes"))
    assert live.feedback("r", score=1.0)
    assert live.feedback("r", score=1.0)
    with pytest.raises(StateError, match="cannot be taken in now"):
        live.feedback("r", score=1.0)


def said_in(live):
    """Return what the texts in the queue say."""
    return [(served.messages, served.text) for served, _ in live._queue]


TURNS = [{"role": "user", "content": [{"type": "text", "text": "x" * 10_000}]}]


@pytest.mark.parametrize(
    ("settings", "evaluators", "tried", "consent", "read"),
    [
        (QUICK, [Yes()], True, False, True),
        (QUICK, [Yes()], False, False, False),
        (QUICK, [], True, False, False),
        (QUICK, [], False, True, False),
        (LiveSettings(log=True), [], False, True, True),
        (LiveSettings(log=True), [], False, False, False),
        (LiveSettings(log=True, consent="all"), [], False, False, True),
    ],
)
def test_texts_wait_only_where_somebody_will_read_them(
    league, opened, settings, evaluators, tried, consent, read
):
    if tried:
        begin(league, QUICK, "run-b")
    live = opened(settings, evaluators=evaluators)
    live.record(
        Served("r", "ann", live.assign("r", "ann"), messages=TURNS, text="yes", consent=consent)
    )
    assert said_in(live) == [(TURNS, "yes") if read else ((), "")]


def test_texts_that_wait_are_bounded_together(league, opened, monkeypatch):
    monkeypatch.setattr("penin_core.live.traffic.BEHIND_BYTES", 55_000)
    begin(league, QUICK, "run-b")
    live = opened()
    assigned = live.assign("r", "ann")
    for again in range(2):
        for number in range(20):
            name = f"r{again}-{number}"
            live.record(Served(name, "ann", assigned, messages=TURNS, text="yes"))
        assert len(live._queue) == len(live._recent) == 5
        assert live._route is None
        live._pass()
        live._write()
        assert live._route is not None
        assert not live._queue


def test_a_queue_that_is_full_takes_the_share_away_and_memory_stays_bounded(
    league, opened, monkeypatch
):
    monkeypatch.setattr("penin_core.live.traffic.BEHIND", 5)
    begin(league, QUICK, "run-b")
    live = opened()
    assigned = live.assign("r", "u")
    for number in range(9):
        live.record(Served(f"r{number}", "u", assigned, text="yes"))
    assert live.assign("r", "u").experiment is None
    assert len(live._queue) == len(live._recent) == 5
    live._pass()
    assert live.assign("r", "u").experiment is not None


def test_without_a_key_every_request_is_drawn_on_its_own(league, opened):
    begin(league, QUICK, "run-b")
    live = opened()
    arms = [live.assign(f"r{number}", "").arm for number in range(200)]
    assert 20 < arms.count("challenger") < 60
    assert arms == [live.assign(f"r{number}", "").arm for number in range(200)]
    for number in range(2):
        live.record(Served(f"r{number}", "", live.assign(f"r{number}", ""), text="yes"))
        assert live.feedback(f"r{number}", score=1.0)
    live._pass()
    assert sum(live.status()["votes"].values()) == 2
