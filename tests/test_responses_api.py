"""OpenAI's Responses API, as a service without a plugin would use it."""

import pytest

from penin_core import Message, ProviderRefused, Reply, Request
from penin_core.responses_api import decode_response, decode_response_event, encode_response

ANSWERED = {
    "status": "completed",
    "model": "m",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def ask(**changes):
    messages = (Message(role="user", content="Hello?"),)
    return Request(provider="p", model="m", messages=messages, **changes)


def test_what_a_model_refuses_is_left_out_and_extras_are_added():
    refused = ("temperature", "top_p", "logprobs")
    call = encode_response(ask(logprobs=True, seed=3, extra={"truncation": "auto"}), refused)
    assert (call.method, call.path) == ("POST", "/responses")
    assert call.body == {
        "model": "m",
        "input": [{"role": "user", "content": "Hello?"}],
        "max_output_tokens": 256,
        "store": False,
        "truncation": "auto",
    }


def test_the_limit_of_an_answer_has_a_least_value():
    assert encode_response(ask(max_tokens=16)).body["max_output_tokens"] == 16
    with pytest.raises(ProviderRefused, match="no less than 16"):
        encode_response(ask(max_tokens=15))


def test_an_answer_without_log_probabilities_has_none():
    found = decode_response(Reply(status=200, body=ANSWERED))
    assert (found.text, found.logprobs, found.finish) == ("Hi.", None, "stop")


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_an_unfinished_answer_is_no_answer(status):
    with pytest.raises(ValueError, match=status):
        decode_response(Reply(status=200, body={**ANSWERED, "status": status}))


def test_only_text_counts_in_a_stream():
    events = [
        {"type": "response.output_item.added", "item": {}},
        {"type": "response.output_text.delta", "delta": "H"},
        {"type": "response.refusal.delta", "delta": "i"},
        {"type": "response.completed", "response": ANSWERED},
    ]
    assert "".join(map(decode_response_event, events)) == "Hi"
