"""Perturbations change how a text looks and nothing that its answer depends on."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.builtin.perturbations import (
    DEFAULT_PERTURBATIONS,
    PARAPHRASES,
    PERTURBATIONS,
    case,
    greeting,
    paraphrase,
    reorder,
    typo,
    whitespace,
)

NOTE = "The customer is Anna Smith; paid $12.50; reply to anna.smith@example.com"
NAME = frozenset({"Anna Smith"})

texts = st.text(alphabet="abc DEF,.é1\n", max_size=60)
protections = st.frozensets(st.sampled_from(["", "a", "abc", "DEF a", "1", "(", "x y"]), max_size=3)
seeds = st.integers(0, 2**32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(text=texts, protected=protections, seed=seeds)
def test_protected_strings_survive_as_often_as_they_occurred(name, text, protected, seed):
    changed = PERTURBATIONS[name](text, rng(seed), protected)
    for string in filter(str.strip, protected):
        assert changed.count(string) >= text.count(string)


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(text=texts, seed=seeds)
def test_the_same_generator_gives_the_same_text(name, text, seed):
    perturb = PERTURBATIONS[name]
    assert perturb(text, rng(seed), frozenset()) == perturb(text, rng(seed), frozenset())


@pytest.mark.parametrize("name", DEFAULT_PERTURBATIONS)
def test_an_ordinary_text_is_changed(name):
    assert PERTURBATIONS[name](NOTE, rng(), NAME) != NOTE


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_text_that_is_the_answer_is_left_alone(name):
    protected = frozenset({"Anna Smith Wellington"})
    changed = PERTURBATIONS[name]("Anna Smith Wellington", rng(), protected)
    assert changed.endswith("Anna Smith Wellington")


@given(text=texts, seed=seeds)
def test_whitespace_changes_only_spaces(text, seed):
    changed = whitespace(text, rng(seed), frozenset())
    assert changed.split() == text.split()
    assert len(changed) - len(text) in {0, 1}


@given(text=texts, seed=seeds)
def test_whitespace_never_leads_or_trails(text, seed):
    changed = whitespace(text.strip(), rng(seed), frozenset())
    assert changed == changed.strip()


def test_whitespace_stays_out_of_protected_strings():
    for seed in range(30):
        assert "Anna Smith" in whitespace(NOTE, rng(seed), NAME)


def test_a_typo_swaps_two_inner_letters_of_one_long_word():
    for seed in range(30):
        changed = typo(NOTE, rng(seed), NAME)
        pairs = zip(NOTE.split(), changed.split(), strict=True)
        [(word, misspelt)] = [(old, new) for old, new in pairs if old != new]
        letters, swapped = re.sub(r"\W", "", word), re.sub(r"\W", "", misspelt)
        assert len(letters) >= 5
        assert Counter(swapped) == Counter(letters)
        assert (swapped[0], swapped[-1]) == (letters[0], letters[-1])
        assert sum(a != b for a, b in zip(letters, swapped, strict=True)) == 2


def test_a_typo_spares_every_word_of_the_answer_wherever_it_stands():
    text = "Yesterday Zoeber sold 34 phones"
    protected = frozenset({"Zoeber sells 34 phones"})
    for seed in range(30):
        assert typo(text, rng(seed), protected).endswith(" Zoeber sold 34 phones")


@pytest.mark.parametrize("text", ["", "a few tiny ones", "x@example.com B2-99123", "aaaaaa"])
def test_a_typo_needs_a_word_with_letters_to_swap(text):
    assert typo(text, rng(), frozenset()) == text


def test_case_touches_the_first_letter_only():
    assert case("The Total", rng(), frozenset()) == "the Total"
    assert case("", rng(), frozenset()) == ""


def test_case_spares_a_protected_beginning():
    assert case("Anna Smith wrote", rng(), NAME) == "Anna Smith wrote"


def test_a_greeting_comes_first_and_the_text_follows():
    openings = {greeting("Please help", rng(seed), frozenset()) for seed in range(30)}
    assert len(openings) == 3
    assert all(text.endswith(". Please help") for text in openings)


@pytest.mark.parametrize("pair", PARAPHRASES)
def test_a_paraphrase_replaces_one_phrase_by_its_equal_both_ways(pair):
    first, second = pair
    assert paraphrase(f"so {first} now", rng(), frozenset()) == f"so {second} now"
    assert paraphrase(f"so {second} now", rng(), frozenset()) == f"so {first} now"


def test_a_paraphrase_keeps_a_capital_and_the_rest():
    assert paraphrase("Cannot pay. Now what?", rng(), frozenset()) == "Can't pay. Now what?"


def test_a_paraphrase_spares_the_answer_and_parts_of_words():
    assert paraphrase("I want to pay", rng(), frozenset({"want to"})) == "I want to pay"
    assert paraphrase("the Iamb is not-ed", rng(), frozenset()) == "the Iamb isn't-ed"
    assert paraphrase("Miami amble", rng(), frozenset()) == "Miami amble"


def test_reordering_turns_the_sentences_of_an_instruction():
    text = "Answer in JSON. Use two keys! Leave no blank."
    found = {reorder(text, rng(seed), frozenset()) for seed in range(20)}
    assert found == {
        "Use two keys! Leave no blank. Answer in JSON.",
        "Leave no blank. Answer in JSON. Use two keys!",
    }


@pytest.mark.parametrize(
    "text",
    ["", "One sentence.", "Read it. Answer.", "First read. Then answer.", "1. Read. 2. Answer."],
)
def test_an_instruction_whose_order_matters_is_left_alone(text):
    assert reorder(text, rng(), frozenset()) == text


@pytest.mark.parametrize(
    "text", ["北京明天的天气怎么样", "พัสดุของฉันอยู่ที่ไหน", "東京タワーはどこですか"]
)
def test_a_typo_swaps_no_words_of_a_script_without_spaces(text):
    assert {typo(text, np.random.default_rng(n), frozenset()) for n in range(9)} == {text}
