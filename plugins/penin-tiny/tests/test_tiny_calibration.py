"""Losses and the temperature, on examples that training did not see."""

from dataclasses import replace

import numpy as np
import pytest

from penin_tiny import calibration
from penin_tiny.decoding import Decoder, Prompt
from penin_tiny.gradients import distributions
from penin_tiny.lessons import Lesson, Row, collate, lesson
from penin_tiny.tuned import tokenizer
from penin_tiny.weights import load, read

META, SHIPPED = read()
N_HEADS = META["cfg"]["h"]
TEXTS = ["I want my money back", "where is my parcel", "thank you, great", "hm", "no"]
ASK = "Classify the intent: refund, delivery, login, cancel or praise. Answer with one word."


def lessons(answers: list[str]) -> list[Lesson]:
    pairs = zip(TEXTS, answers, strict=True)
    return [lesson(Row(ASK, text, answer), tokenizer()) for text, answer in pairs]


LESSONS = lessons(["refund", "delivery", "praise", "cancel", "login"])


def losses() -> dict[float, float]:
    """The loss at every temperature, straight from the definition."""
    batch = collate(LESSONS)
    chances = distributions(SHIPPED, N_HEADS, batch).astype(np.float64)
    chances[:, :4] = 0.0
    found = {}
    for temperature in calibration.TEMPERATURES.tolist():
        flat = chances ** (1 / temperature)
        flat /= flat.sum(1, keepdims=True)
        right = flat[np.arange(len(flat)), batch.targets]
        found[temperature] = float(-np.log(right).mean())
    return found


def test_the_temperature_is_the_one_of_least_loss() -> None:
    expected = losses()
    found = calibration.fit(SHIPPED, N_HEADS, LESSONS)
    # The fit takes chances below 1e-9 for 1e-9, which can move it to a neighbour that is as good.
    assert expected[found.temperature] == pytest.approx(min(expected.values()), rel=2e-3)
    assert found.loss == pytest.approx(min(expected.values()), rel=2e-3)


def test_right_is_the_share_of_answers_that_would_be_written_just_so() -> None:
    decoder = Decoder(load())
    prompts = [Prompt(item.prompt, 0.0, 1.0, 20, 0) for item in LESSONS]
    written = [(*answer.tokens, tokenizer().stop) for answer in decoder.answer(prompts)]
    expected = np.mean([text == item.answer for text, item in zip(written, LESSONS, strict=True)])
    assert 0.0 < expected < 1.0
    assert calibration.fit(SHIPPED, N_HEADS, LESSONS).right == pytest.approx(expected)


def test_the_fit_does_not_depend_on_what_is_read_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = calibration.fit(SHIPPED, N_HEADS, LESSONS)
    monkeypatch.setattr(calibration, "_ROWS", 2)
    apart = calibration.fit(SHIPPED, N_HEADS, LESSONS)
    assert apart.temperature == together.temperature
    assert apart.right == together.right
    assert apart.loss == pytest.approx(together.loss, rel=1e-4)


def test_a_temperature_changes_how_sure_the_model_is_and_not_what_it_draws() -> None:
    prompts = [Prompt(item.prompt, 1.0, 1.0, 20, number) for number, item in enumerate(LESSONS)]
    plain, flat = (
        Decoder(replace(load(), temperature=temperature)).answer(prompts)
        for temperature in (1.0, 1.5)
    )
    assert [answer.tokens for answer in flat] == [answer.tokens for answer in plain]
    chances = distributions(SHIPPED, N_HEADS, collate(LESSONS[:1]))[0].astype(np.float64)
    chances[:4] = 0.0
    flattened = chances ** (1 / 1.5)
    first = flat[0].tokens[0]
    assert flat[0].logprobs[0] == pytest.approx(
        np.log(flattened[first] / flattened.sum()), abs=1e-4
    )


def test_wrong_answers_ask_for_a_higher_temperature() -> None:
    right = lessons(["refund", "delivery", "praise", "praise", "cancel"])
    wrong = lessons(["praise", "refund", "login", "login", "login"])
    assert calibration.fit(SHIPPED, N_HEADS, right).temperature < 1.5
    assert calibration.fit(SHIPPED, N_HEADS, wrong).temperature > 1.5


def test_few_answers_that_are_all_right_make_it_no_surer_than_a_little() -> None:
    (sure,) = [lesson(Row(ASK, "I want my money back", "refund"), tokenizer())]
    assert calibration.fit(SHIPPED, N_HEADS, [sure] * 3).temperature >= 0.8
