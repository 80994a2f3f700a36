"""Models on a vLLM server for penin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from penin_core import (
    Call,
    Capabilities,
    ChatCompletionsProvider,
    Completion,
    ComponentOptions,
    Price,
    Provider,
    ProviderRefused,
    Reply,
    Request,
    Steps,
    hookimpl,
)

__version__ = "0.1.0"
penin_api = 1

#: vLLM 0.12 removed the fields of this name, and ignores what it does not know.
_GONE = "guided_"
_FREE = Price(input_per_million=0, output_per_million=0)
_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?")
#: How a server answers that was not started for it; what it cannot load, it names.
_NO_ENDPOINT = "404: Not Found"
_UPDATING = (
    "start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, on loopback only"
)


class VLLMOptions(ComponentOptions):
    """``[providers.vllm]``."""

    base_url: str | None = Field(
        default=None, description="Where the server listens, with /v1 at the end."
    )
    key_env: str = Field(default="", description="Variable that holds the key, if it wants one.")
    api: Literal["chat", "completions"] = Field(
        default="chat",
        description="Which endpoint to ask: completions for a model without a chat template.",
    )
    price: Price = Field(
        default=_FREE, description="What a million tokens cost you; nothing unless said."
    )


class VLLM(ChatCompletionsProvider):
    """Models and LoRA adapters on a vLLM server."""

    name = "vllm"
    base_url = "http://localhost:8000/v1"
    base_url_env = "VLLM_BASE_URL"
    Options = VLLMOptions
    options: VLLMOptions

    def __init__(self, options: VLLMOptions | None = None) -> None:
        super().__init__(options)
        self.key_env = self.options.key_env
        self._chats = self.options.api == "chat"

    def capabilities(self, model: str) -> Capabilities:
        """Everything that penin asks for; the price is that of the options."""
        return Capabilities(
            logprobs=True,
            seed=True,
            json_mode=True,
            streaming=self._chats,
            price=self.options.price,
        )

    def encode(self, request: Request) -> Call:
        """Write what the options ask for; an adapter is a model of its own to the server.

        Raises:
            ProviderRefused: a constraint has a name that the server would ignore in silence.
        """
        if gone := sorted(name for name in request.extra if name.startswith(_GONE)):
            raise ProviderRefused(
                f"vLLM ignores {', '.join(gone)} and would answer without any constraint",
                hint="write structured_outputs = {json = ...}, {regex = ...} or {choice = [...]}",
            )
        served = request.model_copy(update={"model": request.adapter or request.model})
        return super().encode(served) if self._chats else self._completion(served)

    def _completion(self, request: Request) -> Call:
        """Write a completion: the instruction and the turns are one text."""
        turns = (request.system, *(message.content for message in request.messages))
        sampling = self.parameters(request)
        if "logprobs" in sampling:
            # Of what was sampled, and of no other token beside it.
            sampling["logprobs"] = 0
        body = {"model": request.model, "prompt": "\n\n".join(filter(None, turns)), **sampling}
        return Call(path="/completions", body={**body, **request.extra})

    def decode(self, reply: Reply) -> Completion:
        """Read what the endpoint of the options answered."""
        if self._chats:
            return super().decode(reply)
        choice = reply.body["choices"][0]
        logs = choice.get("logprobs")
        message = {"role": "assistant", "content": choice["text"]}
        content = logs and [{"logprob": value} for value in logs["token_logprobs"]]
        as_chat = {**choice, "message": message, "logprobs": {"content": content}}
        body = {**reply.body, "choices": [as_chat]}
        return super().decode(reply.model_copy(update={"body": body}))

    def load_adapter(self, name: str, path: str) -> Steps:
        """Let the server load the LoRA adapter at ``path`` (as the server sees it) as ``name``.

        Raises:
            ProviderRefused: the server does not load it, or does not serve it afterwards.
        """
        body = {"lora_name": name, "lora_path": path}
        yield from self._update(Call(path="/load_lora_adapter", body=body, text=True))
        if name not in (yield from self.adapters()):
            raise ProviderRefused(f"vLLM does not serve adapter {name!r}", hint=_UPDATING)

    def unload_adapter(self, name: str) -> Steps:
        """Let the server forget the adapter ``name``.

        Raises:
            ProviderRefused: it has no such adapter, or cannot be told.
        """
        call = Call(path="/unload_lora_adapter", body={"lora_name": name}, text=True)
        yield from self._update(call)

    def adapters(self) -> Steps:
        """Return the names of the adapters that the server has loaded, a tuple."""
        served = (yield Call(method="GET", path="/models")).body["data"]
        return tuple(model["id"] for model in served if model.get("parent"))

    def health(self) -> Steps:
        """Return True where the server is ready.

        Raises:
            ProviderUnavailable: it is not.
        """
        yield Call(method="GET", path="/health", outside=True, text=True)
        return True

    def metrics(self) -> Steps:
        """Return what the server counts: a value for each name, summed over its labels."""
        reply = yield Call(method="GET", path="/metrics", outside=True, text=True)
        return _sums(reply.body)

    def _update(self, call: Call) -> Steps:
        try:
            yield call
        except ProviderRefused as error:
            if str(error).endswith(_NO_ENDPOINT):
                error.hint = _UPDATING
            raise


def _sums(text: str) -> Mapping[str, Any]:
    """Return the samples of a page of metrics, in the text format of Prometheus.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/.
    """
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if sample := _SAMPLE.fullmatch(line.strip()):
            name, _, value = sample.groups()
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Bring vLLM."""
    return [VLLM]
