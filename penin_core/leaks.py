"""Leaks: confirm tasks whose question the search, or the training of a model, has already seen.

A question is the input with the turns before it and those columns that are texts. It leaks where
an equal one, after normalisation, was seen; or where at least ``NEAR`` of its distinct n-grams
stand in one text that was seen, and either the same holds the other way round, or the question is
a passage of ``PASSAGE`` 5-grams: "a table for two tonight" within a longer request is another
question. An n-gram is 5 words; in scripts without spaces between words it is 10 letters, which say
about as much, and a passage twice as many of them.

Questions of fewer than 12 characters ("6 a.m.") recur in honest data. They leak only where more
than 5 % of the tasks are such ones that were seen. A file without splits is divided so that equal
ones stand in the same half anyway.

Sources for the overlap of n-grams: Brown et al. 2020, arXiv 2005.14165, appendix C; Chowdhery et
al. 2022, arXiv 2204.02311, section 8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .omega.metrics import count_unspaced, normalize_text, split_words
from .records import Task

#: Length of the n-grams, and of the shortest column that is a text.
WORDS = 5
#: The same in letters, for a text most of whose words are letters that no space divides.
LETTERS = 10
#: Equal questions of fewer characters, and without an n-gram, recur in honest data.
SHORT = 12
#: So large a share of the tasks may be short questions that were seen.
RECURRING = 0.05
#: The least share of a question's n-grams in one seen text that makes it a leak.
NEAR = 0.8
#: So many 5-grams are no chance phrase, whatever stands around them.
PASSAGE = 10
#: Where training data say what is answered; a few words that are an answer ask nothing.
_ANSWERS = frozenset(
    {"answer", "chosen", "completion", "expected", "id", "output", "rejected", "response", "role"}
)
#: Fewer tasks than these are too few to say that short questions recur too often.
_FEW = 100
#: An n-gram in more texts than this is a phrase of the trade, and finds no candidates.
_COMMON = 200


class Leak(NamedTuple):
    """A confirm task, the text that was seen before, and the share of its n-grams found there.

    ``short`` says that the question is one of many short ones, no leak alone.
    """

    task: str
    seen: str
    overlap: float
    short: bool = False

    @property
    def how(self) -> str:
        """How the question was seen, in words."""
        if self.short:
            return f"equal, as more than {RECURRING:.0%} of the tasks are that are this short"
        return "equal" if self.overlap == 1.0 else f"{self.overlap:.0%} of its n-grams"

    def __str__(self) -> str:
        return f"{self.task} ~ {self.seen} ({self.how})"


def question_key(task: Task) -> str:
    """Return the normalised question of a task; tasks with the same one belong together."""
    columns = (text for value in task.fields.values() for text in texts_in(value))
    turns = (message.content for message in task.messages)
    return normalize_text("\n".join([*turns, *filter(_is_long, columns), task.input]))


def recurs(question: str) -> bool:
    """Return whether a normalised question is so short that honest data ask it again and again."""
    return len(question) < SHORT and not _is_long(question)


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text within a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from texts_in(inner)


def instructions(questions: Iterable[tuple[Task, str]]) -> set[str]:
    """Return the questions that tasks with columns have in common and answer differently.

    They are instructions: what tells such tasks apart stands in their columns.
    """
    answers: dict[str, set[str]] = defaultdict(set)
    for task, question in questions:
        if task.fields:
            answers[question].add(task.id if task.expected is None else repr(task.expected))
    return {question for question, found in answers.items() if len(found) > 1}


def taught_texts(row: Any) -> Iterator[str]:
    """Yield the normalised texts of a row of training data that can give a question away.

    Texts of a few words are left out where they are an answer: they are no question.
    """
    asked = set(_asked_in(row))
    return (normalize_text(text) for text in texts_in(row) if text in asked or _is_long(text))


def _asked_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        asked = {} if value.get("role") == "assistant" else value
        for key in asked.keys() - _ANSWERS:
            yield from _asked_in(value[key])
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _asked_in(inner)


def find_leaks(
    tasks: Iterable[Task], seen: Iterable[tuple[str, str]], near: float = NEAR
) -> list[Leak]:
    """Return which ``tasks`` stand in ``seen``, normalised texts by name; the nearest of each.

    Short questions come last, and only where more of them than ``RECURRING`` were seen.

    Raises: ValueError unless 0 < near <= 1.
    """
    if not 0 < near <= 1:
        raise ValueError(f"near must lie in (0, 1], not {near!r}")
    names: dict[str, str] = {}
    for name, text in seen:
        names.setdefault(text, name)
    index: dict[str, list[str]] = defaultdict(list)
    for text in names:
        for gram in _grams(text):
            index[gram].append(text)
    questions = [(task, question_key(task)) for task in tasks]
    shared = instructions(questions)
    found: list[Leak] = []
    short: list[Leak] = []
    for task, text in questions:
        grams = _grams(text)
        if text in names and text and (grams or text not in shared):
            leak = Leak(task.id, names[text], 1.0, recurs(text))
            (short if leak.short else found).append(leak)
        elif nearest := _nearest(text, grams, index, near):
            found.append(Leak(task.id, names[nearest[0]], nearest[1]))
    many = len(short) > RECURRING * max(len(questions), _FEW)
    return found + short if many else found


def _nearest(
    text: str, grams: set[str], index: Mapping[str, Sequence[str]], near: float
) -> tuple[str, float] | None:
    """Return the seen text that is nearest to a question, and the share of its ``grams`` there."""
    is_passage = len(grams) >= PASSAGE * _cut(text)[1] // WORDS
    places = (index.get(gram, ()) for gram in grams)
    counts = Counter(other for texts in places if len(texts) <= _COMMON for other in texts)
    for other, shared in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if shared < near * len(grams):
            break
        if is_passage or shared >= near * len(_grams(other)):
            return other, shared / len(grams)
    return None


def _cut(text: str) -> tuple[list[str], int]:
    """Return the words of a text, and how many of them make an n-gram."""
    if letters := count_unspaced(text):
        words = split_words(text)
        if 2 * letters > len(words):
            return words, LETTERS
    return text.split(), WORDS


def _is_long(text: str) -> bool:
    words, span = _cut(text)
    return len(words) >= span


def _grams(text: str) -> set[str]:
    words, span = _cut(text)
    return {" ".join(words[i : i + span]) for i in range(len(words) - span + 1)}
