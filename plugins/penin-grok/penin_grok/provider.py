"""xAI's Grok models for penin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from penin_core import (
    Call,
    Capabilities,
    ChatCompletionsProvider,
    Completion,
    ComponentOptions,
    Reply,
    Request,
    Steps,
    Wait,
    decode_response,
    decode_response_event,
    encode_response,
)

TICKS_PER_USD = 10**10
#: How long a deferred answer is waited for between two looks, in seconds.
LOOK_EVERY_S = 10.0
_ACCEPTED = 202
#: From Grok 4.20 on, the field is ignored without an error.
_GIVES_LOGPROBS = re.compile(r"grok-(2|3|4(-|$))")


class GrokOptions(ComponentOptions):
    """``[providers.grok]``."""

    base_url: str | None = Field(default=None, description="Another address of the same service.")
    api: Literal["chat", "responses"] = Field(
        default="chat", description="Which endpoint to ask; only chat completions take a seed."
    )


class Grok(ChatCompletionsProvider):
    """xAI's Grok models, by chat completions or by the Responses API."""

    name = "grok"
    base_url = "https://api.x.ai/v1"
    base_url_env = "XAI_BASE_URL"
    key_env = "XAI_API_KEY"
    Options = GrokOptions
    options: GrokOptions
    names: ClassVar = {"max_tokens": "max_completion_tokens"}

    def __init__(self, options: GrokOptions | None = None) -> None:
        super().__init__(options)
        if self.options.api == "responses":
            # The last event has the usage, and there is no such option to ask for it.
            self.streaming = {"stream": True}

    def capabilities(self, model: str) -> Capabilities:
        """Say what ``model`` takes."""
        logprobs = _GIVES_LOGPROBS.match(model) is not None
        seed = self.options.api == "chat"
        missing = {"logprobs": not logprobs, "seed": not seed}
        return Capabilities(
            logprobs=logprobs,
            seed=seed,
            json_mode=True,
            streaming=True,
            refused=tuple(name for name, absent in missing.items() if absent),
        )

    def encode(self, request: Request) -> Call:
        """Write a chat completion, or a response where the options say so."""
        if self.options.api == "chat":
            return super().encode(request)
        return encode_response(request, self.refused(request.model))

    def decode(self, reply: Reply) -> Completion:
        """Read an answer, and what it cost by the service's own account."""
        chat = self.options.api == "chat"
        completion = super().decode(reply) if chat else decode_response(reply)
        ticks = reply.body["usage"].get("cost_in_usd_ticks")
        if ticks is None:
            return completion
        return completion.model_copy(update={"cost_usd": float(ticks) / TICKS_PER_USD})

    def usage(self, counted: Mapping[str, Any]) -> tuple[int, int]:
        """Return the counts; tokens of reasoning come on top of those of the answer."""
        details = counted.get("completion_tokens_details") or {}
        read, written = super().usage(counted)
        return read, written + (details.get("reasoning_tokens") or 0)

    def decode_event(self, event: Mapping[str, Any]) -> str:
        """Return the text that one event of a stream adds."""
        if self.options.api == "chat":
            return super().decode_event(event)
        return decode_response_event(event)

    def deferred(self, request: Request) -> Steps:
        """Ask now and fetch the answer when it is there; the service gives it out exactly once.

        Returns a Completion.

        A multi-step operation of chat completions, driven by the engine.
        """
        call = super().encode(request)
        body = {**(call.body or {}), "deferred": True}
        accepted = yield call.model_copy(update={"body": body, "asks": request})
        ticket = accepted.body["request_id"]
        while True:
            yield Wait(seconds=LOOK_EVERY_S)
            found = yield Call(method="GET", path=f"/chat/deferred-completion/{ticket}")
            if found.status != _ACCEPTED:
                return self.decode(found)
