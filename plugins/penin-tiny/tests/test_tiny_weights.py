"""The weights file: small, checked before it is read, and made of plain arrays."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest

from penin_core import PluginInvalid
from penin_tiny import weights


def test_the_file_is_at_most_two_megabytes() -> None:
    assert weights.PATH.stat().st_size <= 2_000_000


def test_the_model_has_896_190_parameters() -> None:
    with np.load(weights.PATH, allow_pickle=False) as archive:
        sizes = {name: archive[name].size for name in archive.files}
    assert sum(sizes.values()) - sizes["meta"] == 896_190


def test_parameters_are_stored_in_half_and_used_in_single_precision() -> None:
    with np.load(weights.PATH, allow_pickle=False) as archive:
        stored = archive["emb"]
    loaded = weights.load().embedding
    assert stored.dtype == np.float16
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, stored)


def test_one_flipped_bit_is_refused_with_both_digests(tmp_path: Path) -> None:
    content = bytearray(weights.PATH.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "tiny-5.npz"
    damaged.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(PluginInvalid, match=f"{found}.*{weights.SHA256}") as caught:
        weights.load(damaged)
    assert "install" in caught.value.hint


def test_the_digest_is_checked_before_anything_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "tiny-5.npz"
    other.write_bytes(b"not an archive")

    def parse(*_: object, **__: object) -> None:
        raise AssertionError("parsed before it was checked")

    monkeypatch.setattr(np, "load", parse)
    with pytest.raises(PluginInvalid):
        weights.load(other)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginInvalid, match=r"nowhere\.npz"):
        weights.load(tmp_path / "nowhere.npz")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    archive = io.BytesIO()
    np.savez(archive, meta=np.array([{"a": 1}], dtype=object))
    path = tmp_path / "pickled.npz"
    path.write_bytes(archive.getvalue())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        weights.load(path, hashlib.sha256(archive.getvalue()).hexdigest())
