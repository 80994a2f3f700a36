"""What is written to Mistral, and how its answers are read."""

from typing import Any, ClassVar

import pytest

from penin_core import Call, Message, ProviderRefused, ProviderUnavailable, Reply, Request
from penin_core.testing import HttpProviderConformance
from penin_mistral.provider import Mistral, MistralOptions

REPLY = {
    "id": "cmpl-e5cc70bb28c444948073e77776eb30ef",
    "object": "chat.completion",
    "model": "mistral-small-latest",
    "created": 1702256327,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Bonjour.", "tool_calls": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 16, "completion_tokens": 34, "total_tokens": 50},
}
#: All fields of the public description of the service, which refuses others.
KNOWN = {
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "random_seed",
    "stop",
    "n",
    "response_format",
}


class TestMistral(HttpProviderConformance):
    component = Mistral
    model = "mistral-small-latest"
    reply = REPLY
    events = (
        {"choices": [{"delta": {"role": "assistant", "content": ""}, "index": 0}]},
        {"choices": [{"delta": {"content": "Bonjour."}, "index": 0}], "usage": REPLY["usage"]},
    )


class TestMistralWithLogprobs(TestMistral):
    options: ClassVar[Any] = {"logprobs": True}


def ask(**changes):
    given = {"system": "Be brief.", "max_tokens": 20, "seed": 5, "logprobs": True, **changes}
    messages = (Message(role="user", content="Hello?"),)
    return Request(provider="mistral", model="mistral-small-latest", messages=messages, **given)


def answered(**choice):
    choices = [{**REPLY["choices"][0], **choice}]
    return Mistral().decode(Reply(status=200, body={**REPLY, "choices": choices}))


def test_no_field_is_sent_that_the_service_would_refuse():
    body = Mistral().encode(ask()).body
    assert {*body} <= KNOWN
    assert body["random_seed"] == 5


def test_a_stream_is_asked_for_with_fields_that_the_service_knows():
    assert Mistral().streaming == {"stream": True}


def test_the_list_of_models_says_which_go_away():
    steps = Mistral().shutdown_dates()
    assert next(steps) == Call(method="GET", path="/models")
    listed = [{"id": "mistral-old", "deprecation": "2027-02-27T12:00:00Z"},
              {"id": "mistral-new", "deprecation": None}]  # fmt: skip
    with pytest.raises(StopIteration) as stopped:
        steps.send(Reply(status=200, body={"data": listed}))
    assert stopped.value.value == {"mistral-old": "2027-02-27"}


def test_log_probabilities_are_asked_for_only_where_the_options_say_so():
    assert Mistral().capabilities("any").refused == ("logprobs",)
    asked = Mistral(MistralOptions(logprobs=True))
    assert asked.encode(ask()).body["logprobs"] is True
    assert asked.capabilities("any").logprobs


def test_a_temperature_above_its_scale_is_refused_before_anything_is_sent():
    assert Mistral().encode(ask(temperature=1.5)).body["temperature"] == 1.5
    with pytest.raises(ProviderRefused, match=r"temperature = 1\.6"):
        Mistral().encode(ask(temperature=1.6))


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("model_length", "length")]
)
def test_an_answer_that_filled_the_context_was_cut(reason, finish):
    assert answered(finish_reason=reason).finish == finish


def test_an_answer_that_broke_off_is_an_error_and_not_an_answer():
    with pytest.raises(ProviderUnavailable):
        answered(finish_reason="error")


def test_thinking_is_no_part_of_the_answer():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Bonjour."},
    ]
    assert answered(message={"role": "assistant", "content": parts}).text == "Bonjour."
