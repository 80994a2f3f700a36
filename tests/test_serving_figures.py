"""Figures for monitoring: what the ledger and its runs hold, and nothing else."""

import json
from datetime import UTC, datetime

import pytest

from penin_core import WORMLedger
from penin_core.ledger.artifacts import new_run_id, write_run
from penin_core.serving import figures
from penin_core.serving.figures import Figures, began

SIGMA = {
    "guard": "sigma",
    "details": {
        "ece": {"ok": True, "value": 0.04},
        "rho_bias": {"ok": True, "value": 1.1},
        "not_applicable": {},
    },
}
CONTRACTIVE = {"guard": "contractive", "details": {"risk": 0.2, "rho": 0.9}}


def record(state, run_id, gates=None, *, cycle_id=None, **fields):
    """Record a run, with what its guards saw where it came before them."""
    files = {"config.json": b"{}"}
    if gates is not None:
        files["gates.json"] = json.dumps(gates).encode()
        fields = {"sigma_guard_ok": True, **fields}
    row = {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": "0" * 64,
        "verdict": "canary",
        "dry_run": False,
        "cycle_id": cycle_id,
        "artifacts_path": f"runs/{run_id}",
        "manifest_sha256": write_run(state, run_id, files),
    }
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_run({**row, **fields})


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that reads the figures: name to values."""
    monkeypatch.setattr(figures, "FRESH_S", 0.0)
    made = Figures(tmp_path, 1.0)

    def read():
        return {name: [value for _, value in values] for name, _, _, values in made.read()}

    return read


def test_what_guards_measured_last_is_given(tmp_path, read):
    record(tmp_path, "run-1", [{"guard": "sigma", "details": {"ece": {"value": 0.5}}}])
    record(tmp_path, "run-2", [SIGMA, CONTRACTIVE])
    record(tmp_path, "run-3")
    found = read()
    assert found["penin_ece"] == [0.04]
    assert found["penin_rho_bias"] == [1.1]
    assert found["penin_risk_rho"] == [0.9]


def test_figures_follow_the_next_candidate(tmp_path, read):
    record(tmp_path, "run-1", [SIGMA])
    assert read()["penin_ece"] == [0.04]
    record(tmp_path, "run-2", [{"guard": "sigma", "details": {"ece": {"value": 0.5}}}])
    found = read()
    assert found["penin_ece"] == [0.5]
    assert "penin_rho_bias" not in found


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"ece": {"ok": False, "value": None}},
        {"ece": {"ok": True, "value": 0.0}, "not_applicable": {"ece": "no confidences"}},
        {"ece": {"ok": False, "value": "much"}},
    ],
)
def test_what_was_not_measured_is_left_out(tmp_path, read, details):
    record(tmp_path, "run-1", [{"guard": "sigma", "details": details}])
    assert not read().keys() & {"penin_ece", "penin_rho_bias", "penin_risk_rho"}


def test_a_run_whose_files_are_not_what_was_recorded_says_nothing(tmp_path, read):
    record(tmp_path, "run-1", [SIGMA])
    file = tmp_path / "runs" / "run-1" / "gates.json"
    file.chmod(0o600)
    file.write_text("[]")
    assert "penin_ece" not in read()


def test_without_a_run_there_is_nothing_to_tell(read):
    found = read()
    assert "penin_ece" not in found
    assert found["penin_cycle_duration_seconds"] == []


def test_a_cycle_took_from_the_begin_in_its_id_to_its_last_run(tmp_path, read):
    record(tmp_path, "run-1", cycle_id=f"cycle-{new_run_id()}")
    record(tmp_path, "run-2", cycle_id="by-hand")
    (took,) = read()["penin_cycle_duration_seconds"]
    assert took >= 0.0


def test_the_id_of_a_cycle_says_when_it_began():
    now = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    assert began(f"cycle-{new_run_id(now)}") == now.timestamp()
    assert began("cycle-1") is None
