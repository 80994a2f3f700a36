"""penin canary begins, shows and stops an experiment; penin status shows it, too."""

import json

import pytest

from penin_core import Configuration, LeagueOrchestrator, WORMLedger
from penin_core.cli import run
from penin_core.league.promotion import promotion_body
from penin_core.ledger.artifacts import write_run
from penin_core.live.traffic import Live, Served
from penin_core.settings import LiveSettings
from penin_core.state import exclusive

FIRST, SECOND = (Configuration(provider="p", model=name) for name in ("first", "second"))


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state directory with a champion, and run-b with another configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENIN_CONFIG", raising=False)
    monkeypatch.setattr("penin_core.live.start.new_run_id", lambda: "salt")
    state = tmp_path / ".penin"
    state.mkdir()
    with WORMLedger(state / "ledger.db") as ledger:
        for run_id, config in (("run-a", FIRST), ("run-b", SECOND)):
            stored = {"config.json": json.dumps(config.model_dump(mode="json")).encode()}
            ledger.record_run(
                {
                    "id": run_id,
                    "kind": "challenger",
                    "candidate_cfg_hash": config.hash,
                    "verdict": "canary",
                    "dry_run": False,
                    "sigma_guard_ok": True,
                    "artifacts_path": f"runs/{run_id}",
                    "manifest_sha256": write_run(state, run_id, stored),
                }
            )
        body = promotion_body(FIRST.model_dump(mode="json"), "run-a", None)
        ledger.record_event("BOOTSTRAP", {**body, "param_version": 0, "params": {}})
    return state


def said(capsys, *words):
    assert run(list(words)) == 0
    return capsys.readouterr().out


def test_an_experiment_is_begun_shown_and_stopped(state, capsys):
    assert "no experiment runs" in said(capsys, "canary", "status")
    begun = said(capsys, "canary", "start", "run-b", "--claim")
    assert "canary of run run-b, 5% of the traffic, step 1 of 4" in begun
    assert "claim 1, better by feedback: not proved at alpha 0.025" in begun
    shown = json.loads(said(capsys, "canary", "status", "--json"))
    assert (shown["running"], shown["run_id"], shown["fraction"]) == (True, "run-b", 0.05)
    assert "canary of run run-b" in said(capsys, "status")
    assert "stopped by hand: lunch" in said(capsys, "canary", "stop", "--reason", "lunch")
    assert "no experiment runs" in said(capsys, "canary", "status")
    assert "run-b" not in said(capsys, "status").split("cycles")[0]
    with WORMLedger(state / "ledger.db") as ledger:
        kinds = [entry.kind for entry in ledger.events()]
        assert kinds == ["BOOTSTRAP", "CONFIRM", "CANARY_START", "CANARY_STOP", "CONFIRM"]
        assert all("loaded" in entry.body for entry in ledger.events("CANARY_STOP"))
        assert ledger.verify().valid


def test_what_a_server_saw_is_shown_and_recorded(state, capsys):
    said(capsys, "canary", "start", "run-b", "--fraction", "0.5")
    with WORMLedger(state / "ledger.db") as ledger:
        live = Live(LeagueOrchestrator(state, ledger), LiveSettings())
        for number in range(40):
            assigned = live.assign(f"r{number}", f"u{number}")
            live.record(Served(f"r{number}", f"u{number}", assigned, text="yes"))
        live.close()
    shown = json.loads(said(capsys, "canary", "status", "--json"))
    assert shown["champion_requests"] + shown["challenger_requests"] == 40
    assert "errors         e-value" in said(capsys, "canary", "status")
    said(capsys, "canary", "stop")
    with WORMLedger(state / "ledger.db") as ledger:
        (end,) = ledger.events("CANARY_STOP")
        assert end.body["champion_requests"] == shown["champion_requests"]


def test_a_shadow_may_see_everything(state, capsys):
    begun = said(capsys, "canary", "start", "run-b", "--shadow", "--fraction", "1.0")
    assert "shadow of run run-b, 100% of the traffic, as a copy" in begun


REFUSED = [
    (["start", "run-b", "--fraction", "0"], 2, "fraction = 0.0"),
    (["start", "run-b", "--fraction", "1.01"], 2, "fraction = 1.01"),
    (["start", "run-x"], 1, "'run-x' is not in the ledger"),
    (["start", "run-a"], 3, "its configuration is the champion's"),
    (["start", "run-b", "--shadow", "--claim"], 2, "a shadow cannot prove a claim"),
    (["stop"], 1, "no experiment runs"),
]


@pytest.mark.parametrize(("words", "code", "why"), REFUSED)
def test_what_cannot_be_done_is_one_clear_error(state, capsys, words, code, why):
    assert run(["canary", *words]) == code
    error = capsys.readouterr().err.splitlines()
    assert why in error[0]
    assert error[1].startswith("hint: ")
    with WORMLedger(state / "ledger.db") as ledger:
        assert [entry.kind for entry in ledger.events()] == ["BOOTSTRAP"], "nothing was declared"


def test_nothing_is_begun_while_a_cycle_runs_but_it_can_be_stopped(state, capsys):
    said(capsys, "canary", "start", "run-b")
    with exclusive(state):
        said(capsys, "canary", "stop")
        assert run(["canary", "start", "run-b"]) == 1
    assert "in use by another cycle" in capsys.readouterr().err
