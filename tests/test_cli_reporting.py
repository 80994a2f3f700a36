"""The screen at the end of a cycle names what graded the proof, and what can be typed now."""

import pytest

from penin_core import (
    Candidate,
    Configuration,
    CycleReport,
    Decision,
    Measurement,
    RunSummary,
    Task,
)
from penin_core.battery import TaskBattery
from penin_core.builtin.evaluators import ExactMatch, FieldF1, RougeL
from penin_core.cli.reporting import graders, report_in_words
from penin_core.cli.wording import gain
from penin_core.plugins import Plugins
from penin_core.project import Project, shipped_suites
from penin_core.settings import Settings, SuiteDefinition
from penin_core.suites import Suite, load_suite

CHAMPION = Candidate(config=Configuration(provider="p", model="m"))
FOUND = {"gain": 0.04, "interval": (0.01, 0.07), "wins": 9, "losses": 1, "errors": 0}
FOUND |= {"proved": False, "n": 300}


def project(folder, suite):
    settings = Settings(champion=CHAMPION.config, suite=suite.definition)
    return Project(settings, folder, Plugins.load(discover=False), suite)


def task(number, expected="yes", **more):
    return Task(
        **{"id": f"t{number}", "input": "q", "expected": expected, "split": "confirm"} | more
    )


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        ([task(0), task(1)], ["exact_match"]),
        ([task(0, {"a": "b"}), task(1, {"a": "c"})], ["field_f1"]),
        ([task(0), task(1, {"a": "b"})], ["exact_match", "field_f1"]),
        ([task(0), task(1, {"a": "b"}, split="select")], ["exact_match"]),
        ([task(0, metric="rouge_l")], ["rouge_l"]),
        ([task(0, metric="rouge_l"), task(1)], ["exact_match", "rouge_l"]),
    ],
)
def test_a_gain_is_named_after_the_metric_that_grades_the_proof(tmp_path, tasks, names):
    suite = Suite(SuiteDefinition(metrics=("field_f1", "exact_match", "rouge_l")), tuple(tasks))
    made = project(tmp_path, suite)
    assert graders(made) == names
    battery = TaskBattery(None, suite, [FieldF1(), ExactMatch(), RougeL()], seed=0)
    assert {battery.metric_of(t).name for t in suite.split("confirm")} == set(names)
    label = names[0] if len(names) == 1 else "score"
    assert gain(FOUND, graders(made))[0].startswith(f"+0.040 {label}, 95 %")


def test_the_shipped_suite_is_graded_by_equality(tmp_path):
    definition = SuiteDefinition()
    made = project(tmp_path, load_suite(definition, tmp_path, shipped_suites()))
    assert graders(made) == ["exact_match"]


def ended(verdict, reason, budget=""):
    """Return a report on one challenger, of a cycle that ``budget`` may have cut short."""
    other = CHAMPION.child("test", temperature=0.5)
    runs = [
        RunSummary(
            run_id=run_id,
            candidate=candidate,
            decision=Decision(verdict=found, reason=why),
            measurement=Measurement(suite_hash="s"),
        )
        for run_id, candidate, found, why in (
            ("base", CHAMPION, "rollback", "baseline"),
            ("best", other, verdict, reason),
        )
    ]
    return CycleReport(
        cycle_id="c",
        verdict=verdict,
        reason=f"budget_exhausted: {budget}" if budget else reason,
        champion=CHAMPION,
        best_challenger="best",
        metrics={},
        runs=tuple(runs),
    )


WHY, RESUME = (
    "penin why best",
    "penin evolve --resume, with more time or money: pays no answer twice",
)
MARGIN = "[evolve.margins] C in penin.toml says how much more an answer may cost"
DEAR = "the next call can cost up to $0.6, but the run has $0.1 left"


@pytest.mark.parametrize(
    ("report", "typed"),
    [
        (ended("rollback", "raced_out: L∞ 0.4, the champion has 0.5"), [WHY]),
        (ended("rollback", "raced_out: cost 0.6, at most 0.550 is allowed"), [WHY, MARGIN]),
        (ended("rollback", "axis C is worse by 0.100, the margin is 0.05"), [WHY, MARGIN]),
        (ended("rollback", "vetoed by cost_watch"), [WHY]),
        (ended("canary", "not proved on 300 tasks: parked"), [WHY]),
        (ended("fail", f"budget_exhausted: {DEAR}", DEAR), [WHY, RESUME]),
        (ended("rollback", "raced_out: place 4 of 4 after 30 tasks", DEAR), [WHY, RESUME]),
        (ended("promote", "better, proved on 300 tasks"), [WHY, "penin rollback"]),
    ],
)
def test_what_can_be_typed_now_fits_how_the_cycle_ended(report, typed):
    shown = report_in_words(report, ()).splitlines()
    at = next(n for n, line in enumerate(shown) if line.startswith("next"))
    assert [line.removeprefix("next").strip() for line in shown[at:]] == typed
