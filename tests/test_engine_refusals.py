"""What a model turns out to refuse is left out and reported; what bounds a price never is."""

import asyncio
import json

import httpx2
import pytest

from penin_core import (
    Capabilities,
    ChatCompletionsProvider,
    Completion,
    Message,
    Price,
    ProviderRefused,
    Request,
)
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine

ANSWER = {
    "model": "m",
    "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


class Service(ChatCompletionsProvider):
    """A service that gives log-probabilities, or says so."""

    name = "service"
    base_url = "https://service.example"

    def capabilities(self, model):
        free = Price(input_per_million=0.0, output_per_million=0.0)
        return Capabilities(logprobs=model != "silent", seed=True, price=free)


def refusal(name, code="unsupported_value"):
    error = {"message": f"not {name}", "type": "invalid_request_error", "param": name, "code": code}
    return httpx2.Response(400, json={"error": error})


@pytest.fixture
def asked(tmp_path):
    """Return a function that asks a service that refuses some parameters; and what it was sent."""

    def run(*refused, times=1, model="m", code="unsupported_value"):
        sent = []

        def respond(request):
            body = json.loads(request.content)
            sent.append(body)
            name = next((name for name in refused if name in body), None)
            return refusal(name, code) if name else httpx2.Response(200, json=ANSWER)

        async def go():
            engine = Engine(
                lambda name: Service(),
                budget=Budget(tmp_path / "budget.db", 1.0),
                cache=ResponseCache(tmp_path / "cache.db"),
                transport=httpx2.MockTransport(respond),
            )
            messages = (Message(role="user", content="Hello?"),)
            one = Request(provider="service", model=model, messages=messages, seed=7, logprobs=True)
            found = []
            try:
                for number in range(times):
                    found += await engine.answer([one.model_copy(update={"sample": number})])
                return found
            finally:
                await engine.aclose()

        return asyncio.run(go()), sent

    return run


@pytest.mark.parametrize("code", ["unsupported_value", "unsupported_parameter"])
def test_a_refused_parameter_is_left_out_and_reported(asked, code):
    (answer,), sent = asked("temperature", code=code)
    assert isinstance(answer, Completion)
    assert "temperature" in answer.dropped
    assert ["temperature" in body for body in sent] == [True, False]


def test_what_was_learned_once_is_not_tried_again(asked):
    answers, sent = asked("temperature", "seed", times=3)
    assert [{"temperature", "seed"} <= {*answer.dropped} for answer in answers] == [True] * 3
    assert len(sent) == 5


def test_the_limit_of_an_answer_is_never_left_out(asked):
    (answer,), sent = asked("max_tokens")
    assert isinstance(answer, ProviderRefused)
    assert (answer.code, answer.param, answer.status) == ("unsupported_value", "max_tokens", 400)
    assert len(sent) == 1


def test_another_error_about_a_parameter_is_an_error(asked):
    (answer,), sent = asked("temperature", code="invalid_type")
    assert isinstance(answer, ProviderRefused)
    assert len(sent) == 1


def test_log_probabilities_that_were_promised_and_do_not_come_are_noticed(asked):
    assert asked()[0][0].dropped == ("logprobs",)
    assert asked(model="silent")[0][0].dropped == ()
