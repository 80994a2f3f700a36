"""OpenAI's models, and any service compatible with their chat completions."""

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
    Price,
    Reply,
    Request,
    Steps,
    decode_response,
    decode_response_event,
    encode_response,
)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

#: What a model that reasons takes no value for; sent all the same, it answers 400.
_REASONING_REFUSES = ("temperature", "top_p", "logprobs")
_REASONS = re.compile(r"o[134]|gpt-[56]")
#: These cannot be told not to reason.
_ALWAYS_REASONS = re.compile(r"o[134]|gpt-5(-(mini|nano|pro))?$")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
#: First day without these models. Source: ``ChatModel`` in openai-python 3.54.0.
_SHUTDOWN = {
    model: date
    for date, models in {
        "2026-10-23": "gpt-4.1-nano o4-mini o3-mini o1 gpt-4-turbo gpt-4 gpt-3.5-turbo",
        "2026-12-11": "gpt-5 gpt-5-mini gpt-5-nano o3",
        "2027-01-14": "gpt-4.1 gpt-4.1-mini gpt-4o gpt-4o-mini",
        "2027-04-01": "gpt-5.1 gpt-5.4-nano",
    }.items()
    for model in models.split()
}


class OpenAIOptions(ComponentOptions):
    """``[providers.openai]``."""

    base_url: str | None = Field(default=None, description="Another address of the same service.")
    api: Literal["chat", "responses"] = Field(
        default="chat", description="Which endpoint to ask; only chat completions take a seed."
    )
    reasoning_effort: Effort | None = Field(
        default=None,
        description="How long to think. With none, models from GPT-5.1 on can be sampled, and "
        "return log-probabilities.",
    )
    organization: str | None = Field(default=None, description="Header OpenAI-Organization.")
    project: str | None = Field(default=None, description="Header OpenAI-Project.")


class OpenAI(ChatCompletionsProvider):
    """OpenAI's models, by chat completions or by the Responses API."""

    name = "openai"
    base_url = "https://api.openai.com/v1"
    base_url_env = "OPENAI_BASE_URL"
    key_env = "OPENAI_API_KEY"
    Options = OpenAIOptions
    options: OpenAIOptions
    names: ClassVar = {"max_tokens": "max_completion_tokens"}

    def __init__(self, options: OpenAIOptions | None = None) -> None:
        super().__init__(options)
        if self.options.api == "responses":
            # The last event has the usage, and there is no such option to ask for it.
            self.streaming = {"stream": True}

    def capabilities(self, model: str) -> Capabilities:
        """Say what ``model`` takes; a fine-tuned model takes what its base does."""
        base = base_of(model)
        refused = _REASONING_REFUSES if self._reasons(base) else ()
        seed = self.options.api == "chat"
        return Capabilities(
            logprobs="logprobs" not in refused,
            seed=seed,
            json_mode=True,
            streaming=True,
            refused=refused if seed else (*refused, "seed"),
            shutdown_date=_SHUTDOWN.get(base),
        )

    def _reasons(self, base: str) -> bool:
        if self.options.reasoning_effort == "none" and not _ALWAYS_REASONS.match(base):
            return False
        return _REASONS.match(base) is not None

    def encode(self, request: Request) -> Call:
        """Write a chat completion, or a response where the options say so."""
        effort = self.options.reasoning_effort
        if self.options.api == "chat":
            return super().encode(_with(request, reasoning_effort=effort))
        thinking = {"effort": effort} if effort else None
        asked = _with(request, reasoning=thinking)
        return encode_response(asked, self.refused(request.model))

    def decode(self, reply: Reply) -> Completion:
        """Read what the endpoint of the options answered."""
        return super().decode(reply) if self.options.api == "chat" else decode_response(reply)

    def decode_event(self, event: Mapping[str, Any]) -> str:
        """Return the text that one event of a stream adds."""
        if self.options.api == "chat":
            return super().decode_event(event)
        return decode_response_event(event)

    def shutdown_dates(self) -> Steps:
        """Return what the list of models says; snapshots and tuned models stand in it too."""
        listed = (yield Call(method="GET", path="/models")).body["data"]
        dates = {model["id"]: model.get("shutdown_date") for model in listed}
        return {model: date for model, date in dates.items() if date}

    def headers(self, key: str) -> dict[str, str]:
        """Return the key, and whose account pays."""
        payer = {
            "OpenAI-Organization": self.options.organization,
            "OpenAI-Project": self.options.project,
        }
        return {**super().headers(key), **{name: value for name, value in payer.items() if value}}


class CompatibleOptions(ComponentOptions):
    """``[providers.compatible]``."""

    base_url: str = Field(
        description="Address of the service, such as http://localhost:11434/v1 for Ollama."
    )
    key_env: str = Field(default="", description="Variable that holds the key, if it wants one.")
    free: bool = Field(default=False, description="Whether it is your own and costs nothing.")


class Compatible(ChatCompletionsProvider):
    """Any service that speaks OpenAI's chat completions: Ollama, llama.cpp and many others."""

    name = "compatible"
    Options = CompatibleOptions

    def __init__(self, options: CompatibleOptions) -> None:
        super().__init__(options)
        self.key_env = options.key_env
        self._price = Price(input_per_million=0, output_per_million=0) if options.free else None

    def capabilities(self, model: str) -> Capabilities:
        """Assume what most of them can do; log-probabilities that do not come are noticed."""
        return Capabilities(
            logprobs=True, seed=True, json_mode=True, streaming=True, price=self._price
        )


def _with(request: Request, **more: object) -> Request:
    """Return ``request`` with ``more`` in its extras, where that is set and not there already."""
    given = {name: value for name, value in more.items() if value is not None}
    return request.model_copy(update={"extra": {**given, **request.extra}}) if given else request


def base_of(model: str) -> str:
    """Return what ``model`` was tuned from, or the model itself, without the date of a snapshot."""
    tuned = model.startswith("ft:") and model.count(":") > 1
    return _SNAPSHOT.sub("", model.split(":")[1] if tuned else model)
