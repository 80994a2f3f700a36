"""Verification names the first entry that was changed, whatever byte of it was changed."""

import math
import shutil
import sqlite3
import struct

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from penin_core.ledger.audit import NOTHING, audit
from penin_core.ledger.leaves import digest
from penin_core.ledger.merkle import leaf_hash, root
from penin_core.ledger.rows import COLUMNS, derive
from penin_core.ledger.store import WORMLedger

CONFIG = {"model": "a", "temperature": 0.7}
RUN_BODY = {
    "cycle_id": "c1",
    "kind": "challenger",
    "git_sha": "4f4f",
    "seed": 7,
    "provider_id": "tiny",
    "candidate_cfg_hash": "ab",
    "parent_run_id": "r0",
    "u_score": 0.75,
    "s_score": 0.5,
    "c_score": 0.25,
    "l_score": 0.125,
    "linf": 0.3,
    "score": 0.6,
    "cost_micro_usd": 1234,
    "latency_ms": 12.5,
    "sigma_guard_ok": True,
    "ir_ic_ok": False,
    "sr": 0.9,
    "caos_phi": 0.4,
    "verdict": "promote",
    "reason": "proved é",
    "delta_linf": -0.1,
    "delta_score": 0.02,
    "manifest_sha256": "0f" * 32,
    "ethics_attest_hash": "cd",
    "config_hash": "ef",
    "dry_run": True,
    "param_version": 3,
    "threshold_profile": "standard",
    "suite_hash": "12",
    "n_tasks": 500,
    "detail": {"wins": [1, 2], "e": 20.5},
}
ITEMS = [
    ("BOOTSTRAP", {"config": CONFIG, "config_hash": digest(CONFIG)}),
    *(
        ("RUN", RUN_BODY | {"id": f"r{n}", "artifacts_path": f"runs/r{n}", "score": n / 10})
        for n in (1, 2, 3)
    ),
    ("PROMOTE", {"config": CONFIG, "config_hash": digest(CONFIG), "run_id": "r2"}),
    ("TUNE", {"beta_min": 0.021, "note": "größer"}),
    ("RUN", RUN_BODY | {"id": "r4", "artifacts_path": "runs/r4"}),
]
TABLES = {**COLUMNS, "entries": ("leaf", "idx")}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    with WORMLedger(path) as ledger:
        ledger.record_many(ITEMS)
        assert ledger.verify().valid
    return path


@pytest.fixture
def copy(original, tmp_path):
    return shutil.copy(original, tmp_path / "ledger.db")


class Attacker:
    """A connection that takes the triggers away, and puts them back as they were."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self):
        self.connection.execute("PRAGMA ignore_check_constraints = ON")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.connection.execute("BEGIN")
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        self.triggers = self.connection.execute(query).fetchall()
        for name, _ in self.triggers:
            self.connection.execute(f"DROP TRIGGER {name}")
        return self.connection

    def __exit__(self, *_):
        for _, sql in self.triggers:
            self.connection.execute(sql)
        self.connection.execute("COMMIT")
        self.connection.close()


def check(path):
    with WORMLedger(path) as ledger:
        return ledger.verify()


def with_one_bit_changed(value, at):
    """The value that SQLite reads after one bit of its stored form was flipped."""
    if isinstance(value, int):
        return value ^ 1 << at % 40, "?"
    if isinstance(value, float):
        raw = bytearray(struct.pack(">d", value))
    else:
        raw = bytearray(value.encode() if isinstance(value, str) else value)
    raw[at // 8 % len(raw)] ^= 1 << at % 8
    if isinstance(value, float):
        return struct.unpack(">d", raw)[0], "?"
    return bytes(raw), "CAST(? AS TEXT)" if isinstance(value, str) else "?"


CELLS = st.sampled_from([(table, name) for table, names in TABLES.items() for name in names[:-1]])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(cell=CELLS, which=st.integers(0, 6), at=st.integers(0, 8 * 2000))
def test_every_changed_bit_is_found_at_its_entry(original, tmp_path, cell, which, at):
    table, column = cell
    path = shutil.copy(original, tmp_path / "ledger.db")
    with Attacker(path) as connection:
        rows = connection.execute(f"SELECT idx, {column} FROM {table} ORDER BY idx").fetchall()
        idx, value = rows[which % len(rows)]
        changed, mark = ("new", "?") if value is None else with_one_bit_changed(value, at)
        if value is None and column != "run_id":
            changed = 1
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = {mark} WHERE idx = ?", (changed, idx)
            )
        except sqlite3.IntegrityError:
            # One bit may turn the id of a run into that of another.
            assume(column != "id")
            raise
    found = check(path)
    assert not found.valid
    assert (found.first_bad, found.size) == (idx, len(ITEMS))
    assert found.reason.startswith(f"entry {idx}: ")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, len(ITEMS) - 1), data=st.data())
def test_every_changed_byte_of_a_leaf_in_the_file_is_found_at_its_entry(
    original, tmp_path, which, data
):
    path = shutil.copy(original, tmp_path / "ledger.db")
    connection = sqlite3.connect(path)
    (leaf,) = connection.execute("SELECT leaf FROM entries WHERE idx = ?", (which,)).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    assert content.count(leaf) == 1
    at = content.index(leaf) + data.draw(st.integers(0, len(leaf) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    path.write_bytes(content)
    found = check(path)
    assert (found.valid, found.first_bad) == (False, which)


@pytest.mark.parametrize("column", ["score", "u_score", "reason", "git_sha", "sigma_guard_ok"])
def test_a_measured_value_that_was_removed_is_found(copy, column):
    with Attacker(copy) as connection:
        connection.execute(f"UPDATE runs SET {column} = NULL WHERE idx = 2")
    assert check(copy).reason == f"entry 2: runs.{column} differs from the entry"


def test_the_first_of_several_changes_is_named(copy):
    with Attacker(copy) as connection:
        connection.execute("UPDATE events SET kind = 'BUDGET' WHERE idx = 5")
        connection.execute("UPDATE runs SET verdict = 'canary' WHERE idx = 3")
        connection.execute("UPDATE runs SET verdict = 'canary' WHERE idx = 6")
    assert check(copy).reason == "entry 3: runs.verdict differs from the entry"


def test_a_removed_entry_is_found(copy):
    with Attacker(copy) as connection:
        for table in ("runs", "entries"):
            connection.execute(f"DELETE FROM {table} WHERE idx = 2")
    found = check(copy)
    assert (found.first_bad, found.reason) == (2, "entry 2: it is missing; the next one is 3")


def test_a_removed_entry_with_the_rest_moved_up_is_found(copy):
    with Attacker(copy) as connection:
        connection.execute("DELETE FROM entries WHERE idx = 2")
        connection.execute("UPDATE entries SET idx = idx - 1 WHERE idx > 2")
    assert check(copy).first_bad == 2


def test_two_entries_that_changed_places_are_found(copy):
    with Attacker(copy) as connection:
        leaves = dict(connection.execute("SELECT idx, leaf FROM entries"))
        for idx, other in ((1, 3), (3, 1)):
            connection.execute("UPDATE entries SET leaf = ? WHERE idx = ?", (leaves[other], idx))
    assert check(copy).first_bad == 1


@pytest.mark.parametrize(("table", "idx"), [("runs", 2), ("events", 5), ("runs", 6)])
def test_a_removed_row_is_found(copy, table, idx):
    with Attacker(copy) as connection:
        connection.execute(f"DELETE FROM {table} WHERE idx = ?", (idx,))
    found = check(copy)
    assert (found.first_bad, found.reason) == (
        idx,
        f"entry {idx}: its row in {table} is missing, or there is one too many",
    )


def test_a_row_without_an_entry_is_found(copy):
    with Attacker(copy) as connection:
        connection.execute("DELETE FROM entries WHERE idx = 6")
    found = check(copy)
    assert (found.first_bad, found.size) == (6, 6)
    assert found.reason == "entry 6: runs has a row for it, but it does not exist"


def test_a_row_with_two_tables_is_found(copy):
    with Attacker(copy) as connection:
        row = list(connection.execute("SELECT * FROM events WHERE idx = 5").fetchone())
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", [*row[:-1], 2])
    assert check(copy).first_bad in {2, 3}


@pytest.mark.parametrize("name", ["entries_no_update", "runs_dense", "events_by_kind"])
def test_a_missing_trigger_or_index_is_found(copy, name):
    connection = sqlite3.connect(copy, isolation_level=None)
    what = "INDEX" if name == "events_by_kind" else "TRIGGER"
    connection.execute(f"DROP {what} {name}")
    connection.close()
    found = check(copy)
    assert (found.valid, found.first_bad) == (False, None)
    assert found.reason.startswith(f"{name} is missing in the schema")


def test_an_added_trigger_is_found(copy):
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END")
    connection.close()
    assert check(copy).reason == "t in the schema was added or changed"


def test_a_damaged_index_is_found(copy):
    connection = sqlite3.connect(copy, isolation_level=None)
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'runs_by_cycle'"
    (page,) = connection.execute(query).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(copy.read_bytes())
    start = (page - 1) * size
    at = content.index(b"c1", start, start + size)
    content[at] = ord("d")
    copy.write_bytes(content)
    found = check(copy)
    assert not found.valid
    assert found.reason.startswith("SQLite's integrity check: ")


def test_a_removed_tail_leaves_no_trace_in_the_file(copy):
    with Attacker(copy) as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {table} WHERE idx > 3")
    found = check(copy)
    assert (found.valid, found.size) == (True, 4)


def test_size_and_root_describe_what_is_stored(copy):
    connection = sqlite3.connect(copy)
    leaves = [leaf for (leaf,) in connection.execute("SELECT leaf FROM entries ORDER BY idx")]
    connection.close()
    found = check(copy)
    assert (found.size, found.root) == (7, root(map(leaf_hash, leaves)).hex())
    with Attacker(copy) as connection:
        connection.execute("UPDATE runs SET score = 1 WHERE idx = 1")
    changed = check(copy)
    assert (changed.valid, changed.size, changed.root) == (False, 7, found.root)


def test_no_entries_are_valid():
    assert audit([], [], [])[0] == NOTHING


def test_the_rows_are_made_by_the_function_that_checks_them(copy):
    connection = sqlite3.connect(copy)
    for idx, leaf in connection.execute("SELECT idx, leaf FROM entries").fetchall():
        row = derive(leaf)
        names = ", ".join(COLUMNS[row.table])
        query = f"SELECT {names} FROM {row.table} WHERE idx = ?"
        assert connection.execute(query, (idx,)).fetchone() == (*row.values, idx)
        assert not any(isinstance(v, float) and math.isnan(v) for v in row.values)
    connection.close()


def test_text_that_is_no_longer_utf_8_differs_and_does_not_raise(copy):
    with Attacker(copy) as connection:
        connection.execute("UPDATE runs SET reason = CAST(x'70c328' AS TEXT) WHERE idx = 2")
    assert check(copy).reason == "entry 2: runs.reason differs from the entry"


def rows_of(leaves):
    """The stored rows of both views, as the store writes them."""
    views = {"runs": [], "events": []}
    for idx, leaf in enumerate(leaves):
        row = derive(leaf)
        views[row.table].append((*row.values, idx))
    return views


@pytest.mark.parametrize("idx", [None, "text", 7, -1])
def test_a_row_whose_index_is_no_index_is_found(original, idx):
    connection = sqlite3.connect(original)
    entries = connection.execute("SELECT idx, leaf FROM entries ORDER BY idx").fetchall()
    connection.close()
    views = rows_of(leaf for _, leaf in entries)
    assert audit(entries, views["runs"], views["events"])[0].valid
    for table in views:
        spoiled = views | {table: [*views[table], (*views[table][-1][:-1], idx)]}
        assert not audit(entries, spoiled["runs"], spoiled["events"])[0].valid


def test_a_row_that_stands_twice_is_found_at_its_entry(original):
    connection = sqlite3.connect(original)
    entries = connection.execute("SELECT idx, leaf FROM entries ORDER BY idx").fetchall()
    connection.close()
    views = rows_of(leaf for _, leaf in entries)
    twice = [row for row in views["runs"] for _ in range(1 + (row[-1] == 2))]
    assert audit(entries, twice, views["events"])[0].first_bad == 2
