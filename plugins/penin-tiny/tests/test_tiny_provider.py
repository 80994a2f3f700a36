"""The contract of a local provider: every request is answered by itself, or refused by itself."""

import random
import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from penin_core import Completion, Message, ProviderError, ProviderRefused, Request
from penin_tiny.provider import ANSWER_TOKENS, CONTEXT_TOKENS, TinyProvider, chat_text

PROVIDER = TinyProvider()

JSON = "Extract name, email and amount as JSON. No extra text."
VALUE = "Answer the question. Return only the value."
SENTIMENT = "Classify the sentiment: positive, negative or neutral. Answer with one word."
INTENT = "Classify the intent: refund, delivery, login, cancel or praise. Answer with one word."
VAGUE = "Process this text."
LOG = "Extract level, service and ms from the log line as JSON. No extra text."

KNOWN = [
    (
        JSON,
        "The customer is Anna Lopez, reply to anna.lopez@dorin.com, the total is $245.50.",
        '{"name": "Anna Lopez", "email": "anna.lopez@dorin.com", "amount": "$245.50"}',
    ),
    (
        VALUE,
        "Name: Ben Khan, Phone: +44 123 4567, City: Rilo. Question: what is the phone number?",
        "+44 123 4567",
    ),
    (
        "Write a short headline for the text.",
        "On Friday, Rilo Group closed 12 shops in Dorin. The weather was calm.",
        "Rilo Group closes 12 shops",
    ),
    (INTENT, "I was charged twice, I want my money back.", "refund"),
    (
        LOG,
        "ERROR cart-api: status 503 in 412 ms user=anna host=10.0.0.7",
        '{"level": "ERROR", "service": "cart-api", "ms": "412"}',
    ),
]


def ask(system: str, user: str, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "provider": "tiny",
        "model": "tiny-5",
        "system": system,
        "messages": (Message(role="user", content=user),),
        "temperature": 0.0,
        "max_tokens": 60,
        "seed": 7,
        "logprobs": True,
    }
    return Request(**{**fields, **changes})


def answer(requests: Sequence[Request]) -> list[Completion]:
    completions = []
    for outcome in PROVIDER.generate(requests):
        assert isinstance(outcome, Completion), outcome
        completions.append(outcome)
    return completions


def refusal(request: Request) -> ProviderRefused:
    (outcome,) = PROVIDER.generate([request])
    assert isinstance(outcome, ProviderRefused)
    assert outcome.hint
    return outcome


def mixed_requests() -> list[Request]:
    """Requests that differ in everything that requests may differ in."""
    dice = random.Random(5)
    return [
        ask(
            dice.choice([system, VAGUE]),
            user,
            temperature=dice.choice([0.0, 0.7, 1.3]),
            top_p=dice.choice([1.0, 0.9, 0.5]),
            max_tokens=dice.choice([3, 20, 60]),
            seed=dice.randrange(1000),
        )
        for system, user, _ in KNOWN * 6
    ]


@pytest.mark.parametrize(("system", "user", "expected"), KNOWN)
def test_known_answers(system: str, user: str, expected: str) -> None:
    (completion,) = answer([ask(system, user)])
    assert completion.text == expected
    assert completion.finish == "stop"


def test_an_answer_does_not_depend_on_its_batch() -> None:
    requests = mixed_requests()
    alone = [answer([request])[0] for request in requests]
    assert len({completion.text for completion in alone}) > 12
    for size, seed in ((30, 0), (11, 1), (2, 2)):
        order = random.Random(seed).sample(range(len(requests)), len(requests))
        for start in range(0, len(order), size):
            part = order[start : start + size]
            together = answer([requests[index] for index in part])
            for index, completion in zip(part, together, strict=True):
                assert completion.text == alone[index].text
                assert completion.finish == alone[index].finish
                assert completion.logprobs == pytest.approx(alone[index].logprobs, abs=1e-6)


def test_an_answer_does_not_depend_on_what_was_asked_before() -> None:
    request = ask(JSON, "Client Nora Silva, nora@web.io, paid 12 EUR", temperature=1.3)
    first = TinyProvider().generate([request])
    assert PROVIDER.generate([request]) == first == PROVIDER.generate([request])


def test_a_seed_decides_and_no_seed_does_not() -> None:
    def texts(**changes: Any) -> list[str]:
        return [c.text for c in answer([ask(VAGUE, KNOWN[0][1], temperature=1.5, **changes)] * 6)]

    assert len(set(texts(seed=1))) == 1
    assert texts(seed=1) == texts(seed=1)
    assert texts(seed=1) != texts(seed=2)
    assert texts(seed=-1) != texts(seed=1)
    assert len(set(texts(seed=None))) > 1


def test_repeats_with_one_seed_are_different_draws() -> None:
    requests = [ask(VAGUE, KNOWN[0][1], temperature=1.5, sample=sample) for sample in range(20)]
    assert len({completion.text for completion in answer(requests)}) > 3


def test_every_request_keeps_its_own_parameters() -> None:
    system, user, expected = KNOWN[0]
    requests = [
        ask(system, user, max_tokens=2),
        ask(system, user),
        ask(system, user, temperature=2.0, seed=2),
        ask(system, user, temperature=2.0, top_p=1e-6, seed=2),
    ]
    short, greedy, hot, narrow = answer(requests)
    assert (short.tokens_out, short.finish) == (2, "length")
    assert greedy.text == expected
    assert hot.text != expected
    assert narrow.text == expected


@pytest.mark.parametrize("limit", [1, 5, 45, 46])
def test_max_tokens_is_kept(limit: int) -> None:
    (completion,) = answer([ask(JSON, KNOWN[0][1], max_tokens=limit)])
    assert completion.tokens_out == limit
    assert completion.finish == ("stop" if limit == 46 else "length")


def test_counts_and_log_probabilities_include_the_stop_token() -> None:
    (completion,) = answer([ask(INTENT, KNOWN[3][1])])
    assert completion.text == "refund"
    assert completion.tokens_out == 2
    assert completion.logprobs is not None
    assert len(completion.logprobs) == 2
    assert all(value <= 0.0 for value in completion.logprobs)


def test_log_probabilities_are_left_out_where_nobody_asked() -> None:
    (completion,) = answer([ask(INTENT, "praise", logprobs=False)])
    assert completion.logprobs is None


def test_a_prompt_over_the_limit_is_refused_and_takes_nobody_with_it() -> None:
    system, user, expected = KNOWN[0]
    requests = [ask(system, user), ask(system, "7" * 600), ask(system, user)]
    first, long, last = PROVIDER.generate(requests)
    assert isinstance(long, ProviderRefused)
    assert re.search(r"the prompt has 6\d\d tokens", str(long))
    assert str(CONTEXT_TOKENS) in str(long)
    assert isinstance(first, Completion)
    assert first == last
    assert first.text == expected


def test_a_prompt_at_the_limit_is_answered_and_never_cut() -> None:
    used = answer([ask(SENTIMENT, "", max_tokens=1)])[0].tokens_in
    longest = ask(SENTIMENT, "7" * (CONTEXT_TOKENS - used), max_tokens=5)
    assert answer([longest])[0].tokens_in == CONTEXT_TOKENS
    over = ask(SENTIMENT, "7" * (CONTEXT_TOKENS - used + 1), max_tokens=5)
    assert f"{CONTEXT_TOKENS + 1} tokens" in str(refusal(over))


def test_the_context_limit_is_a_capability() -> None:
    capabilities = PROVIDER.capabilities("tiny-5")
    assert capabilities.context_tokens == CONTEXT_TOKENS
    assert capabilities.logprobs
    assert capabilities.seed
    assert capabilities.price is not None
    assert capabilities.price.output_per_million == 0.0


def test_an_unknown_model_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ProviderRefused, match="tiny-9") as caught:
        PROVIDER.capabilities("tiny-9")
    assert "did you mean tiny-5" in caught.value.hint
    assert "tiny-5" in refusal(ask(JSON, "x", model="gpt-9")).hint


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"adapter": "mine"}, "mine"),
        ({"extra": {"mirostat": 2}}, "mirostat"),
        ({"max_tokens": ANSWER_TOKENS + 1}, str(ANSWER_TOKENS + 1)),
    ],
)
def test_a_parameter_that_would_be_ignored_is_refused(changes: dict[str, Any], named: str) -> None:
    assert named in str(refusal(ask(JSON, "x", **changes)))


@pytest.mark.parametrize(
    "roles", [["assistant"], ["user", "assistant"], ["user", "user"], ["system", "user"]]
)
def test_turns_that_the_model_was_not_trained_on_are_refused(roles: list[str]) -> None:
    messages = tuple(Message(role=role, content="x") for role in roles)
    assert roles[0] in str(refusal(ask(JSON, "", messages=messages)))


def test_examples_are_rendered_as_in_training() -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c")]
    messages = [Message(role=role, content=text) for role, text in turns]
    expected = "Do it.\nInput: a\nOutput: b\n\nInput: c\nOutput: "
    assert chat_text("Do it.", messages) == expected


def test_nothing_asked_is_nothing_answered() -> None:
    assert list(PROVIDER.generate([])) == []


def test_two_threads_may_ask_one_provider() -> None:
    requests = [ask(*known[:2]) for known in KNOWN]
    expected = [known[2] for known in KNOWN]
    outcomes: dict[int, Sequence[Completion | ProviderError]] = {}

    def work(index: int) -> None:
        outcomes[index] = PROVIDER.generate(requests)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        assert [c.text for c in outcomes[index] if isinstance(c, Completion)] == expected
