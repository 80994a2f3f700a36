"""Group commit: one transaction for many, in order, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from penin_core.engine.books import Books
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.commits import Commits
from penin_core.engine.money import End, Wish
from penin_core.errors import BudgetExceeded, StateError
from penin_core.records import Completion

ANSWER = Completion(text="x", model="m", tokens_in=1, tokens_out=1)


def test_what_comes_while_one_group_is_written_forms_the_next() -> None:
    groups: list[list[int]] = []
    go_on = threading.Event()

    def write(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        go_on.wait(5)
        return [10 * item for item in items]

    async def go() -> list[int]:
        commits = Commits("test", write)
        first = [commits.add(n) for n in range(3)]
        while not groups:
            await asyncio.sleep(0.001)
        later = [commits.add(n) for n in range(3, 6)]
        go_on.set()
        found = await asyncio.gather(*first, *later)
        await commits.close()
        return found

    assert asyncio.run(go()) == [0, 10, 20, 30, 40, 50]
    assert groups == [[0, 1, 2], [3, 4, 5]]


def test_a_failure_belongs_to_its_item_or_to_the_whole_group() -> None:
    def write(items: Sequence[int]) -> list[int | Exception]:
        if 9 in items:
            raise StateError("disk full")
        return [ValueError("odd") if item % 2 else item for item in items]

    async def go() -> None:
        commits = Commits("test", write)
        even, odd = commits.add(2), commits.add(3)
        assert await even == 2
        with pytest.raises(ValueError, match="odd"):
            await odd
        for item in (commits.add(9), commits.add(2)):
            with pytest.raises(StateError):
                await item
        await commits.close()
        again = commits.add(4)
        await commits.close()
        assert again.result() == 4

    asyncio.run(go())


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(Budget(tmp_path / "b.db", 0.001), ResponseCache(tmp_path / "c.db"), None)


def test_many_calls_share_few_transactions(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[tuple[int, int]] = []
    apply = books.budget.apply

    def counted(ends: Sequence[End], wishes: Sequence[Wish]) -> object:
        groups.append((len(ends), len(wishes)))
        return apply(ends, wishes)

    monkeypatch.setattr(books.budget, "apply", counted)

    async def call(number: int) -> None:
        async with books.flight(10, f"k{number}") as reservation:
            await books.keep([(f"k{number}", ANSWER)])
            books.settle(reservation, 4)

    async def go() -> None:
        await asyncio.gather(*map(call, range(64)))
        await books.settled()
        assert books.budget.spent_today() == 64 * 4
        assert len(books.cache.get_many(f"k{n}" for n in range(64))) == 64
        await books.close()

    asyncio.run(go())
    assert sum(wishes for _, wishes in groups) == sum(ends for ends, _ in groups) == 64
    assert len(groups) < 32


def test_a_reservation_that_nobody_waits_for_any_more_is_given_back(books: Books) -> None:
    async def go() -> None:
        async def call() -> None:
            async with books.flight(10, "k"):
                raise AssertionError("never gets here")

        task = asyncio.ensure_future(call())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await books.close()
        assert books.budget.open_reservations() == ()
        assert books.budget.spent_today() == 0
        books.budget.close()

    asyncio.run(go())


def test_what_a_callback_still_wants_written_is_written_before_the_end() -> None:
    written: list[str] = []

    def write(items: Sequence[str]) -> list[None]:
        written.extend(items)
        return [None] * len(items)

    async def go() -> None:
        commits: Commits[str, None] = Commits("test", write)
        first = commits.add("first")
        first.add_done_callback(lambda _: commits.add("second"))
        while not first.done():
            await asyncio.sleep(0)
        await commits.close()

    asyncio.run(go())
    assert written == ["first", "second"]


def test_who_gives_up_waiting_for_the_end_does_not_stop_the_writing() -> None:
    go_on = threading.Event()

    def write(items: Sequence[str]) -> list[str]:
        go_on.wait(5)
        return [*items]

    async def go() -> None:
        commits = Commits("test", write)
        done = commits.add("first")
        closing = asyncio.ensure_future(commits.close())
        for _ in range(5):
            await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        go_on.set()
        assert await asyncio.wait_for(done, 5) == "first"
        await commits.close()

    asyncio.run(go())


def test_who_finds_no_money_waits_in_turn_while_others_are_in_flight(books: Books) -> None:
    order: list[int] = []
    waiting = asyncio.Event()

    async def call(number: int, bound: int) -> None:
        async with books.flight(bound, f"k{number}") as reservation:
            order.append(number)
            await waiting.wait()
            books.settle(reservation, 1)

    async def go() -> None:
        first = asyncio.ensure_future(call(0, 900))
        while not order:
            await asyncio.sleep(0.001)
        second = asyncio.ensure_future(call(1, 600))
        await books.settled()
        while not books._queue.locked():
            await asyncio.sleep(0.001)
        # The second does not fit beside the first; the third would, and waits behind it.
        third = asyncio.ensure_future(call(2, 90))
        await asyncio.sleep(0.05)
        assert order == [0]
        waiting.set()
        await asyncio.gather(first, second, third)
        with pytest.raises(BudgetExceeded):
            await call(3, 1000)
        await books.close()

    asyncio.run(go())
    assert order == [0, 1, 2]


def test_what_cannot_be_settled_is_said_at_the_end_and_stays_reserved(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with books.flight(10, "k") as reservation:

            def full(ends: object, wishes: object) -> object:
                raise StateError("disk full")

            with monkeypatch.context() as patched:
                patched.setattr(books.budget, "apply", full)
                books.settle(reservation, 4)
                with pytest.raises(StateError, match="disk full"):
                    await books.settled()
        (left,) = books.budget.open_reservations()
        assert left.bound_micro_usd == 10
        await books.close()

    asyncio.run(go())


def test_a_block_that_is_cancelled_leaves_its_money_reserved_and_nobody_waiting(
    books: Books,
) -> None:
    async def call(bound: int) -> None:
        async with books.flight(bound, "k"):
            await asyncio.sleep(60)

    async def go() -> None:
        task = asyncio.ensure_future(call(900))
        while not books._held:
            await asyncio.sleep(0.001)
        waiting = asyncio.ensure_future(call(500))
        while not books._queue.locked():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(BudgetExceeded, match="reserved"):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(BudgetExceeded):
            await asyncio.wait_for(call(500), 10)
        await books.close()

    asyncio.run(go())
    assert [each.bound_micro_usd for each in books.budget.open_reservations()] == [900]
    books.budget.close()
