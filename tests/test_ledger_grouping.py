"""Group commit: what many threads append shares transactions, and nothing else."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger import grouping
from penin_core.ledger.grouping import GroupCommit
from penin_core.ledger.store import WORMLedger


@pytest.fixture
def ledger(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def writer(ledger):
    with GroupCommit(ledger) as opened:
        yield opened


@pytest.fixture
def batches(ledger, monkeypatch):
    """How many drafts each transaction had."""
    sizes, append = [], ledger.append
    monkeypatch.setattr(
        ledger, "append", lambda drafts: sizes.append(len(drafts)) or append(drafts)
    )
    return sizes


def run_body(run_id):
    return {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": "ab",
        "verdict": "fail",
        "dry_run": False,
    }


def until(condition):
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    pytest.fail("it never happens")


@contextmanager
def gathered(writer, batches, appends):
    """Give the futures of appends that all wait while another one holds the writer up."""
    before = len(batches)
    with ThreadPoolExecutor(len(appends) + 1) as pool:
        with writer.ledger.lock:
            pool.submit(writer.record_event, "TUNE", {})
            until(lambda: len(batches) == before + 1)
            futures = [pool.submit(append) for append in appends]
            until(lambda: writer._waiting.qsize() == len(appends))
        yield futures


def results(writer, batches, appends):
    with gathered(writer, batches, appends) as futures:
        return [future.exception() or future.result() for future in futures]


def test_what_waits_is_written_in_one_transaction(ledger, writer, batches):
    appends = [lambda n=n: writer.record_event("TUNE", {"n": n}) for n in range(20)]
    entries = results(writer, batches, appends)
    assert batches == [1, 20]
    assert sorted(entry.idx for entry in entries) == list(range(1, 21))
    assert all(ledger.entry(entry.idx).body["n"] == n for n, entry in enumerate(entries))
    assert ledger.verify().valid


def test_a_transaction_of_256_entries_takes_no_further_draft(ledger, writer, batches):
    items = [("TUNE", {})] * 100
    results(writer, batches, [lambda: writer.record_many(items) for _ in range(6)])
    assert batches == [1, 3, 3]
    assert ledger.size == 601


def test_a_draft_of_its_own_may_be_longer(ledger, writer):
    assert len(writer.record_many([("TUNE", {})] * 300)) == 300
    assert ledger.size == 300


def test_a_draft_that_is_refused_takes_no_other_with_it(ledger, writer, batches):
    ledger.record_run(run_body("r1"))
    bad = lambda: writer.record_many([("TUNE", {}), ("RUN", run_body("r1"))])  # noqa: E731
    good = [lambda n=n: writer.record_run(run_body(f"s{n}")) for n in range(5)]
    found = results(writer, batches, [*good, bad])
    assert isinstance(found[-1], ValueError)
    assert "a run id is used once" in str(found[-1])
    assert sorted(entry.idx for entry in found[:-1]) == [2, 3, 4, 5, 6]
    assert ledger.size == 7
    assert ledger.verify().valid


def test_what_cannot_be_a_leaf_is_refused_before_it_waits(ledger, writer):
    with pytest.raises(ValueError, match="GOSSIP"):
        writer.record_event("GOSSIP", {})
    assert writer.record_many([]) == []
    assert ledger.size == 0


def test_a_failed_write_is_told_to_everybody_who_waited(ledger, writer, batches, monkeypatch):
    def fail(_):
        raise StateError("the disk is full")

    append = lambda: writer.record_event("TUNE", {})  # noqa: E731
    with gathered(writer, batches, [append] * 3) as futures:
        pass
    assert [future.result().idx for future in futures] == [1, 2, 3]
    batches.clear()
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_append", fail)
        errors = results(writer, batches, [append] * 3)
    assert [str(error) for error in errors] == ["the disk is full"] * 3
    assert writer.record_event("TUNE", {}).idx == 4


def test_who_holds_the_lock_appends_at_once(ledger, writer):
    with ledger.lock:
        assert writer.record_event("TUNE", {}).idx == 0
        assert ledger.size == 1


def test_a_closed_writer_refuses_and_the_ledger_goes_on(ledger):
    writer = GroupCommit(ledger)
    writer.record_event("TUNE", {})
    writer.close()
    writer.close()
    with pytest.raises(StateError, match="was closed"):
        writer.record_event("TUNE", {})
    assert ledger.record_event("TUNE", {}).idx == 1


def test_closing_writes_what_waits(ledger, batches):
    writer = GroupCommit(ledger)
    append = lambda: writer.record_event("TUNE", {})  # noqa: E731
    with gathered(writer, batches, [append] * 7) as futures:
        writer.close()
        assert sorted(future.result().idx for future in futures) == list(range(1, 8))


def test_a_ledger_that_is_invalid_is_told_to_the_caller(ledger, writer):
    ledger.path.write_bytes(b"dear diary " * 100)
    with pytest.raises(LedgerInvalid, match="is damaged"):
        writer.record_event("TUNE", {})


def test_the_limit_is_that_of_the_format():
    assert grouping.LIMIT == 256
