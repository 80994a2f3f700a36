"""Models on a vLLM server for penin."""

from __future__ import annotations

from pydantic import Field

from penin_core import (
    Call,
    Capabilities,
    ChatCompletionsProvider,
    ComponentOptions,
    Price,
    Provider,
    ProviderRefused,
    Request,
    Steps,
    hookimpl,
)

__version__ = "0.1.0"
penin_api = 1

#: vLLM 0.12 removed these, and ignores what it does not know.
_GONE = (
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "guided_decoding_backend",
)


class VLLMOptions(ComponentOptions):
    """``[providers.vllm]``."""

    base_url: str | None = Field(
        default=None, description="Where the server listens, with /v1 at the end."
    )
    key_env: str = Field(default="", description="Variable that holds the key, if it wants one.")
    price: Price = Field(
        default=Price(input_per_million=0, output_per_million=0),
        description="What a million tokens cost you; nothing unless said.",
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

    def capabilities(self, model: str) -> Capabilities:
        """Everything that penin asks for; the price is that of the options."""
        return Capabilities(
            logprobs=True, seed=True, json_mode=True, streaming=True, price=self.options.price
        )

    def encode(self, request: Request) -> Call:
        """Write a chat completion; an adapter is a model of its own to the server.

        Raises:
            ProviderRefused: a constraint has a name that the server would ignore in silence.
        """
        if gone := sorted(_GONE & request.extra.keys()):
            raise ProviderRefused(
                f"vLLM ignores {', '.join(gone)} and would answer without any constraint",
                hint="write structured_outputs = {json = ...}, {regex = ...} or {choice = [...]}",
            )
        served = request.adapter or request.model
        return super().encode(request.model_copy(update={"model": served}))

    def load_adapter(self, name: str, path: str) -> Steps:
        """Let the server load the LoRA adapter at ``path`` (as the server sees it) as ``name``.

        The server must run with ``--enable-lora`` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
        """
        yield Call(path="/load_lora_adapter", body={"lora_name": name, "lora_path": path})

    def unload_adapter(self, name: str) -> Steps:
        """Let the server forget the adapter ``name``."""
        yield Call(path="/unload_lora_adapter", body={"lora_name": name})


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Bring vLLM."""
    return [VLLM]
