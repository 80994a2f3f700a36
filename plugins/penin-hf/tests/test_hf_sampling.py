"""Choosing a token: the distribution is the one that was asked for, row by row."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
sampling = pytest.importorskip("penin_hf.sampling")
warpers = pytest.importorskip("transformers.generation.logits_process")

LOGITS = torch.tensor([2.0, 1.5, 0.3, -0.2, -1.0, -4.0])


def draw(logits, temperature, top_p, uniform):
    """Choose one token a row from the same settings; return tokens and log-probabilities."""
    count = len(uniform)
    rows = logits.expand(count, -1)
    settings = (torch.full((count,), float(value)).double() for value in (temperature, top_p))
    return sampling.choose(rows, *settings, torch.as_tensor(uniform, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("top_p", [0.3, 0.8, 1.0])
def test_tokens_come_as_often_as_the_warpers_of_transformers_say(temperature, top_p):
    grid = (torch.arange(20_000) + 0.5) / 20_000
    tokens, _ = draw(LOGITS, temperature, top_p, grid)
    warped = warpers.TemperatureLogitsWarper(temperature)(None, LOGITS[None].clone())
    expected = warpers.TopPLogitsWarper(top_p)(None, warped).softmax(-1)[0]
    found = torch.bincount(tokens, minlength=len(LOGITS)) / len(grid)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=2e-4)


def test_the_nucleus_of_a_wide_vocabulary_is_that_of_transformers():
    dice = torch.Generator().manual_seed(4)
    scale = torch.tensor([[0.01], [1.0], [3.0], [9.0]])
    logits = torch.randn(4, 1000, generator=dice) * scale
    top_p = torch.tensor([0.5, 0.9, 0.9, 0.95]).double()
    kept = sampling.nucleus(logits.double().softmax(-1), top_p) > 0
    for row, (part, p) in enumerate(zip(logits, top_p.tolist(), strict=True)):
        expected = warpers.TopPLogitsWarper(p)(None, part[None].double())[0].isfinite()
        assert kept[row].tolist() == expected.tolist()
    assert kept.sum(-1).tolist()[0] > 128 > kept.sum(-1).tolist()[3]


def test_log_probabilities_are_the_models_own_whatever_it_is_drawn_from():
    own = LOGITS.double().log_softmax(-1)
    for temperature, top_p in ((0.0, 1.0), (0.3, 0.5), (1.9, 1.0)):
        tokens, logs = draw(LOGITS, temperature, top_p, [0.1, 0.5, 0.999])
        assert logs.tolist() == pytest.approx(own[tokens].tolist(), abs=1e-12)


@pytest.mark.parametrize("uniform", [0.0, 0.5, math.nextafter(1.0, 0.0)])
def test_temperature_zero_takes_the_most_likely_token(uniform):
    assert draw(LOGITS, 0.0, 1.0, [uniform])[0].tolist() == [0]


def test_the_last_chance_never_points_past_the_last_likely_token():
    logits = torch.tensor([0.0, 0.0, -math.inf])
    assert draw(logits, 1.0, 1.0, [math.nextafter(1.0, 0.0)])[0].tolist() == [1]


def test_a_logit_that_is_no_number_shows_in_the_log_probability():
    _, logs = draw(torch.tensor([0.0, math.nan]), 1.0, 1.0, [0.5])
    assert math.isnan(logs.item())


def test_a_nucleus_keeps_equals_of_the_last_one():
    weights = torch.tensor([[0.5, 0.25, 0.25]]).double()
    assert sampling.nucleus(weights, torch.tensor([0.6]).double()).tolist() == weights.tolist()
    alone = sampling.nucleus(weights, torch.tensor([0.5]).double())
    assert alone.tolist() == [[0.5, 0.0, 0.0]]


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.05, 1), st.floats(0, 0.999)), min_size=1),
    st.integers(0, 2**32),
)
def test_a_row_does_not_depend_on_its_neighbours(settings, seed):
    logits = torch.randn(len(settings), 7, generator=torch.Generator().manual_seed(seed)) * 3
    columns = [torch.tensor(column).double() for column in zip(*settings, strict=True)]
    together, logs = sampling.choose(logits, *columns)
    for row in range(len(settings)):
        alone, log = sampling.choose(logits[row : row + 1], *(c[row : row + 1] for c in columns))
        assert alone.item() == together[row].item()
        assert log.item() == pytest.approx(logs[row].item(), abs=1e-12)
