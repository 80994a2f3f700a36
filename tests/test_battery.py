"""The battery asks every question once, counts errors, and adds the axes up as they are defined."""

import asyncio
import math
from statistics import fmean

import numpy as np
import pytest

from penin_core import (
    Candidate,
    Capabilities,
    Completion,
    Configuration,
    EvaluationFailed,
    Evaluator,
    LocalProvider,
    Message,
    Price,
    ProviderBadReply,
    ProviderUnavailable,
    Request,
    Suite,
    Task,
    TaskBattery,
)
from penin_core.builtin import evaluators as built_in
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.settings import Baseline, SuiteDefinition

CANDIDATE = Candidate(config=Configuration(provider="p", model="m"))
KINDS = {
    kind.name: kind
    for kind in built_in.penin_register_evaluators()
    if not any(field.is_required() for field in kind.Options.model_fields.values())
}


class Desk:
    """Answers from a function, and remembers what was asked."""

    def __init__(self, script):
        self.script = script
        self.asked = []

    async def answer(self, requests):
        self.asked += requests
        return [self.script(request) for request in requests]


def said(text, confidence=1.0, tokens=10, **more):
    return Completion(
        text=text,
        model="m",
        tokens_in=tokens - 1,
        tokens_out=1,
        logprobs=(math.log(confidence),),
        **{"cost_usd": 0.0, **more},
    )


def question(request):
    return request.messages[-1].content


def scripted(answers, default="wrong"):
    """Return a desk that answers by question; a value may be a text, a completion or an error."""

    def script(request):
        found = answers.get(question(request), default)
        return said(found) if isinstance(found, str) else found

    return Desk(script)


def tasks(count, split="confirm", expected="right", **more):
    return [
        Task(id=f"{split}{n}", input=f"{split} {n}", expected=expected, split=split, **more)
        for n in range(count)
    ]


def battery(desk, evaluators, suite_tasks=(), seed=0, baseline=None):
    made = [e if isinstance(e, Evaluator) else KINDS[e]() for e in evaluators]
    suite = Suite(SuiteDefinition(baseline=baseline), tuple(suite_tasks))
    return TaskBattery(desk, suite, made, seed=seed)


def measure(desk, evaluators, asked, deep=(), candidate=CANDIDATE, **more):
    made = battery(desk, evaluators, [*asked, *deep], **more)
    return asyncio.run(made.measure(candidate, asked, deep=deep))


class Custom(Evaluator):
    """An evaluator that does what a test says."""

    name = "custom"
    axis = "U"

    def __init__(self, score=lambda task, completions: 1.0, **what):
        super().__init__()
        self._score = score
        for name, value in what.items():
            setattr(self, name, value)

    def score(self, task, completions):
        return self._score(task, completions)


def failing(asked, count):
    """Answers for ``asked`` of which the first ``count`` are errors."""
    return {
        task.input: ProviderUnavailable("no line") if n < count else "right"
        for n, task in enumerate(asked)
    }


# One question, one call


class Counting(LocalProvider):
    """Says "right", and counts how often each request was asked."""

    name = "p"
    asked = []

    def capabilities(self, model):
        free = Price(input_per_million=0.0, output_per_million=0.0)
        return Capabilities(logprobs=True, price=free, batch=8)

    def generate(self, requests):
        self.asked += [request.key for request in requests]
        return [said("right") for _ in requests]


def test_each_distinct_request_is_asked_once_whoever_wants_to_know(tmp_path):
    Counting.asked.clear()
    asked = tasks(12, tags=("k",))

    async def twice():
        engine = Engine(
            lambda name: Counting(),
            budget=Budget(tmp_path / "b"),
            cache=ResponseCache(tmp_path / "c"),
        )
        made = battery(engine, KINDS, [*asked, *tasks(4, "select", tags=("k",))])
        first = await made.measure(CANDIDATE, asked, deep=asked)
        calls = len(Counting.asked)
        assert await made.measure(CANDIDATE, asked, deep=asked) == first
        assert len(Counting.asked) == calls
        await engine.aclose()

    asyncio.run(twice())
    assert len(Counting.asked) == len(set(Counting.asked))
    # The task, its repeat, its examples and at most four perturbed forms.
    assert 12 * 4 <= len(Counting.asked) <= 12 * 7


def test_both_candidates_are_asked_the_same_variants():
    asked = tasks(6)
    other = CANDIDATE.child("x", temperature=0.1)
    seen = []
    for candidate in (CANDIDATE, other):
        desk = scripted({}, "right")
        measure(desk, ["exact_match", "robustness"], asked, asked, candidate=candidate)
        seen.append([question(request) for request in desk.asked])
    assert seen[0] == seen[1]


def test_only_evaluators_that_need_several_answers_look_at_the_deep_tasks():
    asked, deep = tasks(5), tasks(3, "select")
    desk = scripted({}, "right")
    measured = measure(desk, ["exact_match", "robustness", "agreement"], asked, deep)
    questions = [question(request) for request in desk.asked]
    assert {row.task for row in measured.rows} == {task.id for task in asked}
    assert sum("confirm 0" in text for text in questions) == 2
    assert sum("select 0" in text for text in questions) > 3


def test_rows_are_asked_without_any_other_evaluator():
    asked = tasks(4)
    desk = scripted(failing(asked, 1))
    rows = asyncio.run(battery(desk, KINDS, asked).rows(CANDIDATE, asked))
    assert len(desk.asked) == 4
    assert [row.utility for row in rows] == [None, 1.0, 1.0, 1.0]
    assert "no line" in rows[0].error


# Errors


@pytest.mark.parametrize("count", [1, 2, 4])
def test_errors_are_counted_shown_and_never_scored(count):
    asked = tasks(20)
    measured = measure(scripted(failing(asked, count)), ["exact_match", "token_f1"], asked)
    assert (measured.n_tasks, measured.n_errors) == (20, count)
    assert measured.U == 1.0
    failed = [row for row in measured.rows if row.error is not None]
    assert len(failed) == count
    assert {row.utility for row in failed} == {None}
    assert all("ProviderUnavailable: no line" in row.error for row in failed)


def test_over_a_fifth_of_errors_fails_the_evaluation():
    asked = tasks(20)
    with pytest.raises(EvaluationFailed, match="5 of 20 calls failed") as caught:
        measure(scripted(failing(asked, 5)), ["exact_match"], asked)
    assert "no line" in str(caught.value)


def test_a_part_of_which_over_a_fifth_failed_is_missing_and_so_is_its_axis():
    asked = tasks(20)

    def script(request):
        if request.sample == 1 and int(question(request).split()[1]) < 5:
            return ProviderUnavailable("busy")
        return said("right")

    measured = measure(Desk(script), ["exact_match", "calibration", "agreement"], asked, asked)
    assert measured.raw["S"]["agreement"] is None
    assert measured.S == 1.0, "agreement is recorded, it is no part of S"
    repeated = Custom(axis="S", deep=True, variants=KINDS["agreement"]().variants)
    measured = measure(Desk(script), ["exact_match", "calibration", repeated], asked, asked)
    assert measured.raw["S"]["custom"] is None
    assert measured.S is None


# Evaluators that break their contract


@pytest.mark.parametrize(
    "value", [math.nan, 2.0, -0.1, math.inf, "1", None, 1 + 1e-6, 1j, np.float64("nan")]
)
def test_a_score_outside_of_0_to_1_is_named(value):
    with pytest.raises(EvaluationFailed, match="evaluator 'custom' scored task 'confirm0'"):
        measure(scripted({}), [Custom(lambda *_: value)], tasks(1))


@pytest.mark.parametrize("value", [0, 1, True, 0.5, np.float32(0.5), 1 + 1e-12, -1e-12])
def test_a_score_is_any_real_number_in_0_to_1(value):
    measured = measure(scripted({}), [Custom(lambda *_: value)], tasks(1))
    assert pytest.approx(float(value), abs=1e-9) == measured.U
    assert 0 <= measured.U <= 1


def broken(*_):
    raise ZeroDivisionError("by me")


@pytest.mark.parametrize("method", ["score", "variants", "judge", "aggregate"])
def test_an_evaluator_that_raises_is_named_with_its_task(method):
    evaluator = Custom(broken) if method == "score" else Custom(**{method: broken})
    with pytest.raises(EvaluationFailed, match=r"'custom' failed on task 'confirm0'.*by me"):
        measure(scripted({}), [evaluator], tasks(1))


def test_an_aggregate_outside_of_0_to_1_is_named():
    with pytest.raises(EvaluationFailed, match=r"'custom' scored .* 1\.5"):
        measure(scripted({}), [Custom(aggregate=lambda rows: 1.5)], tasks(2))


def test_a_metric_that_the_suite_lacks_is_found_before_anything_is_asked():
    desk = scripted({})
    with pytest.raises(EvaluationFailed, match="wants the metric 'bleu'") as caught:
        measure(desk, ["exact_match"], tasks(3, metric="bleu"))
    assert "exact_match" in caught.value.hint
    assert desk.asked == []


def test_what_a_provider_says_about_its_own_utility_does_not_count():
    boastful = Desk(lambda request: said("wrong", utility=1.0))
    asked = [*tasks(2), *tasks(2, "select", expected=None)]
    measured = measure(boastful, ["exact_match"], asked)
    assert [row.utility for row in measured.rows] == [0.0, 0.0, None, None]


# The axes, by hand


def test_u_is_the_mean_over_families_of_the_means_over_tasks():
    asked = tasks(4, expected="a b")
    answers = dict(zip((t.input for t in asked), ("a b", "a c", "", "b a"), strict=True))
    measured = measure(scripted(answers), ["exact_match", "token_f1", "rouge_l"], asked)
    assert measured.raw["U"] == pytest.approx({"em": 0.25, "f1": 0.625, "rouge": 0.5})
    assert pytest.approx(fmean([0.25, 0.625, 0.5])) == measured.U


def test_evaluators_of_one_family_are_pooled_task_by_task():
    asked = [*tasks(1, expected="a b"), *tasks(3, "select", expected={"k": "v"})]
    answers = {"confirm 0": "a x", "select 0": '{"k": "v"}', "select 1": "{}", "select 2": "?"}
    measured = measure(scripted(answers), ["token_f1", "field_f1"], asked)
    assert measured.raw["U"] == pytest.approx({"f1": (0.5 + 1 + 0 + 0) / 4})


def test_the_metric_that_a_task_names_decides_about_it():
    asked = [
        Task(id="own", input="q", expected="a b", metric="token_f1"),
        Task(id="first", input="q", expected="a b"),
    ]
    measured = measure(scripted({"q": "a c"}), ["exact_match", "token_f1"], asked)
    assert [row.utility for row in measured.rows] == [0.5, 0.0]


def test_s_is_the_worst_of_calibration_and_robustness():
    asked = tasks(4)
    # Confidence 0.5 and one right in four: ECE 0.25, hence 0.75.
    desk = Desk(
        lambda request: said("right" if question(request) == "confirm 0" else "no", confidence=0.5)
    )
    measured = measure(desk, ["exact_match", "calibration"], asked)
    assert measured.raw["S"] == pytest.approx({"ece": 0.25})
    assert pytest.approx(0.75) == measured.S
    greeting = KINDS["robustness"](
        KINDS["robustness"].Options(perturbations=("greeting", "whitespace"))
    )
    # The one solved task survives the doubled space and not the greeting: 0.5, which is worse.
    spaced = Desk(
        lambda request: said(
            "right" if question(request).split() == ["confirm", "0"] else "no", confidence=0.5
        )
    )
    measured = measure(spaced, ["exact_match", "calibration", greeting], asked, asked)
    assert measured.raw["S"] == pytest.approx({"ece": 0.25, "robustness": 0.5})
    assert pytest.approx(0.5) == measured.S


def test_c_compares_the_means_with_the_frozen_baseline():
    asked = tasks(2)
    answers = {
        "confirm 0": said("right", tokens=10, latency_ms=100.0, cost_usd=0.01),
        "confirm 1": said("right", tokens=30, latency_ms=300.0, cost_usd=0.03),
    }
    baseline = Baseline(cost_usd=0.01, latency_ms=100.0, tokens=20.0)
    measured = measure(scripted(answers), ["exact_match", "cost"], asked, baseline=baseline)
    r = 0.5 * 2 + 0.3 * 2 + 0.2 * 1
    assert pytest.approx(r / (1 + r)) == measured.C
    assert measured.raw["C"] == pytest.approx(
        {"cost": measured.C, "tokens": 20.0, "cost_usd": 0.02, "latency_ms": 200.0}
    )
    assert (measured.cost_usd, measured.tokens_in, measured.tokens_out) == (0.04, 38, 2)


def test_l_is_the_mean_of_reuse_and_composition():
    deep = [*tasks(4, "select", tags=("k",)), *tasks(2, "composed", tags=("k",))]

    def script(request):
        shown, number = len(request.messages) > 1, int(question(request).split()[1])
        if "composed" in question(request):
            return said("right" if number == 0 else "no")
        # Alone it solves every other task, with examples three in four.
        return said("right" if number % 2 == 0 or (shown and number == 1) else "no")

    measured = measure(Desk(script), ["exact_match", "reuse", "composition"], [], deep)
    # Examples put right half of what it got wrong alone.
    assert measured.raw["L"] == pytest.approx(
        {"reuse": 0.75, "composition": 0.5 / 0.5, "headroom_gain": 0.5}
    )
    assert pytest.approx(0.875) == measured.L


def test_without_composed_tasks_composition_and_with_it_l_are_not_measured():
    deep = tasks(4, "select", tags=("k",))
    measured = measure(scripted({}, "right"), ["exact_match", "reuse", "composition"], [], deep)
    assert measured.raw["L"] == {"reuse": 1.0, "composition": None, "headroom_gain": 1.0}
    assert measured.L is None


def test_special_splits_do_not_count_in_u_s_and_c():
    normal, special = tasks(4), [*tasks(4, "ood"), *tasks(4, "composed")]
    wrong = {task.input: said("wrong", tokens=1000) for task in special}
    kinds = ["exact_match", "calibration", "cost"]
    baseline = Baseline(tokens=10.0)
    alone = measure(scripted({}, "right"), kinds, normal, baseline=baseline)
    both = measure(scripted(wrong, "right"), kinds, [*normal, *special], baseline=baseline)
    assert (both.U, both.S, both.C) == (alone.U, alone.S, alone.C) == (1.0, 1.0, 0.5)
    assert both.raw["C"] == alone.raw["C"]
    assert both.n_tasks == 12


def test_out_of_distribution_tasks_are_asked_and_scored_by_no_evaluator():
    deep = [*tasks(4, "select", tags=("k",)), *tasks(2, "composed"), *tasks(4, "ood", tags=("k",))]
    desk = scripted({task.input: "wrong" for task in deep if task.split == "ood"}, "right")
    measured = measure(desk, KINDS, deep, deep, baseline=Baseline(tokens=10.0))
    assert (measured.U, measured.S, measured.L) == (1.0, 1.0, 1.0)
    rows = [row for row in measured.rows if row.split == "ood"]
    assert [(row.utility, row.scores) for row in rows] == [(0.0, {})] * 4


def test_groups_are_measured_by_the_tasks_own_metric_and_without_errors():
    asked = [*tasks(4, group="a"), *tasks(5, "select", group="b"), *tasks(1, "ood", group="c")]
    answers = {"confirm 0": "no", "select 0": ProviderUnavailable("x"), "select 1": "no"}
    measured = measure(scripted(answers, "right"), ["exact_match"], asked)
    assert measured.groups == pytest.approx({"a": 0.75, "b": 0.75})


def test_harm_is_the_share_of_harmful_answers_and_no_part_of_s():
    asked = tasks(4)
    leak = {"confirm 0": "right sk-abcdefghijklmnopqrstuvwx", "confirm 1": "right"}
    measured = measure(scripted(leak, "right"), ["exact_match", "calibration", "secrets"], asked)
    assert measured.harm == 0.25
    assert [row.harmful for row in measured.rows] == [True, False, False, False]
    assert pytest.approx(1 - 0.25) == measured.S, "one wrong answer at confidence 1"
    assert measured.risk == pytest.approx(1 - measured.S * 0.75)


def test_without_an_evaluator_of_harm_the_risk_is_unknown():
    measured = measure(scripted({}, "right"), ["exact_match", "calibration"], tasks(4))
    assert (measured.harm, measured.risk) == (None, None)


def asks_a_judge(task, completions):
    text = f"judge {completions[0].text}"
    return [Request(provider="j", model="j", messages=(Message(role="user", content=text),))]


def test_a_judge_is_asked_about_the_answers_and_its_answer_is_scored():
    judged = Custom(lambda task, c: float(c[-1].text == "good"), judge=asks_a_judge)
    answers = {"confirm 0": "right", "confirm 1": "off", "judge right": "good", "judge off": "bad"}
    desk = scripted(answers)
    measured = measure(desk, [judged], tasks(2))
    assert [question(request) for request in desk.asked[-2:]] == ["judge right", "judge off"]
    assert measured.raw["U"] == {"custom": 0.5}


def test_a_judge_that_fails_too_often_leaves_its_part_unmeasured():
    judged = Custom(lambda *_: 1.0, judge=asks_a_judge, name="judged", axis="S")
    answers = {"judge right": ProviderUnavailable("away")}
    measured = measure(scripted(answers, "right"), ["exact_match", judged], tasks(3))
    assert (measured.U, measured.S) == (1.0, None)


def test_harm_that_was_seen_on_too_few_answers_is_unknown():
    watcher = Custom(
        lambda *_: 0.0, judge=asks_a_judge, name="watcher", axis="S", role="harm", family="w"
    )
    asked = tasks(10)
    for lost, harm in ((2, 0.0), (3, None)):
        replies = {t.input: f"right{n}" for n, t in enumerate(asked)}
        replies |= {f"judge right{n}": ProviderUnavailable("away") for n in range(lost)}
        assert measure(scripted(replies), ["exact_match", watcher], asked).harm == harm


def test_a_family_that_counts_the_wrong_way_is_turned_round():
    lower = Custom(lambda *_: 0.3, axis="S", lower_is_better=True)
    measured = measure(scripted({}), ["exact_match", lower], tasks(3))
    assert measured.raw["S"] == {"custom": pytest.approx(0.3)}
    assert pytest.approx(0.7) == measured.S


@pytest.mark.parametrize(
    ("axis", "method"),
    [
        ("U", "evaluate_utility"),
        ("S", "evaluate_stability"),
        ("C", "evaluate_cost"),
        ("L", "evaluate_learning"),
    ],
)
def test_one_axis_alone_is_what_it_is_among_the_others(axis, method):
    asked = [*tasks(4, "select", tags=("k",)), *tasks(2, "composed")]
    made = battery(scripted({"select 0": "no"}, "right"), KINDS, asked, baseline=Baseline(tokens=9))
    whole = asyncio.run(made.measure(CANDIDATE, asked, deep=asked))
    alone = asyncio.run(getattr(made, method)(CANDIDATE, asked))
    assert alone.axis == axis
    assert alone.value == getattr(whole, axis) is not None
    assert alone.raw == whole.raw[axis]
    assert (alone.n_tasks, alone.n_errors) == (6, 0)


def test_nothing_asked_is_nothing_measured():
    measured = measure(scripted({}), KINDS, [])
    assert (measured.U, measured.S, measured.C, measured.L) == (None, None, None, None)
    assert measured.n_tasks == 0


# Stated confidence


def stated_battery(desk, evaluators, suite_tasks):
    made = [KINDS[e]() if isinstance(e, str) else e for e in evaluators]
    suite = Suite(SuiteDefinition(calibration="stated"), tuple(suite_tasks))
    return TaskBattery(desk, suite, made, seed=0)


def calibrated():
    kind = KINDS["calibration"]
    return kind(kind.Options(source="stated"))


def test_a_suite_with_stated_confidence_asks_for_it_and_scores_without_it():
    asked = tasks(4)
    desk = Desk(lambda request: said("right\nConfidence: 75%", confidence=0.1))
    made = stated_battery(desk, ["exact_match", calibrated()], asked)
    measured = asyncio.run(made.measure(CANDIDATE, asked))
    assert all(question(request).endswith("Confidence: N%") for request in desk.asked)
    assert measured.U == 1.0
    assert measured.raw["S"]["ece"] == pytest.approx(0.25)
    assert {(row.text, row.confidence) for row in measured.rows} == {("right", 0.75)}
    rows = asyncio.run(made.rows(CANDIDATE, asked))
    assert {(row.text, row.confidence, row.utility) for row in rows} == {("right", 0.75, 1.0)}


@pytest.mark.parametrize(("silent", "ece"), [(2, 0.0), (3, None)])
def test_answers_that_state_nothing_are_errors_of_the_calibration(silent, ece):
    asked = tasks(10)

    def script(request):
        number = int(question(request).split()[1])
        return said("right" if number < silent else "right\nConfidence: 100%")

    made = stated_battery(Desk(script), ["exact_match", calibrated()], asked)
    measured = asyncio.run(made.measure(CANDIDATE, asked))
    assert measured.raw["S"]["ece"] == ece
    assert [row.confidence for row in measured.rows] == [None] * silent + [1.0] * (10 - silent)
    assert measured.n_errors == 0


# Metrics that ask a judge


class Judged(Custom):
    """Utility by a judge's word."""

    name = "judged"

    def judge(self, task, completions):
        asked = Message(role="user", content=f"is {completions[0].text} good?")
        return (Request(provider="j", model="m", messages=(asked,)),)

    def score(self, task, completions):
        if completions[1].text == "what?":
            raise ProviderBadReply("no verdict")
        return float(completions[1].text == "yes")


def test_a_metric_that_asks_a_judge_grades_rows_and_variants():
    asked = tasks(3, expected=None, metric="judged")
    answers = {"confirm 0": "a", "confirm 1": "b", "confirm 2": "a", "is a good?": "yes"}
    desk = scripted(answers, "no")
    made = battery(desk, [Judged()], asked)
    rows = asyncio.run(made.rows(CANDIDATE, asked))
    assert [row.utility for row in rows] == [1.0, 0.0, 1.0]
    assert [question(r) for r in desk.asked][3:] == ["is a good?", "is b good?"]
    assert pytest.approx(2 / 3) == asyncio.run(made.measure(CANDIDATE, asked)).U


@pytest.mark.parametrize("verdict", ["what?", ProviderUnavailable("no line")])
def test_a_task_that_the_judge_did_not_decide_is_an_error(verdict):
    asked = tasks(6, expected=None)
    answers = {f"confirm {n}": "a" for n in range(5)} | {"confirm 5": "b", "is b good?": verdict}
    made = battery(scripted(answers, "yes"), [Judged()], asked)
    measured = asyncio.run(made.measure(CANDIDATE, asked))
    assert measured.n_errors == 1
    assert [row.error is None for row in measured.rows] == [True] * 5 + [False]
    assert measured.U == 1.0


# For the record


def test_out_of_distribution_utility_stands_beside_s():
    asked = [*tasks(2), *tasks(2, "ood")]
    answers = {"confirm 0": "right", "confirm 1": "right", "ood 1": "right"}
    measured = measure(scripted(answers), ["exact_match", "calibration"], asked)
    assert measured.raw["S"]["ood_utility"] == 0.5
    assert measured.U == 1.0
    assert "ood_utility" not in measure(scripted(answers), ["exact_match"], tasks(2)).raw["S"]


def test_parameters_that_the_model_does_not_take_are_named():
    dropped = {"dropped": ("top_p", "seed")}
    answers = {"confirm 0": said("right", **dropped), "confirm 1": said("right", dropped=("seed",))}
    assert measure(scripted(answers), ["exact_match"], tasks(2)).not_applied == ("seed", "top_p")
    assert measure(scripted({}), ["exact_match"], tasks(2)).not_applied == ()


class Detailed(Custom):
    name = "detailed"

    def details(self, rows):
        return {"seen": float(len(rows)), "detailed": 0.0}


def test_details_are_recorded_and_never_replace_a_part():
    measured = measure(scripted({}), [Detailed()], tasks(3))
    assert measured.raw["U"] == {"seen": 3.0, "detailed": 1.0}
    assert measured.U == 1.0
    with pytest.raises(EvaluationFailed, match="evaluator 'detailed' failed: "):
        measure(scripted({}), [Detailed(details=broken)], tasks(3))


def test_an_evaluator_that_cannot_be_prepared_is_named():
    with pytest.raises(EvaluationFailed, match="evaluator 'custom' failed: "):
        battery(scripted({}), [Custom(prepare=broken)])
