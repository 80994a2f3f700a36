"""Files of arrays: whole or absent, the same bytes every time, and nothing damaged passes."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from penin_tiny import archives

META = {"steps": 3, "curve": [[0.1, 0.2]]}
ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.array(1.5, np.float32)}


def written(folder: Path) -> Path:
    path = folder / "x.npz"
    archives.write(path, META, ARRAYS)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    meta, arrays = archives.read(written(tmp_path))
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.npz"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path).read_bytes()
    assert written(tmp_path).read_bytes() == first


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_file_that_is_cut_off_is_damaged(tmp_path: Path, length: int) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(archives.Damaged, match=r"x\.npz"):
        archives.read(path)


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            meta, arrays = archives.read(path)
        except archives.Damaged:
            continue
        # What lies between the parts of a zip file may change and means nothing.
        assert meta == META
        assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def test_arrays_that_were_exchanged_are_found_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    with np.load(path) as archive:
        parts = dict(archive)
    np.savez(path, **{**parts, "a": parts["a"] + 1})
    with pytest.raises(archives.Damaged, match="SHA-256"):
        archives.read(path)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(archives.Damaged):
        archives.read(path)


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        archives.read(tmp_path / "x.npz")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = written(tmp_path).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space left"):
        archives.write(tmp_path / "x.npz", META, {"a": np.zeros(3, np.float32)})
    assert list(tmp_path.iterdir()) == [tmp_path / "x.npz"]
    assert (tmp_path / "x.npz").read_bytes() == before
