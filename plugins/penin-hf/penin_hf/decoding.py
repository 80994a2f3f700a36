"""Writing answers side by side: read the prompts, draw a token for each, let go of what is done."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from .sampling import choose


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text to go on with, and how. ``entropy`` seeds the chance of this answer alone."""

    tokens: tuple[int, ...]
    temperature: float
    top_p: float
    max_tokens: int
    entropy: int
    stop: tuple[str, ...] = ()


@dataclass(slots=True)
class Answer:
    """What was written: its text, and a log-probability for each token that was drawn."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Literal["stop", "length"] = "length"


class Decoder:
    """A causal language model, its tokenizer and the tokens that end an answer."""

    def __init__(self, model: Any, tokenizer: Any, ends: Sequence[int]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._ends = frozenset(ends)
        self._takes = inspect.signature(model.forward).parameters.keys()

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Return the answers in the order of ``prompts``. Each depends on its own prompt only.

        What is done leaves the batch at once, so that a long answer does not carry the others on.
        """
        with torch.inference_mode():
            return self._answer(prompts)

    def _answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        answers = [Answer() for _ in prompts]
        drafts = [_Draft(p, a, self) for p, a in zip(prompts, answers, strict=True)]
        ids, mask = self._padded([prompt.tokens for prompt in prompts])
        cache: Any = None
        while drafts:
            logits, cache = self._read(ids, mask, cache)
            tokens, logprobs = choose(logits, *self._settings(drafts))
            going = [
                row
                for row, (draft, token, logprob) in enumerate(
                    zip(drafts, tokens.tolist(), logprobs.tolist(), strict=True)
                )
                if draft.write(token, logprob)
            ]
            if len(going) < len(drafts):
                drafts = [drafts[row] for row in going]
                kept = torch.tensor(going, dtype=torch.long, device=mask.device)
                mask, tokens = mask[kept], tokens[kept]
                if going:
                    cache.batch_select_indices(kept)
            ids, mask = tokens[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], -1)
        return answers

    def ends(self, token: int) -> bool:
        """Say whether ``token`` ends an answer."""
        return token in self._ends

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens say, without those that are no text."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        # On the left, so that all rows go on in the same column. Which token fills is all the
        # same, because nothing attends to it.
        width = max((len(row) for row in rows), default=0)
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return ids.to(self.model.device), mask.to(self.model.device)

    def _read(self, ids: Any, mask: Any, cache: Any) -> tuple[Any, Any]:
        """Read ``ids``; return the logits of what follows, and what was kept of all that was read.

        Positions count from the first token of a row, however much padding stands before it.
        """
        given = {"logits_to_keep": 1, "position_ids": self._positions(ids, mask)}
        read = self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **{name: value for name, value in given.items() if name in self._takes},
        )
        return read.logits[:, -1], read.past_key_values

    def _positions(self, ids: Any, mask: Any) -> Any:
        return (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]

    def _settings(self, drafts: Sequence[_Draft]) -> tuple[Any, Any, Any]:
        rows = torch.tensor([draft.settings for draft in drafts], dtype=torch.float64)
        temperature, top_p, chance = rows.to(self.model.device).T
        return temperature, top_p, chance


class _Draft:
    """An answer that is being written."""

    def __init__(self, prompt: Prompt, answer: Answer, decoder: Decoder) -> None:
        self.prompt, self.answer, self._decoder = prompt, answer, decoder
        chance = torch.Generator().manual_seed(prompt.entropy)
        self._chance = torch.rand(prompt.max_tokens, dtype=torch.float64, generator=chance).tolist()

    @property
    def settings(self) -> tuple[float, float, float]:
        """Temperature, top-p and the chance that decides the next token."""
        chance = self._chance[len(self.answer.logprobs)]
        return self.prompt.temperature, self.prompt.top_p, chance

    def write(self, token: int, logprob: float) -> bool:
        """Append one token; say whether the answer goes on."""
        answer = self.answer
        answer.logprobs.append(logprob)
        if self._decoder.ends(token):
            answer.finish = "stop"
        else:
            answer.tokens.append(token)
            if self.prompt.stop and self._stopped():
                return False
            if len(answer.logprobs) < self.prompt.max_tokens:
                return True
        answer.text = self._decoder.text(answer.tokens)
        return False

    def _stopped(self) -> bool:
        text = self._decoder.text(self.answer.tokens)
        places = [place for stop in self.prompt.stop if (place := text.find(stop)) >= 0]
        if places:
            self.answer.text, self.answer.finish = text[: min(places)], "stop"
        return bool(places)
