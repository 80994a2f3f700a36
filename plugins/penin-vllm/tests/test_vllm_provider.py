"""What is written to a vLLM server, and how its answers are read."""

from typing import Any, ClassVar

import pytest

from penin_core import Call, Message, Price, ProviderRefused, Reply, Request
from penin_core.testing import HttpProviderConformance
from penin_vllm import VLLM, VLLMOptions

REPLY = {
    "id": "chatcmpl-9f6c",
    "object": "chat.completion",
    "created": 1764000000,
    "model": "tiny-llama",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello.", "reasoning": None},
            "logprobs": {
                "content": [
                    {"token": "Hello", "logprob": -5.7277, "bytes": [72], "top_logprobs": []},
                    {"token": ".", "logprob": -5.7454, "bytes": [46], "top_logprobs": []},
                ]
            },
            "finish_reason": "length",
            "stop_reason": None,
        }
    ],
    "usage": {"prompt_tokens": 12, "total_tokens": 14, "completion_tokens": 2},
    "system_fingerprint": "vllm-0.32.0-1a2b3c4d",
}


class TestVLLM(HttpProviderConformance):
    component = VLLM
    model = "tiny-llama"
    reply = REPLY
    events = ({"choices": [{"index": 0, "delta": {"content": "Hello."}}]},)


def ask(**changes):
    messages = (Message(role="user", content="Hello?"),)
    return Request(provider="vllm", model="tiny-llama", messages=messages, **changes)


def test_an_adapter_is_a_model_of_its_own():
    assert VLLM().encode(ask(adapter="slots-1")).body["model"] == "slots-1"
    assert VLLM().encode(ask()).body["model"] == "tiny-llama"


@pytest.mark.parametrize("name", ["guided_json", "guided_choice", "guided_whitespace_pattern"])
def test_a_constraint_that_the_server_would_ignore_is_never_sent(name):
    with pytest.raises(ProviderRefused, match=name) as caught:
        VLLM().encode(ask(extra={name: "yes"}))
    assert "structured_outputs" in caught.value.hint


def test_a_constraint_by_its_present_name_is_sent():
    wanted = {"structured_outputs": {"choice": ["yes", "no"]}}
    assert VLLM().encode(ask(extra=wanted)).body["structured_outputs"] == {"choice": ["yes", "no"]}


def completion(**changes):
    """Return an answer of /completions."""
    logs = {"tokens": [" Hi", "."], "token_logprobs": [-1.5, -0.25], "top_logprobs": [{}, {}],
            "text_offset": [0, 3]}  # fmt: skip
    choice = {"index": 0, "text": " Hi.", "logprobs": logs, "finish_reason": "stop"}
    return {**REPLY, "object": "text_completion", "choices": [{**choice, **changes}]}


class TestVLLMCompletions(HttpProviderConformance):
    component = VLLM
    options: ClassVar[Any] = {"api": "completions"}
    model = "tiny-llama"
    reply = completion()


def test_a_model_without_a_template_is_asked_with_one_text():
    made = VLLM(VLLMOptions(api="completions"))
    call = made.encode(ask(system="Be brief.", logprobs=True, seed=3, adapter="slots-1"))
    assert call == Call(
        path="/completions",
        body={
            "model": "slots-1",
            "prompt": "Be brief.\n\nHello?",
            "temperature": 1.0,
            "top_p": 1.0,
            "max_tokens": 256,
            "seed": 3,
            "logprobs": 0,
        },
    )
    assert "logprobs" not in made.encode(ask()).body


def test_a_completion_is_read_with_its_log_probabilities():
    made = VLLM(VLLMOptions(api="completions"))
    found = made.decode(Reply(status=200, body=completion()))
    assert (found.text, found.logprobs, found.finish) == (" Hi.", (-1.5, -0.25), "stop")
    silent = made.decode(Reply(status=200, body=completion(logprobs=None)))
    assert silent.logprobs is None


def test_your_own_server_is_free_unless_you_say_what_it_costs():
    assert VLLM().capabilities("any").price == Price(input_per_million=0, output_per_million=0)
    price = Price(input_per_million=0.1, output_per_million=0.2)
    made = VLLM(VLLMOptions(price=price, key_env="VLLM_API_KEY"))
    assert made.capabilities("any").price == price
    assert made.key_env == "VLLM_API_KEY"
