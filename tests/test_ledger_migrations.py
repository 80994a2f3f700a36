"""A ledger of an earlier schema is read as it is, and brought forward by the next append."""

import re
import sqlite3
from pathlib import Path

import pytest

from penin_core.errors import StateError
from penin_core.ledger import opening
from penin_core.ledger.schema import MIGRATIONS
from penin_core.ledger.store import WORMLedger

DUMP = Path(__file__).parent / "data" / "ledger_v1.sql"
ROOT = "1b6ef41dd5b2821d0f48d8e168d29b88ebe667a9f7bc20fb1b716310094ed98d"
LATER = (
    "CREATE INDEX runs_by_verdict ON runs (verdict)",
    "CREATE TABLE labels (idx INTEGER PRIMARY KEY REFERENCES entries (idx), label TEXT) STRICT",
    "INSERT INTO labels SELECT idx, reason FROM runs WHERE reason IS NOT NULL",
)


@pytest.fixture
def path(tmp_path):
    """A ledger that the first version of the schema wrote."""
    found = tmp_path / "ledger.db"
    connection = sqlite3.connect(found)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(DUMP.read_text(encoding="utf-8"))
    connection.close()
    return found


@pytest.fixture
def later(monkeypatch):
    """A penin whose schema has one version more."""
    monkeypatch.setattr(opening, "MIGRATIONS", (*MIGRATIONS, LATER))
    monkeypatch.setattr(opening, "SCHEMA_VERSION", len(MIGRATIONS) + 1)


def stored(path):
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    leaves = connection.execute("SELECT idx, leaf FROM entries ORDER BY idx").fetchall()
    connection.close()
    return version, leaves


def test_a_ledger_of_version_1_is_valid_today(path):
    with WORMLedger(path) as ledger:
        found = ledger.verify()
        assert (found.valid, found.size, found.root) == (True, 6, ROOT)
        assert [run["id"] for run in ledger.runs()] == ["r1", "r0"]
        assert ledger.run("r1")["reason"] == "better, été"
        assert [event.kind for event in ledger.events()] == [
            "BOOTSTRAP",
            "CONFIRM",
            "PROMOTE",
            "TUNE",
        ]


def test_reading_brings_nothing_forward(path, later):
    before = path.read_bytes()
    with WORMLedger(path) as ledger:
        found = ledger.verify()
        assert (found.valid, found.root) == (True, ROOT)
        assert ledger.runs(1)[0]["id"] == "r1"
    assert path.read_bytes() == before


def test_an_append_brings_it_forward_and_rewrites_no_entry(path, later):
    before = stored(path)
    with WORMLedger(path) as ledger:
        assert ledger.record_event("TUNE", {}).idx == 6
        assert ledger.verify().valid
    version, leaves = stored(path)
    assert (before[0], version) == (1, 2)
    assert leaves[:6] == before[1]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM labels").fetchall() == [(3, "better, été")]
    connection.close()


def test_a_new_ledger_has_all_versions_at_once(tmp_path, later):
    with WORMLedger(tmp_path / "new.db") as ledger:
        ledger.record_event("TUNE", {})
        assert ledger.settings()["user_version"] == 2
        assert ledger.verify().valid


def test_a_step_that_fails_leaves_the_version_before(path, monkeypatch):
    monkeypatch.setattr(
        opening, "MIGRATIONS", (*MIGRATIONS, (LATER[0], "CREATE TABLE entries (x)"))
    )
    monkeypatch.setattr(opening, "SCHEMA_VERSION", 2)
    before = stored(path)
    with (
        WORMLedger(path) as ledger,
        pytest.raises(StateError, match="cannot be opened for writing"),
    ):
        ledger.record_event("TUNE", {})
    assert stored(path) == before
    monkeypatch.undo()
    with WORMLedger(path) as ledger:
        assert ledger.verify().valid


def test_a_step_that_would_touch_an_entry_is_refused_by_the_file(path, monkeypatch):
    touching = ("UPDATE entries SET leaf = leaf WHERE idx = 0",)
    monkeypatch.setattr(opening, "MIGRATIONS", (*MIGRATIONS, touching))
    monkeypatch.setattr(opening, "SCHEMA_VERSION", 2)
    with WORMLedger(path) as ledger, pytest.raises(StateError, match="entries is append-only"):
        ledger.record_event("TUNE", {})


def test_no_step_after_the_first_drops_or_changes_the_entries():
    later_steps = [statement for step in MIGRATIONS[1:] for statement in step]
    forbidden = re.compile(r"\b(DROP|ALTER|UPDATE|DELETE|REPLACE)\b[^;]*\bentries", re.IGNORECASE)
    assert [statement for statement in later_steps if forbidden.search(statement)] == []


def test_a_ledger_that_was_brought_forward_is_refused_by_an_earlier_penin(path, later, monkeypatch):
    with WORMLedger(path) as ledger:
        ledger.record_event("TUNE", {})
    monkeypatch.undo()
    with pytest.raises(StateError, match="has schema version 2, this penin knows up to 1"):
        WORMLedger(path)
