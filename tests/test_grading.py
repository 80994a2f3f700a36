"""Every task that a champion is searched or proved on has a metric that can grade it."""

import pytest

from penin_core import EvaluationFailed, Evaluator, Suite, SuiteError, Task
from penin_core.builtin.evaluators import Choice, ExactMatch, FieldF1
from penin_core.grading import metric_of, metrics_of, prepare, require_graded
from penin_core.settings import Baseline, SuiteDefinition

HINT = (
    'give each an "expected", or a "metric" that the suite names and that can grade it; or take it '
    "out of these splits"
)


class Judged(Evaluator):
    """Asks another model, and needs no reference."""

    name = "judged"
    axis = "U"

    def judge(self, task, completions):
        return ()

    def score(self, task, completions):
        return 1.0


class Harmless(Judged):
    name = "harmless"
    axis = "S"


class Noted(Judged):
    name = "noted"
    role = "record"


class Remembers(Judged):
    """Keeps what it was prepared with."""

    name = "remembers"

    def prepare(self, tasks, baseline):
        self.saw = ([task.id for task in tasks], dict(baseline))


class Broken(Judged):
    """Cannot be prepared."""

    name = "broken"

    def prepare(self, tasks, baseline):
        raise RuntimeError("no")


def task(name, split="confirm", **more):
    return Task(id=name, input=f"question {name}", split=split, **more)


def suite(*tasks, **definition):
    return Suite(SuiteDefinition(**definition), tasks)


def labelled(split, *labels):
    return [task(f"{split}{n}", split, expected=label) for n, label in enumerate(labels)]


@pytest.mark.parametrize("split", ["select", "confirm"])
def test_a_task_that_nothing_can_grade_is_refused_by_name(split):
    found = suite(task("good", split, expected="x"), task("open", split), name="mine")
    with pytest.raises(SuiteError) as caught:
        require_graded(found, [ExactMatch(), FieldF1()])
    assert str(caught.value) == (
        "no metric of suite 'mine' can grade 1 of its 2 select and confirm tasks: 'open'"
    )
    assert caught.value.hint == HINT


def test_of_many_the_first_five_are_named():
    for count, named in ((5, "'t0', 't1', 't2', 't3', 't4'"), (6, "'t3', 't4', ...")):
        with pytest.raises(SuiteError) as caught:
            require_graded(suite(*(task(f"t{n}") for n in range(count))), [ExactMatch()])
        assert str(caught.value).endswith(named)


@pytest.mark.parametrize("split", ["ood", "composed"])
def test_what_nobody_is_proved_on_needs_no_grade(split):
    require_graded(suite(task("good", expected="x"), task("open", split)), [ExactMatch()])


def test_a_metric_that_asks_a_judge_is_a_metric():
    open_task = suite(task("open"))
    require_graded(open_task, [ExactMatch(), Judged()])
    require_graded(suite(task("open", metric="judged")), [ExactMatch(), Judged()])
    for other in (Harmless(), Noted()):
        with pytest.raises(SuiteError, match="can grade 1 of its 1"):
            require_graded(open_task, [ExactMatch(), other])


def test_a_label_that_the_select_tasks_never_show_needs_another_metric():
    known = labelled("select", *("billing", "delivery") * 10)
    asked = labelled("confirm", "billing", "legal", "delivery")
    with pytest.raises(SuiteError, match=r"can grade 1 of its 23 .*: 'confirm1'$"):
        require_graded(suite(*known, *asked), [Choice()])
    require_graded(suite(*known, *asked), [Choice(), ExactMatch()])


def test_the_metric_that_a_task_names_wins_and_has_to_exist():
    metrics = [ExactMatch(), Judged()]
    assert metric_of(task("t", expected="x"), metrics) is metrics[0]
    assert metric_of(task("t", expected="x", metric="judged"), metrics) is metrics[1]
    assert metric_of(task("t"), metrics[:1]) is None
    with pytest.raises(EvaluationFailed, match="wants the metric 'bleu'") as caught:
        require_graded(suite(task("t", metric="bleu")), metrics)
    assert caught.value.hint == "the suite measures: exact_match, judged"


def test_metrics_are_the_axis_parts_of_utility():
    made = [ExactMatch(), Harmless(), Noted(), Judged()]
    assert metrics_of(made) == [made[0], made[3]]


def test_evaluators_see_the_select_tasks_and_the_baseline_and_are_blamed():
    found = Remembers()
    tasks = [task("a", "select"), task("b")]
    prepare(suite(*tasks, baseline=Baseline(tokens=8.0)), [found])
    assert found.saw == (["a"], Baseline(tokens=8.0).model_dump())
    prepare(suite(*tasks), [found])
    assert found.saw == (["a"], {})
    with pytest.raises(EvaluationFailed, match="'broken' failed"):
        prepare(suite(*tasks), [Broken()])
