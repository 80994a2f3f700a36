"""Sampling: what each row may draw, and how often."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from penin_tiny.sampling import Doubles, choose, nucleus, tempered

N_TOKENS = 12


def per_row(low: float, high: float, *, below: bool = False) -> st.SearchStrategy[Doubles]:
    """Three numbers, one for each row."""
    return arrays(np.float64, 3, elements=st.floats(low, high, exclude_max=below))


def normalized(weights: Doubles) -> Doubles:
    positive = weights**4 + 1e-12
    return np.asarray(positive / positive.sum(-1, keepdims=True))


distributions = arrays(np.float64, (3, N_TOKENS), elements=st.floats(0.0, 1.0)).map(normalized)
chances = per_row(0.0, 1.0, below=True)


def full(value: float) -> Doubles:
    return np.full(3, value)


@given(distributions, chances, per_row(0.01, 1.0))
def test_temperature_zero_takes_the_most_likely_token(
    probabilities: Doubles, uniform: Doubles, top_p: Doubles
) -> None:
    tokens = choose(probabilities, full(0.0), top_p, uniform)
    assert (tokens == probabilities.argmax(-1)).all()


@given(distributions, per_row(0.01, 2.0), per_row(0.01, 1.0), chances)
def test_a_drawn_token_lies_in_the_nucleus(
    probabilities: Doubles, temperature: Doubles, top_p: Doubles, uniform: Doubles
) -> None:
    tokens = choose(probabilities, temperature, top_p, uniform)
    for row, token in enumerate(tokens):
        weights = (probabilities[row] / probabilities[row].max()) ** (1.0 / temperature[row])
        likelier = weights[weights > weights[token]].sum()
        assert likelier <= top_p[row] * weights.sum() * (1 + 1e-9)


@given(distributions, per_row(0.01, 1.0))
def test_the_nucleus_holds_its_share_and_no_token_too_many(
    probabilities: Doubles, top_p: Doubles
) -> None:
    kept = nucleus(probabilities, top_p)
    for row, share in enumerate(top_p):
        inside = kept[row] > 0.0
        assert kept[row].sum() >= share * probabilities[row].sum() * (1 - 1e-9)
        least = kept[row][inside].min()
        assert kept[row][kept[row] > least].sum() < share * probabilities[row].sum() * (1 + 1e-9)
        assert (probabilities[row][~inside] < least).all()


@given(distributions, per_row(0.0, 2.0), per_row(0.01, 1.0), chances, st.permutations(range(3)))
def test_a_row_depends_on_nothing_but_itself(
    probabilities: Doubles,
    temperature: Doubles,
    top_p: Doubles,
    uniform: Doubles,
    order: list[int],
) -> None:
    together = choose(probabilities, temperature, top_p, uniform)
    shuffled = choose(probabilities[order], temperature[order], top_p[order], uniform[order])
    assert (shuffled == together[order]).all()


def test_the_largest_chance_never_points_past_the_last_possible_token() -> None:
    probabilities = np.array([[0.3, 0.7 - 1e-16, 0.0, 0.0]])
    token = choose(probabilities, np.ones(1), np.ones(1), np.array([np.nextafter(1.0, 0.0)]))
    assert token.tolist() == [1]


def test_draws_are_as_frequent_as_their_probabilities() -> None:
    n = 20_000
    one = np.array([0.5, 0.3, 0.15, 0.05])
    uniform = (np.arange(n) + 0.5) / n
    tokens = choose(np.tile(one, (n, 1)), np.ones(n), np.ones(n), uniform)
    assert np.allclose(np.bincount(tokens) / n, one, atol=1e-4)


def test_temperature_raises_probabilities_to_its_inverse() -> None:
    weights = tempered(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0.5, 2.0]))
    assert np.allclose(weights[:, 1], [(0.2 / 0.8) ** 2, (0.2 / 0.8) ** 0.5])


def test_tokens_that_tie_at_the_edge_of_the_nucleus_are_all_kept() -> None:
    kept = nucleus(np.array([[0.4, 0.3, 0.3]]), np.array([0.6]))
    assert kept.tolist() == [[0.4, 0.3, 0.3]]
