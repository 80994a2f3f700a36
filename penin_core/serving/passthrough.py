"""A service that speaks chat completions: requests are passed on, tools included."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.contracts import HttpProvider
from penin_core.engine.bodies import json_body
from penin_core.engine.endpoints import encoded
from penin_core.engine.pool import Prepared
from penin_core.engine.replies import UNREADABLE, decode
from penin_core.errors import ProviderBadReply
from penin_core.records import Completion, Configuration, Price, Reply

from .billing import Billing, Charge
from .pieces import Piece, Tally
from .questions import Question, only_text, text_of
from .refusals import Refusal, invalid
from .remote import PROBE, Remote, sample_of
from .upstream import Upstream

#: What a service adds around a message, and around a whole prompt, in tokens, counted high.
_PER_TURN, _PER_PROMPT = 8, 16


class PassThrough(Remote):
    """A service that speaks chat completions: what it says is passed on, tools included."""

    def __init__(
        self,
        config: Configuration,
        provider: ChatCompletionsProvider,
        upstream: Upstream,
        billing: Billing,
        price: Price | None,
    ) -> None:
        self.provider: ChatCompletionsProvider
        super().__init__(config, provider, upstream, billing, price)
        self._sample = sample_of(config)
        call = encoded(provider, self._sample)
        self._fixed = {k: v for k, v in (call.body or {}).items() if k != "messages"}
        self._ready = upstream.prepare(call)
        self._plain = type(provider).decode is ChatCompletionsProvider.decode
        self._limit = provider.names.get("max_tokens", "max_tokens")
        self._seed = provider.names.get("seed", "seed")

    async def ask(self, question: Question, tally: Tally) -> Piece:
        """Return the whole answer."""
        prepared, bound = self._prepare(question)
        async with self.billing.paying(bound, prepared) as charge:
            body = await self.upstream.exchange(prepared)
            choices = _choices(body, self.provider.name, "message")
            self._count(body, choices[0].get("finish_reason"), charge, tally)
        tally.text = text_of(choices[0]["message"].get("content"))
        return Piece(choices, body.get("usage"))

    async def stream(self, question: Question, tally: Tally) -> AsyncGenerator[Piece, None]:
        """Yield the answer as it is written."""
        more = {"stream": True, "stream_options": {"include_usage": True}}
        prepared, bound = self._prepare(question, more)
        finish: Any = None
        last: dict[str, Any] = {}
        texts: list[object] = []
        async with self.billing.paying(bound, prepared) as charge:
            async with aclosing(self.upstream.events(prepared)) as events:
                async for event in events:
                    charge.spent = bound
                    choices = _choices(event, self.provider.name, "delta")
                    for choice in choices[:1]:
                        finish = choice.get("finish_reason") or finish
                        texts.append(choice["delta"].get("content") or "")
                    last = event if event.get("usage") else last
                    if choices:
                        yield Piece(choices)
            tally.text = "".join(map(text_of, texts))
            self._count(last, finish, charge, tally)
        yield Piece([], last.get("usage"))

    def _prepare(
        self, question: Question, more: Mapping[str, Any] | None = None
    ) -> tuple[Prepared, int]:
        turns = self.asking.turns(question)
        system = self.asking.system(question)
        if system:
            turns.insert(0, {"role": "system", "content": system})
        body = {**self._options(question), **self._fixed, "messages": turns, **(more or {})}
        if self._limit in self._fixed:
            body[self._limit] = self.asking.room(question)
        prepared = self._written(body)
        return prepared, self.bound(self._sample, self._tokens_in(question, prepared, len(turns)))

    def _written(self, body: Mapping[str, Any]) -> Prepared:
        try:
            content = json_body(body)
        except (TypeError, ValueError) as error:
            raise invalid(f"the request has no JSON: {error}", "messages") from None
        ready = self._ready
        return Prepared(ready.method, ready.origin, ready.target, ready.headers, content)

    def _options(self, question: Question) -> dict[str, Any]:
        refused = self.capabilities.refused
        options = {name: v for name, v in question.options.items() if name not in refused}
        if "logprobs" in refused:
            options.pop("top_logprobs", None)
        if "seed" in options:
            options[self._seed] = options.pop("seed")
        return options

    def _tokens_in(self, question: Question, prepared: Prepared, turns: int) -> int:
        """Return a high count: no tokenizer makes more tokens of a text than it has bytes."""
        if only_text(question):
            return len(prepared.content) + _PER_TURN * turns + _PER_PROMPT
        context = self.capabilities.context_tokens
        price = self._price(1)
        if context is None and (price.input_per_million or price.output_per_million):
            words = "nothing bounds what an image, a sound or a file costs with this model"
            raise Refusal(400, "unsupported_content", words, param="messages")
        return context or 0

    def _count(self, body: Mapping[str, Any], finish: Any, charge: Charge, tally: Tally) -> None:
        """Count what the service says that it used; where it says nothing, all was used."""
        usage = body.get("usage")
        tally.finish = finish if finish in ("stop", "length") else "other"
        charge.spent = tally.micro_usd = charge.bound
        try:
            if self._plain:
                found, cost = self.provider.usage(usage or {}), None
            else:
                completion = self._decoded(usage, finish)
                found, cost = (completion.tokens_in, completion.tokens_out), completion.cost_usd
        except (ProviderBadReply, *UNREADABLE):
            return
        if all(isinstance(count, int) and count >= 0 for count in found):
            self.count(*found, cost, charge, tally)

    def _decoded(self, usage: object, finish: object) -> Completion:
        message = {"role": "assistant", "content": ""}
        choice = {"message": message, "finish_reason": finish}
        body = {"model": self.config.model, "choices": [choice], "usage": usage}
        return decode(self.provider, Reply(status=200, headers={}, body=body), str)


def _choices(body: object, provider: str, part: str) -> list[dict[str, Any]]:
    """Return the choices of a reply or of an event; what has none is nonsense."""
    choices = body.get("choices") if isinstance(body, dict) else None
    # An event may carry nothing but the usage, a whole answer may not.
    found: list[Any] = choices if isinstance(choices, list) else [None]
    whole = all(isinstance(one, dict) and isinstance(one.get(part), dict) for one in found)
    if whole and (found or part == "delta"):
        return found
    raise ProviderBadReply(f"provider '{provider}' answered what is no chat completion")


def passes(config: Configuration, provider: HttpProvider) -> bool:
    """Say whether a service is asked by chat completions, so that requests can be passed on."""
    if not isinstance(provider, ChatCompletionsProvider):
        return False
    call = encoded(provider, sample_of(config))
    expected = [
        {"role": "system", "content": "system"},
        {"role": PROBE.role, "content": PROBE.content},
    ]
    return call.path == provider.path and (call.body or {}).get("messages") == expected
