"""Examples become tokens and weights; what cannot be learnt from is named."""

import json
from pathlib import Path

import numpy as np
import pytest

import penin_tiny
from penin_core import Message, TrainingExample, TrainingFailed
from penin_tiny.lessons import (
    DECISION,
    START,
    Row,
    check_agreement,
    check_lengths,
    collate,
    lesson,
    portions,
    rows_of,
    spelled,
)
from penin_tiny.tokenizer import BEGIN
from penin_tiny.tuned import tokenizer

TOKENS = tokenizer()


def example(text: str, answer: str = "refund", system: str = "Classify.") -> TrainingExample:
    return TrainingExample(
        system=system, messages=(Message(role="user", content=text),), answer=answer
    )


def test_a_lesson_is_the_prompt_that_the_provider_asks_and_the_answer_with_its_end() -> None:
    (row,) = rows_of([example("Hi there", "praise")], "training")
    item = lesson(row, TOKENS)
    assert item.prompt[0] == BEGIN
    assert TOKENS.decode(item.prompt[1:]) == "Classify.\nInput: Hi there\nOutput: "
    assert TOKENS.decode(item.answer) == "praise\n"
    assert item.answer[-1] == TOKENS.stop


def test_earlier_turns_are_context() -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c")]
    messages = tuple(Message(role=role, content=text) for role, text in turns)
    (row,) = rows_of([TrainingExample(system="Do.", messages=messages, answer="d")], "training")
    assert row == Row("Do.\nInput: a\nOutput: b\n", "c", "d")


def test_an_input_that_looks_like_a_prompt_is_kept_apart_from_its_context() -> None:
    text = "x\nInput: x\nOutput: "
    (row,) = rows_of([example(text)], "training")
    assert row.context == "Classify."
    assert row.input == text


def test_decisions_of_a_json_answer_count_more() -> None:
    item = lesson(Row("", "x", '{"time": "8 pm", "date": "today"}'), TOKENS)
    share = (4 / len(item.answer)) ** 0.5
    found = {
        TOKENS.decode(item.answer[: place + 1]): weight / share
        for place, weight in enumerate(item.weights)
    }
    assert found['{"'] == found['{"time'] == pytest.approx(DECISION)
    assert found['{"time": "8'] == pytest.approx(START)
    assert found['{"time": "'] == pytest.approx(1.0)
    assert found['{"time": "8 pm", "'] == pytest.approx(DECISION)
    assert found['{"time": "8 pm", "date": "today"}'] == pytest.approx(DECISION)


def test_an_empty_object_is_one_decision_and_a_word_is_none() -> None:
    empty = lesson(Row("", "x", "{}"), TOKENS)
    assert empty.weights[0] / empty.weights[1] == pytest.approx(DECISION)
    assert len(set(lesson(Row("", "x", "refund"), TOKENS).weights)) == 1


def test_spelling_changes_tokens_and_no_text() -> None:
    item = lesson(Row("Classify the intent.", "I want the refund", "refund"), TOKENS)
    other = spelled(item, frozenset(TOKENS.words), TOKENS)
    assert len(other) > len(item)
    assert TOKENS.decode(other.prompt[1:]) == TOKENS.decode(item.prompt[1:])
    assert TOKENS.decode(other.answer) == TOKENS.decode(item.answer)
    assert len(other.weights) == len(other.answer)
    begin = len(TOKENS.encode("Classify the intent."))
    assert other.prompt[: begin + 1] == item.prompt[: begin + 1]


def test_a_batch_learns_every_token_of_the_answers_and_no_other() -> None:
    items = [lesson(Row("", "ab", "refund"), TOKENS), lesson(Row("", "a", "{}"), TOKENS)]
    batch = collate(items)
    assert batch.tokens.shape == (2, max(map(len, items)) - 1)
    assert batch.weights.sum() == pytest.approx(1.0)
    length = batch.tokens.shape[1]
    after = [item.answer for item in items]
    assert batch.targets.tolist() == [token for answer in after for token in answer]
    for place, target in zip(batch.places, batch.targets, strict=True):
        row, column = divmod(int(place), length)
        text = items[row].prompt + items[row].answer
        assert text[column + 1] == target
        assert text[column] == batch.tokens[row, column]
    assert (batch.tokens[1, len(items[1]) - 1 :] == 0).all()


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [1, 1]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])]
)
def test_portions_weigh_together_what_the_whole_weighs(count: int, sizes: list[int]) -> None:
    items = [lesson(Row("", "a" * n, "refund" * n), TOKENS) for n in range(1, count + 1)]
    whole, parts = collate(items), portions(items)
    assert [len(part.tokens) for part in parts] == sizes
    together = np.sort(np.concatenate([part.weights for part in parts]))
    assert together == pytest.approx(np.sort(whole.weights))


def test_contradictions_are_counted_and_named() -> None:
    rows = rows_of([example("a", "x"), example("b"), example("a", "y"), example("b")], "training")
    with pytest.raises(TrainingFailed, match=r"1 inputs of the training .* examples 1 and 3"):
        check_agreement(rows, "training")
    check_agreement(rows[:2], "training")


def test_one_input_under_two_instructions_may_have_two_answers() -> None:
    check_agreement(rows_of([example("a", "x"), example("a", "y", "Other.")], "t"), "t")


def test_long_examples_are_counted_and_some_are_named() -> None:
    items = [lesson(Row("", "7" * n, "x"), TOKENS) for n in (5, 600, 601, 602, 603, 604, 605)]
    with pytest.raises(TrainingFailed) as caught:
        check_lengths(items, 512, "training")
    message = str(caught.value)
    assert "6 of 7 training examples are longer than 512 tokens" in message
    assert f"example 2 has {len(items[1])}" in message
    assert message.endswith("; and 1 more")
    check_lengths(items[:1], len(items[0]), "training")


def test_an_answer_of_two_lines_is_refused_by_number() -> None:
    with pytest.raises(TrainingFailed, match="training example 2: the answer 'a") as caught:
        rows_of([example("a"), example("b", "a\nb")], "training")
    assert caught.value.hint


def test_turns_that_the_model_does_not_know_are_refused_by_number() -> None:
    turns = (Message(role="user", content="a"), Message(role="user", content="b"))
    wrong = TrainingExample(messages=turns, answer="c")
    with pytest.raises(TrainingFailed, match=r"validation example 1: .*user, user"):
        rows_of([wrong], "validation")


def test_replay_rows_are_rows_that_agree_and_fit() -> None:
    path = Path(penin_tiny.__file__).with_name("replay.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [Row(*json.loads(line)) for line in lines]
    assert len(rows) == 128
    check_agreement(rows, "replay")
    check_lengths([lesson(row, TOKENS) for row in rows], 512, "replay")
    assert np.mean([row.answer.startswith("{") for row in rows]) == pytest.approx(0.25)
