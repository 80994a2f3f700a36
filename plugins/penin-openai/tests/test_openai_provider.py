"""What is written to OpenAI and to compatible services, and how their answers are read."""

from typing import Any, ClassVar

import pytest

from penin_core import Call, Message, ProviderRefused, ProviderUnavailable, Reply, Request
from penin_core.testing import HttpProviderConformance
from penin_openai.provider import Compatible, CompatibleOptions, OpenAI, OpenAIOptions

CHAT = {
    "id": "chatcmpl-B9MBs8Cj",
    "object": "chat.completion",
    "created": 1741569952,
    "model": "gpt-4.1-mini-2025-04-14",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
            "logprobs": {
                "content": [
                    {"token": "Hello", "logprob": -0.01, "bytes": [72], "top_logprobs": []},
                    {"token": "!", "logprob": -9999.0, "bytes": [33], "top_logprobs": []},
                ],
                "refusal": None,
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
    "service_tier": "default",
}
RESPONSE = {
    "id": "resp_67ccd3a9",
    "object": "response",
    "created_at": 1741476777,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-4.1-mini-2025-04-14",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_67ccd3ac",
            "status": "completed",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "Hello!",
                    "annotations": [],
                    "logprobs": [{"token": "Hello!", "logprob": -0.25, "top_logprobs": []}],
                }
            ],
        },
    ],
    "usage": {"input_tokens": 32, "output_tokens": 18, "total_tokens": 50},
}


class TestOpenAIChat(HttpProviderConformance):
    component = OpenAI
    model = "gpt-4.1-mini"
    reply = CHAT
    events = (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"index": 0, "delta": {"content": "Hello!"}}]},
        {"choices": [], "usage": CHAT["usage"]},
    )


class TestOpenAIResponses(HttpProviderConformance):
    component = OpenAI
    options: ClassVar[Any] = {"api": "responses"}
    model = "gpt-4.1-mini"
    reply = RESPONSE
    events = (
        {"type": "response.created", "response": {}},
        {"type": "response.output_text.delta", "delta": "Hello!"},
        {"type": "response.output_text.done", "text": "Hello!"},
    )


class TestCompatible(HttpProviderConformance):
    component = Compatible
    options: ClassVar[Any] = {"base_url": "http://localhost:11434/v1"}
    model = "llama3.2"
    reply = CHAT
    events = TestOpenAIChat.events


def provider(**options):
    return OpenAI(OpenAIOptions(**options))


def ask(model="gpt-4.1-mini", **changes):
    messages = (Message(role="user", content="Hello?"),)
    given = {"system": "Be brief.", "max_tokens": 20, "seed": 5, "logprobs": True, **changes}
    return Request(provider="openai", model=model, messages=messages, **given)


def read(body, **options):
    return provider(**options).decode(Reply(status=200, body=body))


def test_a_chat_model_takes_everything():
    body = provider().encode(ask(temperature=0.3)).body
    assert body["max_completion_tokens"] == 20
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.3, 1.0, 5)
    assert body["logprobs"] is True
    assert "max_tokens" not in body


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5-mini-2025-08-07", "gpt-5.4", "gpt-6-luna", "o3"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_model_that_reasons_is_not_told_how_to_sample(model, api):
    made = provider(api=api)
    body = made.encode(ask(model)).body
    assert {"temperature", "top_p", "logprobs", "include"} & body.keys() == set()
    assert {"temperature", "top_p", "logprobs"} <= {*made.capabilities(model).refused}
    assert made.capabilities(model).logprobs is False


@pytest.mark.parametrize(
    ("model", "sampled"),
    [("gpt-5.1", True), ("gpt-6-luna", True), ("gpt-5-nano", False), ("o3", False)],
)
def test_without_reasoning_it_can_be_sampled_where_reasoning_can_be_switched_off(model, sampled):
    made = provider(reasoning_effort="none")
    body = made.encode(ask(model)).body
    assert ("temperature" in body and "logprobs" in body) is sampled
    assert body["reasoning_effort"] == "none"


def test_the_candidate_s_own_effort_wins():
    extra = {"reasoning_effort": "high"}
    assert provider(reasoning_effort="low").encode(ask(extra=extra)).body["reasoning_effort"] == (
        "high"
    )


@pytest.mark.parametrize(
    ("model", "date"),
    [
        ("gpt-4.1-mini-2025-04-14", "2027-01-14"),
        ("ft:gpt-4.1-mini-2025-04-14:acme:slots:abc", "2027-01-14"),
        ("gpt-5.4-nano", "2027-04-01"),
        ("gpt-5.4", None),
        ("gpt-6-luna", None),
    ],
)
def test_a_model_that_goes_away_says_when(model, date):
    assert provider().capabilities(model).shutdown_date == date


def test_the_list_of_models_says_which_go_away():
    steps = provider().shutdown_dates()
    assert next(steps) == Call(method="GET", path="/models")
    dates = {"gpt-5": "2026-12-11", "gpt-6-luna": None}
    listed = [{"id": model, "shutdown_date": date} for model, date in dates.items()]
    with pytest.raises(StopIteration) as stopped:
        steps.send(Reply(status=200, body={"data": [*listed, {"id": "older"}]}))
    assert stopped.value.value == {"gpt-5": "2026-12-11"}


def test_a_stream_is_asked_for_in_the_words_of_the_endpoint():
    assert provider().streaming["stream_options"] == {"include_usage": True}
    assert provider(api="responses").streaming == {"stream": True}


def test_what_a_model_refuses_is_looked_up_once(monkeypatch):
    made, asked = provider(), []
    known = OpenAI.capabilities
    monkeypatch.setattr(OpenAI, "capabilities", lambda self, m: asked.append(m) or known(self, m))
    for model in ("gpt-5.4", "gpt-4.1", "gpt-5.4"):
        made.encode(ask(model))
    assert asked == ["gpt-5.4", "gpt-4.1"]


def test_a_response_is_asked_for_without_leaving_a_copy():
    body = provider(api="responses", reasoning_effort="low").encode(ask()).body
    assert body == {
        "model": "gpt-4.1-mini",
        "input": [{"role": "user", "content": "Hello?"}],
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "store": False,
        "temperature": 1.0,
        "top_p": 1.0,
        "include": ["message.output_text.logprobs"],
        "reasoning": {"effort": "low"},
    }


def test_log_probabilities_come_through_both_endpoints():
    assert read(CHAT).logprobs == (-0.01, -9999.0)
    assert read(RESPONSE, api="responses").logprobs == (-0.25,)


def test_fewer_tokens_than_the_responses_api_takes_are_refused_before_anything_is_sent():
    with pytest.raises(ProviderRefused, match="max_tokens = 15"):
        provider(api="responses").encode(ask(max_tokens=15))


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "other")]
)
def test_an_incomplete_response_says_why_it_stopped(reason, finish):
    body = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": reason}}
    assert read(body, api="responses").finish == finish


@pytest.mark.parametrize(
    ("code", "error"),
    [("server_error", ProviderUnavailable), ("invalid_prompt", ProviderRefused)],
)
def test_a_response_that_failed_is_an_error_with_its_code(code, error):
    body = {**RESPONSE, "status": "failed", "error": {"code": code, "message": "No."}}
    with pytest.raises(error, match=f"{code}: No."):
        read(body, api="responses")


def test_a_response_that_still_runs_is_no_answer():
    with pytest.raises(ValueError, match="in_progress"):
        read({**RESPONSE, "status": "in_progress"}, api="responses")


def test_a_refusal_is_the_answer():
    said = {"type": "message", "content": [{"type": "refusal", "refusal": "I cannot."}]}
    assert read({**RESPONSE, "output": [said]}, api="responses").text == "I cannot."


def test_the_account_that_pays_stands_in_the_headers():
    assert provider(organization="org-1", project="proj-1").headers("k") == {
        "Authorization": "Bearer k",
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj-1",
    }


def test_a_compatible_service_costs_nothing_only_where_that_is_said():
    url = "http://localhost:8080/v1"
    own = Compatible(CompatibleOptions(base_url=url, free=True))
    rented = Compatible(CompatibleOptions(base_url=url, key_env="ACME_KEY"))
    assert own.capabilities("any").price is not None
    assert rented.capabilities("any").price is None
    assert (own.key_env, rented.key_env) == ("", "ACME_KEY")
