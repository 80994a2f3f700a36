"""A model that nobody knew when the plugin was written: what it refuses is learned and reported."""

import asyncio

import pytest

from penin_core import Message, Price, Request
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.testing.loopback import Answer, Loopback
from penin_openai.provider import OpenAI, OpenAIOptions

CHAT = {
    "model": "omni-7",
    "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
RESPONSE = {
    "status": "completed",
    "model": "omni-7",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def reasoning(asked):
    """Answer as a model that reasons: 400 to whatever says how to sample."""
    for name in ("temperature", "top_p", "logprobs", "include"):
        if name in asked.json:
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            error = {"message": message, "type": "invalid_request_error", "param": name,
                     "code": "unsupported_parameter"}  # fmt: skip
            return Answer(400, {"error": error})
    return Answer(200, CHAT if asked.path == "/chat/completions" else RESPONSE)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_what_a_new_model_refuses_is_dropped_and_reported(api, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-12345678")
    question = Request(
        provider="openai",
        model="omni-7",
        messages=(Message(role="user", content="Hi?"),),
        temperature=0.2,
        logprobs=True,
    )

    async def answers(made):
        free = {"openai:omni-7": Price(input_per_million=0, output_per_million=0)}
        budget, cache = Budget(tmp_path / "b.db"), ResponseCache(tmp_path / "c.db")
        engine = Engine(lambda name: made, budget=budget, cache=cache, prices=free)
        try:
            return [
                (await engine.answer([question.model_copy(update={"sample": n})]))[0]
                for n in range(2)
            ]
        finally:
            await engine.aclose()

    with Loopback(reasoning) as server:
        found = asyncio.run(answers(OpenAI(OpenAIOptions(base_url=server.url, api=api))))
        calls = len(server.asked)
    assert [answer.text for answer in found] == ["Hi.", "Hi."]
    assert all({"temperature", "top_p", "logprobs"} <= {*answer.dropped} for answer in found)
    assert calls == 5, "three refusals, learned once, and two answers"
