"""Training data: read, rendered as the champion asks, and checked whole before anything is spent.

A file is JSON Lines of chat rows, ``{"messages": [...]}`` with the answer last, or of penin's own
tasks, ``{"input": ..., "expected": ...}``, which are asked as the configuration asks them, so that
the trained model fits its prompt. A method that learns from preferences takes ``{"prompt": ...,
"chosen": ..., "rejected": ...}`` instead, or a task's ``input`` in place of ``prompt``. ``consent``
and ``license`` may stand in every row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from penin_core.canonical import digest
from penin_core.errors import SuiteError
from penin_core.records import Configuration, Record, TrainingExample
from penin_core.rendering import columns
from penin_core.training import checks
from penin_core.training.files import (
    Problem,
    Terms,
    TrainingFile,
    as_data,
    read_training_file,
)
from penin_core.training.rows import Row


class Rights(Record):
    """Who allowed the training on how many rows, and under which licences they stand.

    ``consent`` counts rows by what they rest on: "row" for those that say ``consent: true``
    themselves, else the reason that was given for all others. ``licenses`` counts rows by licence,
    "not stated" included.
    """

    consent: dict[str, int]
    licenses: dict[str, int]


@dataclass(frozen=True)
class TrainingData:
    """What a model is to be trained on, checked. Whatever ``problems`` says is refused."""

    train: TrainingFile
    validation: TrainingFile
    rights: Rights
    tokens: int
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 over all examples in their order, those for validation apart."""
        return digest([as_data(self.train.examples), as_data(self.validation.examples)])

    def require_usable(self) -> None:
        """Raise SuiteError where anything is wrong; the message counts it and says the first."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            raise SuiteError(
                f"the training data cannot be used: {self.problems[0]}{more}",
                hint="correct the file; nothing was sent, spent or recorded",
            )


def read_training_data(train: Path, validation: Path | None, terms: Terms) -> TrainingData:
    """Read and check the data; every problem is found, not only the first.

    Raises:
        SuiteError: a file cannot be read.
    """
    first = read_training_file(train, terms, _name(train, validation))
    second = TrainingFile("")
    if validation:
        second = read_training_file(validation, terms, _name(validation, train))
    lengths = checks.lengths(first, terms)
    problems = [
        *first.problems,
        *second.problems,
        *checks.too_long(first, lengths, terms),
        *checks.too_long(second, checks.lengths(second, terms), terms),
        *checks.too_few(first, terms),
        *(checks.empty(second) if validation else ()),
        *checks.silent(first, terms),
        *checks.silent(second, terms),
        *checks.contradictions(first, second),
        *checks.repeated(first, second),
        *checks.leaks(first, second, terms.unseen),
    ]
    return TrainingData(
        train=first,
        validation=second,
        rights=_rights(first.rows + second.rows, terms),
        tokens=sum(length for length in lengths if isinstance(length, int)),
        problems=tuple(problems),
        notes=(*_notes(first, second), *_others(first, terms.config)),
    )


def chat_lines(examples: Sequence[TrainingExample]) -> bytes:
    """Return examples as JSON Lines of ``{"messages": [...]}``, as services take them."""
    return b"".join(_chat_line(example) for example in examples)


def _chat_line(example: TrainingExample) -> bytes:
    system = [{"role": "system", "content": example.system}] if example.system else []
    answer = {"role": "assistant", "content": example.answer}
    turns = [*system, *(message.model_dump() for message in example.messages), answer]
    return (json.dumps({"messages": turns}, ensure_ascii=False) + "\n").encode()


def _rights(rows: Sequence[Row], terms: Terms) -> Rights:
    consent = Counter("row" if row.consent else terms.consent for row in rows)
    licenses = Counter(row.license or terms.licence or "not stated" for row in rows)
    return Rights(consent=dict(sorted(consent.items())), licenses=dict(sorted(licenses.items())))


def _name(file: Path, other: Path | None) -> str:
    """Return what messages call a file: its name, unless the other one has the same."""
    return str(file) if other is not None and other.name == file.name else file.name


def _others(file: TrainingFile, config: Configuration) -> Iterator[str]:
    """Note conversations whose instruction is not the one that the trained model will get."""
    system = config.system.strip()
    count = sum(example.system != system for example in file.examples)
    if count and not columns(system):
        yield f"{count} rows of {file.name} have another instruction than the champion has"


def _notes(first: TrainingFile, second: TrainingFile) -> Iterator[str]:
    again = len(first.rows) - len(set(first.examples))
    if again:
        yield f"{again} rows of {first.name} repeat an earlier one"
    for file in (first, second):
        if file.ignored:
            yield f"columns of {file.name} that are not used: {', '.join(file.ignored)}"
