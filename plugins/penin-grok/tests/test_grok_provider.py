"""What is written to xAI, and how its answers are read."""

from typing import Any, ClassVar

import pytest

from penin_core import Call, Message, Reply, Request, Wait
from penin_core.testing import HttpProviderConformance
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
