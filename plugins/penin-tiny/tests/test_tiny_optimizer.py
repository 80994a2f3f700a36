"""The steps: Muon for matrices, AdamW for the rest, and a state to go on from."""

import numpy as np
import pytest

from penin_tiny.gradients import Reals
from penin_tiny.optimizer import Optimizer, rate_at


def arrays() -> dict[str, Reals]:
    rng = np.random.default_rng(0)
    return {
        "b0.qkv": rng.standard_normal((6, 18)).astype(np.float32),
        "b0.down": rng.standard_normal((12, 6)).astype(np.float32),
        "bias": rng.standard_normal(5).astype(np.float32),
        "b0.up:A": rng.standard_normal((6, 2)).astype(np.float32),
    }


def gradients(number: int) -> dict[str, Reals]:
    rng = np.random.default_rng(number)
    return {k: rng.standard_normal(v.shape).astype(np.float32) for k, v in arrays().items()}


def test_the_first_step_of_adam_is_the_sign_of_the_gradient() -> None:
    optimizer, before = Optimizer(arrays()), arrays()
    optimizer.step(gradients(1), 0.01)
    for name, further in (("bias", 1.0), ("b0.up:A", 8.0)):
        moved = (before[name] - optimizer.trained[name]) / (0.01 * further)
        assert moved == pytest.approx(np.sign(gradients(1)[name]), abs=1e-3), name


def test_muon_moves_a_matrix_as_far_in_every_direction() -> None:
    optimizer, before = Optimizer(arrays()), arrays()
    optimizer.step(gradients(1), 1.0)
    moved = before["b0.qkv"] - optimizer.trained["b0.qkv"]
    for block in np.split(moved, 3, axis=1):
        stretch = np.linalg.svd(block, compute_uv=False) / 16.0
        assert stretch.min() > 0.5
        assert stretch.max() < 1.3


def test_gradients_are_bounded() -> None:
    small, large = Optimizer(arrays()), Optimizer(arrays())
    for number in range(3):
        found = gradients(number)
        small.step({name: value * 10 for name, value in found.items()}, 0.01)
        large.step({name: value * 1000 for name, value in found.items()}, 0.01)
    for name, value in small.trained.items():
        assert np.allclose(value, large.trained[name], atol=1e-5), name


def test_going_on_from_a_state_is_going_on() -> None:
    straight, begun = Optimizer(arrays()), Optimizer(arrays())
    for number in range(6):
        straight.step(gradients(number), 0.01)
        if number < 3:
            begun.step(gradients(number), 0.01)
    gone_on = Optimizer(arrays())
    gone_on.restore(begun.state(), begun.steps)
    for number in range(3, 6):
        gone_on.step(gradients(number), 0.01)
    assert gone_on.steps == straight.steps
    for name, value in straight.state().items():
        assert np.array_equal(value, gone_on.state()[name]), name


def test_the_average_follows_behind() -> None:
    optimizer, begun = Optimizer(arrays()), arrays()["bias"]
    for _ in range(20):
        optimizer.step(gradients(1), 0.01)
    now, mean = optimizer.trained["bias"], optimizer.average["bias"]
    assert (np.abs(mean - begun) < np.abs(now - begun)).all()
    assert (np.sign(mean - begun) == np.sign(now - begun)).all()


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 400) for step in range(1, 401)]
    peak = rates.index(max(rates))
    assert 0.95 < max(rates) <= 1.0
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)
    assert 0.0 < rate_at(1, 1) <= 1.0
