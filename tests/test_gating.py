"""What the gates take: fixed tasks, and the word of every guard."""

import pytest

from penin_core import (
    Candidate,
    Configuration,
    EthicsEvidence,
    Example,
    Guard,
    GuardEvidence,
    GuardResult,
    Measurement,
    Suite,
    SuiteError,
    Task,
)
from penin_core.gating import SPECIAL_TASKS, answer_of, first_tasks, racing, subset, whole
from penin_core.settings import SuiteDefinition

SUITE = Suite(
    SuiteDefinition(gate_tasks=20),
    tuple(
        Task(id=f"{split}{n}", input="q", split=split)
        for split, count in (("select", 150), ("confirm", 30), ("composed", 50), ("ood", 60))
        for n in range(count)
    ),
)


def test_the_fixed_tasks_do_not_change_and_come_from_the_select_tasks():
    assert first_tasks(SUITE) == SUITE.sample("select", 100, 0)
    assert first_tasks(SUITE, 7) == first_tasks(SUITE)[:7]
    assert subset(SUITE) == first_tasks(SUITE, 20)


def questions(count):
    """Tasks of which hundred questions repeat, each about another page."""
    return Suite(
        SuiteDefinition(gate_tasks=60),
        tuple(
            Task(id=f"s{n}", input=f"question {n % 100}", split="select", fields={"page": n})
            for n in range(count)
        ),
    )


@pytest.mark.parametrize(("count", "kept"), [(20, 20), (30, 20), (60, 30), (120, 60), (400, 60)])
def test_the_fixed_tasks_leave_half_of_a_small_split_to_the_mutators(count, kept):
    assert len(subset(questions(count))) == kept


def showing(*tasks, prompt="{{input}} {{page}}"):
    examples = tuple(Example(input=t.input, output="x", fields=t.fields) for t in tasks)
    config = Configuration(provider="p", model="m", prompt=prompt, examples=examples)
    return Candidate(config=config)


def test_a_race_leaves_out_what_stands_solved_in_a_prompt():
    suite = questions(150)
    order = suite.sample("select", 150, 7)
    champion, challenger = showing(order[3]), showing(order[0], order[9])
    left = [task for task in order if task not in (order[0], order[3], order[9])]
    assert racing(suite, (champion, challenger), 7) == left
    assert racing(suite, (), 7) == order


def test_a_prompt_without_columns_shows_every_task_of_the_same_question():
    suite = questions(150)
    both = [task for task in suite.tasks if task.input == "question 20"]
    left = racing(suite, (showing(both[0], prompt="{{input}}"),), 7)
    assert {task.id for task in suite.tasks} - {task.id for task in left} == {"s20", "s120"}


def test_a_race_on_nothing_is_refused():
    with pytest.raises(SuiteError, match="0 select tasks are left to race on: the others, 150"):
        racing(SUITE, (showing(SUITE.tasks[0]),), 7)


def test_all_axes_take_the_tasks_and_the_special_splits_and_few_of_them_deeply():
    confirm = SUITE.split("confirm")
    asked, deep = whole(SUITE, confirm)
    assert asked[:30] == confirm
    composed, ood = (SUITE.sample(split, SPECIAL_TASKS, 0) for split in ("composed", "ood"))
    assert asked[30:] == [*composed, *ood]
    assert [t.split for t in asked[30:]] == ["composed"] * SPECIAL_TASKS + ["ood"] * SPECIAL_TASKS
    assert deep == [*subset(SUITE), *asked[30 : 30 + SPECIAL_TASKS]]


def guard(check):
    class Made(Guard):
        """Answers as it is told to."""

        name = "made"

    Made.check = lambda self, evidence: check()
    Made.__abstractmethods__ = frozenset()
    return Made()


@pytest.fixture
def evidence():
    return GuardEvidence.model_construct(
        candidate=Measurement(), champion=Measurement(), ethics=EthicsEvidence.model_construct()
    )


@pytest.mark.parametrize("ok", [True, False])
def test_the_word_of_a_guard_counts_under_the_name_that_it_has(evidence, ok):
    found = guard(lambda: GuardResult(guard="another", ok=ok, reason="so"))
    assert answer_of(found, evidence) == (GuardResult(guard="made", ok=ok, reason="so"), None)


@pytest.mark.parametrize("answer", [None, True, "ok", {"ok": True}])
def test_any_other_answer_is_a_veto(evidence, answer):
    result, error = answer_of(guard(lambda: answer), evidence)
    assert (result.guard, result.ok) == ("made", False)
    assert result.reason == f"it failed: {error!r}"
    assert str(error) == f"it answered {answer!r}"


def test_a_guard_sees_the_evidence(evidence):
    seen = []
    made = guard(None)
    type(made).check = lambda self, shown: seen.append(shown)
    answer_of(made, evidence)
    assert [shown is evidence for shown in seen] == [True]


def test_a_guard_that_raises_vetoes(evidence):
    def crash():
        raise ZeroDivisionError("half a guard")

    result, error = answer_of(guard(crash), evidence)
    assert (result.ok, type(error)) == (False, ZeroDivisionError)
    assert result.reason == "it failed: ZeroDivisionError('half a guard')"
