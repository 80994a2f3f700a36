"""What is written to xAI, and how its answers are read."""

import asyncio
from typing import Any, ClassVar

import pytest

from penin_core import Call, Message, Reply, Request, Wait
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.testing import HttpProviderConformance
from penin_core.testing.loopback import Answer, Loopback
from penin_grok.provider import Grok, GrokOptions

CHAT = {
    "id": "a3d1008e-4544-40d4-d075-11527e794e4a",
    "object": "chat.completion",
    "created": 1752854522,
    "model": "grok-4.7",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "101 * 3 = 303.", "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 94},
        "cost_in_usd_ticks": 37756000,
    },
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "grok-4.7",
    "output": [
        {"type": "message", "content": [{"type": "output_text", "text": "303", "logprobs": None}]}
    ],
    "usage": {"input_tokens": 32, "output_tokens": 103, "cost_in_usd_ticks": 20000000000},
}


class TestGrokChat(HttpProviderConformance):
    component = Grok
    model = "grok-4.7"
    reply = CHAT
    events = ({"choices": [{"index": 0, "delta": {"content": "303"}}]},)


class TestGrokResponses(HttpProviderConformance):
    component = Grok
    options: ClassVar[Any] = {"api": "responses"}
    model = "grok-4.7"
    reply = RESPONSE
    events = ({"type": "response.output_text.delta", "delta": "303"},)


def ask(model="grok-4.7", **changes):
    given = {"max_tokens": 20, "seed": 5, "logprobs": True, **changes}
    messages = (Message(role="user", content="What is 101 * 3?"),)
    return Request(provider="grok", model=model, messages=messages, **given)


def test_reasoning_comes_on_top_and_the_service_says_what_it_charged():
    found = Grok().decode(Reply(status=200, body=CHAT))
    assert (found.tokens_in, found.tokens_out) == (32, 103)
    assert found.cost_usd == pytest.approx(0.0037756)
    other = Grok(GrokOptions(api="responses")).decode(Reply(status=200, body=RESPONSE))
    assert (other.tokens_out, other.cost_usd) == (103, 2.0)


def test_without_a_price_in_the_reply_the_cost_is_left_to_the_price_table():
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    found = Grok().decode(Reply(status=200, body={**CHAT, "usage": usage}))
    assert (found.tokens_out, found.cost_usd) == (2, None)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("grok-3-mini", True),
        ("grok-4-fast-reasoning", True),
        ("grok-4", True),
        ("grok-4.20-multi-agent", False),
        ("grok-4.7", False),
        ("grok-5", False),
    ],
)
def test_log_probabilities_are_not_asked_for_where_they_would_be_ignored(model, given):
    capabilities = Grok().capabilities(model)
    assert capabilities.logprobs is given
    assert ("logprobs" in capabilities.refused) is not given
    assert ("logprobs" in Grok().encode(ask(model)).body) is given


def test_the_responses_api_takes_no_seed():
    made = Grok(GrokOptions(api="responses"))
    assert "seed" in made.capabilities("grok-4.7").refused
    assert "seed" not in made.encode(ask()).body


def test_a_deferred_answer_is_asked_for_once_and_fetched_when_it_is_there():
    steps = Grok().deferred(ask())
    call = next(steps)
    assert isinstance(call, Call)
    assert (call.path, call.body["deferred"]) == ("/chat/completions", True)
    look = Call(method="GET", path="/chat/deferred-completion/ticket-1")
    accepted = Reply(status=200, body={"request_id": "ticket-1"})
    assert isinstance(steps.send(accepted), Wait)
    assert next(steps) == look
    assert isinstance(steps.send(Reply(status=202)), Wait)
    assert next(steps) == look
    with pytest.raises(StopIteration) as stopped:
        steps.send(Reply(status=200, body=CHAT))
    assert stopped.value.value.text == "101 * 3 = 303."


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Return what uses an engine in front of a server that answers as a function says."""
    monkeypatch.setenv("XAI_API_KEY", "xai-test-12345678")

    def run(respond, use, **options):
        slept = []

        async def sleep(seconds):
            slept.append(seconds)

        async def go(url):
            made = Grok(GrokOptions(base_url=url, **options))
            budget, cache = Budget(tmp_path / "b.db", 10.0), ResponseCache(tmp_path / "c.db")
            engine = Engine(lambda name: made, budget=budget, cache=cache, sleep=sleep)
            try:
                return await use(engine, made), engine.spend.usd, slept
            finally:
                await engine.aclose()

        with Loopback(respond) as server:
            return asyncio.run(go(server.url))

    return run


def test_a_deferred_answer_is_waited_for_at_the_service(engine):
    looks = [Answer(202), Answer(202), Answer(200, CHAT)]

    def respond(asked):
        ticket = {"request_id": "ticket-1"}
        return Answer(200, ticket) if asked.method == "POST" else looks.pop(0)

    async def deferred(engine, made):
        return await engine.drive("grok", made.deferred(ask()))

    found, spent, slept = engine(respond, deferred)
    assert (found.text, slept) == ("101 * 3 = 303.", [10.0] * 3)
    assert spent == pytest.approx(0.003776)


def test_what_the_service_charged_is_what_is_booked(engine):
    async def answered(engine, made):
        return (await engine.answer([ask("grok-4", max_tokens=200)]))[0]

    found, spent, _ = engine(lambda asked: Answer(200, CHAT), answered)
    # To the next micro-dollar; no price table is asked.
    assert found.cost_usd == spent == pytest.approx(0.003776)


def test_log_probabilities_that_silently_fail_to_come_are_noticed(engine):
    async def answered(engine, made):
        assert made.capabilities("grok-4").logprobs
        return (await engine.answer([ask("grok-4")]))[0]

    found, _, _ = engine(lambda asked: Answer(200, CHAT), answered)
    assert (found.logprobs, found.dropped) == (None, ("logprobs",))
