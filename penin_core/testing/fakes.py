"""What stands in for the world in tests: two providers, and distributions without installation.

The providers answer from what they are given: deterministic, local, free. They are real ones in
every respect that the engine can see. Tests register them with ``plugins.add(fakes, "fakes")``; a
token is a word.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import Field

from penin_core import (
    Capabilities,
    Completion,
    ComponentOptions,
    LocalProvider,
    Price,
    ProviderError,
    ProviderRefused,
    Request,
    hookimpl,
)

penin_api = 1

#: What a scripted function may return.
Answer = str | Completion | ProviderError

FREE = Price(input_per_million=0.0, output_per_million=0.0)


class Echo(LocalProvider):
    """Answers every prompt with the prompt itself."""

    name = "echo"

    def capabilities(self, model: str) -> Capabilities:
        """Every model name is the same echo."""
        return Capabilities(logprobs=True, seed=True, price=FREE, batch=64)

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        """Return the last message of each request, each word with probability 1."""
        return [_completion(request, prompt_of(request), 1.0) for request in requests]


class Scripted(LocalProvider):
    """Answers from a mapping or from a function, and fails where the script says so."""

    name = "scripted"

    class Options(ComponentOptions):
        """The script: the first of ``errors``, ``answers``, ``answer``, ``default`` that applies.

        Keys are prompts (last messages). Values of ``errors`` are messages of a ProviderRefused;
        ``answer`` may return or raise any ProviderError. ``confidence`` is the probability of
        every answer, spread evenly over its words; None means that there are no log-probabilities.
        """

        answers: dict[str, str] = {}
        errors: dict[str, str] = {}
        answer: Callable[[Request], Answer] | None = None
        default: str | None = None
        confidence: float | None = Field(default=None, gt=0.0, le=1.0)
        context_tokens: int | None = Field(default=None, gt=0)

    options: Options

    def capabilities(self, model: str) -> Capabilities:
        """Every model name plays the same script."""
        return Capabilities(
            logprobs=self.options.confidence is not None,
            seed=True,
            price=FREE,
            batch=64,
            context_tokens=self.options.context_tokens,
        )

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        """Play the script for each request."""
        return [self._play(request) for request in requests]

    def _play(self, request: Request) -> Completion | ProviderError:
        limit = self.options.context_tokens
        if limit is not None and _words_in(request) > limit:
            return ProviderRefused(f"{_words_in(request)} tokens are more than the {limit} allowed")
        try:
            answer = self._answer(request)
        except ProviderError as error:
            return error
        if isinstance(answer, str):
            return _completion(request, answer, self.options.confidence)
        return answer

    def _answer(self, request: Request) -> Answer:
        prompt, script = prompt_of(request), self.options
        if prompt in script.errors:
            return ProviderRefused(script.errors[prompt])
        if prompt in script.answers:
            return script.answers[prompt]
        if script.answer is not None:
            return script.answer(request)
        if script.default is not None:
            return script.default
        return ProviderRefused(f"the script has no answer to {prompt!r}")


def prompt_of(request: Request) -> str:
    """Return what was asked: the content of the last message."""
    return request.messages[-1].content


def write_distribution(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    plugins: Mapping[str, str] | None = None,
    commands: Mapping[str, str] | None = None,
    modules: Mapping[str, str] | None = None,
) -> None:
    """Write a distribution into ``folder``; once that is on ``sys.path``, it counts as installed.

    ``plugins`` and ``commands`` map names to entry point values, ``modules`` names to source code.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["[penin]", *(f"{key} = {value}" for key, value in (plugins or {}).items())]
    lines += ["[penin.commands]", *(f"{key} = {value}" for key, value in (commands or {}).items())]
    files = {
        f"{info.name}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info.name}/entry_points.txt": "\n".join(lines) + "\n",
        **{f"{module}.py": source for module, source in (modules or {}).items()},
    }
    record = []
    for path, text in files.items():
        (folder / path).write_text(text, encoding="utf-8")
        digest = base64.urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")
        record.append(f"{path},sha256={digest},{len(text.encode())}\n")
    (info / "RECORD").write_text("".join(record) + f"{info.name}/RECORD,,\n", encoding="utf-8")


def _words_in(request: Request) -> int:
    texts = [request.system, *(message.content for message in request.messages)]
    return max(1, sum(len(text.split()) for text in texts))


def _completion(request: Request, text: str, confidence: float | None) -> Completion:
    words = text.split()
    cut = len(words) > request.max_tokens
    if cut:
        words = words[: request.max_tokens]
        text = " ".join(words)
    logprobs = None
    if request.logprobs and confidence is not None:
        logprobs = (math.log(confidence) / max(1, len(words)),) * len(words)
    return Completion(
        text=text,
        model=request.model,
        tokens_in=_words_in(request),
        tokens_out=len(words),
        logprobs=logprobs,
        finish="length" if cut else "stop",
    )


@hookimpl
def penin_register_providers() -> list[type[LocalProvider]]:
    """Return both."""
    return [Echo, Scripted]
