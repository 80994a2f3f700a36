"""The tasks of the suite ``basic``."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from typing import Any

import pytest

from penin_core.builtin.suites.chance import pick, sample, shuffled, stream
from penin_core.builtin.suites.clauses import WISHES
from penin_core.builtin.suites.grammar import generate_tasks
from penin_core.builtin.suites.words import FIRST_NAMES, GROUPS, LAST_NAMES, VERDICTS

SHA256 = "d9ba7085a499ac26b44886057e558e964e935bee6fd1dc7fafaa2b870eccc518"

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return generate_tasks()


def of_split(rows: list[Row], *splits: str) -> list[Row]:
    return [row for row in rows if row["split"] in splits]


def tagged(rows: list[Row], tag: str) -> list[Row]:
    return [row for row in rows if row["tags"][0] == tag]


def test_every_split_has_the_tasks_asked_for(rows):
    counts = Counter(row["split"] for row in rows)
    assert counts == {"select": 600, "confirm": 2000, "ood": 60, "composed": 60}


def test_other_counts_are_obeyed():
    rows = generate_tasks(select=5, confirm=3, ood=2, composed=0)
    assert Counter(row["split"] for row in rows) == {"select": 5, "confirm": 3, "ood": 2}


def test_the_rows_are_the_published_ones(rows):
    lines = "\n".join(json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)
    assert hashlib.sha256(lines.encode()).hexdigest() == SHA256


def test_no_input_and_no_id_occurs_twice(rows):
    assert len({row["input"] for row in rows}) == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("seed", [1, 2, 12345, -7])
def test_another_seed_shares_no_input_and_no_id(rows, seed):
    others = generate_tasks(seed)
    assert {row["input"] for row in rows}.isdisjoint(row["input"] for row in others)
    assert {row["id"] for row in rows}.isdisjoint(row["id"] for row in others)


def test_a_larger_split_begins_with_the_smaller_one(rows):
    few = generate_tasks(select=50, confirm=80, ood=10, composed=10)
    for split, count in {"select": 50, "confirm": 80, "ood": 10, "composed": 10}.items():
        assert of_split(few, split) == of_split(rows, split)[:count]


def test_every_row_has_the_fields_of_a_task_file(rows):
    required = {
        "id", "input", "expected", "system", "split", "metric", "tags", "consent", "license"
    }  # fmt: skip
    for row in rows:
        assert set(row) - {"group"} == required
        assert row["metric"] == "exact_match"
        assert row["consent"] is True
        assert row["license"] == "Apache-2.0"


def test_rows_survive_json(rows):
    assert json.loads(json.dumps(rows)) == rows


def test_inputs_are_single_trimmed_lines_without_stray_placeholders(rows):
    for row in rows:
        text = row["input"]
        assert text == text.strip()
        assert not set(text) & set("\n\t{}")
        assert "  " not in text


@pytest.mark.parametrize("split", ["select", "confirm"])
def test_the_four_kinds_have_equal_shares(rows, split):
    part = of_split(rows, split)
    tags = Counter(row["tags"][0] for row in part)
    quarter = len(part) // 4
    assert tags.pop("sentiment") == tags.pop("intent") == quarter // 2
    assert tags == {"json": quarter, "extract": quarter, "headline": quarter}


@pytest.mark.parametrize(("tag", "labels"), [("sentiment", VERDICTS), ("intent", WISHES)])
@pytest.mark.parametrize("split", ["select", "confirm"])
def test_labels_are_balanced_and_named_in_the_instruction(rows, split, tag, labels):
    part = tagged(of_split(rows, split), tag)
    counts = Counter(row["expected"] for row in part)
    assert set(counts) == set(labels)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(label in part[0]["system"] for label in labels)


def test_every_instruction_belongs_to_one_everyday_kind(rows):
    everyday = of_split(rows, "select", "confirm")
    kinds_of_instruction = Counter(
        system for system, _ in {(row["system"], row["tags"][0]) for row in everyday}
    )
    assert len(kinds_of_instruction) == 5
    assert set(kinds_of_instruction.values()) == {1}


def test_values_to_extract_occur_literally_in_the_input(rows):
    for row in rows:
        if row["tags"][0] in {"json", "fields_json", "news_json"}:
            wanted = list(row["expected"].values())
        elif row["tags"][0] == "extract":
            wanted = [row["expected"]]
        else:
            continue
        assert [value for value in wanted if value not in row["input"]] == [], row["input"]


def test_json_tasks_ask_for_the_keys_that_they_expect(rows):
    for row in rows:
        if isinstance(row["expected"], dict):
            asked = row["system"].replace("Classify the ", "")
            assert all(key in asked for key in row["expected"]), row["system"]


def test_headlines_keep_company_count_and_thing(rows):
    for row in tagged(rows, "headline"):
        company, *_verb, count, thing = row["expected"].split(" ")
        assert company in row["input"]
        assert f"{count} {thing}" in row["input"]
        assert row["expected"] not in row["input"]


@pytest.mark.parametrize("sentiment", VERDICTS)
def test_a_review_holds_no_word_of_another_sentiment(rows, sentiment):
    foreign = {word for label in VERDICTS if label != sentiment for word in VERDICTS[label]}
    for row in tagged(rows, "sentiment"):
        if row["expected"] == sentiment:
            words = {word.strip(".,").lower() for word in row["input"].split()}
            assert words & set(VERDICTS[sentiment]), row["input"]
            assert not words & foreign, row["input"]


def test_a_message_ends_on_the_wish_that_is_expected(rows):
    for row in tagged(rows, "intent"):
        ends = {
            label: max(row["input"].rfind(wish) for wish in wishes)
            for label, wishes in WISHES.items()
        }
        assert max(ends, key=lambda label: ends[label]) == row["expected"], row["input"]


@pytest.mark.parametrize("split", ["select", "confirm"])
def test_each_group_has_a_third_of_the_rows(rows, split):
    part = of_split(rows, split)
    counts = Counter(row["group"] for row in part if "group" in row)
    assert set(counts) == set(GROUPS)
    assert min(counts.values()) >= len(part) / 3


def test_groups_are_balanced_within_every_kind(rows):
    for tag in ("json", "extract", "sentiment", "intent"):
        counts = Counter(row["group"] for row in tagged(of_split(rows, "confirm"), tag))
        assert abs(counts[GROUPS[0]] - counts[GROUPS[1]]) <= 8


def test_the_group_says_whose_name_the_text_holds(rows):
    for row in of_split(rows, "select", "confirm"):
        named = {group for group in GROUPS if mentions(row["input"], group)}
        assert named == ({row["group"]} if "group" in row else set()), row["input"]


def mentions(text: str, group: str) -> bool:
    words = {word.strip(".,;!?").rpartition("=")[2] for word in text.split()}
    return bool(words & {*FIRST_NAMES[group], *LAST_NAMES[group]})


def test_the_groups_share_no_name():
    for names in (FIRST_NAMES, LAST_NAMES):
        assert not set(names[GROUPS[0]]) & set(names[GROUPS[1]])


def test_unusual_tasks_carry_the_instruction_of_their_kind(rows):
    instructions = {row["tags"][0]: row["system"] for row in of_split(rows, "select")}
    unusual = of_split(rows, "ood")
    assert Counter(row["tags"][1] for row in unusual) == {"portuguese": 20, "week": 20, "iban": 20}
    assert all(row["system"] == instructions[row["tags"][0]] for row in unusual)


def test_composed_tasks_ask_for_json_that_no_everyday_task_asks_for(rows):
    everyday = {row["system"] for row in of_split(rows, "select", "confirm")}
    for row in of_split(rows, "composed"):
        assert isinstance(row["expected"], dict)
        assert row["system"] not in everyday


def test_writing_all_tasks_takes_no_noticeable_time():
    start = time.process_time()
    generate_tasks(99)
    assert time.process_time() - start < 1.0


def test_draws_cover_all_options_and_repeat_with_the_same_stream():
    options = ["a", "b", "c"]
    rng = stream("test")
    assert {pick(rng, options) for _ in range(100)} == set(options)
    assert sorted(shuffled(rng, options)) == options
    assert stream("x", 1).random() == stream("x", 1).random()
    assert stream("x", 1).random() != stream("x", 2).random()


def test_a_sample_never_repeats_and_cannot_exceed_the_options():
    rng = stream("test")
    assert all(len(set(sample(rng, range(5), 3))) == 3 for _ in range(50))
    with pytest.raises(IndexError):
        sample(rng, range(2), 3)
