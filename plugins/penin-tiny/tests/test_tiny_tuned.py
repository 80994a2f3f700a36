"""The file of a tuned model: what it changes, and how a wrong one is refused."""

from pathlib import Path

import numpy as np
import pytest

from penin_core import ProviderRefused
from penin_tiny import adapting, archives, tuned, weights
from penin_tiny.gradients import Reals

RNG = np.random.default_rng(0)


def low_rank() -> dict[str, Reals]:
    trained = adapting.low_rank(tuned.base()[1], 2, RNG)
    return {name: value + np.float32(0.01) for name, value in trained.items()}


def refusal(folder: Path) -> str:
    with pytest.raises(ProviderRefused) as caught:
        tuned.load(folder)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_was_trained_is_what_is_loaded(tmp_path: Path, method: str) -> None:
    base = tuned.base()[1]
    trained = low_rank() if method == "lora" else adapting.everything(base)
    stored = tuned.rounded(trained)
    tuned.write(tmp_path, stored, 1.3)
    loaded = tuned.load(tmp_path)
    singles = {name: value.astype(np.float32) for name, value in stored.items()}
    expected = adapting.applied(base, singles)
    assert loaded.temperature == 1.3
    assert np.array_equal(loaded.layers[1].qkv, expected["b1.qkv"])
    assert np.array_equal(loaded.embedding, expected["emb"])
    assert loaded.words == weights.load().words


def test_a_tuned_model_is_no_larger_than_the_base(tmp_path: Path) -> None:
    tuned.write(tmp_path, tuned.rounded(adapting.everything(tuned.base()[1])), 1.0)
    assert (tmp_path / tuned.FILE).stat().st_size < 1_900_000


def test_the_base_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        tuned.base()[1]["bias"][0] = 1.0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / tuned.FILE) in refusal(tmp_path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    tuned.write(tmp_path, tuned.rounded(low_rank()), 1.0)
    path = tmp_path / tuned.FILE
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in refusal(tmp_path)


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    tuned.write(tmp_path, tuned.rounded(low_rank()), 1.0)
    path = tmp_path / tuned.FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in refusal(tmp_path)


def test_another_base_is_refused_with_both_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned.write(tmp_path, tuned.rounded(low_rank()), 1.0)
    own = weights.SHA256
    monkeypatch.setattr(weights, "SHA256", "0" * 64)
    message = refusal(tmp_path)
    assert own in message
    assert "0" * 64 in message


@pytest.mark.parametrize(
    ("meta", "named"),
    [({"format": 99}, "99"), ({"temperature": 0.0}, "0.0"), ({"temperature": None}, "None")],
)
def test_what_this_release_does_not_know_is_refused(
    tmp_path: Path, meta: dict[str, object], named: str
) -> None:
    usual = {"format": tuned.FORMAT, "base": weights.SHA256, "temperature": 1.0}
    archives.write(tmp_path / tuned.FILE, {**usual, **meta}, tuned.rounded(low_rank()))
    assert named in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("invented", np.zeros(3)),
        ("bias", np.zeros(3)),
        ("bias", np.full(1364, np.nan)),
        ("b0.qkv:A", np.zeros((128, 2))),
        ("b0.qkv:C", np.zeros((128, 2))),
        ("emb:A", np.zeros(())),
    ],
)
def test_arrays_that_no_training_leaves_are_refused(
    tmp_path: Path, name: str, value: Reals
) -> None:
    meta = {"format": tuned.FORMAT, "base": weights.SHA256, "temperature": 1.0}
    archives.write(tmp_path / tuned.FILE, meta, {name: value.astype(np.float16)})
    assert repr(name) in refusal(tmp_path)
