"""Examples as tokens: what stands there already, and what is to be learnt to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penin_core import TrainingExample, TrainingFailed

from .prompts import prompt_ids

Tokens = tuple[int, ...]
#: So many rows are named where one reason holds for many.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt, the answer to it with its end, and a worse answer where there is one."""

    prompt: Tokens
    answer: Tokens
    rejected: Tokens = ()

    def __len__(self) -> int:
        return len(self.prompt) + max(len(self.answer), len(self.rejected))


def lesson(tokenizer: Any, end: int, example: TrainingExample) -> Lesson:
    """Return ``example`` as tokens: the prompt just as the provider asks it, the answer after it.

    ``end`` is the token that ends an answer; the loss counts it, the prompt it does not.

    Raises:
        ProviderRefused: the model's chat template does not take the conversation.
    """

    def answer(text: str) -> Tokens:
        return (*tokenizer(text, add_special_tokens=False)["input_ids"], end)

    return Lesson(
        prompt=prompt_ids(tokenizer, example.system, example.messages),
        answer=answer(example.answer),
        rejected=answer(example.rejected) if example.rejected else (),
    )


def check_lengths(lessons: Sequence[Lesson], limit: int | None, part: str) -> None:
    """Refuse rows that are longer than the model's window; they are never cut.

    Raises:
        TrainingFailed: it counts them and names the first.
    """
    long = [row for row, each in enumerate(lessons, 1) if limit is not None and len(each) > limit]
    if long:
        which = ", ".join(map(str, long[:_NAMED])) + (", ..." if len(long) > _NAMED else "")
        raise TrainingFailed(
            f"{len(long)} {part} examples (rows {which}) have more than {limit:,} tokens, the "
            "longest text that the model reads",
            hint="shorten them or leave them out",
        )
