"""The kits for providers; see :mod:`penin_core.testing.conformance` for how kits work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from penin_core import Call, Capabilities, Completion, Message, ProviderError, Reply, Request

from .conformance import Conformance

#: What the engine turns into a ProviderBadReply that names the provider.
READABLE = (ProviderError, LookupError, TypeError, ValueError, AttributeError, StopIteration)

KEY = "sk-conformance-0123456789"
QUESTION = "Say hello to Zoë."


class ProviderConformance(Conformance):
    """Shared by the two kinds of provider; ``model`` is one that it serves."""

    kind = "providers"
    model: ClassVar[str] = "any"

    def ask(self, text: str = QUESTION, **changes: Any) -> Request:
        """Return a request for ``model``."""
        messages = (Message(role="user", content=text),)
        given = {"provider": self.component.name, "model": self.model, "messages": messages}
        return Request.model_validate({**given, "max_tokens": 16, "seed": 7, **changes})

    def test_capabilities_are_stated(self, made: Any) -> None:
        """The same model can do the same things each time it is asked."""
        assert isinstance(made.capabilities(self.model), Capabilities)
        assert made.capabilities(self.model) == made.capabilities(self.model)


class HttpProviderConformance(ProviderConformance):
    """For subclasses of HttpProvider: ``reply`` is the body of one real answer of the service.

    A provider that says it streams gives some real ``events``, too.
    """

    reply: ClassVar[Any]
    events: ClassVar[Sequence[Mapping[str, Any]]] = ()

    def test_it_says_where_the_service_is(self, made: Any) -> None:
        """A base URL comes from the class or from the options."""
        url = getattr(made.options, "base_url", "") or self.component.base_url
        assert str(url).startswith(("http://", "https://"))

    def test_call_is_relative_and_json(self, made: Any) -> None:
        """The engine joins the path to the base URL and writes the body."""
        call = made.encode(self.ask())
        assert isinstance(call, Call)
        assert call.path.startswith("/")
        assert "://" not in call.path
        json.dumps(call.body, allow_nan=False)

    def test_call_carries_model_and_question(self, made: Any) -> None:
        """Nothing of what is asked is lost."""
        call = made.encode(self.ask(system="Be brief."))
        sent = json.dumps(call.body, ensure_ascii=False) + call.path
        assert {text for text in (self.model, QUESTION, "Be brief.") if text not in sent} == set()

    def test_same_request_same_call(self, made: Any) -> None:
        """A replay writes the same bytes; the number of a sample is never sent."""
        assert made.encode(self.ask()) == made.encode(self.ask())
        assert made.encode(self.ask(sample=3)) == made.encode(self.ask(sample=0))

    def test_refused_parameters_are_left_out(self, made: Any) -> None:
        """What the model refuses is not sent to it."""
        body = made.encode(self.ask(logprobs=True)).body or {}
        assert set(made.capabilities(self.model).refused) & body.keys() == set()

    def test_what_is_claimed_is_asked_for(self, made: Any) -> None:
        """A seed, or log-probabilities, that a model is said to have are asked for."""
        able = made.capabilities(self.model)
        if able.seed and "seed" not in able.refused:
            assert made.encode(self.ask(seed=7)) != made.encode(self.ask(seed=8))
        if able.logprobs and "logprobs" not in able.refused:
            assert made.encode(self.ask(logprobs=True)) != made.encode(self.ask(logprobs=False))

    def test_sample_reply_is_read(self, made: Any) -> None:
        """The real answer has a text, a model and token counts."""
        completion = made.decode(Reply(status=200, body=self.reply))
        assert isinstance(completion, Completion)
        assert completion.model
        assert completion.tokens_in > 0

    def test_damaged_reply_is_read_or_named(self, made: Any) -> None:
        """Without any one of its parts, the reply is an answer or an error that has a name."""
        for damaged in with_one_part_missing(self.reply):
            try:
                completion = made.decode(Reply(status=200, body=damaged))
            except READABLE:
                continue
            assert isinstance(completion, Completion), f"{damaged!r} became {completion!r}"

    @pytest.mark.parametrize("body", [{}, [], "hello", None, 7], ids=repr)
    def test_reply_of_another_shape_is_an_error(self, made: Any, body: Any) -> None:
        """An answer is never made up."""
        with pytest.raises(READABLE):
            made.decode(Reply(status=200, body=body))

    def test_key_travels_in_headers_only(self, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Calls are recorded, so they hold no secret."""
        if self.component.key_env:
            monkeypatch.setenv(self.component.key_env, KEY)
            assert any(KEY in value for value in made.headers(KEY).values())
        assert KEY not in repr(made.encode(self.ask()))
        assert KEY not in repr(made.options)

    def test_key_is_never_in_an_error(self, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Errors are printed, logged and recorded."""
        if self.component.key_env:
            monkeypatch.setenv(self.component.key_env, KEY)
        made.headers(KEY)
        for body in (*with_one_part_missing(self.reply), {}, [], None, {"error": {"code": 401}}):
            said = ""
            try:
                made.decode(Reply(status=200, body=body))
            except READABLE as error:
                said = f"{error!s} {error!r} {getattr(error, 'hint', '')}"
            assert KEY not in said
        assert KEY not in repr(made)

    def test_streams_if_it_says_so(self, made: Any) -> None:
        """A capability that is claimed is shown."""
        if made.capabilities(self.model).streaming:
            assert self.events, "give some real events of the stream"
            assert "".join(made.decode_event(event) for event in self.events)


class LocalProviderConformance(ProviderConformance):
    """For subclasses of LocalProvider."""

    def answer(self, made: Any, request: Request) -> Completion:
        """Return the answer to one request, which must not be an error."""
        (completion,) = made.generate([request])
        assert isinstance(completion, Completion), completion
        return completion

    def test_question_is_answered(self, made: Any) -> None:
        """With a model and token counts."""
        completion = self.answer(made, self.ask())
        assert completion.model
        assert completion.tokens_in > 0

    def test_one_answer_for_each_request(self, made: Any) -> None:
        """In their order; none for none."""
        assert list(made.generate([])) == []
        requests = [self.ask(f"Say {word}.") for word in ("red", "green", "blue")]
        answers = made.generate(requests)
        assert [type(answer) for answer in answers] == [Completion] * len(requests)
        assert [a.text for a in answers] == [self.answer(made, r).text for r in requests]

    def test_same_question_same_answer(self, made: Any) -> None:
        """A seed fixes the answer."""
        assert self.answer(made, self.ask()).text == self.answer(made, self.ask()).text

    def test_answer_does_not_depend_on_the_batch(self, made: Any) -> None:
        """What else is in a batch is chance, and chance must not decide."""
        others = [self.ask(f"Count to {n}.", seed=n) for n in range(3)]
        together = made.generate([*others, self.ask()])[-1]
        assert together.text == self.answer(made, self.ask()).text

    def test_limit_of_tokens_holds(self, made: Any) -> None:
        """``max_tokens`` is a limit."""
        assert self.answer(made, self.ask(max_tokens=1)).tokens_out <= 1

    def test_logprobs_are_what_was_promised(self, made: Any) -> None:
        """One natural logarithm of a probability for each token, or none at all."""
        completion = self.answer(made, self.ask(logprobs=True))
        if not made.capabilities(self.model).logprobs:
            assert completion.logprobs is None
        else:
            assert completion.logprobs is not None
            assert len(completion.logprobs) == completion.tokens_out
            assert all(value <= 0.0 for value in completion.logprobs)

    def test_price_is_stated(self, made: Any) -> None:
        """No price table knows a local model: it says that it costs nothing."""
        assert made.capabilities(self.model).price is not None

    def test_too_long_a_question_is_refused_alone(self, made: Any) -> None:
        """It yields a ProviderError in its place; the others are answered."""
        limit = made.capabilities(self.model).context_tokens
        if limit is not None:
            long, short = made.generate([self.ask("word " * 2 * limit), self.ask()])
            assert isinstance(long, ProviderError)
            assert isinstance(short, Completion)


def with_one_part_missing(value: Any) -> Iterator[Any]:
    """Yield ``value`` once for each of its parts, however deep, without that part."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield {other: kept for other, kept in value.items() if other != key}
            yield from ({**value, key: damaged} for damaged in with_one_part_missing(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield value[:index] + value[index + 1 :]
            for damaged in with_one_part_missing(part):
                yield [*value[:index], damaged, *value[index + 1 :]]
