"""The backward pass against finite differences, against torch, and the loss against the runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from penin_tiny.batch import Batch as Writing
from penin_tiny.gradients import Batch, Parameters, Reals, distributions, loss_and_gradients
from penin_tiny.model import Transformer
from penin_tiny.weights import load, read

META, SHIPPED = read()
N_HEADS = META["cfg"]["h"]
SIZE = META["cfg"]["V"]
RNG = np.random.default_rng(0)


def batch(rows: int, columns: int, places: list[int]) -> Batch:
    """Random texts; every second target is a token that the pointer can copy."""
    tokens = RNG.integers(4, SIZE, (rows, columns))
    targets = [
        tokens[place // columns, 0] if index % 2 else RNG.integers(4, SIZE)
        for index, place in enumerate(places)
    ]
    return Batch(tokens, np.array(places), np.array(targets), RNG.random(len(places)))


def small(width: int = 8, layers: int = 2) -> dict[str, Reals]:
    """A model of the same make, small enough to try every parameter, in double precision."""
    rng = np.random.default_rng(1)

    def matrix(*shape: int) -> Reals:
        return rng.standard_normal(shape) / np.sqrt(shape[0])

    arrays = {
        "emb": rng.standard_normal((30, width)),
        "scale": np.array(1.3),
        "bias": 0.1 * rng.standard_normal(30),
        "pq": matrix(width, width),
        "pk": matrix(width, width),
        "gate": rng.standard_normal(width + 1),
    }
    for index in range(layers):
        arrays[f"b{index}.conv"] = rng.standard_normal((4, width))
        arrays[f"b{index}.qkv"] = matrix(width, 3 * width)
        arrays[f"b{index}.o"] = matrix(width, width)
        arrays[f"b{index}.up"] = matrix(width, 12)
        arrays[f"b{index}.down"] = matrix(12, width)
    return arrays


def slope(flat: Reals, index: int, loss: Callable[[], float]) -> float:
    """The fourth-order central difference of ``loss`` by one entry of an array."""
    value, step = float(flat[index]), 1e-3
    losses = []
    for multiple in (-2, -1, 1, 2):
        flat[index] = value + multiple * step
        losses.append(loss())
    flat[index] = value
    return (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * step)


def test_gradients_equal_finite_differences_by_every_array() -> None:
    arrays = small()
    tokens = RNG.integers(4, 30, (3, 7))
    lessons = Batch(
        tokens,
        np.array([2, 6, 7 + 3, 14 + 1]),
        np.array([tokens[0, 0], 9, tokens[1, 1], 5]),
        np.array([0.4, 0.1, 0.3, 0.2]),
    )
    _, gradients = loss_and_gradients(arrays, 2, lessons)
    worst = 0.0
    for name, value in arrays.items():
        flat, found = value.reshape(-1), gradients[name].reshape(-1)
        # The entries with the steepest slopes, and some that chance picks.
        chosen = {*np.abs(found).argsort()[-4:].tolist(), *RNG.choice(flat.size, 4).tolist()}
        for index in chosen:
            expected = slope(flat, index, lambda: loss_and_gradients(arrays, 2, lessons)[0])
            worst = max(worst, abs(found[index] - expected) / np.abs(found).max())
    assert worst < 1e-7


def test_what_stands_behind_a_text_changes_neither_loss_nor_gradient() -> None:
    arrays = small()
    short = Batch(np.array([[5, 6, 7]]), np.array([1, 2]), np.array([6, 9]), np.ones(2))
    padded = Batch(np.array([[5, 6, 7, 0, 0]]), np.array([1, 2]), np.array([6, 9]), np.ones(2))
    loss, gradients = loss_and_gradients(arrays, 2, short)
    again, others = loss_and_gradients(arrays, 2, padded)
    assert again == pytest.approx(loss, rel=1e-12)
    for name, value in gradients.items():
        assert np.allclose(value, others[name], rtol=1e-9, atol=1e-12), name


def test_a_place_without_weight_is_not_learnt_from() -> None:
    arrays = small()
    whole = Batch(
        np.array([[5, 6, 7, 8]]), np.array([1, 3]), np.array([6, 9]), np.array([1.0, 0.0])
    )
    only = Batch(np.array([[5, 6, 7, 8]]), np.array([1]), np.array([6]), np.array([1.0]))
    for name, value in loss_and_gradients(arrays, 2, whole)[1].items():
        assert np.allclose(value, loss_and_gradients(arrays, 2, only)[1][name]), name


def test_the_loss_is_that_of_the_distributions() -> None:
    arrays = {name: value.astype(np.float64) for name, value in SHIPPED.items()}
    lessons = batch(2, 9, [3, 8, 9 + 5])
    chances = distributions(arrays, N_HEADS, lessons)
    assert chances.sum(1) == pytest.approx(1.0)
    right = chances[np.arange(3), lessons.targets] + 1e-9
    expected = -(np.log(right) * lessons.weights).sum()
    assert loss_and_gradients(arrays, N_HEADS, lessons)[0] == pytest.approx(expected, rel=1e-6)


def test_training_sees_the_distribution_that_writing_draws_from() -> None:
    tokens = RNG.integers(4, SIZE, 20)
    model = Transformer(load())
    writing = Writing(model, 1, 64)
    writing.admit(model.extend(model.empty(), tokens.tolist()))
    read_at_once = Batch(tokens[None], np.array([19]), np.array([5]), np.ones(1, np.float32))
    found = distributions(SHIPPED, N_HEADS, read_at_once)
    found[:, :4] = 0.0
    found /= found.sum(-1, keepdims=True)
    assert np.abs(writing.distribution() - found).max() < 1e-5


def test_gradients_of_the_shipped_model_equal_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    lessons = batch(3, 40, [12, 30, 39, 40 + 7, 80 + 25, 80 + 38])
    loss, gradients = loss_and_gradients(SHIPPED, N_HEADS, lessons)
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in SHIPPED.items()}
    reference = torch_loss(torch, leaves, lessons)
    reference.backward()
    assert loss == pytest.approx(reference.item(), rel=1e-5)
    for name, value in gradients.items():
        expected = leaves[name].grad.numpy()
        assert np.abs(value - expected).max() <= 1e-3 * np.abs(expected).max(), name


def torch_loss(torch: Any, w: Any, lessons: Batch) -> Any:
    """The model written down in torch, from its description."""
    tokens = torch.tensor(lessons.tokens)
    n, length = tokens.shape
    norm = torch.nn.functional.rms_norm
    width = w["emb"].shape[1]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    x = norm(w["emb"], (width,), eps=1e-6)[tokens]
    for layer in range(META["cfg"]["L"]):
        name = f"b{layer}."
        padded = torch.nn.functional.pad(norm(x, (width,), eps=1e-6), (0, 0, 3, 0))
        mixed = sum(padded[:, 3 - i : 3 - i + length] * w[name + "conv"][i] for i in range(4))
        q, k, v = (mixed @ w[name + "qkv"]).view(n, length, 3, N_HEADS, -1).permute(2, 0, 3, 1, 4)
        half = width // N_HEADS // 2
        angle = torch.outer(torch.arange(length), 10_000.0 ** (-torch.arange(half) / half))
        q, k = (torch_turned(torch, part, angle) for part in (q, k))
        scores = (q @ k.transpose(2, 3) / (2 * half) ** 0.5).masked_fill(future, -1e9)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width)
        x = x + y @ w[name + "o"]
        x = x + (norm(x, (width,), eps=1e-6) @ w[name + "up"]).relu() ** 2 @ w[name + "down"]
    h = norm(x, (width,), eps=1e-6)
    before = torch.nn.functional.pad(h[:, :-1], (0, 0, 1, 0))
    looks = ((h @ w["pq"]) @ (before @ w["pk"]).transpose(1, 2)) / width**0.5
    looks = looks.masked_fill(future, -1e9).softmax(-1).reshape(n * length, length)
    places, targets = torch.tensor(lessons.places), torch.tensor(lessons.targets)
    state = h.reshape(-1, width)[places]
    written = ((state @ w["emb"].T) * w["scale"] + w["bias"]).softmax(-1)
    gate = torch.sigmoid(state @ w["gate"][:-1] + w["gate"][-1])
    copied = (looks[places] * (tokens[places // length] == targets[:, None])).sum(1)
    right = (1 - gate) * written.gather(1, targets[:, None])[:, 0] + gate * copied + 1e-9
    return -(right.log() * torch.tensor(lessons.weights)).sum()


def torch_turned(torch: Any, x: Any, angle: Any) -> Any:
    first, second = x.chunk(2, -1)
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def test_parameters_are_not_touched() -> None:
    arrays: Parameters = small()
    before = {name: value.copy() for name, value in arrays.items()}
    loss_and_gradients(
        arrays, 2, Batch(np.array([[5, 6]]), np.array([1]), np.array([6]), np.ones(1))
    )
    assert all(np.array_equal(before[name], arrays[name]) for name in before)
