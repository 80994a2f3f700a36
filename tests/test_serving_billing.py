"""The billing: many calls out of one reservation, and never more than the budget."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core.engine.budget import Budget
from penin_core.engine.pool import Prepared
from penin_core.engine.replies import ReplyLost
from penin_core.errors import (
    BudgetExceeded,
    ProviderAuthError,
    ProviderBadReply,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
    StateError,
)
from penin_core.serving import billing as billing_module
from penin_core.serving.billing import CALLS, Billing
from penin_core.serving.refusals import Refusal


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


SENT = Prepared("POST", "https://x", "/", {}, b"", unsent=False)
_UNPAID = (
    ProviderAuthError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
)


@pytest.mark.parametrize(
    ("error", "known", "cost"),
    [
        *((kind("no"), None, 0) for kind in _UNPAID),
        (Refusal(503, "upstream_down", "no"), None, 0),
        (ReplyLost("no"), None, 100),
        (ProviderBadReply("no"), None, 100),
        (asyncio.CancelledError(), None, 100),
        (RuntimeError("no"), None, 100),
        (ProviderRefused("what was answered"), 100, 100),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_refused_or_never_sent_costs_nothing(tmp_path, error, known, cost):
    async def call(billing):
        async with billing.paying(100, SENT) as charge:
            charge.spent = known
            raise error

    async def run():
        async with opened(tmp_path) as (billing, _):
            with pytest.raises(type(error)):
                await call(billing)

    asyncio.run(run())
    assert books(tmp_path) == (cost, 0)


def test_what_is_given_up_before_it_leaves_costs_nothing(tmp_path):
    async def call(billing):
        async with billing.paying(100, replace(SENT, unsent=True)):
            raise asyncio.CancelledError

    async def run():
        async with opened(tmp_path) as (billing, _):
            with pytest.raises(asyncio.CancelledError):
                await call(billing)

    asyncio.run(run())
    assert books(tmp_path) == (0, 0)


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


def failing(budget, monkeypatch, fails):
    """Let the disk be full for the first ``fails`` of what is written from now on."""
    real, left = budget.apply, iter(range(fails))

    def apply(ends, wishes):
        if next(left, None) is not None:
            raise StateError("the disk is full")
        return real(ends, wishes)

    monkeypatch.setattr(budget, "apply", apply)


@pytest.mark.parametrize("fails", [0, 1, 3])
@pytest.mark.parametrize("used", [True, False])
def test_a_block_is_renewed_and_settled_also_after_a_disk_that_was_full(
    tmp_path, monkeypatch, fails, used
):
    monkeypatch.setattr(billing_module, "AGE_S", 0.02)

    async def settled(budget):
        for _ in range(500):
            await asyncio.sleep(0.02)
            if budget.spent_today() == 10 and not budget.open_reservations():
                return True
        return False

    async def run():
        async with opened(tmp_path) as (billing, budget):
            charge = await billing.hold(100)
            charge.spent = 10
            billing.settle(charge)
            billing._block.used = used
            failing(budget, monkeypatch, fails)
            assert await settled(budget)

    asyncio.run(run())


@pytest.mark.parametrize(("fails", "found"), [(1, (10, 0)), (2, (0, 100 * CALLS))])
def test_at_the_end_what_could_not_be_written_is_tried_once_more(
    tmp_path, monkeypatch, caplog, fails, found
):
    async def run():
        async with opened(tmp_path) as (billing, budget):
            charge = await billing.hold(100)
            charge.spent = 10
            billing.settle(charge)
            failing(budget, monkeypatch, fails)

    asyncio.run(run())
    assert books(tmp_path) == found
    assert ("counts as spent" in caplog.text) is (fails == 2)


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
