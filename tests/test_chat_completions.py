"""The base of providers that speak OpenAI's chat completions."""

from typing import ClassVar

import pytest

from penin_core import Capabilities, ChatCompletionsProvider, Message, Reply, Request
from penin_core.testing import HttpProviderConformance

REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "acme-2",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi."},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "Hi", "logprob": -0.5, "bytes": None}]},
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


class Acme(ChatCompletionsProvider):
    """Models of Acme."""

    name = "acme"
    base_url = "https://acme.example/v1"
    key_env = "ACME_API_KEY"


class Own(Acme):
    """A service with names of its own, and a model that cannot be sampled hot."""

    names: ClassVar = {"max_tokens": "max_completion_tokens", "seed": "random_seed"}

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(seed=True, refused=("temperature", "logprobs"))


class TestAcme(HttpProviderConformance):
    component = Acme
    model = "acme-2"
    reply = REPLY


def ask(**changes):
    given = {"provider": "acme", "model": "acme-2", "max_tokens": 5}
    return Request(**given, messages=(Message(role="user", content="Hello?"),), **changes)


def answered(message, **changes):
    choice = {**REPLY["choices"][0], "message": message, **changes}
    return Acme().decode(Reply(status=200, body={**REPLY, "choices": [choice]}))


def test_everything_that_was_asked_is_written():
    call = Acme().encode(
        ask(system="Be brief.", seed=3, logprobs=True, temperature=0.5, extra={"stop": ["\n"]})
    )
    assert (call.method, call.path) == ("POST", "/chat/completions")
    assert call.body == {
        "model": "acme-2",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello?"},
        ],
        "temperature": 0.5,
        "top_p": 1.0,
        "max_tokens": 5,
        "seed": 3,
        "logprobs": True,
        "stop": ["\n"],
    }


def test_a_service_has_its_own_names_and_refuses_by_those_of_the_request():
    body = Own().encode(ask(seed=3, logprobs=True)).body
    assert {*body} == {"model", "messages", "top_p", "max_completion_tokens", "random_seed"}


def test_an_answer_carries_its_log_probabilities_and_its_usage():
    found = answered({"content": "Hi."})
    assert (found.text, found.logprobs) == ("Hi.", (-0.5,))
    assert (found.tokens_in, found.tokens_out, found.finish) == (9, 2, "stop")


@pytest.mark.parametrize("finish", ["content_filter", "tool_calls", None])
def test_another_reason_to_stop_is_no_ordinary_one(finish):
    assert answered({"content": "Hi."}, finish_reason=finish).finish == "other"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": None}, ""),
        ({"content": [{"type": "thinking"}, {"type": "text", "text": "Hi"}]}, "Hi"),
    ],
)
def test_content_comes_whole_in_parts_or_as_a_refusal(message, text):
    assert answered(message).text == text


def test_a_message_without_content_is_no_empty_answer():
    with pytest.raises(KeyError, match="content"):
        answered({"role": "assistant"})


def test_a_stream_adds_up_to_the_answer():
    events = [
        {"choices": [{"delta": {"role": "assistant"}}]},
        {"choices": [{"delta": {"content": "Hi"}}]},
        {"choices": [{"delta": {"content": "."}}]},
        {"choices": [], "usage": REPLY["usage"]},
    ]
    assert "".join(map(Acme().decode_event, events)) == "Hi."
