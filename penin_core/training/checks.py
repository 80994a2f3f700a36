"""What is wrong with training data as a whole; each function yields one kind of problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penin_core.canonical import digest
from penin_core.errors import ProviderRefused
from penin_core.leaks import find_leaks
from penin_core.records import Task, TrainingExample
from penin_core.training.files import Problem, Terms, TrainingFile

#: Fewer examples than this teach nothing.
MIN_EXAMPLES = 10
#: Longest part of an answer that a message quotes.
_QUOTED = 40
#: So many lines are named where one reason holds for many.
_NAMED = 5


def lengths(file: TrainingFile, terms: Terms) -> list[int | ProviderRefused]:
    """Return how many tokens each example has, or why the model cannot take it at all."""
    found: list[int | ProviderRefused] = []
    for example in file.examples:
        try:
            found.append(terms.tokens(example))
        except ProviderRefused as error:
            found.append(error)
    return found


def too_long(
    file: TrainingFile, found: Sequence[int | ProviderRefused], terms: Terms
) -> Iterator[Problem]:
    """Yield rows that the model cannot take whole; they are never cut."""
    limit = terms.capabilities.context_tokens
    for row, length in zip(file.rows, found, strict=True):
        if isinstance(length, ProviderRefused):
            yield Problem(file.name, row.line, str(length))
        elif limit is not None and length > limit:
            reason = f"it has {length:,} tokens, {terms.config.model} trains on at most {limit:,}"
            yield Problem(file.name, row.line, reason)


def too_few(file: TrainingFile, terms: Terms) -> Iterator[Problem]:
    """Yield one problem where there are fewer different rows than a training takes."""
    least = max(MIN_EXAMPLES, terms.capabilities.min_examples)
    count = len(set(file.examples))
    if count < least:
        kind = "usable" if count == len(file.rows) else "different usable"
        reason = f"{file.name} has {count} {kind} rows, a training needs at least {least}"
        yield Problem(file.name, 0, reason)


def empty(file: TrainingFile) -> Iterator[Problem]:
    """Yield one problem where a file has no usable row at all."""
    if not file.rows:
        yield Problem(file.name, 0, f"{file.name} has no usable row")


def silent(file: TrainingFile, terms: Terms) -> Iterator[Problem]:
    """Yield one problem for all rows that nobody vouches for."""
    lines = [row.line for row in file.rows if row.consent is None]
    if lines and not terms.consent:
        which = ", ".join(map(str, lines[:_NAMED])) + (", ..." if len(lines) > _NAMED else "")
        reason = (
            f"{file.name}: {len(lines)} rows say nothing of consent (lines {which}): write "
            '"consent": true into them, or say with --consent why they may be used'
        )
        yield Problem(file.name, 0, reason)


def contradictions(first: TrainingFile, second: TrainingFile) -> Iterator[Problem]:
    """Yield rows that ask what an earlier row asks, and answer it otherwise.

    A preference contradicts the row that prefers the other way round; one question may have any
    number of pairs.
    """
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


def repeated(first: TrainingFile, second: TrainingFile) -> Iterator[Problem]:
    """Yield rows for validation that are trained on as well."""
    lines = {row.example: row.line for row in reversed(first.rows)}
    for row in second.rows:
        if row.example in lines:
            reason = f"it stands in {first.name}, line {lines[row.example]}, too"
            yield Problem(second.name, row.line, reason)


def leaks(first: TrainingFile, second: TrainingFile, unseen: Sequence[Task]) -> Iterator[Problem]:
    """Yield the tasks of ``unseen`` that the model would have seen."""
    split = {task.id: task.split for task in unseen}
    for leak in find_leaks(unseen, [*first.texts(), *second.texts()]):
        name, _, line = leak.seen.rpartition(":")
        what = f"{split[leak.task]} task {leak.task!r}"
        yield Problem(name, int(line), f"it gives away {what} ({leak.how})")


def _question(example: TrainingExample) -> str:
    """Return what two rows have in common that must not be answered in two ways."""
    pair = sorted([example.answer, example.rejected]) if example.rejected else []
    turns = [message.model_dump() for message in example.messages]
    return digest([example.system, turns, pair])


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "...")
