"""What a suite declares reaches the evaluators that it selects."""

from pathlib import Path

import pytest

from penin_core import SettingsError, Suite, Task
from penin_core.errors import PluginError
from penin_core.plugins import Plugins
from penin_core.project import Project
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
