"""What a suite declares reaches the evaluators that it selects."""

from pathlib import Path

import pytest

from penin_core import Configuration, SettingsError, Suite, Task
from penin_core.errors import PluginError
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import DEFAULTS
from penin_core.plugins import Plugins
from penin_core.project import LAST_RISKS, Project, champion_risks, parameters
from penin_core.settings import Settings, SuiteDefinition

TASKS = (Task(id="a", input="q", expected="x", split="select"),)


def project(suite=None, **tables):
    definition = SuiteDefinition(**(suite or {}))
    settings = Settings(suite=definition, **tables)
    return Project(settings, Path(), Plugins.load(discover=False), Suite(definition, TASKS))


def evaluator(made, name):
    return next((e for e in made.evaluators() if e.name == name), None)


@pytest.mark.parametrize("source", ["logprobs", "stated"])
def test_the_declared_calibration_says_where_confidence_comes_from(source):
    made = project({"calibration": source})
    assert evaluator(made, "calibration").options.source == source


def test_what_is_declared_not_applicable_is_not_measured():
    undeclared = project({"calibration": "not_applicable", "reasons": {"calibration": "none"}})
    assert evaluator(undeclared, "calibration") is None
    assert evaluator(undeclared, "composition") is None


def test_perturbations_come_from_the_component_then_the_suite_then_the_default():
    named = {"perturbations": ("case", "reorder")}
    assert evaluator(project(), "robustness").options.perturbations == (
        "whitespace",
        "typo",
        "case",
        "greeting",
    )
    assert evaluator(project(named), "robustness").options.perturbations == ("case", "reorder")
    own = {"robustness": {"perturbations": ["paraphrase"]}}
    found = evaluator(project(named, evaluators=own), "robustness")
    assert found.options.perturbations == ("paraphrase",)


@pytest.mark.parametrize(
    ("suite", "tables", "reason"),
    [
        ({"perturbations": ("sarcasm",)}, {}, "sarcasm"),
        ({"metrics": ("judge",)}, {}, "provider is missing"),
        ({"evaluators": ("block_list",)}, {}, "terms"),
        (
            {"metrics": ("regex",)},
            {"evaluators": {"regex": {"pattern": "("}}},
            "regular expression",
        ),
        ({"metrics": ("json_schema",)}, {"evaluators": {"json_schema": {"rule": {"a": 1}}}}, "'a'"),
    ],
)
def test_options_that_make_no_sense_are_an_error_of_the_settings(suite, tables, reason):
    with pytest.raises((SettingsError, PluginError)) as caught:
        project(suite, **tables).evaluators()
    assert reason in f"{caught.value} {caught.value.hint}"


def run(number, kind, **fields):
    """Return the body of a run whose risk is its number."""
    names = {"id": f"run-{number}", "kind": kind, "candidate_cfg_hash": "c", "dry_run": False}
    return {
        **names,
        "verdict": "rollback",
        "s_score": 0.5,
        "detail": {"risk": number / 1000},
        **fields,
    }


def test_the_risks_are_those_of_the_last_champions_however_many_challengers_came_since(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        baselines = range(0, 300, 20)
        ledger.record_many(
            ("RUN", run(n, "baseline" if n in baselines else "challenger")) for n in range(300)
        )
        ledger.record_run(run(300, "baseline", dry_run=True))
        expected = [n / 1000 for n in baselines]
        assert champion_risks(ledger) == expected[-LAST_RISKS:]
        assert champion_risks(ledger, before=41) == expected[:3]
        assert champion_risks(ledger, before=0) == []


def test_cycles_that_measured_no_risk_do_not_push_out_those_that_did(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        ledger.record_many(("RUN", run(n, "baseline")) for n in range(1, 4))
        unmeasured = {"s_score": None, "detail": {"risk": None}}
        ledger.record_many(("RUN", run(n, "baseline", **unmeasured)) for n in range(4, 40))
        ledger.record_run(run(40, "baseline", detail={"risk": None}))
        assert champion_risks(ledger) == [0.001, 0.002, 0.003]


def test_an_entry_that_says_nothing_about_the_parameters_leaves_them_as_they_are_shipped(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        assert parameters(ledger) == (0, DEFAULTS)
        config = Configuration(provider="p", model="m")
        body = {"config": config.model_dump(mode="json"), "config_hash": config.hash}
        ledger.record_event("BOOTSTRAP", body)
        assert parameters(ledger) == (0, DEFAULTS)
        ledger.record_event("TUNE", {"param_version": 3, "params": {"tau": 0.6}})
        assert parameters(ledger) == (3, {**DEFAULTS, "tau": 0.6})
        assert parameters(ledger, before=1) == (0, DEFAULTS)
