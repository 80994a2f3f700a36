"""The lock and the small file functions."""

import os
import threading

import pytest

from penin_core.errors import StateError
from penin_core.ledger.files import FileLock, is_file, read_regular, write_new


def test_a_lock_can_be_entered_again_by_its_holder(tmp_path):
    lock = FileLock(tmp_path / "new" / "l.lock")
    with lock, lock:
        pass
    with lock:
        assert lock.path.is_file()
    lock.close()
    with lock:
        pass
    lock.close()


def test_a_lock_is_given_back_after_an_error(tmp_path):
    lock, other = FileLock(tmp_path / "l.lock"), FileLock(tmp_path / "l.lock")
    with pytest.raises(RuntimeError), lock:
        raise RuntimeError
    with other:
        pass
    lock.close()
    other.close()


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "l.lock").symlink_to(tmp_path / "target")
    with (
        pytest.raises(StateError, match=r"l\.lock cannot be locked"),
        FileLock(tmp_path / "l.lock"),
    ):
        pass
    assert not (tmp_path / "target").exists()


def test_a_lock_whose_folder_is_a_file_is_refused_every_time(tmp_path):
    (tmp_path / "state").write_text("mine")
    lock = FileLock(tmp_path / "state" / "l.lock")
    for _ in range(2):
        with pytest.raises(StateError, match="cannot be locked"), lock:
            pass


def test_a_new_file_has_its_content_and_mode_and_replaces_nothing(tmp_path):
    path = tmp_path / "f"
    write_new(path, b"x" * 300_000, 0o444)
    assert path.read_bytes() == b"x" * 300_000
    assert path.stat().st_mode & 0o777 == 0o444
    with pytest.raises(FileExistsError):
        write_new(path, b"y", 0o600)


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "f").write_bytes(b"f")
    (tmp_path / "link").symlink_to(tmp_path / "f")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "f") == b"f"
    for name in ("link", "pipe", "missing"):
        with pytest.raises(OSError, match=r"symbolic links|not a regular|No such"):
            read_regular(tmp_path / name)
    assert is_file(tmp_path / "f")
    assert not is_file(tmp_path / "missing")
    with pytest.raises(StateError, match="pipe is not a file"):
        is_file(tmp_path / "pipe")


def test_a_lock_is_held_by_the_thread_that_entered_it(tmp_path):
    lock, seen = FileLock(tmp_path / "lock"), []
    assert not lock.held
    with lock, lock:
        other = threading.Thread(target=lambda: seen.append(lock.held))
        other.start()
        other.join()
        assert lock.held
    assert (lock.held, seen) == (False, [False])
    lock.close()
