"""The cache: an answer that was given is found again, a damaged one is not."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penin_core.engine.cache import Database, ResponseCache
from penin_core.errors import StateError
from penin_core.records import Completion


def completion(text: str) -> Completion:
    return Completion(text=text, model="m", tokens_in=3, tokens_out=2, logprobs=(-0.5, -0.1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "answers.db"


@pytest.fixture
def cache(path: Path) -> Iterator[ResponseCache]:
    cache = ResponseCache(path)
    yield cache
    cache.close()


def test_an_answer_comes_back_as_it_went_in(cache: ResponseCache) -> None:
    cache.put_many([("a", completion("one")), ("b", completion("two"))])
    assert cache.get_many(["a", "b", "c"]) == {"a": completion("one"), "b": completion("two")}


def test_answers_outlive_the_object(cache: ResponseCache, path: Path) -> None:
    cache.put_many([("a", completion("one"))])
    cache.close()
    again = ResponseCache(path)
    assert again.get_many(["a"]) == {"a": completion("one")}
    again.close()


def test_more_keys_than_sqlite_takes_in_one_statement(cache: ResponseCache) -> None:
    cache.put_many((str(n), completion(str(n))) for n in range(1203))
    found = cache.get_many(str(n) for n in range(2000))
    assert {key: answer.text for key, answer in found.items()} == {
        str(n): str(n) for n in range(1203)
    }


def test_asking_an_empty_cache_creates_no_file(cache: ResponseCache, path: Path) -> None:
    assert cache.get_many(["a"]) == {}
    cache.put_many([])
    assert not path.parent.exists()


def test_the_first_answer_to_a_question_stays(cache: ResponseCache) -> None:
    cache.put_many([("a", completion("first"))])
    cache.put_many([("a", completion("second"))])
    assert cache.get_many(["a"])["a"].text == "first"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE answer SET value = replace(value, 'one', 'two') WHERE key = 'a'",
        "UPDATE answer SET sha256 = 'x' WHERE key = 'a'",
        "UPDATE answer SET value = '{' WHERE key = 'a'",
        "UPDATE answer SET (value, sha256) = (SELECT value, sha256 FROM answer WHERE key = 'b')"
        " WHERE key = 'a'",
    ],
)
def test_a_damaged_row_is_a_miss_and_is_deleted(
    cache: ResponseCache, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put_many([("a", completion("one")), ("b", completion("two"))])
    cache.close()
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(damage).rowcount == 1
    assert cache.get_many(["a", "b"]) == {"b": completion("two")}
    assert connection.execute("SELECT key FROM answer").fetchall() == [("b",)]
    connection.close()
    assert "1 damaged" in caplog.text


def test_a_file_that_is_no_database_is_named(cache: ResponseCache, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StateError, match=r"answers\.db"):
        cache.get_many(["a"])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing says which files are open")
@pytest.mark.parametrize("damage", ["folder", "text"])
def test_a_file_that_cannot_be_opened_leaves_no_lock_open(
    cache: ResponseCache, path: Path, damage: str
) -> None:
    path.mkdir(parents=True) if damage == "folder" else path.parent.mkdir()
    if damage == "text":
        path.write_bytes(b"not a database" * 100)
    with pytest.raises(StateError):
        cache.put_many([("a", completion("one"))])
    opened = [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    assert f"{path}.lock" not in map(str, opened)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="file"):
        ResponseCache(tmp_path / "file" / "answers.db").put_many([("a", completion("one"))])


def test_other_users_cannot_read_it(cache: ResponseCache, path: Path) -> None:
    cache.put_many([("a", completion("one"))])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_transaction_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", "CREATE TABLE IF NOT EXISTS t (n INTEGER) STRICT")

    def interrupted() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert database.rows("SELECT n FROM t") == []
    database.close()


def test_a_commit_is_synced(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", "")
    assert database.rows("PRAGMA synchronous") == [(2,)]
    assert database.rows("PRAGMA journal_mode") == [("wal",)]
    database.close()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1),
    text=st.text(st.characters(codec="utf-8")),
)
def test_any_text_survives(cache: ResponseCache, key: str, text: str) -> None:
    cache.put_many([(f"{key}\n{text}", completion(text))])
    assert cache.get_many([f"{key}\n{text}"]) == {f"{key}\n{text}": completion(text)}
