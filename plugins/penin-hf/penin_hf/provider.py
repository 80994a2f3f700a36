"""The provider ``hf``: Hugging Face models in this process."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penin_core import (
    Capabilities,
    Completion,
    LocalProvider,
    Price,
    ProviderBadReply,
    ProviderError,
    Request,
)

from . import folders
from .options import HFOptions

if TYPE_CHECKING:
    from .decoding import Answer, Prompt
    from .serving import Served

#: Models that stay in memory: what runs, and what it is compared with.
KEPT = 2
_FREE = Price(input_per_million=0.0, output_per_million=0.0)


class HFProvider(LocalProvider):
    """Hugging Face models in this process: no key, no network, no price."""

    name = "hf"
    Options = HFOptions
    options: HFOptions

    def __init__(self, options: HFOptions | None = None) -> None:
        super().__init__(options)
        self._found: dict[str, tuple[Path, Capabilities]] = {}
        self._seen: dict[Path, folders.Signature] = {}
        self._served: OrderedDict[Path, Served] = OrderedDict()

    def close(self) -> None:
        """Let go of the models."""
        self._served.clear()

    def capabilities(self, model: str) -> Capabilities:
        """Say what ``model`` can do; ``context_tokens`` limits prompt and answer together.

        Raises ProviderRefused for a model, or a device, that is not there.
        """
        return self._find(model)[1]

    def fingerprint(self, model: str) -> str:
        """Return the digest of all files of ``model`` that can change an answer.

        Raises ProviderRefused where they have changed since this provider first saw them.
        """
        folder, _ = self._find(model)
        folders.check_unchanged(folder, self._seen[folder])
        return folders.model_digest(folder)

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        """Answer ``requests`` in their order; one that cannot be answered yields ProviderRefused.

        With a seed, an answer follows from its own request and nothing else. The prompt and
        ``sample`` are mixed into the seed, so that tasks and repeats do not share their chance.
        A request's ``adapter`` is the folder of a LoRA adapter.
        """
        outcomes: dict[int, Completion | ProviderError] = {}
        for kind in dict.fromkeys((request.model, request.adapter) for request in requests):
            own = {i: r for i, r in enumerate(requests) if (r.model, r.adapter) == kind}
            try:
                outcomes.update(self._answer(*kind, own))
            except ProviderError as error:
                outcomes.update(dict.fromkeys(own, error))
        return [outcomes[index] for index in range(len(requests))]

    def _answer(
        self, model: str, adapter: str | None, requests: Mapping[int, Request]
    ) -> dict[int, Completion | ProviderError]:
        """Answer requests to one model with one adapter."""
        served = self._load(model)
        outcomes: dict[int, Completion | ProviderError] = {}
        prompts: dict[int, Prompt] = {}
        for index, request in requests.items():
            try:
                prompts[index] = served.prompt(request)
            except ProviderError as error:
                outcomes[index] = error
        # Neighbours of like length waste the least of a padded batch.
        order = sorted(prompts, key=lambda i: (len(prompts[i].tokens), prompts[i].max_tokens))
        for start in range(0, len(order), self.options.batch):
            part = order[start : start + self.options.batch]
            answers = served.answer([prompts[i] for i in part], Path(adapter) if adapter else None)
            for i, answer in zip(part, answers, strict=True):
                outcomes[i] = _outcome(requests[i], prompts[i], answer, served.digest)
        return outcomes

    def _find(self, model: str) -> tuple[Path, Capabilities]:
        # Asked for every request, so it is looked up once.
        if model not in self._found:
            folder = folders.locate(model)
            self._seen.setdefault(folder, folders.signature(folder))
            if self.options.device.startswith("cuda"):
                # Before anything else is measured.
                from .loading import device_of

                device_of(self.options)
            self._found[model] = (
                folder,
                Capabilities(
                    logprobs=True,
                    seed=True,
                    context_tokens=folders.window(folder),
                    price=_FREE,
                    batch=self.options.batch,
                ),
            )
        return self._found[model]

    def _load(self, model: str) -> Served:
        """Return ``model`` in memory; of those that are not needed, the oldest goes first."""
        from .serving import Served

        folder, _ = self._find(model)
        if folder not in self._served:
            while len(self._served) >= KEPT:
                self._served.popitem(last=False)
            self._served[folder] = Served(model, folder, self._seen[folder], self.options)
        self._served.move_to_end(folder)
        return self._served[folder]


def _outcome(
    request: Request, prompt: Prompt, answer: Answer, digest: str
) -> Completion | ProviderError:
    """Return an answer as penin wants it; weights that give no numbers give no answer."""
    if not all(map(math.isfinite, answer.logprobs)):
        return ProviderBadReply(
            f"{request.model} gives probabilities that are no numbers",
            hint='the weights are damaged, or overflow: try dtype = "float32"',
        )
    return Completion(
        text=answer.text,
        model=f"{request.model}@{digest[:16]}",
        tokens_in=len(prompt.tokens),
        tokens_out=len(answer.logprobs),
        logprobs=tuple(answer.logprobs) if request.logprobs else None,
        finish=answer.finish,
    )
