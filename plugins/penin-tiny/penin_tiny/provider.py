"""The provider ``tiny``: the embedded model behind penin's contract for local models."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
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
    from .decoding import Answer, Decoder, Prompt

MODELS = ("tiny-5",)
#: The longest prompt, in tokens: the longest text that the model was trained on.
CONTEXT_TOKENS = 512
#: The longest answer, in tokens. Answers come on top of the prompt.
ANSWER_TOKENS = 1536
#: How many requests are best sent together; more are taken, and answered no faster.
BATCH = 96
#: Tuned models that stay in memory.
TUNED = 4


class TinyProvider(LocalProvider):
    """A language model of 0.92 million parameters in NumPy: no key, no network, no price."""

    name = "tiny"

    def __init__(self, options: ComponentOptions | None = None) -> None:
        """Load the model. Raises PluginInvalid where its weights are damaged."""
        super().__init__(options)
        # Listing plugins must not load NumPy; building a provider may.
        from .decoding import Decoder
        from .weights import load

        self._base = Decoder(load())
        self._loading = threading.Lock()
        self._tuned: OrderedDict[tuple[str, int, int], Decoder] = OrderedDict()

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
        A request's ``adapter`` is the folder of a tuned model.
        """
        outcomes: dict[int, Completion | ProviderError] = {}
        for adapter in dict.fromkeys(request.adapter for request in requests):
            own = [i for i, request in enumerate(requests) if request.adapter == adapter]
            try:
                decoder = self._base if adapter is None else self._load(Path(adapter))
            except ProviderRefused as error:
                outcomes.update(dict.fromkeys(own, error))
            else:
                outcomes.update(self._answer(decoder, {i: requests[i] for i in own}))
        return [outcomes[index] for index in range(len(requests))]

    def _answer(
        self, decoder: Decoder, requests: Mapping[int, Request]
    ) -> dict[int, Completion | ProviderError]:
        """Answer requests to one model."""
        from .threads import one_blas_thread

        prompts: dict[int, Prompt] = {}
        outcomes: dict[int, Completion | ProviderError] = {}
        for index, request in requests.items():
            try:
                prompts[index] = self._prompt(request)
            except ProviderRefused as error:
                outcomes[index] = error
        with one_blas_thread():
            answers = decoder.answer(list(prompts.values()))
        for (index, prompt), answer in zip(prompts.items(), answers, strict=True):
            outcomes[index] = self._completion(requests[index], prompt, answer)
        return outcomes

    def _load(self, folder: Path) -> Decoder:
        """Return the tuned model in ``folder``; the last few stay in memory.

        Raises ProviderRefused where it is missing, damaged or made for another base.
        """
        from . import tuned
        from .decoding import Decoder

        try:
            found = (folder / tuned.FILE).stat()
        except OSError as error:
            raise ProviderRefused(
                f"the tuned model {folder / tuned.FILE} cannot be read: {error.strerror}",
                hint="adapter must be the folder of a tuned model; take the file from its export",
            ) from error
        key = str(folder), found.st_mtime_ns, found.st_size
        with self._loading:
            if key not in self._tuned:
                self._tuned[key] = Decoder(tuned.load(folder))
                if len(self._tuned) > TUNED:
                    self._tuned.popitem(last=False)
            self._tuned.move_to_end(key)
            return self._tuned[key]

    def _prompt(self, request: Request) -> Prompt:
        from .decoding import Prompt

        _check_model(request.model)
        _check_parameters(request)
        tokens = self._base.tokenize(chat_text(request.system, request.messages))
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
            text=self._base.tokenizer.decode(answer.tokens),
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
