"""Pace, breaker and retries together, on a clock that jumps: no test waits."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import selectors
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penin_core import ChatCompletionsProvider
from penin_core.engine.breaker import FIRST_OPEN_S, IN_A_ROW, OPEN_S, PATIENCE_S, Breaker
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.pace import QUIET_S, START, Pace
from penin_core.engine.replies import ServiceDown
from penin_core.engine.retry import RetryBudget
from penin_core.engine.wire import Engine
from penin_core.errors import BudgetExceeded, ProviderError
from penin_core.records import Capabilities, Completion, Message, Price, Request


class Jumping(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is due; threads run in place."""

    def __init__(self) -> None:
        self.now = 0.0
        outer = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                ready = super().select(0)
                if not ready and timeout is None:
                    raise AssertionError("everybody waits for nothing")
                outer.now += 0.0 if ready else timeout or 0.0
                return ready

        super().__init__(Selector())

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        done.set_result(func(*args))
        return done


class Memory(ResponseCache):
    """Keeps nothing: no two calls here are equal."""

    def put_many(self, items: Iterable[tuple[str, Completion]]) -> None:
        list(items)


class Service(ChatCompletionsProvider):
    """A free service."""

    name = "service"
    base_url = "https://service.example"

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(price=Price(input_per_million=0, output_per_million=0))


REPLY = {
    "model": "m",
    "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


class Priced(Service):
    """A service that wants a dollar for a million tokens."""

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(price=Price(input_per_million=1, output_per_million=1))


class World:
    """A service that is told how to answer, and an engine that asks it ``count`` questions."""

    def __init__(self, folder: Path) -> None:
        self.loop = Jumping()
        self.provider = Service()
        self.daily = 5.0
        self.sent: list[float] = []
        self.refused = 0
        self.flying = 0
        self.chance = random.Random(7)
        self.folder = folder

    def ask(
        self, count: int, respond: Callable[[], Awaitable[httpx2.Response]], **options: Any
    ) -> list[Completion | ProviderError]:
        async def handler(request: httpx2.Request) -> httpx2.Response:
            self.sent.append(self.loop.now)
            self.flying += 1
            try:
                return await respond()
            finally:
                self.flying -= 1

        async def go() -> list[Completion | ProviderError]:
            engine = Engine(
                lambda name: self.provider,
                budget=Budget(self.folder / "b", self.daily),
                cache=Memory(self.folder / "c"),
                transport=httpx2.MockTransport(handler),
                clock=self.loop.time,
                **options,
            )
            turn = (Message(role="user", content="q"),)
            questions = [
                Request(provider="service", model="m", messages=turn, sample=n)
                for n in range(count)
            ]
            try:
                return await engine.answer(questions)
            finally:
                self.model = engine._models["service"]
                await engine.aclose()

        return self.loop.run_until_complete(go())

    def money(self) -> tuple[int, int]:
        """Return what was spent, and what is still reserved, in micro-USD."""
        budget = Budget(self.folder / "b")
        try:
            reserved = sum(each.bound_micro_usd for each in budget.open_reservations())
            return budget.spent_today(), reserved
        finally:
            budget.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.loop.close()


def answered(found: list[Completion | ProviderError]) -> int:
    return sum(isinstance(each, Completion) for each in found)


# Concurrency


@pytest.mark.parametrize(("cap", "count"), [(5, 1000), (40, 1600), (80, 4000)])
def test_the_pace_finds_what_a_service_takes_and_seldom_asks_for_more(
    world: World, cap: int, count: int
) -> None:
    async def respond() -> httpx2.Response:
        if world.flying > cap:
            world.refused += 1
            await asyncio.sleep(0.05)
            return httpx2.Response(429)
        seconds = world.chance.lognormvariate(-0.125, 0.5)
        await asyncio.sleep(seconds)
        return httpx2.Response(200, json=REPLY)

    found = world.ask(count, respond)
    assert answered(found) == count
    assert count / world.loop.now >= 0.9 * cap
    assert world.refused / len(world.sent) <= 0.1


def test_without_refusals_the_pace_doubles_up_to_its_bound_and_never_beyond(world: World) -> None:
    most = 0

    async def respond() -> httpx2.Response:
        nonlocal most
        most = max(most, world.flying)
        await asyncio.sleep(1.0)
        return httpx2.Response(200, json=REPLY)

    world.ask(500, respond, concurrency=64)
    assert most == 64
    assert world.loop.now == 2 + math.ceil((500 - 20 - 40) / 64)


def pace(most: int = 100) -> tuple[Pace, list[float]]:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    return Pace(most, clock=lambda: now[0], sleep=sleep), now


def test_a_refusal_takes_one_place_and_growth_waits_for_a_quiet_time() -> None:
    paced, now = pace()
    paced.refused(None)
    assert paced.limit == START - 1
    full_round(paced)
    assert paced.limit == START - 1
    now[0] = QUIET_S
    full_round(paced)
    assert paced.limit == START


def test_a_named_time_makes_the_quiet_time_longer() -> None:
    paced, now = pace()
    paced.refused(60.0)
    now[0] = QUIET_S + 59.0
    full_round(paced)
    assert paced.limit == START - 1
    now[0] = QUIET_S + 60.0
    full_round(paced)
    assert paced.limit == START


def test_trouble_starts_the_round_anew_and_free_places_are_no_reason_to_grow() -> None:
    paced, _ = pace()
    paced.held.taken = START
    for _ in range(START - 1):
        paced.succeeded()
    paced.troubled(None)
    paced.succeeded()
    assert paced.limit == START
    paced.held.taken = START - 1
    for _ in range(3 * START):
        paced.succeeded()
    assert paced.limit == START


def test_the_limit_never_falls_below_one() -> None:
    paced, _ = pace(3)
    for _ in range(9):
        paced.refused(None)
    assert paced.limit == 1


def full_round(paced: Pace) -> None:
    paced.held.taken = round(paced.limit)
    for _ in range(round(paced.limit)):
        paced.succeeded()
    paced.held.taken = 0


# Waiting as told


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"retry-after": "7"}),
        (503, {"retry-after": "7"}),
        (429, {"retry-after-ms": "7000"}),
        (429, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7s"}),
        (429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6s1000ms"}),
    ],
)
def test_nobody_asks_before_the_time_that_the_service_named(
    world: World, status: int, headers: dict[str, str]
) -> None:
    told: list[float] = []
    replies = itertools.count(1)

    async def respond() -> httpx2.Response:
        await asyncio.sleep(0.1)
        if next(replies) == 50:
            told.append(world.loop.now)
            return httpx2.Response(status, headers=headers)
        return httpx2.Response(200, json=REPLY)

    assert answered(world.ask(200, respond)) == 200
    early = [at for at in world.sent if told[0] < at < told[0] + 7.0]
    assert early == []
    assert len(world.sent) == 201


def test_nobody_waits_for_a_service_beyond_the_deadline(world: World) -> None:
    async def respond() -> httpx2.Response:
        await asyncio.sleep(2.0)
        if world.loop.now < 20:
            return httpx2.Response(200, json=REPLY)
        return httpx2.Response(429, headers={"retry-after": "300"})

    with pytest.raises(BudgetExceeded, match="time of this run"):
        world.ask(2000, respond, deadline_s=60.0)
    assert world.loop.now < 62


@pytest.mark.parametrize(("status", "wait"), [(429, "20"), (503, "20"), (429, "10")])
def test_a_try_for_which_there_is_no_time_left_is_no_failure_of_the_model(
    world: World, status: int, wait: str
) -> None:
    async def respond() -> httpx2.Response:
        if len(world.sent) == 2:
            return httpx2.Response(status, headers={"retry-after": wait})
        return httpx2.Response(200, json=REPLY)

    with pytest.raises(BudgetExceeded, match="time of this run"):
        world.ask(2, respond, deadline_s=10.0)
    assert (world.loop.now, len(world.sent)) == (10.0, 2)


def bound(world: World) -> int:
    """Return what one question of ``world`` costs at most, in micro-USD."""
    turn = (Message(role="user", content="q"),)
    return int(world.model.bound(Request(provider="service", model="m", messages=turn)))


def test_the_deadline_cuts_off_what_is_in_flight_and_that_counts_as_paid(world: World) -> None:
    async def respond() -> httpx2.Response:
        if len(world.sent) > 30:
            await asyncio.sleep(1000.0)
        await asyncio.sleep(1.0)
        return httpx2.Response(200, json=REPLY)

    world.provider = Priced()
    with pytest.raises(BudgetExceeded, match="time of this run") as caught:
        world.ask(90, respond, deadline_s=5.0)
    assert caught.value.__cause__ is None
    assert world.loop.now == 5.0
    hung = len(world.sent) - 30
    assert hung > IN_A_ROW
    assert world.money() == (30 * 2 + hung * bound(world), 0)
    # It says nothing about the service.
    assert not world.model.breaker.is_open
    assert world.model.pace.limit >= START


def test_a_second_try_is_cut_off_too_and_costs_what_one_call_can(world: World) -> None:
    async def respond() -> httpx2.Response:
        if len(world.sent) == 1:
            return httpx2.Response(503, headers={"retry-after": "2"})
        await asyncio.sleep(1000.0)
        raise AssertionError("this is too late")

    world.provider = Priced()
    with pytest.raises(BudgetExceeded, match="time of this run"):
        world.ask(1, respond, deadline_s=5.0)
    assert (world.loop.now, len(world.sent)) == (5.0, 2)
    assert world.money() == (bound(world), 0)


def test_who_waits_for_the_money_of_a_call_that_hangs_sends_nothing_after_it(world: World) -> None:
    async def respond() -> httpx2.Response:
        await asyncio.sleep(1000.0)
        raise AssertionError("this is too late")

    world.provider, world.daily = Priced(), 0.0004
    with pytest.raises(BudgetExceeded):
        world.ask(3, respond, deadline_s=5.0)
    assert (world.loop.now, len(world.sent)) == (5.0, 1)
    assert world.money() == (bound(world), 0)


def test_an_outage_of_ten_minutes_costs_few_attempts_and_no_answer(world: World) -> None:
    async def respond() -> httpx2.Response:
        await asyncio.sleep(0.5)
        down = 20 < world.loop.now < 620
        return httpx2.Response(503) if down else httpx2.Response(200, json=REPLY)

    found = world.ask(2500, respond)
    assert answered(found) == 2500
    assert len(world.sent) <= 1.1 * 2500
    assert world.loop.now < 620 + 30 + 60


def test_a_service_that_never_answers_is_left_soon_with_one_error_for_all(world: World) -> None:
    async def respond() -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    found = world.ask(1000, respond)
    assert {type(each) for each in found} <= {ServiceDown}
    assert "has not answered once" in str(found[-1])
    assert "the last failure: provider 'service': ConnectError: refused" in str(found[-1])
    assert "check the network and base_url" in found[-1].hint
    assert world.loop.now < 20
    assert len(world.sent) < 100


def test_a_service_that_does_not_come_back_is_given_up(world: World) -> None:
    async def respond() -> httpx2.Response:
        await asyncio.sleep(0.5)
        if world.loop.now > 5:
            raise httpx2.ConnectError("gone")
        return httpx2.Response(200, json=REPLY)

    found = world.ask(2000, respond)
    assert 0 < answered(found) < 2000
    assert PATIENCE_S < world.loop.now < PATIENCE_S + 120
    assert "stopped answering" in str(found[-1])


def test_retries_are_a_tenth_of_the_calls_of_a_minute() -> None:
    now = [0.0]
    retries = RetryBudget(lambda: now[0])
    for _ in range(200):
        retries.called()
    assert [retries.reserve() for _ in range(20)] == [0.0] * 20
    assert retries.reserve() == 60.0
    now[0] = 61.0
    assert [retries.reserve() for _ in range(9)] == [0.0] * 9
    assert retries.reserve() > 0


# The breaker


class BreakerRules(RuleBasedStateMachine):
    """A breaker among calls that end in any order, against what is promised of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Jumping()
        self.breaker = Breaker("p", clock=self.loop.time, sleep=asyncio.sleep)
        self.flying: list[bool] = []
        self.waiting: list[asyncio.Task[bool]] = []
        self.probes: list[float] = []
        self.bad_in_a_row = 0

    def settle(self, seconds: float = 0.0) -> None:
        """Let the clock run, and see who got through."""

        async def watch() -> None:
            end = self.loop.now + seconds
            while True:
                for _ in range(30):
                    await asyncio.sleep(0)
                for task in [task for task in self.waiting if task.done()]:
                    self.waiting.remove(task)
                    if not task.cancelled() and task.exception() is None:
                        self.flying.append(task.result())
                        if task.result():
                            self.probes.append(self.loop.now)
                if self.loop.now >= end:
                    return
                await asyncio.sleep(min(5.0, end - self.loop.now))

        self.loop.run_until_complete(watch())

    @rule(count=st.integers(1, 4))
    def call(self, count: int) -> None:
        self.waiting += [self.loop.create_task(self.breaker.permit()) for _ in range(count)]
        self.settle()

    @rule(seconds=st.sampled_from([0.1, 1.0, FIRST_OPEN_S, OPEN_S]))
    def wait(self, seconds: float) -> None:
        self.settle(seconds)

    @precondition(lambda self: self.flying)
    @rule(how=st.sampled_from(["succeeded", "failed", "failed", "failed"]), data=st.data())
    def end(self, how: str, data: st.DataObject) -> None:
        probe = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        was_open = self.breaker.is_open
        if how == "succeeded":
            self.bad_in_a_row = 0
            self.breaker.succeeded()
            assert not self.breaker.is_open
            self.probes.clear()
            # A probe that is still out belongs to the time before.
            self.flying = [False] * len(self.flying)
        else:
            self.bad_in_a_row += 1
            self.breaker.failed(probe)
            assert self.breaker.is_open or self.bad_in_a_row < IN_A_ROW
            assert self.breaker.is_open or not was_open
        self.settle()

    @invariant()
    def one_probe_at_a_time(self) -> None:
        assert sum(self.flying) <= 1

    @invariant()
    def probes_keep_their_distance(self) -> None:
        for before, after in itertools.pairwise(self.probes):
            assert after - before >= FIRST_OPEN_S - 1e-6

    @invariant()
    def nobody_waits_while_it_is_closed(self) -> None:
        if not self.breaker.is_open:
            self.settle()
            assert not self.waiting

    def teardown(self) -> None:
        for task in self.waiting:
            task.cancel()
        self.settle()
        self.loop.close()


BreakerRules.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBreaker = BreakerRules.TestCase


def test_an_open_breaker_sends_two_probes_a_minute_and_closes_with_the_first_answer(
    world: World,
) -> None:
    breaker = Breaker("p", clock=world.loop.time, sleep=asyncio.sleep)
    probes: list[float] = []

    async def call() -> None:
        probe = await breaker.permit()
        if probe:
            probes.append(world.loop.now)
        if 10 <= world.loop.now < 310:
            breaker.failed(probe)
        else:
            breaker.succeeded()

    async def go() -> float:
        await call()
        await asyncio.sleep(10)
        for _ in range(IN_A_ROW):
            await call()
        assert breaker.is_open
        while breaker.is_open:
            await call()
        return world.loop.now

    closed = world.loop.run_until_complete(go())
    assert 310 <= closed <= 310 + OPEN_S
    for start in range(10, 310):
        assert sum(start < at <= start + 60 for at in probes) <= 2


def test_more_than_half_of_twenty_open_the_breaker_without_five_in_a_row() -> None:
    breaker = Breaker("p", clock=lambda: 0.0, sleep=asyncio.sleep)
    for _ in range(7):
        breaker.succeeded()
        breaker.failed(False)
        breaker.failed(False)
    assert breaker.is_open
