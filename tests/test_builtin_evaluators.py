"""The built-in evaluators score what they say, against numbers worked out by hand."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from penin_core import Completion, ProviderBadReply, Task
from penin_core.builtin import evaluators as module
from penin_core.builtin.evaluators import (
    Agreement,
    Calibration,
    Composition,
    Cost,
    Energy,
    ExactMatch,
    FieldF1,
    Reuse,
    Robustness,
    RougeL,
    Secrets,
    TokenF1,
)
from penin_core.builtin.perturbations import DEFAULT_PERTURBATIONS


def said(text="", utility=None, confidence=None, **more):
    logprobs = None if confidence is None else (math.log(confidence),)
    fields = {"text": text, "model": "m", "tokens_in": 6, "tokens_out": 4, "logprobs": logprobs}
    return Completion(**{**fields, "utility": utility, "cost_usd": 0.0, **more})


def task(expected="a b", **more):
    return Task(**{"id": "t", "input": "question", "expected": expected, **more})


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(*items):
    """Rows of ``aggregate``: (task, completions, score)."""
    return [(at, [answer], score) for at, answer, score in items]


def test_every_built_in_evaluator_is_registered_under_its_own_name():
    kinds = module.penin_register_evaluators()
    assert len({kind.name for kind in kinds}) == len(kinds) == 19
    assert all(kind.__doc__ for kind in kinds)


@pytest.mark.parametrize(
    ("kind", "answer", "score"),
    [
        (ExactMatch, "A  b!", 1.0),
        (ExactMatch, "a b c", 0.0),
        (ExactMatch, "", 0.0),
        (TokenF1, "b a", 1.0),
        (TokenF1, "a c", 0.5),
        (TokenF1, "a a", 0.5),
        (TokenF1, "", 0.0),
        (RougeL, "b a", 0.5),
        (RougeL, "a x b", 0.8),
        (RougeL, "", 0.0),
    ],
)
def test_texts_are_compared_after_normalisation(kind, answer, score):
    assert kind().score(task(), [said(answer)]) == pytest.approx(score)


@pytest.mark.parametrize("kind", [ExactMatch, TokenF1, RougeL])
def test_of_several_accepted_texts_the_best_counts(kind):
    accepted = task(expected=("x y z", "a b"))
    assert kind().score(accepted, [said("a b")]) == 1.0
    assert kind().score(accepted, [said("x y z")]) == 1.0
    assert kind().score(accepted, [said("q")]) == 0.0


@pytest.mark.parametrize(
    ("answer", "exact", "fields"),
    [
        ('{"name": "anna", "n": 2.0}', 1.0, 1.0),
        ('{"n": 2, "name": "Anna!"}', 1.0, 1.0),
        ('{"name": "Anna"}', 0.0, 2 / 3),
        ('{"name": "Anna", "n": 3}', 0.0, 0.5),
        ('{"name": "Anna", "n": 2, "x": 1}', 0.0, 0.8),
        ("Anna 2", 0.0, 0.0),
        ("[1]", 0.0, 0.0),
        ("{", 0.0, 0.0),
    ],
)
def test_objects_are_compared_by_value_and_field_by_field(answer, exact, fields):
    wanted = task(expected={"name": "Anna", "n": 2})
    assert ExactMatch().score(wanted, [said(answer)]) == exact
    assert FieldF1().score(wanted, [said(answer)]) == pytest.approx(fields)


@pytest.mark.parametrize(
    ("kind", "text", "several", "table", "nothing"),
    [
        (ExactMatch, True, True, True, False),
        (TokenF1, True, True, False, False),
        (RougeL, True, True, False, False),
        (FieldF1, False, False, True, False),
        (Calibration, True, True, True, False),
        (Robustness, True, True, True, False),
    ],
)
def test_an_evaluator_applies_to_the_forms_of_answer_that_it_can_read(
    kind, text, several, table, nothing
):
    forms = ["a", ("a", "b"), {"a": 1}, None]
    assert [kind().applies(task(expected=form)) for form in forms] == [
        text,
        several,
        table,
        nothing,
    ]


def test_calibration_is_the_gap_between_confidence_and_accuracy():
    answers = [said(utility=u, confidence=0.5) for u in (1.0, 0.0, 0.0, 0.0)]
    scores = [Calibration().score(task(), [answer]) for answer in answers]
    assert scores == pytest.approx([0.5] * 4)
    found = Calibration().aggregate(
        rows(*((task(), a, s) for a, s in zip(answers, scores, strict=True)))
    )
    assert found == pytest.approx(0.25)


def test_a_half_right_answer_is_wrong_to_calibration():
    answers = rows((task(), said(utility=0.9), 0.9), (task(), said(utility=1.0), 0.9))
    assert Calibration().aggregate(answers) == pytest.approx(0.4)


def test_without_log_probabilities_there_is_no_calibration():
    with pytest.raises(ProviderBadReply, match="log-probabilities"):
        Calibration().score(task(), [said()])
    assert Calibration().aggregate([]) is None


def test_robustness_asks_the_task_and_one_form_of_it_for_every_perturbation():
    original = task(input="Please book a table for Anna tomorrow", expected="Anna")
    variants = Robustness().variants(original, rng())
    assert variants[0] == original
    assert len(variants) == 1 + len(DEFAULT_PERTURBATIONS)
    assert all("Anna" in variant.input for variant in variants)
    blank = {"input": ""}
    assert all(v.model_copy(update=blank) == original.model_copy(update=blank) for v in variants)
    assert variants == Robustness().variants(original, rng())


@pytest.mark.parametrize(
    ("utilities", "score"),
    [((1.0, 1.0, 0.0), 0.5), ((0.5, 0.25, 1.0), 0.75), ((0.0, 1.0, 1.0), 0.0), ((1.0, None), 0.0)],
)
def test_robustness_of_a_task_is_the_share_of_utility_that_survives(utilities, score):
    answers = [said(utility=utility) for utility in utilities]
    assert Robustness().score(task(), answers) == pytest.approx(score)


def test_robustness_is_the_mean_over_solved_tasks_only():
    solved, unsolved = said(utility=0.5), said(utility=0.0)
    graded = [(task(), [answer, said()], n) for answer, n in ((solved, 0.4), (solved, 0.8))]
    failed = (task(), [unsolved, said()], 0.0)
    assert Robustness().aggregate([*graded, failed]) == pytest.approx(0.6)
    assert Robustness().aggregate([failed]) == 0.0


def test_a_perturbation_that_changes_nothing_is_not_survived():
    names = ("whitespace", "typo", "case", "paraphrase")
    made = Robustness(Robustness.Options(perturbations=("greeting", *names)))
    original = task(input="请告诉我编号为七的包裹现在到了哪里")
    assert [form.input == original.input for form in made.variants(original, rng())] == [
        True,
        False,
    ]
    nothing = Robustness(Robustness.Options(perturbations=names))
    assert nothing.variants(original, rng()) == (original,)
    solved = said(utility=1.0)
    assert nothing.score(original, [solved]) == 0.0
    assert nothing.aggregate(rows((original, solved, 0.0))) is None
    changed = (task(), [solved, said()], 0.5)
    assert nothing.aggregate([changed, *rows((original, solved, 0.0))]) == 0.5


def test_agreement_asks_twice_and_compares_normalised_answers():
    first, second = Agreement().variants(task(), rng())
    assert (first.sample, second.sample) == (0, 1)
    assert Agreement().score(task(), [said("A b."), said("a  b")]) == 1.0
    assert Agreement().score(task(), [said("a"), said("b")]) == 0.0


def priced(baseline):
    cost = Cost()
    cost.prepare([], baseline)
    return cost


BASELINE = {"cost_usd": 0.01, "latency_ms": 100.0, "tokens": 10.0}


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ({"cost_usd": 0.01, "latency_ms": 100.0}, 0.5),
        ({"cost_usd": 0.02, "latency_ms": 200.0, "tokens_in": 16}, 2 / 3),
        # r = 0.5 · 0 + 0.3 · 0.5 + 0.2 · 1 = 0.35
        ({"cost_usd": 0.0, "latency_ms": 50.0}, 0.35 / 1.35),
    ],
)
def test_cost_is_relative_to_the_baseline_and_equal_is_a_half(answer, value):
    cost, answer = priced(BASELINE), said(**answer)
    assert cost.score(task(), [answer]) == pytest.approx(value)
    assert cost.aggregate(rows((task(), answer, 0.0))) == pytest.approx(value)


def test_cost_is_of_the_means_and_not_the_mean_of_costs():
    cheap, dear = said(tokens_in=1, tokens_out=4), said(tokens_in=21, tokens_out=4)
    cost = priced({"tokens": 10.0})
    assert cost.aggregate(rows((task(), cheap, 0.0), (task(), dear, 0.0))) == pytest.approx(0.6)


@pytest.mark.parametrize("baseline", [{}, {"cost_usd": 0.0, "latency_ms": 0.0, "tokens": 0.0}])
def test_without_a_baseline_there_is_no_cost(baseline):
    assert not priced(baseline).applies(task())
    assert priced(BASELINE).applies(task())
    assert priced(BASELINE).aggregate([]) is None


def test_a_cost_that_nobody_knows_is_no_cost_of_zero():
    with pytest.raises(ValueError, match="no known cost"):
        priced(BASELINE).score(task(), [said(cost_usd=None)])


def pool(count, tags=("k",)):
    return [task(id=f"p{n}", input=f"i{n}", expected=f"o{n}", tags=tags) for n in range(count)]


def reuse(tasks, **options):
    made = Reuse(Reuse.Options(**options))
    made.prepare(tasks, {})
    return made


def test_reuse_shows_other_solved_tasks_of_the_kind():
    made = reuse([*pool(3), *pool(5, ("other",))])
    for seed in range(30):
        shown, plain = made.variants(pool(3)[0], rng(seed))
        assert plain == pool(3)[0]
        assert sorted(example.input for example in shown.examples) == ["i1", "i2"]
        assert all(example.tags == ("k",) for example in shown.examples)


def test_reuse_shows_examples_with_their_own_columns():
    tasks = [each.model_copy(update={"fields": {"about": each.input}}) for each in pool(3)]
    shown, _ = reuse(tasks).variants(tasks[0], rng(0))
    assert [each.fields for each in shown.examples] == [{"about": e.input} for e in shown.examples]


def test_reuse_needs_more_solved_tasks_of_the_kind_than_it_shows():
    assert not reuse(pool(2)).applies(pool(1)[0])
    assert reuse(pool(3)).applies(pool(1)[0])
    assert not reuse(pool(3)).applies(task(tags=("new",)))
    assert not reuse(pool(3)).applies(task(tags=("k",), split="composed"))
    assert not reuse(pool(3)).applies(task(tags=("k",), expected=None))


def test_reuse_is_the_utility_with_examples_and_the_gain_stands_beside_it():
    made = reuse(pool(3))
    pairs = [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)]
    answers = [[said(utility=after), said(utility=before)] for after, before in pairs]
    scored = [(task(), pair, made.score(task(), pair)) for pair in answers]
    assert [score for _, _, score in scored] == [1.0, 1.0, 0.0, 1.0]
    assert made.aggregate(scored) == 0.75
    # (0.75 - 0.25) / (1 - 0.25)
    assert made.details(scored) == {"headroom_gain": pytest.approx(2 / 3)}
    assert made.details([]) == {}


@pytest.mark.parametrize(
    ("composed", "atomic", "value"),
    [((0.5, 0.25), (1.0, 0.5), 0.5), ((1.0,), (0.5,), 1.0), ((1.0,), (0.0,), 0.0)],
)
def test_composition_is_relative_to_the_tasks_it_is_made_of(composed, atomic, value):
    pairs = [("composed", s) for s in composed] + [("select", s) for s in atomic]
    found = Composition().aggregate(rows(*((task(split=p), said(), s) for p, s in pairs)))
    assert found == pytest.approx(value)


@pytest.mark.parametrize("split", ["composed", "select"])
def test_composition_needs_tasks_of_both_sorts(split):
    assert Composition().aggregate(rows((task(split=split), said(), 1.0))) is None


LEAKS = [
    "sk-abcdefghijklmnopqrstuvwx",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_" + "a1" * 18,
    "xoxb-1234567890-abc",
    "-----BEGIN RSA PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fw",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_secret_that_the_question_did_not_contain_is_a_leak(leak):
    assert Secrets().score(task(), [said(f"use {leak} now")]) == 1.0
    assert Secrets().score(task(input=f"what is {leak}?"), [said(f"use {leak} now")]) == 0.0


@pytest.mark.parametrize(
    "text", ["", "ask-me", "sk-short", "AKIA", "task-abcdefghijklmnopqrstuvwx"]
)
def test_ordinary_text_is_no_leak(text):
    assert Secrets().score(task(), [said(text)]) == 0.0


# Energy


def test_energy_is_counted_in_tokens_with_the_factor_of_the_model():
    factors = {"m": {"tokens_in": 0.5, "tokens_out": 3.0}}
    energy = Energy(Energy.Options(wh_per_1k=factors))
    known, other = said(), said(model="unknown", tokens_out=900)
    scores = [energy.score(task(), [answer]) for answer in (known, other)]
    assert scores == [1.0, 0.0]
    found = [(task(), [a], s) for a, s in zip((known, other), scores, strict=True)]
    # (6 · 0.5 + 4 · 3) / 1000 watt-hours
    same = dict.fromkeys(("energy_wh", "energy_wh_low", "energy_wh_high"), pytest.approx(0.015))
    assert energy.details(found) == same
    assert energy.details(found[1:]) == {}
    assert Energy.role == "record"


@pytest.fixture
def ecologits(monkeypatch):
    """Stand in for the package: a range for one model, a plain number for another."""
    calls = []

    def llm_impacts(provider, model, tokens, seconds, zone):
        calls.append((provider, model, tokens, seconds, zone))
        if model not in ("wide", "plain"):
            return SimpleNamespace(errors=[SimpleNamespace(message=f"no model {model}")])
        energy = SimpleNamespace(min=1e-5, max=3e-5) if model == "wide" else 4e-5
        values = (SimpleNamespace(value=energy), SimpleNamespace(value=2e-6))
        return SimpleNamespace(errors=None, energy=values[0], gwp=values[1])

    package = SimpleNamespace(llm_impacts=llm_impacts)
    monkeypatch.setitem(sys.modules, "ecologits.tracers.utils", package)
    return calls


def test_energy_is_estimated_by_ecologits_where_no_factor_is_known(ecologits):
    options = {"wh_per_1k": {"own": {"tokens_out": 2.0}}, "zone": "FRA"}
    names = {"w-1": "acme/wide", "p-1": "acme/plain", "own": "acme/wide"}
    energy = Energy(Energy.Options(**options, ecologits=names))
    answers = [said("a", model=m, tokens_out=10, latency_ms=500.0) for m in ("w-1", "p-1", "own")]
    rows = [(task(), [answer], energy.score(task(), [answer])) for answer in answers]
    assert [score for *_, score in rows] == [1.0, 1.0, 1.0]
    ecologits.clear()
    found = energy.details(rows)
    assert ecologits == [("acme", "wide", 10, 0.5, "FRA"), ("acme", "plain", 10, 0.5, "FRA")]
    assert found == {
        "energy_wh": pytest.approx((0.02 + 0.04 + 0.02) / 3),
        "energy_wh_low": pytest.approx((0.01 + 0.04 + 0.02) / 3),
        "energy_wh_high": pytest.approx((0.03 + 0.04 + 0.02) / 3),
        "co2e_g": pytest.approx(0.002),
    }


@pytest.mark.usefixtures("ecologits")
def test_a_model_that_ecologits_does_not_know_is_refused_before_anything_is_asked():
    with pytest.raises(ValueError, match="no model narrow"):
        Energy.Options(ecologits={"n-1": "acme/narrow"})


def test_without_the_package_an_estimate_is_refused_and_a_factor_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "ecologits.tracers.utils", None)
    with pytest.raises(ValueError, match="pip install ecologits"):
        Energy.Options(ecologits={"w-1": "acme/wide"})
    assert Energy.Options(wh_per_1k={"own": {"tokens_out": 2.0}}).ecologits == {}


# Stated confidence, and what a perturbation is called


def test_an_answer_that_should_state_its_confidence_and_does_not_is_an_error():
    stated = Calibration(Calibration.Options(source="stated"))
    assert stated.score(task(), [said(stated=0.25)]) == 0.25
    with pytest.raises(ProviderBadReply, match="no confidence"):
        stated.score(task(), [said()])


@pytest.mark.parametrize("names", [("whitespace", "sarcasm"), ()])
def test_an_unknown_perturbation_is_refused_at_once(names):
    with pytest.raises(ValueError, match="whitespace, typo, case"):
        Robustness.Options(perturbations=names)


def test_robustness_can_reorder_the_instruction_of_the_task():
    made = Robustness(Robustness.Options(perturbations=("reorder", "paraphrase")))
    original = task(input="I want to pay", system="Be brief. Say yes or no.")
    _, turned, said_otherwise = made.variants(original, rng())
    assert turned == original.model_copy(update={"system": "Say yes or no. Be brief."})
    assert said_otherwise == original.model_copy(update={"input": "I would like to pay"})
