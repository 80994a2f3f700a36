"""Mistral's models for penin."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from penin_core import (
    Call,
    Capabilities,
    ChatCompletionsProvider,
    Completion,
    ComponentOptions,
    ProviderRefused,
    ProviderUnavailable,
    Reply,
    Request,
    Steps,
)

#: The service answers 422 above it.
HOTTEST = 1.5
#: Characters of a date, at the beginning of a time.
DAY = 10


class MistralOptions(ComponentOptions):
    """``[providers.mistral]``."""

    base_url: str | None = Field(default=None, description="Another address of the same service.")
    logprobs: bool = Field(
        default=False,
        description="Ask for log-probabilities. Not every model gives them, and an older service "
        "refuses the field.",
    )


class Mistral(ChatCompletionsProvider):
    """Mistral's models, by its chat completions API."""

    name = "mistral"
    base_url = "https://api.mistral.ai/v1"
    base_url_env = "MISTRAL_BASE_URL"
    key_env = "MISTRAL_API_KEY"
    Options = MistralOptions
    options: MistralOptions
    names: ClassVar = {"seed": "random_seed"}
    #: The last event has the usage, and the service refuses to be asked for it.
    streaming = {"stream": True}

    def capabilities(self, model: str) -> Capabilities:
        """Say what the service takes; a field that it does not know would be refused."""
        asked = self.options.logprobs
        return Capabilities(
            logprobs=asked,
            seed=True,
            json_mode=True,
            streaming=True,
            refused=() if asked else ("logprobs",),
        )

    def shutdown_dates(self) -> Steps:
        """Return the days on which the list of models says that they are deprecated."""
        listed = (yield Call(method="GET", path="/models")).body["data"]
        dates = {model["id"]: model.get("deprecation") for model in listed}
        return {model: date[:DAY] for model, date in dates.items() if date}

    def encode(self, request: Request) -> Call:
        """Write a chat completion.

        Raises:
            ProviderRefused: the temperature is above 1.5.
        """
        if request.temperature > HOTTEST:
            raise ProviderRefused(
                f"temperature = {request.temperature}, and Mistral takes no more than {HOTTEST}",
                hint="lower temperature",
            )
        return super().encode(request)

    def decode(self, reply: Reply) -> Completion:
        """Read an answer; one that broke off at the service is an error.

        Raises:
            ProviderUnavailable: generation ended with an error.
        """
        reason = reply.body["choices"][0].get("finish_reason")
        if reason == "error":
            raise ProviderUnavailable("Mistral broke off the answer", hint="try again later")
        completion = super().decode(reply)
        return (
            completion.model_copy(update={"finish": "length"})
            if reason == "model_length"
            else (completion)
        )
