"""Mutators propose distinct, valid children, and the same ones for the same seed."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from penin_core import (
    Candidate,
    Configuration,
    Evaluation,
    Measurement,
    Task,
    generate_param_sweeps,
    generate_prompt_variants,
)
from penin_core.builtin.mutators import (
    MAX_TOKENS,
    Crossover,
    FewShot,
    ModelSwap,
    NearStep,
    ParamSweep,
    PromptVariants,
)
from penin_core.builtin.mutators.sweeps import unit_design

BASE = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 100, "extra": {"stop": ["x"]}}
CHAMPION = Candidate(
    config=Configuration(provider="p", model="m", system="Do it.", temperature=0.5)
)


def rng(seed=0):
    return np.random.default_rng(seed)


def made(kind, **options):
    return kind(kind.Options(**options))


def objects(count=30, system=""):
    return [
        Task(
            id=f"t{n}",
            input=f"i{n}",
            expected={"name": str(n), "date": "x"},
            tags=("json",),
            system=system,
        )
        for n in range(count)
    ]


def labels(count=30, system=""):
    return [
        Task(id=f"l{n}", input=f"i{n}", expected=("yes", "no")[n % 2], system=system, tags=("yn",))
        for n in range(count)
    ]


@given(st.integers(0, 12), st.integers(0, 2**31))
def test_a_sweep_is_deterministic_distinct_and_within_its_ranges(count, seed):
    found = generate_param_sweeps(BASE, count, seed)
    assert found == generate_param_sweeps(BASE, count, seed)
    assert len(found) == count
    texts = {json.dumps(variant, sort_keys=True) for variant in [*found, BASE]}
    assert len(texts) == count + 1
    for variant in found:
        assert 0.1 <= variant["temperature"] <= 1.5
        assert 0.5 <= variant["top_p"] <= 1.0
        assert variant["max_tokens"] in MAX_TOKENS
        assert variant["temperature"] == round(variant["temperature"], 3)
        assert variant["extra"] == BASE["extra"]


def test_neighbouring_seeds_share_no_variant():
    first, second = (generate_param_sweeps(BASE, 40, seed) for seed in (42, 43))
    assert not [variant for variant in first if variant in second]


def test_asking_for_more_changes_none_of_the_first():
    assert generate_param_sweeps(BASE, 9, 1)[:4] == generate_param_sweeps(BASE, 4, 1)


def test_a_redraw_of_one_variant_changes_no_other():
    found = generate_param_sweeps(BASE, 4, 1)
    again = generate_param_sweeps(found[0], 4, 1)
    assert again[0] != found[0]
    assert again[1:] == found[1:]


def test_a_sweep_adds_missing_keys_and_leaves_the_base_alone():
    base = {"extra": {"a": []}}
    (variant,) = generate_param_sweeps(base, 1, 0)
    assert set(variant) == {"extra", "temperature", "top_p", "max_tokens"}
    variant["extra"]["a"].append(1)
    assert base == {"extra": {"a": []}}


def test_a_sweep_of_fewer_than_none_is_refused():
    assert generate_param_sweeps(BASE, 0, 0) == []
    with pytest.raises(ValueError, match="-1"):
        generate_param_sweeps(BASE, -1, 0)


def test_only_the_literal_base_is_replaced_once_and_not_recursively():
    templates = ['{base} {"a": {0}} %s', "x {base} {base}"]
    assert generate_prompt_variants("say {base}", templates, 0) == [
        'say {base} {"a": {0}} %s',
        "x say {base} {base}",
    ]


def test_variants_keep_their_order_without_repeats_and_without_the_base():
    assert generate_prompt_variants("b", ["{base}2", "{base}", "{base}1", "{base}2"], 9) == [
        "b2",
        "b1",
    ]


@pytest.mark.parametrize("template", ["", "no place", "{ base }", "{BASE}"])
def test_a_template_without_base_is_refused(template):
    with pytest.raises(ValueError, match="does not contain"):
        generate_prompt_variants("b", ["{base} x", template], 0)


@given(st.integers(0, 12), st.integers(0, 2**31))
def test_a_subset_of_variants_is_seeded_and_in_order(count, seed):
    templates = [f"{{base}} {n}" for n in range(10)]
    whole = generate_prompt_variants("b", templates, 0)
    found = generate_prompt_variants("b", templates, seed, count)
    assert found == [variant for variant in whole if variant in found]
    assert len(found) == min(count, 10)
    assert found == generate_prompt_variants("b", templates, seed, count)


def test_the_seed_decides_which_variants_a_subset_has():
    templates = [f"{{base}} {n}" for n in range(10)]
    subsets = {tuple(generate_prompt_variants("b", templates, s, 3)) for s in range(20)}
    assert len(subsets) > 10


def test_a_sweep_changes_sampling_and_nothing_else():
    children = list(ParamSweep().propose(CHAMPION, 5, rng()))
    assert len({child.hash for child in children} | {CHAMPION.hash}) == 6
    for child in children:
        sampling = {name: getattr(child.config, name) for name in ("temperature", "top_p")}
        same = CHAMPION.config.model_copy(
            update={**sampling, "max_tokens": child.config.max_tokens}
        )
        assert child.config == same
        assert (child.parent, child.origin) == (CHAMPION.hash, "param_sweep")
        assert str(child.config.temperature) in child.note


@pytest.mark.parametrize("kind", [ParamSweep, PromptVariants, FewShot])
def test_the_same_generator_gives_the_same_proposals_and_never_more_than_asked(kind):
    def proposals(count, seed):
        mutator = made(kind)
        mutator.prepare([*objects(), *labels(60)])
        return list(mutator.propose(CHAMPION, count, rng(seed)))

    for count in (0, 1, 3):
        assert proposals(count, 5) == proposals(count, 5)
        assert len(proposals(count, 5)) <= count
        assert CHAMPION.hash not in {child.hash for child in proposals(count, 5)}


def prompts(tasks, champion=CHAMPION, **options):
    mutator = made(PromptVariants, **options)
    mutator.prepare(tasks)
    return [child.config.system for child in mutator.propose(champion, 99, rng())]


def test_instructions_name_the_fields_of_the_answers():
    found = prompts(
        objects(), instructions=("Give {fields}.",), templates=("{base} Only {fields}.",)
    )
    assert found == ["Give name and date.", "Do it. Only name and date."]


def test_instructions_name_the_labels_where_answers_are_few():
    options = {"instructions": ("One of: {labels}.",), "templates": ("{base} {labels}",)}
    assert prompts(labels(), **options) == ["One of: no, yes.", "Do it. no, yes"]
    unique = [task.model_copy(update={"expected": task.id}) for task in labels()]
    assert prompts(unique, **options) == []


def test_what_needs_a_fact_that_the_tasks_lack_is_left_out():
    options = {
        "instructions": ("{fields}", "{labels}", "{{system}}", "Plain."),
        "templates": ("{base} {{system}}", "{base} plain"),
    }
    assert prompts([Task(id="a", input="b")], **options) == ["Plain.", "Do it. plain"]
    instructed = [Task(id="a", input="b", system="s")]
    assert prompts(instructed, **options) == [
        "{{system}}",
        "Plain.",
        "Do it. {{system}}",
        "Do it. plain",
    ]


def test_the_champions_own_instruction_is_not_proposed_again():
    same = CHAMPION.child("x", system="Plain.")
    assert prompts(objects(), same, instructions=("Plain.", "Other."), templates=()) == ["Other."]


def test_examples_are_solved_tasks_of_every_kind_in_growing_numbers():
    mutator = made(FewShot, shots=2)
    mutator.prepare([*objects(5), *labels(5), Task(id="open", input="?")])
    children = list(mutator.propose(CHAMPION, 4, rng()))
    inputs = {task.input for task in [*objects(5), *labels(5)]}
    for child, shots in zip(children, (1, 2, 1, 2), strict=True):
        tags = [example.tags for example in child.config.examples]
        assert tags == [("json",)] * shots + [("yn",)] * shots
        assert {example.input for example in child.config.examples} <= inputs
        assert len(set(child.config.examples)) == 2 * shots


def test_examples_take_their_columns_along():
    mutator = made(FewShot)
    mutator.prepare([t.model_copy(update={"fields": {"about": t.input}}) for t in labels(5)])
    (child,) = mutator.propose(CHAMPION, 1, rng())
    assert [e.fields for e in child.config.examples] == [
        {"about": e.input} for e in child.config.examples
    ]


def test_examples_never_repeat_where_there_are_fewer_tasks_than_shots():
    mutator = made(FewShot, shots=3)
    mutator.prepare(labels(1))
    assert [len(c.config.examples) for c in mutator.propose(CHAMPION, 3, rng())] == [1, 1, 1]


def test_without_solved_tasks_there_are_no_examples():
    mutator = made(FewShot)
    mutator.prepare([Task(id="open", input="?")])
    assert list(mutator.propose(CHAMPION, 3, rng())) == []


# Designs


@pytest.mark.parametrize("design", ["lhs", "sobol"])
@given(count=st.integers(0, 20), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_spread_out_sweep_keeps_the_laws_of_every_sweep(design, count, seed):
    found = generate_param_sweeps(BASE, count, seed, design)
    assert found == generate_param_sweeps(BASE, count, seed, design)
    assert len({json.dumps(variant, sort_keys=True) for variant in [*found, BASE]}) == count + 1
    for variant in found:
        assert 0.1 <= variant["temperature"] <= 1.5
        assert 0.5 <= variant["top_p"] <= 1.0
        assert variant["max_tokens"] in MAX_TOKENS


@pytest.mark.parametrize("design", ["lhs", "sobol"])
def test_neighbouring_seeds_of_a_design_share_no_variant(design):
    first, second = (generate_param_sweeps(BASE, 40, seed, design) for seed in (42, 43))
    assert not [variant for variant in first if variant in second]


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**31))
def test_a_latin_hypercube_has_one_point_in_every_slice_of_every_axis(count, dimensions, seed):
    points = unit_design("lhs", count, dimensions, seed)
    for axis in points.T:
        assert sorted(np.floor(axis * count).astype(int)) == list(range(count))


@pytest.mark.parametrize("count", [8, 33])
def test_a_latin_hypercube_is_as_even_as_that_of_scipy(count):
    ours = [qmc.discrepancy(unit_design("lhs", count, 3, seed)) for seed in range(200)]
    theirs = [qmc.discrepancy(qmc.LatinHypercube(3, rng=s).random(count)) for s in range(200)]
    chance = [qmc.discrepancy(rng(seed).uniform(size=(count, 3))) for seed in range(200)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.05)
    assert np.mean(ours) < 0.7 * np.mean(chance)


@pytest.mark.parametrize("count", [1, 5, 16])
def test_a_sobol_design_is_the_scrambled_sequence_of_scipy(count):
    stream = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(0, 3)))
    theirs = qmc.Sobol(d=3, scramble=True, rng=stream).random(16)[:count]
    assert (unit_design("sobol", count, 3, 7) == theirs).all()


def test_a_sobol_design_is_spread_out_more_evenly_than_chance():
    points = unit_design("sobol", 64, 3, 5)
    assert points.shape == (64, 3)
    # A (t, m, s)-net in base 2: each half of each axis holds half of the points.
    assert ((points < 0.5).sum(axis=0) == 32).all()
    chance = np.random.default_rng(5).uniform(size=(64, 3))
    assert qmc.discrepancy(points) < qmc.discrepancy(chance) / 3


def test_without_scipy_a_sobol_design_is_a_latin_hypercube_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats.qmc", None)
    assert (unit_design("sobol", 9, 2, 1) == unit_design("lhs", 9, 2, 1)).all()
    children = list(made(ParamSweep, design="sobol").propose(CHAMPION, 3, rng()))
    assert len(children) == 3
    assert all("SciPy is not installed" in child.note for child in children)


def test_an_unknown_design_is_refused():
    with pytest.raises(ValueError, match="grid"):
        generate_param_sweeps(BASE, 3, 0, "grid")
    with pytest.raises(ValueError, match="design"):
        made(ParamSweep, design="grid")


def test_a_sweep_uses_the_design_of_its_options():
    def values(design):
        children = made(ParamSweep, design=design).propose(CHAMPION, 16, rng())
        return sorted(int((c.config.temperature - 0.1) / 1.4 * 16 - 1e-9) for c in children)

    assert values("lhs") == list(range(16))
    assert values("random") != list(range(16))


# Steps near the champion


@pytest.mark.parametrize("phi", [0.1, 0.9])
def test_a_step_stays_in_range_and_grows_with_phi(phi):
    children = list(made(NearStep, phi=phi).propose(CHAMPION, 200, rng()))
    assert len({child.hash for child in children} | {CHAMPION.hash}) == 201
    assert all(0.1 <= child.config.temperature <= 1.5 for child in children)
    assert all(0.5 <= child.config.top_p <= 1.0 for child in children)
    assert all(1 <= child.config.max_tokens <= 1000 for child in children)
    moved = np.std([child.config.temperature - 0.5 for child in children]) / 1.4
    # Cut at the lower end, the spread stays below the 0.25 · φ that was drawn.
    assert 0.5 * 0.25 * phi < moved < 1.15 * 0.25 * phi


def test_at_phi_zero_there_still_is_a_small_step():
    children = list(made(NearStep, phi=0.0).propose(CHAMPION, 5, rng()))
    assert len(children) == 5
    assert all(abs(child.config.temperature - 0.5) < 0.1 for child in children)


def test_a_champion_outside_of_the_ranges_is_a_place_to_step_from():
    cold = Candidate(
        config=Configuration(provider="p", model="m", temperature=0.0, max_tokens=4000)
    )
    for child in made(NearStep, phi=1.0).propose(cold, 20, rng()):
        assert 0.0 <= child.config.temperature <= 1.5
        assert child.config.max_tokens <= 4000


# Crossing


def evaluation(candidate, U, C=0.5, n_tasks=30):
    measured = Measurement(U=U, C=C, n_tasks=n_tasks)
    return Evaluation(candidate=candidate, stage="race", measurement=measured)


def other(**changes):
    return CHAMPION.child("test", **changes)


def test_a_crossover_mixes_the_champion_with_the_best_of_the_race():
    best = other(system="Better.", temperature=0.1, max_tokens=50)
    worse = other(system="Worse.", temperature=0.9)
    crossover = Crossover()
    crossover.learn([evaluation(worse, 0.5), evaluation(CHAMPION, 0.6), evaluation(best, 0.8)])
    children = list(crossover.propose(CHAMPION, 6, rng()))
    mixes = {(c.config.system, c.config.temperature, c.config.max_tokens) for c in children}
    systems, heats, lengths = ("Do it.", "Better."), (0.5, 0.1), (256, 50)
    every = {(s, t, m) for s in systems for t in heats for m in lengths}
    assert mixes == every - {("Do it.", 0.5, 256), ("Better.", 0.1, 50)}
    assert {child.parent for child in children} == {CHAMPION.hash}
    assert best.hash[:8] in children[0].note


def test_a_crossover_ranks_by_tasks_then_utility_then_cost():
    ranked = [
        evaluation(other(system=name), *measured)
        for name, measured in {
            "third": (0.9, 0.1, 30),
            "first": (0.8, 0.4, 60),
            "second": (0.8, 0.6, 60),
        }.items()
    ]
    crossover = Crossover()
    crossover.learn(ranked)
    assert [c.config.system for c in crossover.partners] == ["first", "second", "third"]


def test_a_model_keeps_its_adapter_and_extras_in_a_crossover():
    best = other(provider="q", model="n", adapter="a", extra={"x": 1}, temperature=0.1)
    crossover = Crossover()
    crossover.learn([evaluation(best, 0.9)])
    found = {
        (c.config.provider, c.config.model, c.config.adapter, bool(c.config.extra))
        for c in crossover.propose(CHAMPION, 10, rng())
    }
    assert found == {("p", "m", None, False), ("q", "n", "a", True)}


def test_a_crossover_without_a_race_or_a_difference_of_two_proposes_nothing():
    crossover = Crossover()
    assert list(crossover.propose(CHAMPION, 3, rng())) == []
    crossover.learn([evaluation(other(system="Better."), 0.9), evaluation(CHAMPION, 0.9)])
    assert list(crossover.propose(CHAMPION, 3, rng())) == []


@given(st.integers(0, 9), st.integers(0, 2**31))
def test_a_crossover_is_deterministic_distinct_and_counts(count, seed):
    crossover = Crossover()
    crossover.learn(
        [
            evaluation(other(system="a", temperature=0.2, top_p=0.7), 0.9),
            evaluation(other(prompt="b {{input}}", max_tokens=9), 0.8),
        ]
    )
    first, again = (list(crossover.propose(CHAMPION, count, rng(seed))) for _ in range(2))
    assert first == again
    # Six mixes with the one, two with the other.
    assert len({child.hash for child in first}) == len(first) == min(count, 8)


def test_the_parent_of_the_free_lineage_is_crossed_with_the_champion():
    parent = Candidate(config=other(system="Better.", temperature=0.1).config, origin="lineage")
    crossover = Crossover()
    assert list(crossover.propose(CHAMPION, 3, rng())) == []
    children = list(crossover.propose(parent, 3, rng()))
    mixes = {(child.config.system, child.config.temperature) for child in children}
    assert mixes == {("Do it.", 0.1), ("Better.", 0.5)}
    assert {child.parent for child in children} == {parent.hash}


# What the model does not take


def refusing(*names, **changes):
    config = CHAMPION.config.model_copy(update=changes)
    return Candidate(config=config, refused=names)


@given(st.integers(0, 12), st.integers(0, 2**31), st.sampled_from(["random", "lhs", "sobol"]))
@settings(deadline=None)
def test_a_sweep_leaves_alone_what_is_refused(count, seed, design):
    found = generate_param_sweeps(BASE, count, seed, design, ["temperature", "top_p"])
    assert {(v["temperature"], v["top_p"]) for v in found} <= {(1.0, 1.0)}
    lengths = [variant["max_tokens"] for variant in found]
    assert len(set(lengths)) == len(lengths)
    assert set(lengths) <= set(MAX_TOKENS) - {100}


@pytest.mark.parametrize("kind", [ParamSweep, NearStep])
def test_no_proposal_is_spent_on_what_is_refused(kind):
    champion = refusing("temperature", "top_p", "seed")
    children = list(made(kind).propose(champion, 4, rng()))
    assert len({child.hash for child in children}) == 4
    assert {(c.config.temperature, c.config.top_p) for c in children} == {(0.5, 1.0)}
    assert {child.note for child in children} == {
        f"max_tokens {child.config.max_tokens}" for child in children
    }


@pytest.mark.parametrize("kind", [ParamSweep, NearStep])
def test_where_everything_is_refused_there_is_nothing_to_propose(kind):
    champion = refusing("temperature", "top_p", "max_tokens")
    assert list(made(kind).propose(champion, 4, rng())) == []


def test_genes_that_are_refused_are_not_crossed():
    champion, crossover = refusing("temperature"), Crossover()
    crossover.learn([evaluation(other(system="a", temperature=0.1, top_p=0.7), 0.9)])
    children = list(crossover.propose(champion, 9, rng()))
    assert {(c.config.system, c.config.temperature, c.config.top_p) for c in children} == {
        ("a", 0.5, 1.0),
        ("Do it.", 0.5, 0.7),
    }


def test_another_model_may_take_what_this_one_refuses():
    champion, crossover = refusing("temperature"), Crossover()
    assert champion.child("x", system="y").refused == ("temperature",)
    assert champion.child("x", model="n", temperature=0.1).config.temperature == 0.1
    assert champion.child("x", model="n").refused == ()
    crossover.learn([evaluation(other(model="n", temperature=0.1), 0.9)])
    mixes = {(c.config.model, c.config.temperature) for c in crossover.propose(champion, 9, rng())}
    assert mixes == {("n", 0.5)}


# Other models


def test_a_model_swap_keeps_the_rest_but_what_belongs_to_the_old_model():
    champion = other(adapter="a", extra={"stop": ["x"]}, temperature=0.3)
    swap = made(ModelSwap, models=("p:m", "p:large", "q:org/n:free", "p:large"))
    children = list(swap.propose(champion, 5, rng()))
    assert [(c.config.provider, c.config.model) for c in children] == [
        ("p", "large"),
        ("q", "org/n:free"),
    ]
    assert [c.config.extra for c in children] == [{"stop": ["x"]}, {}]
    assert {(c.config.adapter, c.config.temperature, c.config.system) for c in children} == {
        (None, 0.3, "Do it.")
    }
    assert len(list(swap.propose(champion, 1, rng()))) == 1


@pytest.mark.parametrize("name", ["", "p", "p:", ":m"])
def test_a_model_without_its_provider_is_refused(name):
    with pytest.raises(ValueError, match="provider:model"):
        made(ModelSwap, models=(name,))
