"""What goes wrong at real services, in their own words: one clear error each, and what to do."""

import asyncio
import importlib
from contextlib import closing

import pytest

from penin_core import (
    Message,
    Price,
    ProviderAuthError,
    ProviderBadReply,
    ProviderRefused,
    ProviderUnavailable,
    Request,
    SettingsError,
)
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.testing.loopback import RESET, Answer, Loopback

KEY = "sk-test-12345678"
KEYS = {"openai": "OPENAI_API_KEY", "mistral": "MISTRAL_API_KEY", "grok": "XAI_API_KEY"}
PLACES = {
    "openai": ("penin_openai.provider", "OpenAI", {}),
    "responses": ("penin_openai.provider", "OpenAI", {"api": "responses"}),
    "mistral": ("penin_mistral.provider", "Mistral", {}),
    "grok": ("penin_grok.provider", "Grok", {}),
    "vllm": ("penin_vllm", "VLLM", {}),
    "compatible": ("penin_openai.provider", "Compatible", {"free": True}),
}
EVERYBODY = pytest.mark.parametrize("name", PLACES)
PAGE = {"content-type": "text/html; charset=utf-8"}


def made(name, url):
    module, kind, options = PLACES[name]
    pytest.importorskip(module.partition(".")[0], reason="the plugin is not installed")
    found = getattr(importlib.import_module(module), kind)
    return found(found.Options(base_url=url, **options))


@pytest.fixture
def keys(monkeypatch):
    for variable in KEYS.values():
        monkeypatch.setenv(variable, KEY)


@pytest.fixture
def ask(tmp_path, keys):
    """Return what asks one provider one question, of a server that always gives one answer."""

    async def at_once(seconds):
        return

    def ask_at(name, url, **changes):
        provider = made(name, url)
        messages = (Message(role="user", content="Hello?"),)
        asked = Request(provider=provider.name, model="m", messages=messages, **changes)
        free = {f"{provider.name}:m": Price(input_per_million=0, output_per_million=0)}

        async def answered():
            budget, cache = Budget(tmp_path / "b.db"), ResponseCache(tmp_path / "c.db")
            engine = Engine(
                lambda name: provider, budget=budget, cache=cache, sleep=at_once, prices=free
            )
            try:
                return (await engine.answer([asked]))[0]
            finally:
                await engine.aclose()

        with closing(provider):
            return asyncio.run(answered())

    def ask(name, answer, **changes):
        with Loopback(lambda asked: answer) as server:
            return ask_at(name, f"{server.url}/v1", **changes)

    ask.at = ask_at
    return ask


def openai(message, code=None, param=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


# The key


@pytest.mark.parametrize(("name", "variable"), KEYS.items())
def test_a_missing_key_names_its_variable(ask, monkeypatch, name, variable):
    monkeypatch.delenv(variable)
    error = ask(name, Answer(200, {}))
    assert isinstance(error, ProviderAuthError)
    assert variable in str(error)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("openai", Answer(401, openai(f"Incorrect API key provided: {KEY}.", "invalid_api_key"))),
        ("mistral", Answer(401, {"detail": "Unauthorized"})),
        ("grok", Answer(400, {"code": "Client specified an invalid argument",
                              "error": "Incorrect API key provided: sk***78."})),
    ],
)  # fmt: skip
def test_a_wrong_key_names_its_variable_and_is_not_repeated(ask, name, answer):
    error = ask(name, answer)
    assert isinstance(error, ProviderAuthError)
    assert KEYS[name] in error.hint
    assert KEY not in str(error)


# The model


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("openai", Answer(404, openai("The model `m` does not exist", "model_not_found"))),
        ("openai", Answer(404, openai("The model `m` has been deprecated", "model_not_found"))),
        ("mistral", Answer(400, {"object": "error", "message": "Invalid model: m",
                                 "type": "invalid_model", "param": None, "code": "1500"})),
        ("grok", Answer(404, {"code": "Some requested entity was not found",
                              "error": "The model m does not exist"})),
        ("vllm", Answer(404, {"error": {"message": "The model `m` does not exist.", "code": 404,
                                        "type": "NotFoundError", "param": "model"}})),
        ("compatible", Answer(404, openai("model 'm' not found", kind="not_found_error"))),
        ("compatible", Answer(404, {"error": "model 'm' not found, try pulling it first"})),
    ],
)  # fmt: skip
def test_an_unknown_model_is_named_by_the_service(ask, name, answer):
    error = ask(name, answer)
    assert isinstance(error, ProviderRefused)
    said = answer.body["error"] if "error" in answer.body else answer.body["message"]
    assert (said if isinstance(said, str) else said["message"]) in str(error)
    assert error.status == answer.status


# The way there


@EVERYBODY
def test_a_page_for_people_is_no_answer(ask, name):
    error = ask(name, Answer(200, "<html>Sign in</html>", PAGE))
    assert isinstance(error, ProviderBadReply)
    assert "text/html" in str(error)
    assert "proxy" in error.hint


@EVERYBODY
def test_a_proxy_that_refuses_is_named_as_one(ask, name):
    error = ask(name, Answer(403, "<html>Blocked</html>", PAGE))
    assert isinstance(error, ProviderAuthError)
    assert "proxy" in error.hint


@EVERYBODY
def test_a_gateway_that_breaks_down_may_come_back(ask, name):
    assert isinstance(ask(name, Answer(502, "<html>Bad gateway</html>", PAGE)), ProviderUnavailable)


@EVERYBODY
@pytest.mark.parametrize(
    "answer",
    [Answer(404, {"detail": "Not Found"}), Answer(301, None, {"location": "https://a.example"})],
    ids=lambda answer: answer.status,
)
def test_a_wrong_address_says_to_correct_it(ask, name, answer):
    error = ask(name, answer)
    assert isinstance(error, ProviderRefused)
    assert "base_url" in error.hint


@EVERYBODY
@pytest.mark.parametrize(
    "body",
    [{"hello": "world"}, [], {"model": "m", "choices": [], "usage": {}},
     {"error": {"message": "overloaded"}}, "not an object"],
    ids=str,
)  # fmt: skip
def test_another_service_is_one_error(ask, name, body):
    error = ask(name, Answer(200, body if not isinstance(body, str) else f'"{body}"'))
    assert isinstance(error, ProviderBadReply)
    assert "base_url" in error.hint


@EVERYBODY
def test_a_reset_counts_as_paid(ask, name):
    error = ask(name, RESET)
    assert isinstance(error, ProviderUnavailable)
    assert "paid" in error.hint


@EVERYBODY
def test_nobody_listens(ask, name):
    error = ask.at(name, "http://127.0.0.1:9/v1")
    assert isinstance(error, ProviderUnavailable)
    assert "127.0.0.1:9" in error.hint


@EVERYBODY
@pytest.mark.parametrize("url", ["http://example.org/v1", "https://a:b@example.org", "here", "//"])
def test_an_address_that_would_show_the_key_is_refused(ask, name, url):
    with pytest.raises(SettingsError, match="base_url"):
        ask.at(name, url)


# The request


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("openai", Answer(429, openai("You exceeded your current quota", "insufficient_quota")),
         "exceeded your current quota"),
        ("openai", Answer(400, openai("maximum context length", "context_length_exceeded")),
         "maximum context length"),
        ("mistral", Answer(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                                             "msg": "Extra inputs are not permitted"}]}),
         "body.seed: Extra inputs are not permitted"),
        ("mistral", Answer(422, {"object": "error", "type": "invalid_request_error", "message": {
            "detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}}),
         "body.seed: Extra inputs are not permitted"),
        ("mistral", Answer(400, {"message": "no Route matched with those values"}), "no Route"),
        ("grok", Answer(400, {"code": "Client specified an invalid argument",
                              "error": "Argument not supported on this model: stop"}),
         "not supported on this model: stop"),
        ("vllm", Answer(400, {"error": {"message": "maximum context length is 512 tokens",
                                        "type": "BadRequestError", "param": None, "code": 400}}),
         "512 tokens"),
        ("compatible", Answer(400, {"error": {"code": 400, "type": "exceed_context_size_error",
                                              "message": "exceeds the available context size"}}),
         "exceeds the available context size"),
        ("compatible", Answer(422, {"detail": "Unexpected fields in the request: {'n'}"}),
         "Unexpected fields"),
    ],
)  # fmt: skip
def test_what_can_never_succeed_is_refused_in_the_service_s_words(ask, name, answer, words):
    error = ask(name, answer)
    assert isinstance(error, ProviderRefused)
    assert words in str(error)


def test_a_server_that_loads_its_model_is_waited_for(ask):
    loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    answers = [Answer(503, loading)] * 2
    good = {
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    with Loopback(lambda asked: answers.pop() if answers else Answer(200, good)) as server:
        found = ask.at("compatible", f"{server.url}/v1", logprobs=True)
    assert (found.text, found.dropped) == ("Hi.", ("logprobs",))
