"""The billing: many calls out of one reservation, and never more than the budget."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core.engine.budget import Budget
from penin_core.errors import BudgetExceeded
from penin_core.serving import billing as billing_module
from penin_core.serving.billing import CALLS, Billing


@asynccontextmanager
async def opened(path, daily=1.0):
    budget = Budget(path / "budget.db", daily)
    billing = Billing(budget)
    try:
        yield billing, budget
    finally:
        await billing.aclose()
        budget.close()


def books(path):
    """Return what is spent and what is still reserved, in micro-USD."""
    budget = Budget(path / "budget.db")
    found = budget.spent_today(), sum(one.bound_micro_usd for one in budget.open_reservations())
    budget.close()
    return found


def test_many_calls_need_one_reservation(tmp_path):
    async def run():
        async with opened(tmp_path) as (billing, budget):
            for _ in range(CALLS // 2):
                charge = await billing.hold(100)
                charge.spent = 10
                billing.settle(charge)
            assert len(budget.open_reservations()) == 1

    asyncio.run(run())
    assert books(tmp_path) == (10 * (CALLS // 2), 0)


def test_what_is_not_known_is_charged_whole(tmp_path):
    async def run():
        async with opened(tmp_path) as (billing, _):
            billing.settle(await billing.hold(100))

    asyncio.run(run())
    assert books(tmp_path) == (100, 0)


def test_a_free_call_leaves_no_trace(tmp_path):
    async def run():
        async with opened(tmp_path) as (billing, _):
            billing.settle(await billing.hold(0))

    asyncio.run(run())
    assert not (tmp_path / "budget.db").exists()


def test_a_call_that_costs_more_than_was_held_counts_whole(tmp_path):
    async def run():
        async with opened(tmp_path) as (billing, _):
            charge = await billing.hold(100)
            charge.spent = 250
            billing.settle(charge)

    asyncio.run(run())
    assert books(tmp_path) == (250, 0)


def test_what_a_killed_process_held_stays_reserved(tmp_path):
    budget = Budget(tmp_path / "budget.db", 1.0)

    async def run():
        await Billing(budget).hold(100)

    asyncio.run(run())
    budget.close()
    assert books(tmp_path) == (0, 100 * CALLS)


def test_a_call_that_is_given_up_leaves_nothing_reserved(tmp_path):
    async def run():
        async with opened(tmp_path) as (billing, _):
            waiting = asyncio.ensure_future(billing.hold(100))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(run())
    assert books(tmp_path) == (0, 0)


def test_an_old_block_is_settled(tmp_path, monkeypatch):
    monkeypatch.setattr(billing_module, "AGE_S", 0.02)

    async def run():
        async with opened(tmp_path) as (billing, budget):
            charge = await billing.hold(100)
            charge.spent = 10
            billing.settle(charge)
            for _ in range(200):
                await asyncio.sleep(0.02)
                if budget.spent_today() == 10 and not budget.open_reservations():
                    return
            raise AssertionError("it was not settled")

    asyncio.run(run())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=60),
    st.integers(50, 1000),
)
def test_all_calls_together_stay_within_the_budget(tmp_path_factory, calls, limit):
    path = tmp_path_factory.mktemp("billing")
    spent = []

    async def one(billing, bound, share):
        try:
            charge = await billing.hold(bound)
        except BudgetExceeded:
            return
        await asyncio.sleep(0)
        charge.spent = round(bound * share)
        spent.append(charge.spent)
        billing.settle(charge)

    async def run():
        async with opened(path, limit / 1_000_000) as (billing, _):
            await asyncio.gather(*(one(billing, *call) for call in calls))

    asyncio.run(run())
    assert sum(spent) <= limit
    assert books(path) == (sum(spent), 0)


def test_where_the_day_is_almost_spent_single_calls_still_go_out(tmp_path):
    async def run():
        answered = 0
        async with opened(tmp_path, 0.001) as (billing, _):
            for _ in range(20):
                try:
                    charge = await billing.hold(100)
                except BudgetExceeded:
                    continue
                charge.spent = 100
                billing.settle(charge)
                answered += 1
        return answered

    # A thousand micro-USD are ten calls of a hundred, and all ten are made.
    assert asyncio.run(run()) == 10
