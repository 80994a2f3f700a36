"""The ledger: what is appended, what is refused, and what lies in the file."""

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import penin_core
from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger import queries
from penin_core.ledger.leaves import digest
from penin_core.ledger.merkle import EMPTY_ROOT, leaf_hash, root
from penin_core.ledger.rows import EVENT_KINDS
from penin_core.ledger.store import WORMLedger

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(penin_core.__file__).parents[1])}


@pytest.fixture
def ledger(tmp_path):
    with WORMLedger(tmp_path / "state" / "ledger.db") as opened:
        yield opened


def run_body(run_id="r1", **more):
    return {
        "id": run_id,
        "cycle_id": "c1",
        "kind": "challenger",
        "candidate_cfg_hash": "ab",
        "verdict": "rollback",
        "dry_run": False,
        **more,
    }


def champion_body(name="a", **more):
    config = {"model": name}
    return {"config": config, "config_hash": digest(config), "run_id": "r1", **more}


def outside(path):
    """A connection as any other program would open one."""
    return sqlite3.connect(path, isolation_level=None)


def leaves_of(path):
    connection = outside(path)
    found = connection.execute("SELECT idx, leaf FROM entries ORDER BY idx").fetchall()
    connection.close()
    return found


def test_nothing_is_written_before_the_first_append(tmp_path, ledger):
    assert (ledger.size, ledger.root(), ledger.runs(), ledger.events()) == (
        0,
        EMPTY_ROOT.hex(),
        [],
        [],
    )
    assert ledger.verify().valid
    assert list(tmp_path.iterdir()) == []


def test_an_entry_is_a_leaf_with_a_dense_index_from_0(ledger):
    first = ledger.record_event("TUNE", {"a": 1.5})
    second = ledger.record_run(run_body())
    stored = leaves_of(ledger.path)
    assert [idx for idx, _ in stored] == [first.idx, second.idx] == [0, 1]
    assert stored[0][1].decode() == f'{{"body":{{"a":1.5}},"kind":"TUNE","ts":"{first.ts}","v":1}}'
    assert [leaf_hash(leaf).hex() for _, leaf in stored] == [first.leaf_hash, second.leaf_hash]
    assert ledger.root() == root(leaf_hash(leaf) for _, leaf in stored).hex()
    assert ledger.size == 2


def test_an_entry_is_read_back_as_it_was_given(ledger):
    body = {"a": [1, 2.5, None, True, "é"], "b": {"c": {}}}
    written = ledger.record_event("CONFIRM", body, run_id="r9")
    entry = ledger.entry(0)
    assert (entry.kind, entry.body) == ("CONFIRM", body | {"run_id": "r9"})
    assert (entry.idx, entry.leaf_hash, entry.ts) == (0, written.leaf_hash, written.ts)
    assert ledger.events("CONFIRM") == [entry]


def test_a_run_row_has_what_was_measured_and_none_for_the_rest(ledger):
    measured = {"u_score": 1, "sigma_guard_ok": True, "cost_micro_usd": 1_500_000, "n_tasks": 7}
    entry = ledger.record_run(run_body(**measured, detail={"evidence": [1, 2]}))
    row = ledger.run("r1")
    assert {name: row[name] for name in measured} == measured
    assert (row["cost_usd"], row["idx"], row["leaf_hash"]) == (1.5, 0, entry.leaf_hash)
    assert row["sigma_guard_ok"] is True
    assert row["dry_run"] is False
    assert row["s_score"] is row["ir_ic_ok"] is row["caos_phi"] is None
    assert ledger.entry(0).body["detail"] == {"evidence": [1, 2]}


def test_runs_come_newest_first_and_by_cycle(ledger):
    ledger.record_many(
        [("RUN", run_body(f"r{n}", cycle_id=f"c{n % 2}")) for n in range(5)],
    )
    assert [run["id"] for run in ledger.runs()] == ["r4", "r3", "r2", "r1", "r0"]
    assert [run["id"] for run in ledger.runs(2)] == ["r4", "r3"]
    assert [run["id"] for run in ledger.runs(1, cycle_id="c1")] == ["r3"]
    assert [run["id"] for run in ledger.runs(before=3)] == ["r2", "r1", "r0"]
    assert [run["id"] for run in ledger.runs(1, cycle_id="c0", before=4)] == ["r2"]
    assert ledger.runs(before=0) == []


def test_runs_are_found_by_the_configuration_that_they_measured(ledger):
    for number, key in enumerate(("aa", "bb", "aa")):
        ledger.record_run(run_body(f"r{number}", candidate_cfg_hash=key))
    assert [run["id"] for run in ledger.runs(candidate="aa")] == ["r2", "r0"]
    assert ledger.runs(candidate="cc") == []


def test_measured_is_what_neither_failed_nor_was_a_dry_run(ledger):
    runs = {
        "good": {},
        "failed": {"verdict": "fail"},
        "dry": {"dry_run": True},
        "twice": {"verdict": "fail"},
    }
    for key, said in runs.items():
        ledger.record_run(run_body(key, candidate_cfg_hash=key, **{"verdict": "rollback", **said}))
    ledger.record_run(run_body("again", candidate_cfg_hash="twice", verdict="rollback"))
    assert ledger.measured() == {"good", "twice"}


def test_a_cycle_that_the_budget_ended_has_measured_nothing_yet(ledger):
    for key, said in (("raced", "raced_out: place 3"), ("cut", "budget_exhausted: the time")):
        verdict = "fail" if key == "cut" else "rollback"
        about = {"candidate_cfg_hash": key, "verdict": verdict, "reason": said, "cycle_id": "c1"}
        ledger.record_run(run_body(key, **about))
    assert ledger.measured() == set()
    ledger.record_run(run_body("later", candidate_cfg_hash="raced", cycle_id="c2"))
    assert ledger.measured() == {"raced"}


def test_events_come_oldest_first_and_by_kind(ledger):
    for number, kind in enumerate(["TUNE", "BUDGET", "TUNE", "CONFIRM"]):
        ledger.record_event(kind, {"n": number})
    assert [event.body["n"] for event in ledger.events()] == [0, 1, 2, 3]
    assert [event.body["n"] for event in ledger.events("TUNE")] == [0, 2]
    assert [event.body["n"] for event in ledger.events(("CONFIRM", "BUDGET"))] == [1, 3]
    assert [event.body["n"] for event in ledger.events(limit=2)] == [2, 3]
    assert [event.body["n"] for event in ledger.events("TUNE", limit=1)] == [2]
    assert ledger.events(limit=0) == []


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_kind_of_event_is_accepted_and_verifies(ledger, kind):
    ledger.record_event(kind, champion_body())
    assert ledger.events(kind)[0].kind == kind
    assert ledger.verify().valid


def test_many_items_get_consecutive_indices_in_their_order(ledger):
    ledger.record_event("TUNE", {})
    items = [("RUN", run_body("r1")), ("RUN", run_body("r2")), ("PROMOTE", champion_body())]
    assert [entry.idx for entry in ledger.record_many(items)] == [1, 2, 3]
    assert [ledger.entry(idx).kind for idx in (1, 2, 3)] == ["RUN", "RUN", "PROMOTE"]


def test_nothing_to_append_writes_nothing(ledger):
    assert ledger.record_many([]) == []
    assert not ledger.path.exists()


@pytest.mark.parametrize(
    "bad",
    [
        ("TUNE", {"a": float("nan")}),
        ("GOSSIP", {}),
        ("RUN", run_body("r1")),
        ("RUN", run_body("r2", verdict="maybe")),
        ("PROMOTE", {}),
        ("TUNE", {"a": "x" * 70_000}),
    ],
)
def test_many_items_are_appended_all_or_none(ledger, bad):
    ledger.record_event("TUNE", {})
    before = ledger.root()
    with pytest.raises(ValueError):  # noqa: PT011
        ledger.record_many([("RUN", run_body("r1")), bad, ("TUNE", {})])
    assert (ledger.size, ledger.root()) == (1, before)
    assert ledger.record_event("TUNE", {}).idx == 1
    assert ledger.verify().valid


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": None}, "run field 'verdict' is missing"),
        ({"verdict": "maybe"}, "CHECK constraint failed: verdict IN"),
        ({"kind": "other"}, "CHECK constraint failed: kind IN"),
        ({"u_score": 1.5}, "CHECK constraint failed: u_score BETWEEN"),
        ({"u_score": "0.5"}, "run field 'u_score' is '0.5', expected real"),
        ({"u_score": True}, "run field 'u_score' is True, expected real"),
        ({"seed": 1.5}, "run field 'seed' is 1.5, expected integer"),
        ({"dry_run": 0}, "run field 'dry_run' is 0, expected flag"),
        ({"u_scor": 0.5}, "run field 'u_scor' is unknown"),
        ({"cost_usd": 0.5}, "'cost_usd' is unknown; money is an integer: cost_micro_usd"),
        ({"cost_micro_usd": 0.5}, "run field 'cost_micro_usd' is 0.5, expected integer"),
        ({"cost_micro_usd": -1}, "CHECK constraint failed: cost_micro_usd >= 0"),
        ({"detail": 1}, "run field 'detail' is not an object"),
        ({"id": "../x"}, r"run id '\.\./x' does not match"),
        ({"id": "R1"}, "run id 'R1' does not match"),
        ({"artifacts_path": "runs/r1"}, "artifacts_path and manifest_sha256 go together"),
        (
            {"artifacts_path": "runs/r2", "manifest_sha256": "0" * 64},
            "CHECK constraint failed: artifacts_path",
        ),
    ],
)
def test_a_wrong_run_is_refused_by_name(ledger, change, words):
    with pytest.raises(ValueError, match=words):
        ledger.record_run(run_body() | change)
    assert ledger.size == 0


def test_a_run_id_is_used_once(ledger):
    ledger.record_run(run_body("r1"))
    with pytest.raises(ValueError, match="a run id is used once"):
        ledger.record_run(run_body("r1"))
    assert ledger.size == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"config": {}, "run_id": "r1"}, "config_hash is None"),
        ({"config": [], "config_hash": "0" * 64, "run_id": "r1"}, "config is missing or not"),
        (champion_body(config_hash="0" * 64), "config_hash is '0000"),
        (champion_body(run_id=None), "PROMOTE: run_id is missing"),
        (champion_body(run_id="a/b"), "run_id is 'a/b', expected an id"),
    ],
)
def test_a_promotion_without_its_configuration_is_refused(ledger, body, words):
    with pytest.raises(ValueError, match=words):
        ledger.record_event("PROMOTE", body)


def test_two_run_ids_for_one_event_are_refused(ledger):
    with pytest.raises(ValueError, match="run_id is 'r1', but 'r2' in the body"):
        ledger.record_event("TUNE", {"run_id": "r2"}, run_id="r1")


def test_what_is_not_there_is_named(ledger):
    with pytest.raises(StateError, match="run 'r7' is not in the ledger"):
        ledger.run("r7")
    with pytest.raises(StateError, match="the ledger has no entry 0: it has 0"):
        ledger.entry(0)


def test_the_settings_hold_on_the_ledger_s_own_connection(ledger):
    settings = ledger.settings()
    assert settings.pop("sqlite_version") == sqlite3.sqlite_version
    assert settings == {
        "journal_mode": "wal",
        "application_id": 0x50454E49,
        "user_version": 1,
        "busy_timeout": 30_000,
        "synchronous": 2,
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "mmap_size": 0,
    }


def test_a_reader_cannot_write(ledger):
    ledger.record_event("TUNE", {})
    with (
        pytest.raises(StateError, match="cannot be read: attempt to write a readonly database"),
        ledger._reading() as connection,
    ):
        connection.execute("INSERT INTO entries VALUES (1, x'00')")


def test_a_closed_ledger_opens_again_and_leaves_one_file(ledger):
    ledger.record_event("TUNE", {})
    ledger.close()
    assert sorted(path.name for path in ledger.path.parent.iterdir()) == [
        "ledger.db",
        "ledger.lock",
    ]
    assert ledger.record_event("TUNE", {}).idx == 1
    assert ledger.size == 2


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing says which files are open")
def test_a_lock_that_was_taken_for_nothing_is_closed_with_the_ledger(tmp_path):
    def opened():
        files = [file.resolve() for file in Path("/proc/self/fd").iterdir()]
        return [file.name for file in files if file.parent == tmp_path.resolve()]

    with WORMLedger(tmp_path / "ledger.db") as ledger, ledger.lock:
        assert opened() == ["ledger.lock"]
        ledger.close()
        assert opened() == ["ledger.lock"], "it is still held"
    assert opened() == []


def test_two_ledgers_on_one_file_take_turns(ledger):
    with WORMLedger(ledger.path) as other:
        indices = [each.record_event("TUNE", {}).idx for each in [ledger, other] * 5]
        assert indices == list(range(10))
        assert ledger.size == other.size == 10


def test_threads_share_a_ledger(ledger):
    with ThreadPoolExecutor(4) as pool:
        entries = list(pool.map(lambda n: ledger.record_event("TUNE", {"n": n}), range(60)))
    assert sorted(entry.idx for entry in entries) == list(range(60))
    assert all(ledger.entry(entry.idx).body["n"] == n for n, entry in enumerate(entries))


def test_a_held_lock_keeps_others_from_appending(ledger):
    ledger.record_event("TUNE", {})
    with WORMLedger(ledger.path) as other:
        writer = threading.Thread(target=other.record_event, args=("TUNE", {}))
        with ledger.lock:
            assert ledger.record_event("TUNE", {}).idx == 1
            writer.start()
            writer.join(0.2)
            assert writer.is_alive()
            assert ledger.size == 2
        writer.join(10)
        assert ledger.size == 3


def test_an_interrupted_append_leaves_nothing(ledger, monkeypatch):
    ledger.record_event("TUNE", {})

    def interrupted(connection):
        connection.execute("INSERT INTO entries VALUES (1, x'00')")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queries, "size", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.record_event("TUNE", {})
    with WORMLedger(ledger.path) as other:
        assert other.record_event("TUNE", {}).idx == 1
    assert ledger.verify().valid


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"dear diary " * 100)
    with pytest.raises(LedgerInvalid, match=r"ledger\.db is damaged: file is not a database"):
        WORMLedger(path)
    assert path.read_bytes() == b"dear diary " * 100


def test_a_foreign_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "ledger.db"
    connection = outside(path)
    connection.execute("CREATE TABLE entries (idx, leaf)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerInvalid, match="is a database, but not a ledger of penin"):
        WORMLedger(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_turns_foreign_is_not_written(tmp_path):
    ledger = WORMLedger(tmp_path / "ledger.db")
    connection = outside(ledger.path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerInvalid, match="not a ledger of penin"):
        ledger.record_event("TUNE", {})
    assert ledger.path.read_bytes() == before


def test_a_newer_schema_is_refused(ledger):
    ledger.record_event("TUNE", {})
    ledger.close()
    connection = outside(ledger.path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StateError, match="has schema version 2, this penin knows up to 1"):
        WORMLedger(ledger.path)


def test_an_empty_file_is_an_empty_ledger(tmp_path):
    (tmp_path / "ledger.db").touch()
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        assert ledger.size == 0
        assert ledger.record_event("TUNE", {}).idx == 0


def test_a_state_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "state").write_text("mine")
    with pytest.raises(StateError, match="cannot be read: Not a directory"):
        WORMLedger(tmp_path / "state" / "ledger.db")
    assert (tmp_path / "state").read_text() == "mine"


def test_a_ledger_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(StateError, match=r"ledger\.db is not a file"):
        WORMLedger(tmp_path / "ledger.db")


def grown(ledger):
    """The bytes of a closed ledger of a few hundred pages."""
    ledger.record_many([("TUNE", {"n": number, "text": "x" * 3000}) for number in range(200)])
    ledger.close()
    return ledger.path.read_bytes()


def test_a_file_cut_short_is_refused_and_kept(ledger):
    half = grown(ledger)
    half = half[: len(half) // 2]
    ledger.path.write_bytes(half)
    with pytest.raises(LedgerInvalid, match="is damaged: database disk image is malformed"):
        WORMLedger(ledger.path)
    assert ledger.path.read_bytes() == half


def test_a_wiped_page_is_found(ledger):
    whole = bytearray(grown(ledger))
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 4096] = bytes(4096)
    ledger.path.write_bytes(whole)
    with WORMLedger(ledger.path) as wiped:
        assert not wiped.verify().valid


def python(code, *arguments):
    """Run code in another process; return what it prints."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# Another user, since the superuser may write everywhere.
UNPRIVILEGED = """
import os, sys
from pathlib import Path
from penin_core.errors import StateError
from penin_core.ledger.store import WORMLedger
os.geteuid() or os.seteuid(65534)
try:
    with WORMLedger(Path(sys.argv[1]) / "ledger.db") as ledger:
        ledger.record_event("TUNE", {})
except StateError as error:
    print(str(error).replace(sys.argv[1], "DIR"))
"""


@pytest.fixture
def common_folder(tmp_path):
    """A folder that every user of the machine can reach."""
    ours = ("pytest-", "popen-", "test_")
    for folder in (tmp_path, *tmp_path.parents[:4]):
        if folder.stat().st_uid == os.getuid() and folder.name.startswith(ours):
            folder.chmod(folder.stat().st_mode | 0o011)
    yield tmp_path
    tmp_path.chmod(0o700)


def test_a_read_only_folder_is_one_clear_error(common_folder):
    common_folder.chmod(0o555)
    assert python(UNPRIVILEGED, common_folder) == [
        "DIR/ledger.lock cannot be locked: Permission denied"
    ]


def test_a_folder_that_may_not_be_entered_is_one_clear_error(common_folder):
    common_folder.chmod(0)
    assert python(UNPRIVILEGED, common_folder) == [
        "DIR/ledger.db cannot be read: Permission denied"
    ]


# RLIMIT_FSIZE is a disk that is full for one process.
FULL_DISK = """
import resource, sys
from penin_core.errors import StateError
from penin_core.ledger.store import WORMLedger
with WORMLedger(sys.argv[1]) as ledger:
    ledger.record_event("TUNE", {"n": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    appended = 1
    try:
        while True:
            ledger.record_event("TUNE", {"n": appended, "text": "x" * 20_000})
            appended += 1
    except StateError as error:
        print("written" in str(error), ledger.size == appended > 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print(ledger.record_event("TUNE", {}).idx == appended, ledger.verify().valid)
"""


def test_after_a_full_disk_the_ledger_is_whole_and_goes_on(tmp_path):
    assert python(FULL_DISK, tmp_path / "ledger.db") == ["True True", "True True"]


def test_a_ledger_that_nobody_closed_is_closed_under_the_lock(tmp_path):
    code = """
import sys
from penin_core.ledger.store import WORMLedger
ledger = WORMLedger(sys.argv[1])
ledger.record_event("TUNE", {})
"""
    assert python(code, tmp_path / "ledger.db") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.db", "ledger.lock"]


def test_a_new_ledger_appears_whole_or_not_at_all(ledger, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.record_event("TUNE", {})
    assert not ledger.path.exists()
    with WORMLedger(ledger.path) as other:
        assert other.size == 0
    assert ledger.record_event("TUNE", {}).idx == 0
    ledger.close()
    assert sorted(path.name for path in ledger.path.parent.iterdir()) == [
        "ledger.db",
        "ledger.lock",
    ]


def test_what_an_interrupted_creation_left_is_not_used(ledger):
    ledger.path.parent.mkdir()
    for leftover in ("", "-journal", "-wal"):
        (ledger.path.parent / f".ledger.db-new{leftover}").write_bytes(b"half a page")
    assert ledger.record_event("TUNE", {}).idx == 0
    assert ledger.verify().valid


def test_cycles_come_newest_first_and_count_challengers_only(ledger):
    for run_id, cycle, kind in [
        ("r1", "c1", "baseline"),
        ("r2", "c1", "challenger"),
        ("r3", "c2", "challenger"),
        ("r4", None, "challenger"),
        ("r5", "c3", "baseline"),
        ("r6", "c1", "challenger"),
    ]:
        ledger.record_run(run_body(run_id, cycle_id=cycle, kind=kind))
    assert ledger.cycles() == ["c1", "c2"]


def test_runs_are_found_by_how_they_begin_or_end(ledger):
    for run_id in ("abc-1", "abc-2", "x-abc", "b_c"):
        ledger.record_run(run_body(run_id))
    assert ledger.run_ids("abc") == ["x-abc", "abc-2", "abc-1"]
    assert ledger.run_ids("2") == ["abc-2"]
    # No character stands for others.
    assert ledger.run_ids("%") == ledger.run_ids("a_c") == []
    assert ("abc-1" in ledger, "abc" in ledger) == (True, False)


def test_manifests_are_of_the_runs_with_files_oldest_first(ledger, monkeypatch):
    monkeypatch.setattr(queries, "LEAVES_AT_ONCE", 2)
    for number in range(5):
        files = {"artifacts_path": f"runs/r{number}", "manifest_sha256": f"{number:064x}"}
        ledger.record_run(run_body(f"r{number}", **(files if number != 1 else {})))
    assert list(ledger.manifests()) == [(n, f"r{n}", f"{n:064x}") for n in (0, 2, 3, 4)]
