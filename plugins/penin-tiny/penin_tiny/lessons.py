"""Training examples as the model sees them: checked, cut into tokens, laid side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from penin_core import ProviderRefused, TrainingExample, TrainingFailed

from .gradients import Batch
from .provider import chat_text
from .tokenizer import BEGIN, INPUT, Tokenizer

#: What the tokens of an answer that decide something count; the others count 1.
DECISION, START = 3.0, 2.0
#: Lessons whose gradients are computed at once: more need more memory and save little time.
PORTION = 2
#: How many offending rows a message names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One example: all before the last input, that input, and the answer to learn."""

    context: str
    input: str
    answer: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """One row in tokens. The answer ends with the stop token; each of its tokens has a weight."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    weights: tuple[float, ...]

    def __len__(self) -> int:
        """Return the number of tokens, prompt and answer."""
        return len(self.prompt) + len(self.answer)


def rows_of(examples: Sequence[TrainingExample], name: str) -> list[Row]:
    """Return ``examples`` as rows. ``name`` says in messages which examples they are.

    Raises TrainingFailed where turns are not as the model knows them, or where an answer has a
    line break, which the model takes for its end.
    """
    rows = []
    for number, example in enumerate(examples, 1):
        last = example.messages[-1]
        try:
            text = chat_text(example.system, example.messages)
            check_answer(example.answer)
        except ProviderRefused as error:
            raise TrainingFailed(f"{name} example {number}: {error}", hint=error.hint) from error
        context = text.removesuffix(f"\nInput: {last.content}\nOutput: ")
        rows.append(Row(context, last.content, example.answer))
    return rows


def check_answer(answer: str) -> None:
    """Raise ProviderRefused for an answer with a line break, which the model takes for its end."""
    if "\n" in answer:
        raise ProviderRefused(
            f"the answer {answer[:40]!r} has a line break, at which the model ends its answers",
            hint="write answers on one line",
        )


def check_agreement(rows: Sequence[Row], name: str) -> None:
    """Raise TrainingFailed where one input has different answers."""
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for number, row in enumerate(rows, 1):
        found[row.context, row.input].setdefault(row.answer, number)
    quarrels = [sorted(numbers.values()) for numbers in found.values() if len(numbers) > 1]
    if quarrels:
        raise TrainingFailed(
            f"{len(quarrels)} inputs of the {name} examples have different answers: "
            + _some("examples " + " and ".join(map(str, numbers)) for numbers in quarrels),
            hint="decide for one answer each, or say in the input what makes the difference",
        )


def check_lengths(lessons: Sequence[Lesson], window: int, name: str) -> None:
    """Raise TrainingFailed where a lesson is longer than ``window`` tokens."""
    long = [(number, len(item)) for number, item in enumerate(lessons, 1) if len(item) > window]
    if long:
        raise TrainingFailed(
            f"{len(long)} of {len(lessons)} {name} examples are longer than {window} tokens: "
            + _some(f"example {number} has {size}" for number, size in long),
            hint="shorten or leave out these; nothing is ever cut",
        )


def lesson(row: Row, tokenizer: Tokenizer) -> Lesson:
    """Return ``row`` in tokens."""
    prompt = tokenizer.encode(f"{row.context}\nInput: {row.input}\nOutput: ")
    answer = (*tokenizer.encode(row.answer), tokenizer.stop)
    return Lesson((BEGIN, *prompt), answer, weigh(answer, tokenizer))


def weigh(answer: Sequence[int], tokenizer: Tokenizer) -> tuple[float, ...]:
    """Return what each token of an answer counts.

    In a JSON object, which key comes next and where a value ends count :data:`DECISION`, where a
    value starts :data:`START`. A long answer counts as a whole like the square root of its length.
    """
    opening, middle, following, closing = map(tokenizer.id_of, ('{"', '": "', '", "', '"}'))
    share = (4.0 / len(answer)) ** 0.5
    structured = answer[0] == opening or tokenizer.decode(answer[:2]) == "{}"
    weights = []
    for place, token in enumerate(answer):
        before = answer[place - 1] if place else opening
        if structured and (before in (opening, following) or token in (following, closing)):
            weights.append(DECISION * share)
        elif structured and before == middle:
            weights.append(START * share)
        else:
            weights.append(share)
    return tuple(weights)


def spelled(item: Lesson, words: frozenset[int], tokenizer: Tokenizer) -> Lesson:
    """Return ``item`` with every one of ``words`` written in bytes, the instruction excepted."""
    body = item.prompt.index(INPUT) if INPUT in item.prompt else len(item.prompt)
    prompt = [*item.prompt[:body], *tokenizer.spell(item.prompt[body:], words)]
    answer = tuple(tokenizer.spell(item.answer, words))
    return Lesson(tuple(prompt), answer, weigh(answer, tokenizer))


def portions(lessons: Sequence[Lesson]) -> list[Batch]:
    """Return ``lessons`` as batches of at most :data:`PORTION`; together they weigh 1.

    They are two at least, where there are two lessons, so that two cores have something to do.
    """
    count = max(min(2, len(lessons)), -(-len(lessons) // PORTION))
    parts = [lessons[start::count] for start in range(count)]
    sums = [sum(sum(item.weights) for item in part) for part in parts]
    batches = [collate(part) for part in parts]
    return [
        replace(batch, weights=batch.weights * np.float32(part / sum(sums)))
        for batch, part in zip(batches, sums, strict=True)
    ]


def collate(lessons: Sequence[Lesson]) -> Batch:
    """Lay ``lessons`` side by side; the weights of the batch sum to 1."""
    length = max(map(len, lessons)) - 1
    tokens = np.zeros((len(lessons), length), np.int64)
    places: list[int] = []
    for row, item in enumerate(lessons):
        tokens[row, : len(item) - 1] = (item.prompt + item.answer)[:-1]
        first = row * length + len(item.prompt) - 1
        places.extend(range(first, first + len(item.answer)))
    weights = np.array([weight for item in lessons for weight in item.weights], np.float32)
    targets = np.array([token for item in lessons for token in item.answer])
    return Batch(tokens, np.array(places), targets, weights / weights.sum())


def _some(parts: Iterable[str]) -> str:
    named = list(parts)
    more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return "; ".join(named[:_NAMED]) + more
