"""Confidence in words is asked for at the end, read from the end, and taken off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Completion, Task
from penin_core.stated import ASK, asking, read_stated


def read(text):
    found = read_stated(
        Completion(text=text, model="m", tokens_in=1, tokens_out=1, logprobs=(-0.1,))
    )
    assert found.confidence == found.stated
    return found.text, found.stated


def test_the_question_ends_with_the_request_and_nothing_else_changes():
    task = Task(id="t", input="Why?", expected="x", system="s")
    assert asking(task) == task.model_copy(update={"input": "Why?" + ASK})


@pytest.mark.parametrize(
    ("text", "answer", "stated"),
    [
        ("Paris\nConfidence: 90%", "Paris", 0.9),
        ("Paris\n\nconfidence = 90 %\n", "Paris", 0.9),
        ("Paris\n**Confidence:** 62.5%", "Paris", 0.625),
        ("Paris\n_Confidence: 7%_.", "Paris", 0.07),
        ("Paris (confidence 85%)", "Paris", 0.85),
        ("Paris. Confidence: 0.4", "Paris.", 0.4),
        ("Paris\nConfidence: 90", "Paris", 0.9),
        ("Paris\nConfidence: 0", "Paris", 0.0),
        ("Paris\nConfidence: 0%", "Paris", 0.0),
        ("Paris\nConfidence: 100%", "Paris", 1.0),
        ("Paris\nConfidence: 1%", "Paris", 0.01),
        ("Confidence: 50%", "", 0.5),
        ("two\nlines\nConfidence: 50%", "two\nlines", 0.5),
    ],
)
def test_the_statement_is_read_and_taken_off(text, answer, stated):
    assert read(text) == (answer, pytest.approx(stated))


@pytest.mark.parametrize(
    "line",
    ["Confidence: 1", "Confidence: 101%", "Confidence: high", "Confidence:", "Confidence: -5%"],
)
def test_an_unclear_statement_is_taken_off_and_is_no_confidence(line):
    assert read(f"Paris\n{line}") == ("Paris", None)


@pytest.mark.parametrize(
    "text",
    ["", "Paris", "Confidence: 90%\nParis", "I have confidence in you", "overconfidence: 5%"],
)
def test_without_a_statement_at_the_end_the_answer_stays_and_nothing_stands_in_for_it(text):
    assert read(text) == (text, None)


@given(st.text(alphabet='ab \n{}":,0', max_size=30).map(str.rstrip), st.integers(0, 100))
def test_whatever_the_answer_is_it_comes_back(answer, percent):
    assert read(f"{answer}\nConfidence: {percent}%") == (answer, pytest.approx(percent / 100))
