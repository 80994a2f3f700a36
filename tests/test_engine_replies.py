"""Replies: every status has a named error with the service's own words, and no key in it."""

from __future__ import annotations

import base64
import pickle
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.engine.replies import (
    Redactor,
    capabilities_of,
    completed,
    decode,
    service_message,
    status_error,
)
from penin_core.engine.waits import retry_after
from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from penin_core.records import Capabilities, Completion, Message, Reply, Request

KEY = "sk-canary/0123456789+abcdef"
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
GOOD = {
    "model": "m",
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


class Service(ChatCompletionsProvider):
    """A service."""

    name = "service"


def without(*path: Any) -> dict[str, Any]:
    """Return GOOD less one field."""
    import copy

    body: Any = copy.deepcopy(GOOD)
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return dict(body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ProviderRefused),
        (400, ProviderRefused),
        (401, ProviderAuthError),
        (403, ProviderAuthError),
        (404, ProviderRefused),
        (408, ProviderUnavailable),
        (409, ProviderUnavailable),
        (422, ProviderRefused),
        (425, ProviderUnavailable),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
        (599, ProviderUnavailable),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[ProviderError]) -> None:
    error = status_error("service", Reply(status=status))
    assert type(error) is kind
    assert f"'service' answered {status}" in str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no such model", "type": "x", "code": None}}, "no such model"),
        ({"error": {"message": "bad", "code": 404}}, "bad"),
        (
            {"object": "error", "message": "Rate limit exceeded", "code": "1300"},
            "Rate limit exceeded",
        ),
        ({"object": "error", "message": {"detail": [{"loc": ["body"], "msg": "m"}]}}, "body: m"),
        ({"detail": "Unauthorized"}, "Unauthorized"),
        (
            {"detail": [{"loc": ["body", "top_p"], "msg": "too big"}, {"msg": "and more"}]},
            "body.top_p: too big; and more",
        ),
        ({"code": "invalid argument", "error": "text of xAI"}, "text of xAI"),
        ({"error": {}}, "no reason given (text/plain)"),
        ({"detail": [{"loc": None, "msg": None}]}, "None"),
        ([1, 2], "no reason given (text/plain)"),
        ({"error": " \n"}, "no reason given (text/plain)"),
        (None, "no reason given (text/plain)"),
        ({"message": "two\nlines\x1b[31m"}, "two lines [31m"),
    ],
)
def test_the_words_of_the_service_are_found(body: Any, words: str) -> None:
    reply = Reply(status=400, headers={"content-type": "text/plain; charset=utf-8"}, body=body)
    assert service_message(reply) == words


def test_a_long_message_is_cut() -> None:
    reply = Reply(status=400, body={"message": "x" * 9999})
    assert len(service_message(reply)) == 300


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["error", "message", "detail", "msg", "loc"]), inner)
        ),
    )
)
def test_no_body_breaks_the_error(body: Any) -> None:
    assert service_message(Reply(status=400, body=body))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("86400", 300.0),
        ("inf", 300.0),
        ("-3", 0.0),
        ("Sun, 01 Mar 2026 12:00:40 GMT", 40.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Mon, 02 Mar 2026 12:00:00 GMT", 300.0),
        ("nan", None),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", None),
        ("1 Jan 1 0:0:0 +2300", 0.0),
        ("Thu, 99 Jan 2026 99:99:99 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_five_minutes(
    value: str, seconds: float | None
) -> None:
    assert retry_after({"retry-after": value}, NOON) == seconds


def test_the_error_carries_retry_after() -> None:
    error = status_error("service", Reply(status=429, headers={"retry-after": "7"}))
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (without("choices"), "'choices' is missing"),
        (without("usage", "prompt_tokens"), "'prompt_tokens' is missing"),
        ({**GOOD, "choices": []}, 'list index out of range at `choice = reply.body["choices"][0]`'),
        ({**GOOD, "usage": None}, "'NoneType' object is not subscriptable"),
        ({**GOOD, "usage": {"prompt_tokens": -1, "completion_tokens": 1}}, "tokens_in: "),
        ({**GOOD, "choices": "SECRET"}, "'str' object has no attribute 'get'"),
        (None, "'NoneType' object is not subscriptable"),
        ([], "list indices"),
    ],
)
def test_an_unreadable_reply_says_what_was_missing_and_quotes_no_body(
    body: Any, problem: str
) -> None:
    with pytest.raises(ProviderBadReply) as bad:
        decode(Service(), Reply(status=200, body=body), str)
    assert "provider 'service'" in str(bad.value)
    assert problem in str(bad.value)
    assert "SECRET" not in str(bad.value)
    assert bad.value.__context__ is None


@pytest.mark.parametrize(
    "error", [LookupError, TypeError, ValueError, AttributeError, StopIteration, ZeroDivisionError]
)
def test_whatever_decode_raises_becomes_a_bad_reply(error: type[Exception]) -> None:
    class Broken(Service):
        """Breaks."""

        def decode(self, reply: Reply) -> Completion:
            raise error("because")

    with pytest.raises(ProviderBadReply, match=f"{error.__name__}: because"):
        decode(Broken(), Reply(status=200), str)


def test_what_decode_returns_is_checked_and_what_it_recognises_is_kept() -> None:
    class Wrong(Service):
        """Returns text."""

        def decode(self, reply: Reply) -> Completion:
            if reply.body:
                raise ProviderRefused("quota")
            return "text"  # type: ignore[return-value]

    with pytest.raises(ProviderBadReply, match="returned str, not Completion"):
        decode(Wrong(), Reply(status=200), str)
    with pytest.raises(ProviderRefused, match="quota"):
        decode(Wrong(), Reply(status=200, body={"error": 1}), str)


def test_a_provider_that_cannot_say_what_a_model_can_do_is_named() -> None:
    class Vague(Service):
        """Knows one model, and badly."""

        def capabilities(self, model: str) -> Capabilities:
            if model == "crash":
                raise RuntimeError("oops")
            return None  # type: ignore[return-value]

    with pytest.raises(ProviderRefused, match=r"'service'.*'crash'.*RuntimeError: oops"):
        capabilities_of(Vague(), "crash")
    with pytest.raises(ProviderRefused, match="returned NoneType"):
        capabilities_of(Vague(), "m")


def test_refused_parameters_that_were_asked_for_are_named_once() -> None:
    answer = Completion(text="", model="m", tokens_in=1, tokens_out=1, dropped=("stop",))
    request = Request(
        provider="p", model="m", messages=(Message(role="user", content="x"),), seed=7
    )
    refused = Capabilities(refused=("seed", "logprobs", "temperature", "presence_penalty", "stop"))
    done = completed(answer, request, refused, latency_ms=12.0, micro_usd=1500)
    assert done.dropped == ("stop", "seed", "temperature")
    assert (done.latency_ms, done.cost_usd) == (12.0, 0.0015)


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_a_key_is_masked_in_every_form(before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + KEY.encode() + after).decode()
    core = base64.b64encode(KEY.encode()).decode()[4:-8]
    masked = Redactor(KEY).text(f"{encoded} {KEY} {quote(KEY, safe='')} {core}")
    assert masked.count("[redacted]") >= 3
    for form in (KEY, quote(KEY, safe=""), KEY[8:]):
        assert form not in masked


def test_a_key_is_masked_in_a_tree() -> None:
    tree = {KEY: [{"a": f"x{KEY}y"}, 1, None, 2.5, True]}
    assert Redactor(KEY).tree(tree) == {"[redacted]": [{"a": "x[redacted]y"}, 1, None, 2.5, True]}


def test_a_placeholder_key_damages_no_answer() -> None:
    assert Redactor("EMPTY").text("EMPTY") == "EMPTY"
    assert Redactor("").text("text") == "text"


def test_a_redactor_shows_and_pickles_nothing() -> None:
    redactor = Redactor(KEY)
    assert KEY not in repr(redactor)
    assert KEY not in repr(vars(redactor))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(redactor)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 300.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "120ms"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12"}, 12.0),
    ],
)
def test_vendors_say_in_their_own_ways_when_to_ask_again(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOON) == seconds


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, body={"error": {"message": "no money", "code": "insufficient_quota"}}),
        Reply(status=503, headers={"x-should-retry": "false"}),
    ],
)
def test_what_the_service_calls_hopeless_is_not_tried_again(reply: Reply) -> None:
    error = status_error("p", reply)
    assert type(error) is ProviderRefused
    assert not error.transient
