"""penin tune show draws the path of every parameter from the ledger alone."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from penin_core.canonical import digest
from penin_core.cli import penin
from penin_core.cli.tune import BARS, WIDEST, sparkline
from penin_core.cli.wording import not_applied
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import DEFAULTS, RANGES


def began(place):
    """Return a ledger that holds a first champion."""
    ledger = WORMLedger(place / "ledger.db")
    body = {"config": {}, "config_hash": digest({}), "run_id": None, "param_version": 0}
    ledger.record_event("BOOTSTRAP", {**body, "params": {**DEFAULTS, "tau": 0.6}})
    return ledger


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / ".penin"
    place.mkdir()
    return place


@pytest.fixture
def tuned(state):
    with began(state) as ledger:
        for version in (1, 2):
            params = {**DEFAULTS, "tau": 0.6 + version / 100, "kappa": 2.0 - version / 4}
            step = {"param_version": version, "params": params, "objective": 0.3 + version / 10}
            ledger.record_event("TUNE", step)


def show(*flags):
    found = CliRunner().invoke(penin, ["tune", "show", *flags], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.usefixtures("tuned")
def test_every_parameter_has_its_value_start_range_and_path():
    lines = {line.split()[0]: line.split() for line in show().splitlines() if line.strip()}
    assert set(RANGES) <= set(lines)
    assert lines["tau"] == ["tau", "0.6200", "0.6000", "0.5", "to", "0.95", "▁▅█"]
    assert lines["kappa"] == ["kappa", "1.5000", "2.0000", "1", "to", "10", "█▅▁"]
    assert lines["wU"][-1] == "▅▅▅"
    assert lines["objective"] == ["objective", "0.5000", "▁█"]
    assert lines["version"] == ["version", "2,", "2", "steps", "recorded"]


@pytest.mark.usefixtures("tuned")
def test_json_has_every_step():
    data = json.loads(show("--json"))
    assert data["param_version"] == 2
    assert data["params"]["tau"] == pytest.approx(0.62)
    assert [step["by"] for step in data["steps"]] == ["BOOTSTRAP", "TUNE", "TUNE"]
    assert [step["objective"] for step in data["steps"]] == [None, 0.4, 0.5]
    assert data["ranges"]["tau"] == [0.5, 0.95]


def test_before_the_first_step_the_start_is_shown(state):
    began(state).close()
    shown = show()
    assert "version    0, 0 steps recorded" in " ".join(shown.split("\n")[:1])
    assert "objective" not in shown
    assert len(json.loads(show("--json"))["steps"]) == 1


@pytest.mark.parametrize(
    ("values", "drawn"),
    [([0, 1], "▁█"), ([0, 0.5, 1], "▁▅█"), ([3], "▅"), ([], ""), ([2, 2], "▅▅"), ([1, 0], "█▁")],
)
def test_a_sparkline_goes_from_the_lowest_to_the_highest(values, drawn):
    assert sparkline(values, min(values, default=0), max(values, default=0)) == drawn


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_long_path_is_thinned_and_keeps_both_ends(values):
    drawn = sparkline(values, 0.0, 1.0)
    assert len(drawn) == min(len(values), WIDEST)
    assert drawn[0] == sparkline(values[:1], 0.0, 1.0)
    assert drawn[-1] == sparkline(values[-1:], 0.0, 1.0)
    assert set(drawn) <= set(BARS)


def test_parameters_that_were_not_applied_are_named():
    assert not_applied(()) == []
    assert not_applied(["temperature", "top_p"]) == [
        "temperature, top_p: not taken by the model, and not sent"
    ]
