"""Serving: the best model first, the next where one fails, and none that cannot answer."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import BudgetExceeded, Capabilities, Message, Price, ProviderRefused, Request
from penin_core.engine.breaker import FIRST_OPEN_S, Breaker
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.router import Past, Route, Router, route_score
from penin_core.engine.wire import Engine
from penin_core.testing import Echo

ASKED = Request(provider="any", model="any", messages=(Message(role="user", content="Hello?"),))
shares = st.floats(0, 1)
times = st.floats(0, 1e6)


class Models(Echo):
    """Models by name: two good ones, one that fails, a dear one, a short one, and a plain one."""

    priced = {"dear": 10_000.0}

    def capabilities(self, model):
        price = self.priced.get(model, 0.0)
        return Capabilities(
            logprobs=model != "plain",
            price=Price(input_per_million=price, output_per_million=price),
            context_tokens=20 if model == "short" else None,
        )

    def generate(self, requests):
        if requests[0].model == "broken":
            return [ProviderRefused("out of order") for _ in requests]
        return super().generate(requests)


@pytest.fixture
def routed(tmp_path):
    """Return a function that answers through a router over some models, and its engine's spend."""

    def run(*routes, needs=(), times=1, usd=100.0):
        provider = Models()

        async def answers():
            engine = Engine(
                lambda name: provider,
                budget=Budget(tmp_path / "budget.db", usd),
                cache=ResponseCache(tmp_path / "cache.db"),
            )
            router = Router(engine, lambda name: provider, routes)
            try:
                asked = [ASKED.model_copy(update={"sample": n}) for n in range(times)]
                return [(await router.answer(one, needs)).model for one in asked], router.past
            finally:
                await engine.aclose()

        return asyncio.run(answers())

    return run


def route(model, quality=0.5):
    return Route("models", model, quality)


def test_quality_decides_between_equals(routed):
    found, _ = routed(route("good", 0.6), route("better", 0.9))
    assert found == ["better"]


def test_between_equals_in_everything_the_name_decides(routed):
    assert routed(route("b"), route("a"))[0] == ["a"]


def test_the_next_one_answers_where_one_fails_and_who_fails_falls_behind(routed):
    broken = route("broken", 1.0)
    found, past = routed(broken, route("good", 0.5), times=8)
    assert found == ["good"] * 8
    assert past[broken].answered == 0
    assert 1 <= past[broken].asked < 8


def test_three_are_tried_and_the_last_failure_is_the_answer(routed):
    routes = [Route(f"models{n}", "broken") for n in range(5)]
    with pytest.raises(ProviderRefused, match="out of order"):
        routed(*routes)


def test_a_model_without_what_is_needed_is_not_asked(routed):
    assert routed(route("plain", 1.0), route("good", 0.1), needs=("logprobs",))[0] == ["good"]
    assert routed(route("plain", 1.0), route("good", 0.1))[0] == ["plain"]


def test_a_model_without_room_is_not_asked(routed):
    assert routed(route("short", 1.0), route("good", 0.1))[0] == ["good"]


def test_no_route_is_a_refusal_that_names_them(routed):
    with pytest.raises(ProviderRefused, match="no route") as caught:
        routed(route("plain"), needs=("logprobs",))
    assert "models:plain" in caught.value.hint


def test_what_the_budget_cannot_pay_is_passed_over(routed):
    assert routed(route("dear", 1.0), route("good", 0.0), usd=0.01)[0] == ["good"]
    with pytest.raises(BudgetExceeded):
        routed(route("dear", 1.0), usd=0.01)


@given(shares, st.integers(0, 99), st.integers(0, 99), times, times)
def test_the_score_lies_in_its_range_and_falls_with_time_money_and_failures(q, n, s, t, c):
    past = Past(asked=n + s, answered=s, latency_s=t)
    score = route_score(q, past, c)
    assert 0 <= score <= 1
    assert route_score(q, past, c + 1) <= score
    assert route_score(q, Past(n + s, s, t + 1), c) <= score
    assert route_score(q, Past(n + s + 1, s, t), c) <= score


def test_the_score_is_the_published_one():
    past = Past(asked=8, answered=7, latency_s=2.0)
    assert route_score(0.5, past, 0.01) == pytest.approx(0.4 * 0.5 * 0.8 + 0.15 + 0.15)


@pytest.mark.parametrize("quality", [-0.1, 1.1, float("nan")])
def test_quality_is_a_share(quality):
    with pytest.raises(ValueError, match="quality"):
        Route("p", "m", quality)


def test_a_router_without_routes_is_none():
    with pytest.raises(ValueError, match="at least one"):
        Router(None, None, [])


def test_a_service_that_is_down_is_passed_over_until_a_probe_is_due(routed, monkeypatch):
    down = {"models1"}
    monkeypatch.setattr(Engine, "is_down", lambda engine, name: name in down)
    first, second = Route("models1", "first", 1.0), Route("models2", "second", 0.1)
    assert routed(first, second)[0] == ["second"]
    down.clear()
    assert routed(first, second)[0] == ["first"]


def test_a_breaker_says_whether_a_call_would_have_to_wait():
    now = 0.0
    breaker = Breaker("models", clock=lambda: now, sleep=asyncio.sleep)
    for _ in range(5):
        breaker.failed(probe=False)
    assert breaker.would_wait
    now = FIRST_OPEN_S
    assert not breaker.would_wait
    assert breaker.is_open
