"""Full and low-rank changes: nothing at first, and gradients by what is trained."""

import numpy as np
import pytest

from penin_tiny.adapting import applied, blended, everything, low_rank, projected
from penin_tiny.gradients import Batch, Reals, loss_and_gradients
from penin_tiny.weights import read

META, SHIPPED = read()
LESSONS = Batch(
    np.random.default_rng(0).integers(4, 1000, (2, 9)),
    np.array([3, 8, 12]),
    np.array([9, 500, 800]),
    np.full(3, 1 / 3),
)


def doubles() -> dict[str, Reals]:
    return {name: value.astype(np.float64) for name, value in SHIPPED.items()}


def test_full_training_moves_copies_of_all_parameters() -> None:
    trained = everything(SHIPPED)
    assert trained.keys() == SHIPPED.keys()
    assert not any(np.shares_memory(trained[name], SHIPPED[name]) for name in trained)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_blend_lies_so_far_on_the_way_from_the_base(method: str) -> None:
    base, rng = doubles(), np.random.default_rng(1)
    trained = everything(base) if method == "full" else low_rank(base, 3, rng)
    for value in trained.values():
        value += rng.standard_normal(value.shape)
    there = applied(base, trained)
    found = applied(base, blended(base, trained, np.float32(0.25)))
    for name, value in found.items():
        assert np.allclose(value, 0.75 * base[name] + 0.25 * there[name]), name


def test_low_rank_training_changes_nothing_at_first_and_matrices_later() -> None:
    trained = low_rank(SHIPPED, 3, np.random.default_rng(0))
    assert all(np.array_equal(v, SHIPPED[k]) for k, v in applied(SHIPPED, trained).items())
    trained["b0.qkv:B"] += 1.0
    changed = [
        name
        for name, value in applied(SHIPPED, trained).items()
        if not np.array_equal(value, SHIPPED[name])
    ]
    assert changed == ["b0.qkv"]
    assert np.linalg.matrix_rank(applied(SHIPPED, trained)["b0.qkv"] - SHIPPED["b0.qkv"]) <= 3


def test_low_rank_factors_are_few() -> None:
    trained = low_rank(SHIPPED, 8, np.random.default_rng(0))
    layers = META["cfg"]["L"]
    assert len(trained) == 2 * (4 * layers + 2)
    assert sum(value.size for value in trained.values()) == 8 * (
        layers * (128 + 384 + 256 + 512 + 512) + 2 * 256
    )


def test_gradients_by_the_factors_equal_finite_differences() -> None:
    base, rng = doubles(), np.random.default_rng(1)
    trained = low_rank(base, 2, rng)
    for name in trained:
        trained[name] = 0.1 * rng.standard_normal(trained[name].shape)
    heads = META["cfg"]["h"]

    def loss() -> float:
        return loss_and_gradients(applied(base, trained), heads, LESSONS)[0]

    gradients = projected(loss_and_gradients(applied(base, trained), heads, LESSONS)[1], trained)
    assert gradients.keys() == trained.keys()
    for name in ("b0.qkv:A", "b0.qkv:B", "b3.down:A", "pk:B"):
        flat, found = trained[name].reshape(-1), gradients[name].reshape(-1)
        place = int(np.abs(found).argmax())
        value, step = flat[place], 1e-5
        flat[place] = value + step
        above = loss()
        flat[place] = value - step
        slope = (above - loss()) / (2 * step)
        flat[place] = value
        assert found[place] == pytest.approx(slope, rel=1e-5), name
