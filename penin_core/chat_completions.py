"""Services that speak OpenAI's chat completions: one base class for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .contracts import ComponentOptions, HttpProvider
from .records import Call, Capabilities, Completion, Reply, Request


class ChatCompletionsProvider(HttpProvider):
    """Base for services that speak OpenAI's chat completions, as most do.

    A service that differs says how: ``names`` where it calls a parameter otherwise,
    ``capabilities`` for what a model refuses, ``usage`` where it counts tokens in another way.
    """

    path: ClassVar[str] = "/chat/completions"
    #: A parameter of :class:`Request`, and what this service calls it, where the names differ.
    names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, options: ComponentOptions | None = None) -> None:
        super().__init__(options)
        self._refused: dict[str, tuple[str, ...]] = {}

    def capabilities(self, model: str) -> Capabilities:
        """Assume the common subset; override for a service that is known to do more or less."""
        return Capabilities(logprobs=True, seed=True, json_mode=True)

    def encode(self, request: Request) -> Call:
        """Write the body of a chat completion; parameters that the model refuses are left out."""
        system = [{"role": "system", "content": request.system}] if request.system else []
        messages = system + [{"role": m.role, "content": m.content} for m in request.messages]
        body = {"model": request.model, "messages": messages, **self.parameters(request)}
        return Call(path=self.path, body={**body, **request.extra})

    def parameters(self, request: Request) -> dict[str, Any]:
        """Return how to sample, by the names of this service, without what the model refuses."""
        given: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
        }
        if request.seed is not None:
            given["seed"] = request.seed
        if request.logprobs:
            given["logprobs"] = True
        refused = self.refused(request.model)
        return {
            self.names.get(name, name): value
            for name, value in given.items()
            if name not in refused
        }

    def refused(self, model: str) -> tuple[str, ...]:
        """Return what ``capabilities`` says that ``model`` refuses; it is asked once."""
        if model not in self._refused:
            self._refused[model] = self.capabilities(model).refused
        return self._refused[model]

    def decode(self, reply: Reply) -> Completion:
        """Read text, usage, log-probabilities and the reason to stop."""
        choice = reply.body["choices"][0]
        content = (choice.get("logprobs") or {}).get("content")
        finish = choice.get("finish_reason")
        tokens_in, tokens_out = self.usage(reply.body["usage"])
        return Completion(
            text=text_of(choice["message"]),
            model=reply.body["model"],
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            logprobs=None if content is None else tuple(token["logprob"] for token in content),
            finish=finish if finish in ("stop", "length") else "other",
        )

    def usage(self, counted: Mapping[str, Any]) -> tuple[int, int]:
        """Return how many tokens were read and how many written, reasoning included."""
        return counted["prompt_tokens"], counted["completion_tokens"]

    def decode_event(self, event: Mapping[str, Any]) -> str:
        """Return the text that one chunk adds; the last one may carry nothing but the usage."""
        return "".join(
            choice["delta"].get("content") or choice["delta"].get("refusal") or ""
            for choice in event["choices"][:1]
        )


def text_of(message: Mapping[str, Any]) -> str:
    """Return what a message says: its content, whole or in parts, or why the model declined.

    Parts that are no text, such as the thinking that Mistral's models show, are left out.

    Raises:
        KeyError: the message has no content at all.
    """
    content = message["content"]
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or message.get("refusal") or ""
