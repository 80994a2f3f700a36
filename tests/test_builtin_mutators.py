"""Mutators propose distinct, valid children, and the same ones for the same seed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import (
    Candidate,
    Configuration,
    Task,
    generate_param_sweeps,
    generate_prompt_variants,
)
from penin_core.builtin.mutators import MAX_TOKENS, FewShot, ParamSweep, PromptVariants

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


def test_examples_never_repeat_where_there_are_fewer_tasks_than_shots():
    mutator = made(FewShot, shots=3)
    mutator.prepare(labels(1))
    assert [len(c.config.examples) for c in mutator.propose(CHAMPION, 3, rng())] == [1, 1, 1]


def test_without_solved_tasks_there_are_no_examples():
    mutator = made(FewShot)
    mutator.prepare([Task(id="open", input="?")])
    assert list(mutator.propose(CHAMPION, 3, rng())) == []
