"""The provider ``tiny``: the embedded model behind penin's contract for local models."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from penin_core import (
    Capabilities,
    Completion,
    ComponentOptions,
    LocalProvider,
    Message,
    Price,
    ProviderError,
    ProviderRefused,
    Request,
)

if TYPE_CHECKING:
    from .decoding import Answer, Prompt

MODELS = ("tiny-1",)
#: The longest prompt, in tokens: the longest text that the model was trained on.
CONTEXT_TOKENS = 512
#: The longest answer, in tokens. Answers come on top of the prompt.
ANSWER_TOKENS = 1536
#: How many requests are best sent together; more are taken, and answered no faster.
BATCH = 96


class TinyProvider(LocalProvider):
    """A language model of 0.87 million parameters in NumPy: no key, no network, no price."""

    name = "tiny"

    def __init__(self, options: ComponentOptions | None = None) -> None:
        """Load the model. Raises PluginInvalid where its weights are damaged."""
        super().__init__(options)
        # Listing plugins must not load NumPy; building a provider may.
        from .decoding import Decoder
        from .weights import load

        self._decoder = Decoder(load())

    def capabilities(self, model: str) -> Capabilities:
        """Say what ``model`` can do; ``context_tokens`` limits the prompt.

        Raises ProviderRefused for a model that does not exist.
        """
        _check_model(model)
        return Capabilities(
            logprobs=True,
            seed=True,
            context_tokens=CONTEXT_TOKENS,
            price=Price(input_per_million=0.0, output_per_million=0.0),
            batch=BATCH,
        )

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        """Answer ``requests`` in their order; one that cannot be answered yields ProviderRefused.

        With a seed, an answer follows from its own request and nothing else. The prompt and
        ``sample`` are mixed into the seed, so that tasks and repeats do not share their chance.
        """
        from .threads import one_blas_thread

        prompts: dict[int, Prompt] = {}
        outcomes: dict[int, Completion | ProviderError] = {}
        for index, request in enumerate(requests):
            try:
                prompts[index] = self._prompt(request)
            except ProviderRefused as error:
                outcomes[index] = error
        with one_blas_thread():
            answers = self._decoder.answer(list(prompts.values()))
        for (index, prompt), answer in zip(prompts.items(), answers, strict=True):
            outcomes[index] = self._completion(requests[index], prompt, answer)
        return [outcomes[index] for index in range(len(requests))]

    def _prompt(self, request: Request) -> Prompt:
        from .decoding import Prompt

        _check_model(request.model)
        _check_parameters(request)
        tokens = self._decoder.tokenize(chat_text(request.system, request.messages))
        if len(tokens) > CONTEXT_TOKENS:
            raise ProviderRefused(
                f"the prompt has {len(tokens)} tokens, {request.model} reads {CONTEXT_TOKENS}",
                hint="shorten the input or the instruction, or show fewer examples",
            )
        return Prompt(
            tokens=tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            entropy=_entropy(request, tokens),
        )

    def _completion(self, request: Request, prompt: Prompt, answer: Answer) -> Completion:
        return Completion(
            text=self._decoder.tokenizer.decode(answer.tokens),
            model=request.model,
            tokens_in=len(prompt.tokens),
            tokens_out=len(answer.logprobs),
            logprobs=tuple(answer.logprobs) if request.logprobs else None,
            finish=answer.finish,
        )


def chat_text(system: str, messages: Sequence[Message]) -> str:
    """Return a conversation as the model saw conversations in training.

    Raises ProviderRefused unless user and assistant take turns and the user speaks first and last.
    """
    roles = [message.role for message in messages]
    if len(roles) % 2 == 0 or roles != (["user", "assistant"] * len(roles))[: len(roles)]:
        raise ProviderRefused(
            f"the messages have the roles {', '.join(roles)}",
            hint="begin and end with user, take turns with assistant; instructions go into system",
        )
    turns = [
        f"\nInput: {message.content}\nOutput: "
        if message.role == "user"
        else f"{message.content}\n"
        for message in messages
    ]
    return system + "".join(turns)


def _check_model(model: str) -> None:
    if model in MODELS:
        return
    close = get_close_matches(model, MODELS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(MODELS)}"
    raise ProviderRefused(f"provider tiny has no model {model!r}", hint=hint)


def _check_parameters(request: Request) -> None:
    """Refuse what would otherwise be ignored in silence."""
    if request.adapter is not None:
        raise ProviderRefused(
            f"{request.model} takes no adapter, the request names {request.adapter!r}",
            hint="leave adapter out",
        )
    if request.extra:
        names = ", ".join(sorted(request.extra))
        raise ProviderRefused(
            f"{request.model} takes no extra parameters, the request has: {names}",
            hint="leave extra out",
        )
    if request.max_tokens > ANSWER_TOKENS:
        raise ProviderRefused(
            f"max_tokens is {request.max_tokens}, {request.model} writes at most {ANSWER_TOKENS}",
            hint=f"set max_tokens to {ANSWER_TOKENS} or less",
        )


def _entropy(request: Request, tokens: Sequence[int]) -> int:
    """Return what seeds this answer's chance; fresh entropy for a request without a seed."""
    if request.seed is None:
        return secrets.randbits(128)
    text = json.dumps([request.seed, request.sample, *tokens]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:16], "big")
