"""The engine: asked once, paid once, stopped before a limit breaks, and nothing paid is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest

import penin_core
from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.contracts import Provider
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.pool import Pool
from penin_core.engine.wire import Engine, Estimate
from penin_core.errors import (
    BudgetExceeded,
    PluginInvalid,
    PluginNotFound,
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    SettingsError,
    StateError,
)
from penin_core.records import Call, Capabilities, Completion, Message, Price, Reply, Request

Answers = list[Completion | ProviderError]
Handler = Callable[[httpx2.Request], Any]
#: Five micro-USD for a token in, ten for a token out.
PRICE = Price(input_per_million=5.0, output_per_million=10.0)


class Service(ChatCompletionsProvider):
    """A service that wants a key."""

    name = "service"
    base_url = "https://service.example"
    base_url_env = "SERVICE_BASE_URL"
    key_env = "SERVICE_KEY"

    def capabilities(self, model: str) -> Capabilities:
        if model == "unpriced":
            return Capabilities()
        return Capabilities(seed=True, price=PRICE, refused=("top_p",))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", "sk-canary-0123456789")


def ask(text: str, **fields: Any) -> Request:
    turn = (Message(role="user", content=text),)
    defaults: dict[str, Any] = {"provider": "service", "model": "m", "max_tokens": 10}
    return Request(messages=turn, **{**defaults, **fields})


def text_of(request: httpx2.Request) -> str:
    return str(json.loads(request.content)["messages"][-1]["content"])


def body(text: str, tokens_out: int = 2) -> dict[str, Any]:
    return {
        "model": "m-2026",
        "choices": [{"message": {"content": text.upper()}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": tokens_out},
    }


class Wire:
    """A service in a MockTransport that counts what it is asked."""

    def __init__(self, folder: Path, handler: Handler | None = None) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.slept: list[float] = []
        self.later = 0.0
        self.handler = handler or (
            lambda request: httpx2.Response(200, json=body(text_of(request)))
        )

    async def respond(self, request: httpx2.Request) -> httpx2.Response:
        self.asked[text_of(request)] += 1
        found = self.handler(request)
        response: httpx2.Response = await found if asyncio.iscoroutine(found) else found
        return response

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.later += seconds

    def engine(
        self,
        provider: Provider | None = None,
        daily: float = 5.0,
        max_usd: float | None = None,
        **options: Any,
    ) -> Engine:
        options.setdefault("providers", lambda name: provider or Service())
        options.setdefault("transport", httpx2.MockTransport(self.respond))
        options.setdefault("clock", lambda: time.monotonic() + self.later)
        return Engine(
            budget=Budget(self.folder / "budget.db", daily, max_usd),
            cache=ResponseCache(self.folder / "cache.db"),
            sleep=self.sleep,
            **options,
        )

    def answer(self, *requests: Request, **options: Any) -> Answers:
        async def go() -> Answers:
            engine = self.engine(**options)
            try:
                return await engine.answer(requests)
            finally:
                await engine.aclose()

        return asyncio.run(go())

    def spent(self) -> int:
        budget = Budget(self.folder / "budget.db")
        try:
            return budget.spent_today()
        finally:
            budget.close()

    def reserved(self) -> int:
        budget = Budget(self.folder / "budget.db")
        try:
            return sum(each.bound_micro_usd for each in budget.open_reservations())
        finally:
            budget.close()


@pytest.fixture
def wire(tmp_path: Path) -> Callable[..., Wire]:
    return partial(Wire, tmp_path)


def texts(answers: Answers) -> list[str]:
    return [a.text if isinstance(a, Completion) else type(a).__name__ for a in answers]


def test_answers_come_in_order_with_cost_latency_and_dropped_parameters(wire: Any) -> None:
    w = wire()
    answers = w.answer(*(ask(f"q{n}") for n in range(40)))
    assert texts(answers) == [f"Q{n}" for n in range(40)]
    first = answers[0]
    assert isinstance(first, Completion)
    assert (first.cost_usd, first.dropped) == (40e-6, ("top_p",))
    assert first.latency_ms > 0
    assert (w.spent(), w.reserved()) == (40 * 40, 0)


def test_equal_requests_are_asked_once_and_repeats_are_not_equal(wire: Any) -> None:
    w = wire()
    answers = w.answer(ask("a"), ask("b"), ask("a"), ask("a", sample=1))
    assert texts(answers) == ["A", "B", "A", "A"]
    assert w.asked == {"a": 2, "b": 1}


def test_what_was_answered_is_not_asked_again_and_not_paid_again(wire: Any) -> None:
    w = wire()
    first = w.answer(ask("a"), ask("b"))
    assert w.answer(ask("b"), ask("a"), daily=0.0) == first[::-1]
    assert w.asked == {"a": 1, "b": 1}
    assert w.spent() == 80


def test_another_endpoint_has_other_answers(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    w = wire()
    w.answer(ask("a"))
    monkeypatch.setenv("SERVICE_BASE_URL", "https://other.example")
    w.answer(ask("a"))
    assert w.asked == {"a": 2}


def test_spend_counts_calls_cached_answers_errors_money_and_tokens(wire: Any) -> None:
    w = wire(
        lambda r: (
            httpx2.Response(404) if text_of(r) == "bad" else httpx2.Response(200, json=body("x"))
        )
    )

    async def go() -> Any:
        engine = w.engine()
        await engine.answer([ask("a"), ask("bad"), ask("a")])
        await engine.answer([ask("a"), ask("b")])
        await engine.aclose()
        return engine.spend

    spend = asyncio.run(go())
    assert (spend.calls, spend.cached, spend.errors) == (3, 1, 1)
    assert (spend.usd, spend.tokens_in, spend.tokens_out) == (80e-6, 8, 4)


def test_progress_counts_distinct_requests_cached_ones_first(wire: Any) -> None:
    w, seen = wire(), []
    w.answer(ask("a"), ask("b"))
    w.answer(ask("a"), ask("b"), ask("c"), ask("c"), on_answer=lambda *done: seen.append(done))
    assert seen == [(2, 3), (3, 3)]


def test_one_failing_request_takes_no_other_with_it_and_is_not_remembered(wire: Any) -> None:
    statuses = {"b": 400, "c": 401}

    def handler(request: httpx2.Request) -> httpx2.Response:
        text = text_of(request)
        return httpx2.Response(statuses.get(text, 200), json=body(text))

    w = wire(handler)
    requests = [ask("a"), ask("b"), ask("c"), ask("\ud800"), ask("d")]
    expected = ["A", "ProviderRefused", "ProviderAuthError", "ProviderRefused", "D"]
    assert texts(w.answer(*requests)) == expected
    statuses.clear()
    assert texts(w.answer(*requests)) == ["A", "B", "C", "ProviderRefused", "D"]
    assert w.asked == {"a": 1, "b": 2, "c": 2, "d": 1}
    assert (w.spent(), w.reserved()) == (4 * 40, 0)


def test_retries_wait_as_told_and_then_the_error_stands(wire: Any) -> None:
    answers = [httpx2.Response(429, headers={"retry-after": "7"}), httpx2.Response(503)]
    w = wire(lambda r: answers.pop(0) if answers else httpx2.Response(200, json=body("a")))
    assert texts(w.answer(ask("a"))) == ["A"]
    assert w.slept[0] == 7.0
    assert 0 <= w.slept[1] <= 1.0
    always = wire(lambda r: httpx2.Response(429))
    (error,) = always.answer(ask("z"))
    assert isinstance(error, ProviderRateLimited)
    assert always.asked == {"z": 5}
    assert (w.spent(), w.reserved()) == (40, 0)


def test_a_lost_reply_counts_as_paid_each_time(wire: Any) -> None:
    lost = [httpx2.ReadTimeout("lost"), httpx2.ReadError("lost")]

    def handler(request: httpx2.Request) -> httpx2.Response:
        if lost:
            raise lost.pop(0)
        return httpx2.Response(200, json=body("a"))

    w = wire(handler)
    bound = round(1e6 * asyncio.run(_estimate(w, ask("a"))).usd)
    assert texts(w.answer(ask("a"))) == ["A"]
    assert (w.spent(), w.reserved()) == (2 * bound + 40, 0)


@pytest.mark.parametrize(
    "content", [b"<html>", b"{}", json.dumps(body("a", tokens_out=-1)).encode()]
)
def test_a_reply_that_cannot_be_read_counts_as_paid_and_is_no_answer(
    wire: Any, content: bytes
) -> None:
    w = wire(lambda r: httpx2.Response(200, content=content))
    (error,) = w.answer(ask("a"))
    assert isinstance(error, ProviderBadReply)
    assert w.spent() == round(1e6 * asyncio.run(_estimate(w, ask("a"))).usd)
    assert error.__traceback__ is None


def test_the_cost_that_a_service_reports_wins(wire: Any) -> None:
    class Reporting(Service):
        """Reports its own cost."""

        def decode(self, reply: Reply) -> Completion:
            return super().decode(reply).model_copy(update={"cost_usd": 0.0000075})

    w = wire()
    (found,) = w.answer(ask("a"), provider=Reporting())
    assert isinstance(found, Completion)
    assert found.cost_usd == 8e-6
    assert w.spent() == 8


async def _estimate(w: Wire, *requests: Request) -> Estimate:
    engine = w.engine()
    try:
        return engine.estimate(requests)
    finally:
        await engine.aclose()


def test_an_estimate_counts_new_distinct_calls_and_bounds_their_price(wire: Any) -> None:
    w = wire()
    assert not list(w.folder.iterdir())
    empty = asyncio.run(_estimate(w, ask("a"), ask("b"), ask("a")))
    assert (empty.calls, empty.new_calls) == (2, 2)
    assert not list(w.folder.iterdir())
    w.answer(ask("a"))
    after = asyncio.run(_estimate(w, ask("a"), ask("b"), ask("a")))
    assert (after.calls, after.new_calls) == (2, 1)
    assert 40e-6 < after.usd == empty.usd / 2


def test_an_unknown_price_is_refused_before_anything_is_sent(wire: Any) -> None:
    w = wire()
    with pytest.raises(ProviderRefused, match="'unpriced' of provider 'service'"):
        asyncio.run(_estimate(w, ask("a", model="unpriced")))
    assert texts(w.answer(ask("a", model="unpriced"), ask("b"))) == ["ProviderRefused", "B"]
    assert w.asked == {"b": 1}


def test_the_price_of_the_settings_wins_and_makes_an_unknown_one_known(wire: Any) -> None:
    w = wire()
    stated = {"service:unpriced": Price(input_per_million=1.0, output_per_million=100.0)}
    with pytest.raises(ProviderRefused, match="no price is known") as refused:
        asyncio.run(_estimate(w, ask("a", model="unpriced")))
    assert '[prices."service:unpriced"]' in refused.value.hint
    answers = w.answer(ask("a", model="unpriced"), ask("b"), prices=stated)
    assert [each.cost_usd for each in answers] == [204e-6, 40e-6]
    assert w.spent() == 204 + 40


def test_the_engine_says_what_a_model_can_do(wire: Any) -> None:
    price = Price(input_per_million=0.0, output_per_million=0.0)
    engine = wire().engine(prices={"service:m": price})
    assert engine.capabilities("service", "m").price == price
    assert engine.capabilities("service", "n").refused == ("top_p",)
    asyncio.run(engine.aclose())


def test_without_a_key_nothing_is_sent_or_reserved(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVICE_KEY")
    w = wire()
    (error,) = w.answer(ask("a"))
    assert isinstance(error, ProviderAuthError)
    assert "SERVICE_KEY" in str(error)
    assert not w.asked
    assert not (w.folder / "budget.db").exists()


def test_settings_and_plugins_that_are_wrong_stop_everything_before_the_first_call(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = wire()

    class Neither(Provider):
        """Neither local nor remote."""

        name = "neither"

        def capabilities(self, model: str) -> Capabilities:
            return Capabilities()

    with pytest.raises(PluginInvalid, match="neither an HttpProvider nor a LocalProvider"):
        w.answer(ask("a"), provider=Neither())

    def nowhere(name: str) -> Provider:
        if name == "service":
            return Service()
        raise PluginNotFound(name)

    with pytest.raises(PluginNotFound):
        w.answer(ask("a"), ask("b", provider="gone"), providers=nowhere)
    monkeypatch.setenv("SERVICE_BASE_URL", "http://service.example")
    with pytest.raises(SettingsError, match="not https"):
        w.answer(ask("a"))
    assert not w.asked


def test_a_provider_that_cannot_write_a_request_is_named_in_its_place(wire: Any) -> None:
    class Broken(Service):
        """Cannot write one request, and writes nonsense for another."""

        def encode(self, request: Request) -> Call:
            content = request.messages[0].content
            if content == "raise":
                raise KeyError("template")
            return super().encode(request) if content == "a" else "call"  # type: ignore[return-value]

    answers = wire().answer(ask("raise"), ask("a"), ask("type"), provider=Broken())
    assert texts(answers) == ["ProviderRefused", "A", "ProviderRefused"]
    assert "'template'" in str(answers[0])
    assert "returned str, not Call" in str(answers[2])


# Money and time


def test_the_call_that_could_break_the_limit_is_never_sent(wire: Any) -> None:
    async def slow(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0.002)
        return httpx2.Response(200, json=body(text_of(request)))

    w = wire(slow)
    bound = round(1e6 * asyncio.run(_estimate(w, ask("00"))).usd)
    daily = (bound + 3 * 40) / 1e6
    with pytest.raises(BudgetExceeded, match="spent"):
        w.answer(*(ask(f"{n:02}") for n in range(20)), daily=daily)
    # Each answer costs 40, far below its bound, so the money lasts for four.
    assert sum(w.asked.values()) == 4
    assert (w.spent(), w.reserved()) == (160, 0)
    assert texts(w.answer(*map(ask, w.asked), daily=0.0)) == list(w.asked)


def test_the_limit_of_the_run_holds_too(wire: Any) -> None:
    w = wire()
    with pytest.raises(BudgetExceeded, match="this run may spend"):
        w.answer(ask("a"), max_usd=1e-6)
    assert not w.asked


def test_what_is_in_flight_when_the_money_runs_out_still_arrives_and_is_kept(wire: Any) -> None:
    async def slow(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0.05 if text_of(request) == "00" else 0)
        return httpx2.Response(200, json=body(text_of(request), tokens_out=10))

    w = wire(slow)
    bound = round(1e6 * asyncio.run(_estimate(w, ask("00"))).usd)
    with pytest.raises(BudgetExceeded):
        w.answer(*(ask(f"{n:02}") for n in range(9)), daily=2 * bound / 1e6, concurrency=4)
    done = sorted(w.asked)
    assert "00" in done
    assert texts(w.answer(*map(ask, done), daily=0.0)) == done
    assert w.reserved() == 0


def test_an_answer_that_cannot_be_kept_stops_the_paying(wire: Any) -> None:
    w = wire()

    def handler(request: httpx2.Request) -> httpx2.Response:
        (w.folder / "cache.db").mkdir(exist_ok=True)
        return httpx2.Response(200, json=body(text_of(request)))

    w.handler = handler
    with pytest.raises(StateError, match=r"cache\.db"):
        w.answer(*(ask(f"{n:02}") for n in range(9)), concurrency=2)
    assert sum(w.asked.values()) <= 2
    assert w.reserved() > 0


def test_an_answer_that_is_being_kept_when_its_question_is_cancelled_is_settled(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, keep = wire(), ResponseCache.put_many
    writing, cancelled = threading.Event(), threading.Event()

    def slowly(cache: ResponseCache, items: Any) -> None:
        writing.set()
        cancelled.wait(10)
        keep(cache, items)

    monkeypatch.setattr(ResponseCache, "put_many", slowly)

    async def interrupted() -> None:
        engine = w.engine()
        task = asyncio.ensure_future(engine.answer([ask("a")]))
        assert await asyncio.to_thread(writing.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()
        await engine.aclose()

    asyncio.run(interrupted())
    assert (w.spent(), w.reserved()) == (40, 0)
    assert texts(w.answer(ask("a"), daily=0.0)) == ["A"]


@pytest.mark.parametrize("tokens", [10**10, 10**19, 10**25, -1])
def test_a_usage_that_nobody_can_have_is_a_bad_reply_and_takes_no_other_with_it(
    wire: Any, tokens: int
) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        text = text_of(request)
        return httpx2.Response(200, json=body(text, tokens if text == "odd" else 2))

    w = wire(handler)
    bound = round(1e6 * asyncio.run(_estimate(w, ask("odd"))).usd)
    odd, *others = w.answer(ask("odd"), *(ask(f"{n}") for n in range(7)))
    assert isinstance(odd, ProviderBadReply)
    assert texts(others) == [f"{n}" for n in range(7)]
    assert (w.spent(), w.reserved()) == (bound + 7 * 40, 0)


def test_a_cost_that_nobody_can_pay_is_a_bad_reply(wire: Any) -> None:
    class Reporting(Service):
        """Reports a cost beyond all money."""

        def decode(self, reply: Reply) -> Completion:
            return Completion(**{**dict(super().decode(reply)), "cost_usd": 1e20})

    (found,) = wire().answer(ask("a"), provider=Reporting())
    assert isinstance(found, ProviderBadReply)


def test_after_the_deadline_nothing_is_sent(wire: Any) -> None:
    w = wire()
    with pytest.raises(BudgetExceeded, match="time of this run"):
        w.answer(ask("a"), deadline_s=0.0)
    assert not w.asked


def test_a_retry_that_does_not_fit_before_the_deadline_is_not_waited_for(wire: Any) -> None:
    w = wire(lambda r: httpx2.Response(503, headers={"retry-after": "60"}))
    with pytest.raises(BudgetExceeded, match="time of this run"):
        w.answer(ask("a"), deadline_s=30.0)
    assert w.asked == {"a": 1}
    assert sum(w.slept) <= 30.0


def test_a_cancelled_call_stays_reserved_and_what_was_answered_stays_answered(wire: Any) -> None:
    reached = asyncio.Event()

    async def handler(request: httpx2.Request) -> httpx2.Response:
        if text_of(request) == "stuck":
            reached.set()
            await asyncio.sleep(60)
        return httpx2.Response(200, json=body(text_of(request)))

    w = wire(handler)
    bound = round(1e6 * asyncio.run(_estimate(w, ask("stuck"))).usd)

    async def interrupted() -> None:
        engine = w.engine(concurrency=1)
        task = asyncio.ensure_future(engine.answer([ask("a"), ask("stuck"), ask("b")]))
        await asyncio.wait_for(reached.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await engine.aclose()

    asyncio.run(interrupted())
    assert w.asked == {"a": 1, "stuck": 1}
    assert (w.spent(), w.reserved()) == (40, bound)
    assert texts(w.answer(ask("a"), daily=0.0)) == ["A"]


def test_a_call_that_is_cancelled_before_it_goes_out_costs_nothing_even_at_a_sudden_end(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting = asyncio.Event()

    async def never(_: Pool) -> None:
        connecting.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(Pool, "_connect", never)
    monkeypatch.setenv("SERVICE_BASE_URL", "http://127.0.0.1:1")
    w = wire()

    async def interrupted() -> None:
        engine = w.engine(transport=None)
        task = asyncio.ensure_future(engine.answer([ask("a"), ask("b")]))
        await asyncio.wait_for(connecting.wait(), 5)
        assert w.reserved() > 0
        task.cancel()
        await engine.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    assert (w.spent(), w.reserved()) == (0, 0)


def test_a_stream_that_is_cancelled_before_it_goes_out_costs_nothing(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Streaming(Service):
        """Streams."""

        def capabilities(self, model: str) -> Capabilities:
            return Capabilities(streaming=True, price=PRICE)

    connecting = asyncio.Event()

    async def never(_: Pool) -> None:
        connecting.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(Pool, "_connect", never)
    monkeypatch.setenv("SERVICE_BASE_URL", "http://127.0.0.1:1")
    w = wire()

    async def listen(engine: Engine) -> None:
        async for _ in engine.stream(ask("a")):
            raise AssertionError("nobody answers")

    async def interrupted() -> None:
        engine = w.engine(Streaming(), transport=None)
        task = asyncio.ensure_future(listen(engine))
        await asyncio.wait_for(connecting.wait(), 10)
        assert w.reserved() > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await engine.aclose()

    asyncio.run(interrupted())
    assert (w.spent(), w.reserved()) == (0, 0)


@pytest.mark.parametrize("asked", ["answer", "stream"])
@pytest.mark.parametrize("connects", [True, False])
def test_a_call_that_the_deadline_cuts_off_is_paid_unless_it_never_went_out(
    wire: Any, monkeypatch: pytest.MonkeyPatch, asked: str, connects: bool
) -> None:
    async def never(_: object) -> None:
        await asyncio.sleep(600)

    class Streaming(Service):
        """Streams."""

        def capabilities(self, model: str) -> Capabilities:
            return Capabilities(streaming=True, price=PRICE)

    monkeypatch.setattr(Pool, "_connect", never)
    monkeypatch.setenv("SERVICE_BASE_URL", "http://127.0.0.1:1")
    w = wire(never)
    bound = round(1e6 * asyncio.run(_estimate(w, ask("a"))).usd)
    options: dict[str, Any] = {} if connects else {"transport": None}

    async def go() -> None:
        # On a clock that stands still, time is never up before the call is sent.
        engine = w.engine(Streaming(), deadline_s=0.1, clock=lambda: 0.0, **options)
        try:
            if asked == "answer":
                await engine.answer([ask("a")])
            async for _ in engine.stream(ask("a")):
                raise AssertionError("nobody answers")
        except BudgetExceeded:
            # A report that is written now says what was paid.
            assert asked == "stream" or engine.spend.usd == (bound / 1e6 if connects else 0.0)
            raise
        finally:
            await engine.aclose()

    with pytest.raises(BudgetExceeded, match="time of this run"):
        asyncio.run(go())
    assert (w.spent(), w.reserved()) == (bound if connects else 0, 0)


def test_no_more_calls_are_in_flight_than_allowed_also_across_answers(wire: Any) -> None:
    flying, most = 0, 0

    async def handler(request: httpx2.Request) -> httpx2.Response:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.002)
        flying -= 1
        return httpx2.Response(200, json=body("x"))

    w = wire(handler)

    async def go() -> None:
        engine = w.engine(concurrency=3)
        halves = ([ask(f"{half}{n}") for n in range(10)] for half in "ab")
        await asyncio.gather(*map(engine.answer, halves))
        await engine.aclose()

    asyncio.run(go())
    assert most == 3


def test_a_deadline_is_a_number(wire: Any) -> None:
    with pytest.raises(ValueError, match="deadline_s = nan"):
        wire().engine(deadline_s=float("nan"))


def test_concurrency_starts_at_one(wire: Any) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        wire().engine(concurrency=0)


# Against a real server, in a real process


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    failures: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        text = json.loads(sent)["messages"][-1]["content"]
        status = self.failures.pop() if self.failures else 200
        reply = json.dumps(body(text)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *args: object) -> None:
        return


class _Sockets(ThreadingHTTPServer):
    request_queue_size = 64


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with _Sockets(("127.0.0.1", 0), _Server) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("SERVICE_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


def test_it_works_over_a_socket(server: None, tmp_path: Path) -> None:
    _Server.failures[:] = [503, 429]
    w = Wire(tmp_path)
    answers = w.answer(*(ask(f"q{n}") for n in range(30)), transport=None)
    assert texts(answers) == [f"Q{n}" for n in range(30)]
    assert len(w.slept) == 2
    assert (w.spent(), w.reserved()) == (30 * 40, 0)


def test_a_local_run_loads_no_http_library_and_no_price_table() -> None:
    code = """
import asyncio, sys, tempfile
from pathlib import Path
from penin_core.contracts import LocalProvider
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.records import Capabilities, Completion, Message, Request
class Model(LocalProvider):
    "One."
    name = "local"
    def capabilities(self, model): return Capabilities(batch=2)
    def generate(self, requests):
        return [Completion(text="x", model="m", tokens_in=1, tokens_out=1) for _ in requests]
with tempfile.TemporaryDirectory() as folder:
    budget, cache = Budget(Path(folder, "b")), ResponseCache(Path(folder, "c"))
    engine = Engine(lambda name: Model(), budget=budget, cache=cache)
    turn = (Message(role="user", content="x"),)
    answers = asyncio.run(engine.answer([Request(provider="local", model="m", messages=turn)]))
    asyncio.run(engine.aclose())
print(answers[0].text, sorted({"httpx2", "genai_prices"} & set(sys.modules)))
"""
    root = Path(penin_core.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "x []", done.stderr
