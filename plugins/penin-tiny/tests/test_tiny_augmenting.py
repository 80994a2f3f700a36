"""Some lessons come with words spelled in bytes or values exchanged, as chance wills and alone."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_tiny.augmenting import Augmenter, rewritten, spots_of
from penin_tiny.lessons import Row, lesson
from penin_tiny.tuned import tokenizer

TOKENS = tokenizer()
ROW = Row("Classify.", "the order was late and I want to cancel the booking for today", "cancel")
ANN = Row("Read.", "Ann at 7", '{"name": "Ann", "time": "7"}')
BOB = Row("Read.", "8 for Bob", '{"name": "Bob", "time": "8"}')


def lengths(spelling: float, window: int = 512, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    augmenter = Augmenter(TOKENS, window, rng, spelling=spelling)
    return [len(augmenter.lesson(ROW)) for _ in range(60)]


def texts(row: Row, exchange: float, window: int = 512, seed: int = 0) -> set[str]:
    """Return what sixty lessons of ``row`` say, among two rows that may exchange their values."""
    rng = np.random.default_rng(seed)
    augmenter = Augmenter(TOKENS, window, rng, spelling=0.0, exchange=exchange, rows=(ANN, BOB))
    lessons = [augmenter.lesson(row) for _ in range(60)]
    return {TOKENS.decode([*item.prompt[1:], *item.answer[:-1]]) for item in lessons}


def test_without_spelling_every_lesson_is_plain() -> None:
    assert set(lengths(0.0)) == {len(lesson(ROW, TOKENS))}


def test_the_share_of_spelled_lessons_is_about_what_was_asked() -> None:
    plain = len(lesson(ROW, TOKENS))
    assert 10 <= sum(length > plain for length in lengths(0.6)) <= 50


def test_chance_comes_from_the_generator_alone() -> None:
    assert lengths(1.0) == lengths(1.0)
    assert lengths(1.0) != lengths(1.0, seed=1)


def test_a_lesson_that_would_not_fit_stays_plain() -> None:
    plain = len(lesson(ROW, TOKENS))
    assert set(lengths(1.0, window=plain)) == {plain}


def test_values_of_other_rows_come_into_input_and_answer_alike() -> None:
    said = 'Read.\nInput: {0} at {1}\nOutput: {{"name": "{0}", "time": "{1}"}}'
    made = {said.format(name, time) for name in ("Ann", "Bob") for time in ("7", "8")}
    assert texts(ANN, 1.0) == made


def test_without_exchange_a_row_keeps_its_values() -> None:
    assert len(texts(ANN, 0.0)) == 1


def test_rows_that_were_not_given_keep_their_values() -> None:
    assert len(texts(Row("Read.", "Cid at 9", '{"name": "Cid", "time": "9"}'), 1.0)) == 1


def test_an_exchange_that_would_not_fit_is_left_out() -> None:
    long = Row("Read.", "Maximiliana at 7", '{"name": "Maximiliana", "time": "7"}')
    window = len(lesson(ANN, TOKENS))
    augmenter = Augmenter(
        TOKENS, window, np.random.default_rng(0), spelling=0.0, exchange=1.0, rows=(ANN, long)
    )
    assert max(len(augmenter.lesson(ANN)) for _ in range(60)) == window


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        Row("", "Ann and Ann", '{"name": "Ann"}'),
        Row("", "Ann", '{"name": "Bob"}'),
        Row("", "Annabel", '{"name": "Annabel", "short": "Ann"}'),
        Row("", "7 seats", '{"seats": 7}'),
        Row("", "Ann", '{"name":"Ann"}'),
        Row("", "Ann", '["Ann"]'),
        Row("", "Ann", '{"name": ""}'),
        Row("", "Ann", "{}"),
    ],
    ids=["label", "twice", "absent", "inside", "number", "other writing", "list", "empty", "none"],
)
def test_where_values_do_not_plainly_stand_in_the_input_nothing_is_exchanged(row: Row) -> None:
    assert spots_of(row) == []


@given(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=2, max_size=4))
def test_a_rewritten_row_has_its_values_where_the_old_ones_were(values: list[str]) -> None:
    keys = [f"k{place}" for place in range(len(values))]
    old = [f"<{place}>" for place in range(len(values))]
    row = Row(
        "", " and ".join(old), json.dumps(dict(zip(reversed(keys), reversed(old), strict=True)))
    )
    new = rewritten(row, spots_of(row), values)
    assert new.input == " and ".join(values)
    assert json.loads(new.answer) == dict(zip(keys, values, strict=True))
    assert list(json.loads(new.answer)) == list(json.loads(row.answer))
