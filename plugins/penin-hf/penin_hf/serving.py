"""One model in memory: its tokenizer, its one copy of the weights, its adapters."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import torch

from penin_core import ProviderRefused, Request

from . import folders
from .adapters import Adapters
from .decoding import Answer, Decoder, Prompt
from .loading import end_ids, load_model, load_tokenizer
from .options import ModelOptions
from .prompts import prompt_ids


class Served:
    """A model as it lay on the disk when it was first ``seen``; ``digest`` says what that was.

    Raises:
        ProviderRefused: it cannot be loaded, or has changed since.
    """

    def __init__(
        self, model: str, folder: Path, seen: folders.Signature, options: ModelOptions
    ) -> None:
        self._folder, self._seen = folder, seen
        self.digest = folders.model_digest(folder)
        tokenizer = load_tokenizer(model, options)
        loaded = load_model(model, options)
        folders.check_unchanged(folder, seen)
        self._window = folders.window(folder)
        self._decoder = Decoder(loaded, tokenizer, end_ids(loaded, tokenizer))
        self._adapters = Adapters(loaded, folders.weights_digest(folder))
        self._vocabulary = loaded.get_input_embeddings().weight.shape[0]

    def prompt(self, request: Request) -> Prompt:
        """Return what the model reads for ``request``, and how it shall go on.

        Raises:
            ProviderRefused: it is too long, empty, or asks for what is not known here.
        """
        stop = _stops(request)
        tokens = prompt_ids(self._decoder.tokenizer, request.system, request.messages)
        self._check_fits(request, tokens)
        return Prompt(
            tokens=tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            entropy=_entropy(request, tokens),
            stop=stop,
        )

    def answer(self, prompts: Sequence[Prompt], adapter: Path | None) -> list[Answer]:
        """Return the answers to ``prompts`` in their order, written side by side.

        Raises:
            ProviderRefused: the adapter does not fit, the files of the model have changed since it
                was loaded, or the memory is too small for so many.
        """
        folders.check_unchanged(self._folder, self._seen)
        with self._adapters.use(adapter):
            try:
                return self._decoder.answer(prompts)
            except torch.OutOfMemoryError as error:
                raise ProviderRefused(
                    f"{len(prompts)} prompts side by side do not fit into the memory of the GPU",
                    hint="set a smaller batch under [providers.hf]",
                ) from error

    def _check_fits(self, request: Request, tokens: Sequence[int]) -> None:
        if self._window is not None and len(tokens) + request.max_tokens > self._window:
            raise ProviderRefused(
                f"the prompt has {len(tokens)} tokens and max_tokens is {request.max_tokens}; "
                f"{request.model} reads {self._window} in all",
                hint="shorten the input or the instruction, show fewer examples, or lower "
                "max_tokens",
            )
        if max(tokens) >= self._vocabulary:
            raise ProviderRefused(
                f"the tokenizer of {request.model} writes token {max(tokens)}, and the model has "
                f"{self._vocabulary}",
                hint="tokenizer and weights do not belong together; download them again",
            )


def _stops(request: Request) -> tuple[str, ...]:
    """Return where an answer ends beside the model's own end; refuse whatever else is in extra."""
    if other := sorted(request.extra.keys() - {"stop"}):
        raise ProviderRefused(
            f"provider hf does not know the extra parameters {', '.join(other)}",
            hint="extra may hold stop, a text or a list of texts",
        )
    stop = request.extra.get("stop", [])
    texts = [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list | tuple) or not all(isinstance(t, str) and t for t in texts):
        raise ProviderRefused(
            f"stop is {stop!r}", hint='write stop = "END" or stop = ["END", "\\n\\n"]'
        )
    return tuple(texts)


def _entropy(request: Request, tokens: Sequence[int]) -> int:
    """Return what seeds this answer's chance; fresh entropy for a request without a seed."""
    if request.seed is None:
        return secrets.randbits(63)
    text = json.dumps([request.seed, request.sample, *tokens]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
