"""The money of a multi-step operation: reserved before a question, settled with its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.contracts import Steps
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.errors import (
    BudgetExceeded,
    ProviderError,
    ProviderRefused,
)
from penin_core.records import Call, Capabilities, Completion, Message, Price, Request, Wait

ASKED = Request(provider="p", model="m", messages=(Message(role="user", content="hi"),))
QUESTION = Call(path="/ask", asks=ASKED)
#: 40 tokens read and 60 written, at 1 and 2 micro-USD.
ANSWER = Completion(text="yes", model="m", tokens_in=40, tokens_out=60)
#: 16 around the prompt, 8 around the message, 2 characters, and 256 tokens of answer at 2.
BOUND = 16 + 8 + 2 + 2 * 256


class Service(ChatCompletionsProvider):
    """A service without keys, whose price is stated."""

    name = "service"
    base_url = "https://service.example"
    price: Price | None = Price(input_per_million=1.0, output_per_million=2.0)

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(price=self.price)


class Unpriced(Service):
    """A service whose price nobody knows."""

    price = None


class Bench:
    """Drives one operation; ``look`` is told what is open whenever the service is called."""

    def __init__(self, folder: Path) -> None:
        self.budget = Budget(folder / "budget.db")
        self.cache = ResponseCache(folder / "cache.db")
        self.calls = 0
        self.open: list[int] = []
        self.answer: Callable[[], httpx2.Response] = lambda: httpx2.Response(200, json={})

    def drive(self, steps: Steps, service: Service | None = None, tape: Path | None = None) -> Any:
        return asyncio.run(self._drive(steps, service or Service(), tape))

    async def _drive(self, steps: Steps, service: Service, tape: Path | None) -> Any:
        async def sleep(seconds: float) -> None:
            pass

        network = httpx2.MockTransport(self._respond)
        engine = Engine(
            lambda name: service,
            budget=self.budget,
            cache=self.cache,
            transport=network,
            sleep=sleep,
        )
        try:
            return await engine.drive("service", steps, tape=tape)
        finally:
            await engine.aclose()

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        self.open = self.bounds()
        return self.answer()

    def bounds(self) -> list[int]:
        return [each.bound_micro_usd for each in self.budget.open_reservations()]

    def books(self) -> tuple[int, list[int]]:
        """Return what is spent, and the bounds that are open."""
        return self.budget.spent_today(), self.bounds()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.budget.close()
    bench.cache.close()


def deferred() -> Steps:
    """Ask, wait, look, and return the answer."""
    yield QUESTION
    yield Wait(seconds=10)
    yield Call(method="GET", path="/look")
    return ANSWER


def test_a_question_is_reserved_while_it_is_open_and_settled_with_its_answer(bench: Bench) -> None:
    assert bench.drive(deferred()) == ANSWER
    # The second call, the look, found it still reserved.
    assert (bench.calls, bench.open) == (2, [BOUND])
    assert bench.books() == (160, [])


def test_an_answer_that_names_its_own_cost_is_charged_that(bench: Bench) -> None:
    def steps() -> Steps:
        yield QUESTION
        return ANSWER.model_copy(update={"cost_usd": 0.000123})

    bench.drive(steps())
    assert bench.books() == (123, [])


def test_a_step_that_asks_nothing_costs_nothing(bench: Bench) -> None:
    def steps() -> Steps:
        yield Call(path="/jobs")
        return ANSWER

    bench.drive(steps())
    assert bench.books() == (0, [])


def test_two_questions_for_one_answer_are_charged_in_full(bench: Bench) -> None:
    def steps() -> Steps:
        yield QUESTION
        yield QUESTION
        return ANSWER

    bench.drive(steps())
    assert bench.books() == (2 * BOUND, [])


def test_an_operation_that_gives_up_is_charged_in_full(bench: Bench) -> None:
    def steps() -> Steps:
        yield QUESTION
        raise ProviderRefused("the ticket is void")

    with pytest.raises(ProviderRefused, match="void"):
        bench.drive(steps())
    assert bench.books() == (BOUND, [])


@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_question_that_was_not_taken_costs_nothing(bench: Bench, status: int) -> None:
    bench.answer = lambda: httpx2.Response(status, json={})
    with pytest.raises(ProviderError):
        bench.drive(deferred())
    assert bench.open == [BOUND]
    assert bench.books() == (0, [])


def reset() -> httpx2.Response:
    """Lose the connection."""
    raise httpx2.ReadError("reset")


@pytest.mark.parametrize(
    "answer",
    [lambda: httpx2.Response(500, json={}), lambda: httpx2.Response(200, text="<p>"), reset],
    ids=["500", "no JSON", "lost"],
)
def test_a_question_that_may_have_been_taken_is_charged_in_full_and_not_repeated(
    bench: Bench, answer: Callable[[], httpx2.Response]
) -> None:
    bench.answer = answer
    with pytest.raises(ProviderError):
        bench.drive(deferred())
    assert bench.calls == 1
    assert bench.books() == (BOUND, [])


def test_a_question_over_the_limit_is_not_sent_and_the_operation_is_told(
    bench: Bench, tmp_path: Path
) -> None:
    told = []

    def steps() -> Steps:
        try:
            yield QUESTION
        except BudgetExceeded:
            told.append(True)
            raise

    bench.budget.close()
    bench.budget = Budget(tmp_path / "small.db", daily_usd=(BOUND - 1) / 1e6)
    with pytest.raises(BudgetExceeded):
        bench.drive(steps())
    assert (bench.calls, told) == (0, [True])
    assert bench.books() == (0, [])


def test_an_operation_does_not_wait_for_its_own_money(bench: Bench, tmp_path: Path) -> None:
    def steps() -> Steps:
        yield QUESTION
        with pytest.raises(BudgetExceeded):
            yield QUESTION
        return ANSWER

    bench.budget.close()
    bench.budget = Budget(tmp_path / "small.db", daily_usd=(2 * BOUND - 1) / 1e6)
    assert bench.drive(steps()) == ANSWER
    assert bench.calls == 1
    assert bench.books() == (160, [])


def test_a_question_without_a_price_is_not_sent(bench: Bench) -> None:
    with pytest.raises(ProviderRefused, match="no price is known"):
        bench.drive(deferred(), Unpriced())
    assert bench.calls == 0


def test_what_was_in_flight_at_a_kill_stays_counted_and_is_not_asked_again(
    bench: Bench, tmp_path: Path
) -> None:
    class Killed(BaseException):
        """The process is gone."""

    def killed() -> Steps:
        yield QUESTION
        raise Killed

    tape = tmp_path / "tape"
    with pytest.raises(Killed):
        bench.drive(killed(), tape=tape)
    assert bench.books() == (0, [BOUND])
    assert bench.drive(deferred(), tape=tape) == ANSWER
    assert bench.calls == 2
    assert bench.books() == (0, [BOUND])


def test_a_cancelled_operation_leaves_its_reservation_open(bench: Bench) -> None:
    def steps() -> Steps:
        yield QUESTION
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        bench.drive(steps())
    assert bench.books() == (0, [BOUND])
