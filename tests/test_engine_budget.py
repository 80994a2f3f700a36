"""The budget: what is reserved is counted, by every process, until it is settled or released."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penin_core
from penin_core.engine.budget import Budget
from penin_core.engine.money import FREE, End, Wish
from penin_core.errors import BudgetExceeded, StateError

ROOT = str(Path(penin_core.__file__).parent.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "budget.db"


@pytest.fixture
def budget(path: Path) -> Iterator[Budget]:
    budget = Budget(path, daily_usd=0.001, now=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    yield budget
    budget.close()


def test_a_settled_call_costs_what_it_cost(budget: Budget) -> None:
    budget.settle(budget.reserve(600, "a"), 100)
    assert (budget.spent_today(), budget.spent_by_this_run) == (100, 100)


def test_the_books_are_read_by_day(path: Path) -> None:
    for day, spent in ((1, 300), (2, 500), (4, 700)):
        with closing(
            Budget(path, daily_usd=0.001, now=partial(datetime, 2026, 3, day, tzinfo=UTC))
        ) as budget:
            budget.settle(budget.reserve(900, "a"), spent)
            found = budget.by_day(2)
    assert found == {date(2026, 3, 4): 700, date(2026, 3, 2): 500}


def test_books_that_nobody_opened_have_no_days(budget: Budget, path: Path) -> None:
    assert budget.by_day(7) == {}
    assert not path.exists()


class Full:
    """A connection whose disk is full when it commits."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, sql: str, *given: Any) -> Any:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self.connection.execute(sql, *given)


def test_a_commit_that_fails_moves_no_money_of_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Budget(path, max_usd=0.001)) as budget:
        first = budget.reserve(600, "a")
        with monkeypatch.context() as patched:
            assert budget._database is not None
            patched.setattr(budget._database, "_connection", Full(budget._database._connection))
            with pytest.raises(StateError):
                budget.settle(first, 500)
            assert budget.spent_by_this_run == 0
            with pytest.raises(StateError):
                budget.reserve(400, "b")
        budget.settle(first, 100)
        assert (budget.spent_today(), budget.spent_by_this_run) == (100, 100)
        with pytest.raises(BudgetExceeded):
            budget.reserve(901, "c")
        assert budget.reserve(900, "c")


def test_an_unknown_cost_charges_the_whole_reservation(budget: Budget) -> None:
    budget.settle(budget.reserve(600, "a"), None)
    assert budget.spent_today() == 600


def test_a_cost_above_its_bound_counts_in_full(budget: Budget) -> None:
    budget.settle(budget.reserve(600, "a"), 5000)
    assert budget.spent_today() == 5000


def test_a_released_reservation_can_be_spent_again(budget: Budget) -> None:
    budget.release(budget.reserve(1000, "a"))
    budget.settle(budget.reserve(1000, "b"), 1000)
    assert budget.spent_today() == 1000


def test_the_last_micro_dollar_can_be_spent_and_not_one_more(budget: Budget) -> None:
    budget.reserve(999, "a")
    budget.reserve(1, "b")
    with pytest.raises(BudgetExceeded):
        budget.reserve(1, "c")


def test_a_refusal_names_limit_spent_and_reserved_and_what_to_do(budget: Budget) -> None:
    budget.settle(budget.reserve(300, "a"), 300)
    budget.reserve(200, "b")
    with pytest.raises(BudgetExceeded) as refused:
        budget.reserve(501, "c")
    for figure in ("$0.000501", "$0.001", "$0.0003 are spent", "$0.0002 reserved"):
        assert figure in str(refused.value)
    assert "daily_usd" in refused.value.hint


def test_a_refused_reservation_leaves_nothing_behind(budget: Budget) -> None:
    with pytest.raises(BudgetExceeded):
        budget.reserve(1001, "a")
    assert budget.open_reservations() == ()


@pytest.mark.parametrize("finish", ["settle", "release"])
def test_a_reservation_is_finished_once(budget: Budget, finish: str) -> None:
    number = budget.reserve(10, "a")
    budget.settle(number, 7)
    with pytest.raises(ValueError, match="no open reservation"):
        budget.settle(number, 7) if finish == "settle" else budget.release(number)
    assert budget.spent_today() == 7


def test_the_run_has_a_limit_of_its_own(path: Path) -> None:
    first, second = Budget(path, 1.0, max_usd=0.0005), Budget(path, 1.0, max_usd=0.0005)
    first.settle(first.reserve(400, "a"), 400)
    with pytest.raises(BudgetExceeded, match="this run"):
        first.reserve(101, "b")
    second.settle(second.reserve(500, "c"), 500)
    assert second.spent_today() == 900
    first.close()
    second.close()


def test_a_free_call_creates_no_file(budget: Budget, path: Path) -> None:
    number = budget.reserve(0, "a")
    budget.settle(number, 0)
    budget.release(number)
    assert number == FREE
    assert budget.spent_today() == 0
    assert not path.parent.exists()


def test_a_limit_of_zero_pays_nothing_but_lets_free_calls_pass(path: Path) -> None:
    budget = Budget(path, daily_usd=0)
    assert budget.reserve(0, "a") == FREE
    with pytest.raises(BudgetExceeded, match=r"daily limit is \$0"):
        budget.reserve(1, "b")
    assert not path.exists()


@pytest.mark.parametrize("bad", [-0.01, float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("name", ["daily_usd", "max_usd"])
def test_an_impossible_limit_is_refused(path: Path, name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=name):
        Budget(path, bad) if name == "daily_usd" else Budget(path, max_usd=bad)


def test_a_negative_bound_is_refused(budget: Budget) -> None:
    with pytest.raises(ValueError, match="negative"):
        budget.reserve(-1, "a")


def test_each_utc_day_starts_at_nothing_and_keeps_its_own_reservations(path: Path) -> None:
    today = [datetime(2026, 3, 1, 23, 59, tzinfo=UTC)]
    budget = Budget(path, daily_usd=0.001, now=lambda: today[0])
    late = budget.reserve(1000, "late")
    today[0] = datetime(2026, 3, 2, 0, 1, tzinfo=UTC)
    budget.settle(budget.reserve(900, "early"), 900)
    budget.settle(late, 1000)
    assert budget.spent_today() == 900
    budget.close()


def test_ninety_five_percent_warns_once_a_day_for_all_processes(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for cost in (940, 20, 20):
        budget = Budget(path, daily_usd=0.001)
        budget.settle(budget.reserve(cost, "a"), cost)
        budget.close()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "95 %" in warnings[0].getMessage()


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError, match=r"budget\.db"):
        Budget(path).reserve(1, "a")


def test_a_group_ends_and_reserves_at_once_and_refuses_only_what_does_not_fit(
    budget: Budget,
) -> None:
    first = budget.reserve(900, "a")
    ended, made = budget.apply(
        [End(first, 500), End(77, 1), End(FREE, None)],
        [Wish(300, "b"), Wish(300, "c"), Wish(0, "d"), Wish(200, "e")],
    )
    assert [type(problem) for problem in ended] == [type(None), ValueError, type(None)]
    assert [type(each) for each in made] == [int, BudgetExceeded, int, int]
    assert made[2] == FREE
    held = {each.key: each.bound_micro_usd for each in budget.open_reservations()}
    assert held == {"b": 300, "e": 200}
    assert budget.spent_today() == 500
    assert len({first, made[0], made[3]}) == 3


def test_a_group_that_cannot_be_written_changes_nothing(
    budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = budget.reserve(100, "a")
    with pytest.raises(ValueError, match="negative"):
        budget.apply([End(first, 100)], [Wish(10, "b"), Wish(-1, "c")])
    assert [each.key for each in budget.open_reservations()] == ["a"]


STEPS = st.lists(st.tuples(st.integers(1, 700), st.integers(0, 3), st.integers(0, 700)))


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_spent_and_reserved_never_pass_the_limit(steps: list[tuple[int, ...]]) -> None:
    with TemporaryDirectory() as folder:
        _live(Path(folder) / "budget.db", steps)


def _live(path: Path, steps: list[tuple[int, ...]]) -> None:
    held: dict[int, int] = {}
    budget, spent = Budget(path, daily_usd=0.002), 0
    for bound, what, cost in steps:
        try:
            number = budget.reserve(bound, "k")
        except BudgetExceeded:
            assert spent + sum(held.values()) + bound > 2000
            continue
        held[number] = bound
        assert spent + sum(held.values()) <= 2000
        if what == 0:
            budget.release(number)
        elif what == 1:
            budget.settle(number, min(cost, bound))
            spent += min(cost, bound)
        elif what == 2:
            budget.settle(number, None)
            spent += bound
        if what < 3:
            del held[number]
    assert budget.spent_today() == spent
    assert {r.id: r.bound_micro_usd for r in budget.open_reservations()} == held
    budget.close()


WORKER = """
import random, sys, time
from pathlib import Path
from penin_core.engine.budget import Budget
from penin_core.errors import BudgetExceeded
budget, chance, billed = Budget(Path(sys.argv[1]), daily_usd=0.002), random.Random(sys.argv[2]), 0
print("ready", flush=True)
sys.stdin.readline()
try:
    while True:
        bound = chance.randrange(20, 60)
        number = budget.reserve(bound, "k")
        cost = chance.randrange(1, bound + 1)
        billed += cost
        budget.settle(number, cost)
except BudgetExceeded:
    print(billed, flush=True)
if sys.argv[3] == "hang":
    budget.reserve(1, "in flight")
    print("reserved", flush=True)
    time.sleep(60)
budget.close()
"""


def _worker(path: Path, seed: int, mode: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path), str(seed), mode]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


def _read(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def _go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def test_processes_that_share_a_limit_never_spend_more_and_lose_no_cent(path: Path) -> None:
    workers = [_worker(path, seed) for seed in range(3)]
    assert [_read(worker) for worker in workers] == ["ready"] * 3
    for worker in workers:
        _go(worker)
    billed = sum(int(worker.communicate(timeout=30)[0]) for worker in workers)
    budget = Budget(path, daily_usd=0.002)
    assert budget.spent_today() == billed
    assert 2000 - 60 < billed <= 2000
    budget.close()


def test_a_killed_process_leaves_its_reservation_counted_until_it_is_reconciled(path: Path) -> None:
    with _worker(path, 1, "hang") as worker:
        assert _read(worker) == "ready"
        _go(worker)
        billed = int(_read(worker))
        assert _read(worker) == "reserved"
        worker.kill()
    budget = Budget(path, daily_usd=0.002)
    (left,) = budget.open_reservations()
    assert (left.key, left.bound_micro_usd) == ("in flight", 1)
    with pytest.raises(BudgetExceeded):
        budget.reserve(2000 - billed, "a")
    budget.release(left.id)
    budget.settle(budget.reserve(2000 - billed, "a"), None)
    assert budget.spent_today() == 2000
    budget.close()
