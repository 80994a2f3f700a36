"""Append-only: what SQL can reach on a default connection is refused by the file itself."""

import sqlite3

import pytest

from penin_core.ledger.leaves import digest
from penin_core.ledger.rows import COLUMNS
from penin_core.ledger.store import WORMLedger

TABLES = {**COLUMNS, "entries": ("leaf", "idx")}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("state") / "ledger.db"
    config = {"model": "a"}
    champion = {"config": config, "config_hash": digest(config), "run_id": "r0"}
    runs = [("RUN", run_body("r0")), ("PROMOTE", champion), ("RUN", run_body("r1"))]
    with WORMLedger(found) as ledger:
        ledger.record_many([*runs, ("TUNE", {"a": 1})])
    return found


@pytest.fixture
def outsider(path):
    """A connection with SQLite's defaults to a ledger of four entries; nothing may change."""
    connection = sqlite3.connect(path, isolation_level=None)
    before = list(connection.iterdump())
    yield connection
    assert list(connection.iterdump()) == before
    connection.close()
    with WORMLedger(path) as ledger:
        assert ledger.verify().valid


def run_body(run_id):
    return {
        "id": run_id,
        "cycle_id": "c",
        "kind": "challenger",
        "candidate_cfg_hash": "ab",
        "verdict": "fail",
        "dry_run": False,
    }


def refused(connection, sql, *values):
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql, values)


def last_row(connection, table, **changes):
    """The values of the last row of a table, changed."""
    names = TABLES[table]
    row = connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY idx DESC").fetchone()
    return list((dict(zip(names, row, strict=True)) | changes).values())


def insert(how, table):
    return f"INSERT {how} INTO {table} VALUES ({', '.join('?' * len(TABLES[table]))})"


def test_the_tables_are_all_that_there_are(outsider):
    found = outsider.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert {name for (name,) in found} == TABLES.keys()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("how", ["", "OR REPLACE", "OR IGNORE"])
def test_no_column_can_be_updated(outsider, table, how):
    for column in TABLES[table]:
        refused(outsider, f"UPDATE {how} {table} SET {column} = {column}")


@pytest.mark.parametrize("table", TABLES)
def test_no_row_can_be_deleted(outsider, table):
    refused(outsider, f"DELETE FROM {table}")
    refused(outsider, f"DELETE FROM {table} WHERE idx = (SELECT max(idx) FROM {table})")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("how", ["", "OR REPLACE", "OR IGNORE", "OR FAIL"])
def test_an_index_is_neither_used_again_nor_left_out(outsider, table, how):
    for idx in (-1, 0, 1, 2, 3, 5, 2**62, None):
        row = last_row(outsider, table, idx=idx)
        # Here the index comes first.
        values = row[::-1] if table == "entries" else row
        refused(outsider, insert(how, table), *values)


@pytest.mark.parametrize("table", TABLES)
def test_replace_and_upsert_are_refused(outsider, table):
    names = ", ".join(TABLES[table])
    marks = ", ".join("?" * len(TABLES[table]))
    row = last_row(outsider, table)
    refused(outsider, f"REPLACE INTO {table} ({names}) VALUES ({marks})", *row)
    refused(
        outsider,
        f"INSERT INTO {table} ({names}) VALUES ({marks}) "
        "ON CONFLICT (idx) DO UPDATE SET idx = excluded.idx",
        *row,
    )


@pytest.mark.parametrize("how", ["", "OR REPLACE"])
def test_a_run_is_not_replaced_under_the_index_of_a_new_entry(outsider, how):
    outsider.execute("BEGIN")
    outsider.execute("INSERT INTO entries VALUES (4, x'00')")
    refused(outsider, insert(how, "runs"), *last_row(outsider, "runs", id="r0", idx=4))
    outsider.execute("ROLLBACK")


def test_one_entry_has_one_row(outsider):
    outsider.execute("BEGIN")
    outsider.execute("INSERT INTO entries VALUES (4, x'00')")
    outsider.execute(insert("", "runs"), last_row(outsider, "runs", id="r4", idx=4))
    refused(outsider, insert("", "events"), *last_row(outsider, "events", idx=4))
    outsider.execute("ROLLBACK")


def test_values_of_another_type_are_refused(outsider):
    outsider.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in BLOB column"):
        outsider.execute("INSERT INTO entries VALUES (4, 'text')")
    outsider.execute("INSERT INTO entries VALUES (4, x'00')")
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in REAL column"):
        outsider.execute(insert("", "runs"), last_row(outsider, "runs", id="r4", idx=4, sr="good"))
    outsider.execute("ROLLBACK")


def test_the_harness_bites(tmp_path):
    """Without the dense-index trigger, INSERT OR REPLACE gets past the other two."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (idx INTEGER PRIMARY KEY, leaf)")
    for action in ("UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER no_{action} BEFORE {action} ON t "
            "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
        )
    connection.execute("INSERT INTO t VALUES (0, 'true')")
    connection.execute("INSERT OR REPLACE INTO t VALUES (0, 'false')")
    assert connection.execute("SELECT leaf FROM t").fetchone() == ("false",)
    connection.close()
