"""What is said before the first call: how little a proof on few tasks leaves to chance."""

import pytest

from penin_core import Suite, Task
from penin_core.cli.announcing import _of_guard
from penin_core.league.campaign import Campaign
from penin_core.league.plans import plan_confirmation
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.settings import EvolveSettings, GuardSettings, Settings, SuiteDefinition

REASONS = {"calibration": "no log-probabilities", "groups": "nobody is asked about"}


def said(tmp_path, confirm, *, without=(), profile=None, use=("sigma",), **evolve):
    """Return what is said about Σ-Guard before a cycle on so many confirm tasks."""
    declared = dict.fromkeys(without, "not_applicable")
    definition = SuiteDefinition(reasons={name: REASONS[name] for name in without}, **declared)
    settings = Settings(
        suite=definition, guards=GuardSettings(use=use), evolve=EvolveSettings(**evolve)
    )
    tasks = (Task(id=f"t{n}", input=f"question {n}", split="confirm") for n in range(confirm))
    suite = Suite(definition, tuple(tasks))
    project = Project(settings, tmp_path, Plugins.load(discover=False), suite)
    plan = plan_confirmation(
        suite, claim="better", campaign=Campaign(), at_most=settings.evolve.confirm_max
    )
    return _of_guard(project, plan, profile)


def test_exactly_the_least_answers_leave_no_room(tmp_path):
    (text,) = said(tmp_path, 100)
    assert text.startswith(
        "Σ-Guard vetoes below 100 answers with a confidence and a group, and a proof may have 100: "
        "no answer may fail or go without"
    )


@pytest.mark.parametrize(
    ("confirm", "evolve", "room"),
    [
        (101, {}, "1 answer may"),
        (120, {}, "20 answers may"),
        (500, {"confirm_min": 100}, "no answer may"),
        (500, {"confirm_min": 100, "confirm_max": 110}, "no answer may"),
    ],
)
def test_a_little_more_leaves_a_little_room(tmp_path, confirm, evolve, room):
    (text,) = said(tmp_path, confirm, without=("groups",), **evolve)
    assert "answers with a confidence, and" in text
    assert room in text


@pytest.mark.parametrize(
    "plenty",
    [
        {"confirm": 125},
        {"confirm": 500},
        {"confirm": 100, "profile": "strict"},
        {"confirm": 100, "without": ("calibration", "groups")},
        {"confirm": 100, "use": ("contractive",)},
    ],
)
def test_nothing_is_said_where_a_fifth_may_be_missing_or_nothing_is_measured(tmp_path, plenty):
    assert said(tmp_path, **plenty) == []
