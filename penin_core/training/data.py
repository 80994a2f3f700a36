"""Training data: read, rendered as the champion asks, and checked whole before anything is spent.

A file is JSON Lines of chat rows, ``{"messages": [...]}`` with the answer last, or of penin's own
tasks, ``{"input": ..., "expected": ...}``, which are asked as the configuration asks them, so that
the trained model fits its prompt. ``consent`` and ``license`` may stand in every row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from penin_core.canonical import digest
from penin_core.errors import ProviderRefused, SuiteError
from penin_core.leaks import find_leaks
from penin_core.records import (
    Configuration,
    Record,
    Task,
    TrainingCapabilities,
    TrainingExample,
)
from penin_core.training.rows import Row, read_row

#: Fewer examples than this teach nothing.
MIN_EXAMPLES = 10
#: Longest part of an answer that a message quotes.
_QUOTED = 40
#: So many lines are named where one reason holds for many.
_NAMED = 5


class Problem(NamedTuple):
    """Why a file, or one of its lines, cannot be trained on. ``line`` 0 means the whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}" if self.line else self.reason


class Rights(Record):
    """Who allowed the training on how many rows, and under which licences they stand.

    ``consent`` counts rows by what they rest on: "row" for those that say ``consent: true``
    themselves, else the reason that was given for all others. ``licenses`` counts rows by licence,
    "not stated" included.
    """

    consent: dict[str, int]
    licenses: dict[str, int]


@dataclass(frozen=True)
class TrainingFile:
    """The usable rows of one file, and what is wrong with the others."""

    name: str
    rows: tuple[Row, ...] = ()
    problems: tuple[Problem, ...] = ()
    ignored: tuple[str, ...] = ()

    @cached_property
    def examples(self) -> tuple[TrainingExample, ...]:
        """The examples, in the order of the file."""
        return tuple(row.example for row in self.rows)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield every text that is trained on, normalised, by file and line."""
        for row in self.rows:
            for text in row.seen:
                yield f"{self.name}:{row.line}", text


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
        parts = (self.train.examples, self.validation.examples)
        return digest([[e.model_dump(mode="json") for e in examples] for examples in parts])

    def require_usable(self) -> None:
        """Raise SuiteError where anything is wrong; the message counts it and says the first."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            raise SuiteError(
                f"the training data cannot be used: {self.problems[0]}{more}",
                hint="correct the file; nothing was sent, spent or recorded",
            )


@dataclass(frozen=True)
class Terms:
    """What data have to fit: a model's window, the tasks kept for proof, and what is declared.

    ``consent`` is the reason why rows that say nothing of consent may be used, ``licence`` theirs.
    """

    config: Configuration
    capabilities: TrainingCapabilities
    tokens: Callable[[TrainingExample], int]
    confirm: Sequence[Task] = ()
    consent: str = ""
    licence: str = ""


def read_training_data(train: Path, validation: Path | None, terms: Terms) -> TrainingData:
    """Read and check the data; every problem is found, not only the first.

    Raises:
        SuiteError: a file cannot be read.
    """
    first = read_training_file(train, terms)
    second = read_training_file(validation, terms) if validation else TrainingFile("")
    lengths = _lengths(first, terms)
    problems = [
        *first.problems,
        *second.problems,
        *_too_long(first, lengths, terms),
        *_too_long(second, _lengths(second, terms), terms),
        *_too_few(first, terms),
        *_silent(first, terms),
        *_silent(second, terms),
        *_contradictions(first, second),
        *_repeated(first, second),
        *_leaks(first, second, terms.confirm),
    ]
    return TrainingData(
        train=first,
        validation=second,
        rights=_rights(first.rows + second.rows, terms),
        tokens=sum(length for length in lengths if isinstance(length, int)),
        problems=tuple(problems),
        notes=tuple(_notes(first, second)),
    )


def read_training_file(path: Path, terms: Terms) -> TrainingFile:
    """Read one file; a line that cannot be used is a problem and takes no other with it.

    Raises:
        SuiteError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(
            f"{path}: cannot be read ({error})", hint="name a JSON Lines file"
        ) from error
    rows, problems, ignored = [], [], Counter[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row, unknown = read_row(number, line, terms.config)
        except ValueError as error:
            problems.append(Problem(path.name, number, str(error)))
        else:
            rows.append(row)
            ignored.update(unknown)
    return TrainingFile(path.name, tuple(rows), tuple(problems), tuple(sorted(ignored)))


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


# Each of these yields what is wrong with the rows that could be read


def _lengths(file: TrainingFile, terms: Terms) -> list[int | ProviderRefused]:
    """Return how many tokens each example has, or why the model cannot take it at all."""
    lengths: list[int | ProviderRefused] = []
    for example in file.examples:
        try:
            lengths.append(terms.tokens(example))
        except ProviderRefused as error:
            lengths.append(error)
    return lengths


def _too_long(
    file: TrainingFile, lengths: Sequence[int | ProviderRefused], terms: Terms
) -> Iterator[Problem]:
    limit = terms.capabilities.context_tokens
    for row, length in zip(file.rows, lengths, strict=True):
        if isinstance(length, ProviderRefused):
            yield Problem(file.name, row.line, str(length))
        elif limit is not None and length > limit:
            reason = f"it has {length:,} tokens, {terms.config.model} trains on at most {limit:,}"
            yield Problem(file.name, row.line, reason)


def _too_few(file: TrainingFile, terms: Terms) -> Iterator[Problem]:
    least = max(MIN_EXAMPLES, terms.capabilities.min_examples)
    if len(file.rows) < least:
        reason = f"{file.name} has {len(file.rows)} usable rows, a training needs at least {least}"
        yield Problem(file.name, 0, reason)


def _silent(file: TrainingFile, terms: Terms) -> Iterator[Problem]:
    """Yield one problem for all rows that nobody vouches for."""
    lines = [row.line for row in file.rows if row.consent is None]
    if lines and not terms.consent:
        which = ", ".join(map(str, lines[:_NAMED])) + (", ..." if len(lines) > _NAMED else "")
        reason = (
            f"{file.name}: {len(lines)} rows say nothing of consent (lines {which}): write "
            '"consent": true into them, or say with --consent why they may be used'
        )
        yield Problem(file.name, 0, reason)


def _contradictions(first: TrainingFile, second: TrainingFile) -> Iterator[Problem]:
    """Yield rows that ask what an earlier row asks, and answer it otherwise."""
    answers: dict[str, tuple[str, int, str]] = {}
    for file in (first, second):
        for row in file.rows:
            question = _question(row.example)
            name, line, answer = answers.setdefault(
                question, (file.name, row.line, row.example.answer)
            )
            if answer != row.example.answer:
                reason = (
                    f"it contradicts line {line}{'' if name == file.name else f' of {name}'}: "
                    f"the same question, answered {_quoted(row.example.answer)} "
                    f"and {_quoted(answer)}"
                )
                yield Problem(file.name, row.line, reason)


def _repeated(first: TrainingFile, second: TrainingFile) -> Iterator[Problem]:
    """Yield rows for validation that are trained on as well."""
    lines = {row.example: row.line for row in reversed(first.rows)}
    for row in second.rows:
        if row.example in lines:
            reason = f"it stands in {first.name}, line {lines[row.example]}, too"
            yield Problem(second.name, row.line, reason)


def _leaks(first: TrainingFile, second: TrainingFile, confirm: Sequence[Task]) -> Iterator[Problem]:
    """Yield confirm tasks that the model would have seen."""
    for leak in find_leaks(confirm, [*first.texts(), *second.texts()]):
        name, _, line = leak.seen.rpartition(":")
        how = "equal" if leak.overlap == 1.0 else f"{leak.overlap:.0%} of its 5-grams"
        yield Problem(name, int(line), f"it gives away confirm task {leak.task!r} ({how})")


def _notes(first: TrainingFile, second: TrainingFile) -> Iterator[str]:
    again = len(first.rows) - len(set(first.examples))
    if again:
        yield f"{again} rows of {first.name} repeat an earlier one"
    for file in (first, second):
        if file.ignored:
            yield f"columns of {file.name} that are not used: {', '.join(file.ignored)}"


def _question(example: TrainingExample) -> str:
    return digest([example.system, [message.model_dump() for message in example.messages]])


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "...")
