"""One file of training data: its usable rows, and what is wrong with the others, by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from penin_core.errors import SuiteError
from penin_core.records import Configuration, Task, TrainingCapabilities, TrainingExample
from penin_core.training.rows import Row, read_row

_WORSE = {"rejected"}


class Problem(NamedTuple):
    """Why a file, or one of its lines, cannot be trained on. ``line`` 0 means the whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}" if self.line else self.reason


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
class Terms:
    """What data have to fit: a model's window, tasks that no model may have seen, what is declared.

    ``consent`` is the reason why rows that say nothing of consent may be used, ``licence`` theirs.
    ``preferences`` says that each row has to have a better and a worse answer.
    """

    config: Configuration
    capabilities: TrainingCapabilities
    tokens: Callable[[TrainingExample], int]
    unseen: Sequence[Task] = ()
    consent: str = ""
    licence: str = ""
    preferences: bool = False


def as_data(examples: Sequence[TrainingExample]) -> list[dict[str, Any]]:
    """Return examples as JSON values; one without a worse answer says nothing of it."""
    return [e.model_dump(mode="json", exclude=None if e.rejected else _WORSE) for e in examples]


def read_training_file(path: Path, terms: Terms, name: str) -> TrainingFile:
    """Read one file, which messages call ``name``.

    A line that cannot be used is a problem and takes no other with it.

    Raises:
        SuiteError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        before = error.object.count(b"\n", 0, error.start)
        raise SuiteError(
            f"{path}, line {before + 1}: cannot be read as UTF-8 ({error.reason})",
            hint="save the file as UTF-8",
        ) from error
    except OSError as error:
        raise SuiteError(
            f"{path}: cannot be read ({error})", hint="name a JSON Lines file"
        ) from error
    rows, problems, ignored = [], [], Counter[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row, unknown = read_row(number, line, terms.config, terms.preferences)
        except ValueError as error:
            problems.append(Problem(name, number, str(error)))
        else:
            rows.append(row)
            ignored.update(unknown)
    return TrainingFile(name, tuple(rows), tuple(problems), tuple(sorted(ignored)))
