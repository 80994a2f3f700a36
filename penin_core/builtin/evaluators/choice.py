"""Utility of answers that are one of several labels, or a number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from pydantic import Field, field_validator

from penin_core import Completion, ComponentOptions, Evaluator, Task

from .utility import accepted

#: Labels that are not given are the answers of a kind of task that repeat this often on average.
_REPEATS = 2


class Choice(Evaluator):
    """1 where the answer names the right label and no other, else 0.

    Case and punctuation do not count. In a sentence a label counts as named where it stands as
    whole words; one that is only part of a longer label that stands there does not. An answer that
    names two labels is wrong.
    """

    name = "choice"
    axis = "U"

    class Options(ComponentOptions):
        """The labels. Unless given, they are the repeating answers of the select split, by tag."""

        labels: tuple[str, ...] = ()

        @field_validator("labels")
        @classmethod
        def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
            seen: dict[str, str] = {}
            for label in labels:
                key = _words(label)
                if not key or key in seen:
                    other = f"is equal to {seen[key]!r}" if key in seen else "is empty"
                    raise ValueError(f"label {label!r} {other} without case and punctuation")
                seen[key] = label
            return labels

    options: Choice.Options

    def prepare(self, tasks: Sequence[Task], baseline: Mapping[str, float]) -> None:
        """Read from the tasks, kind by kind, which labels there are."""
        given: dict[tuple[str, ...], list[str]] = {}
        for task in tasks:
            given.setdefault(task.tags, []).extend(_words(text) for text in accepted(task))
        self.labels = {
            tags: frozenset(filter(None, answers))
            for tags, answers in given.items()
            if len(set(answers)) * _REPEATS <= len(answers)
        }

    def applies(self, task: Task) -> bool:
        """Say whether what the task accepts are labels."""
        wanted = {_words(text) for text in accepted(task)}
        return bool(wanted) and wanted <= self._labels(task)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 or 0.0."""
        named = _named(_words(completions[0].text), self._labels(task))
        return float(len(named) == 1 and named <= {_words(text) for text in accepted(task)})

    def _labels(self, task: Task) -> frozenset[str]:
        if self.options.labels:
            return frozenset(_words(label) for label in self.options.labels)
        return self.labels.get(task.tags, frozenset())


def _words(text: str) -> str:
    """Return the text in NFKC, case-folded, with single spaces for punctuation (Unicode P*)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    spaced = (" " if unicodedata.category(char).startswith("P") else char for char in folded)
    return " ".join("".join(spaced).split())


def _named(answer: str, labels: Iterable[str]) -> set[str]:
    """Return the labels that stand in ``answer`` outside of every longer one."""
    # Doubled, so that neighbouring labels do not share a space.
    rest, found = f" {answer} ".replace(" ", "  "), set()
    for label in sorted(labels, key=lambda label: (-len(label), label)):
        place = f" {label.replace(' ', '  ')} "
        if place in rest:
            found.add(label)
            rest = rest.replace(place, "\0")
    return found


#: A run of digits with what may stand within a number; what it says is decided afterwards.
_NUMERAL = re.compile(
    r"(?<![^\W_])(?<![0-9][.,])(?P<sign>[-+\u2212])?(?P<money>\s?[$€£¥]\s?)?"
    r"(?P<digits>\.?[0-9](?:[0-9.,:/'’\u00a0\u202f]*[0-9])?(?:[eE][-+]?[0-9]{1,4})?)"
)
_PLAIN = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")
_GROUPED = re.compile(r"[0-9]{1,3}(?:([,'’\u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:\.[0-9]+)?")
#: Numbers beyond the range of a double, or with more digits, are none.
_MOST_DIGITS = 400


class Numeric(Evaluator):
    """1 where the last number in the answer is the expected one, within a tolerance, else 0.

    Thousands may be separated by commas, apostrophes or hard spaces; the decimal sign is the point.
    A last number that cannot be read for sure ("1,5", "3/4", "12:30") is wrong. Signs of currency
    and units do not count. Compared are decimals, exactly: "4.50" is "4.5" and never "45".
    """

    name = "numeric"
    axis = "U"

    class Options(ComponentOptions):
        """How far off is still right: the larger of both tolerances."""

        absolute: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
        relative: float = Field(default=0.0, ge=0.0, lt=1.0)

    options: Numeric.Options

    def applies(self, task: Task) -> bool:
        """Say whether all that the task accepts are numbers."""
        texts = accepted(task)
        return bool(texts) and all(_number(text) is not None for text in texts)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 or 0.0."""
        found = last_number(completions[0].text)
        wanted = [_number(text) for text in accepted(task)]
        return float(found is not None and any(self._near(found, w) for w in wanted))

    def _near(self, found: Decimal, wanted: Decimal | None) -> bool:
        if wanted is None:
            return False
        relative = Decimal(str(self.options.relative)) * abs(wanted)
        return abs(found - wanted) <= max(Decimal(str(self.options.absolute)), relative)


def last_number(text: str) -> Decimal | None:
    """Return the last number in ``text``; None where there is none, or it cannot be read."""
    matches = list(_NUMERAL.finditer(text))
    return _value(matches[-1]) if matches else None


def _number(text: str) -> Decimal | None:
    """Return the number that the whole of ``text`` is, or None."""
    match = _NUMERAL.fullmatch(text.strip())
    return None if match is None else _value(match)


def _value(match: re.Match[str]) -> Decimal | None:
    digits = match["digits"]
    if len(digits) > _MOST_DIGITS or not (_PLAIN.fullmatch(digits) or _GROUPED.fullmatch(digits)):
        return None
    number = Decimal(re.sub(r"[,'’\u00a0\u202f]", "", digits))
    if number and not Decimal("1e-300") <= number <= Decimal("1e300"):
        return None
    return -number if match["sign"] in ("-", "\u2212") else number
