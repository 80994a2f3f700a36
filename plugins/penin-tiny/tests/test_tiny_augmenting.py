"""Some lessons come with words spelled in bytes, as chance wills and only chance."""

import numpy as np

from penin_tiny.augmenting import Augmenter
from penin_tiny.lessons import Row, lesson
from penin_tiny.tuned import tokenizer

TOKENS = tokenizer()
ROW = Row("Classify.", "the order was late and I want to cancel the booking for today", "cancel")


def lengths(spelling: float, window: int = 512, seed: int = 0) -> list[int]:
    augmenter = Augmenter(TOKENS, window, spelling, np.random.default_rng(seed))
    return [len(augmenter.lesson(ROW)) for _ in range(60)]


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
