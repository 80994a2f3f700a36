"""Leaks: confirm tasks whose question the search, or the training of a model, has already seen.

A question is the input with the turns before it and those columns that are texts, of five words or
more. It leaks where an equal one, after normalisation, was seen; or where at least ``NEAR`` of its
distinct 5-grams of words stand in one text that was seen, and either the same holds the other way
round, or the question is a passage of ``PASSAGE`` 5-grams: "a table for two tonight" within a
longer request is another question. Utterances of fewer than five words ("6 a.m.") recur in honest
data and are no leak; a file without splits is divided so that equal ones stand in the same half
anyway.

Sources for the overlap of n-grams: Brown et al. 2020, arXiv 2005.14165, appendix C; Chowdhery et
al. 2022, arXiv 2204.02311, section 8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .omega.metrics import normalize_text
from .records import Task

#: Length of the n-grams, and of the shortest text that can leak.
WORDS = 5
#: The least share of a question's 5-grams in one seen text that makes it a leak.
NEAR = 0.8
#: So many 5-grams are no chance phrase, whatever stands around them.
PASSAGE = 10
#: A 5-gram in more texts than this is a phrase of the trade, and finds no candidates.
_COMMON = 200


class Leak(NamedTuple):
    """A confirm task, the text that was seen before, and the share of its 5-grams found there."""

    task: str
    seen: str
    overlap: float

    def __str__(self) -> str:
        how = "equal" if self.overlap == 1.0 else f"{self.overlap:.0%} of its 5-grams"
        return f"{self.task} ~ {self.seen} ({how})"


def question_key(task: Task) -> str:
    """Return the normalised question of a task; tasks with the same one belong together."""
    columns = (text for value in task.fields.values() for text in texts_in(value))
    long = (text for text in columns if len(text.split()) >= WORDS)
    turns = (message.content for message in task.messages)
    return normalize_text("\n".join([*turns, *long, task.input]))


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


def find_leaks(
    tasks: Iterable[Task], seen: Iterable[tuple[str, str]], near: float = NEAR
) -> list[Leak]:
    """Return which ``tasks`` stand in ``seen``, normalised texts by name; the nearest of each.

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
    found = []
    for task in tasks:
        text = question_key(task)
        grams = _grams(text)
        if text in names and grams:
            found.append(Leak(task.id, names[text], 1.0))
            continue
        places = (index.get(gram, []) for gram in grams)
        counts = Counter(other for texts in places if len(texts) <= _COMMON for other in texts)
        for other, shared in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            if shared < near * len(grams):
                break
            if len(grams) >= PASSAGE or shared >= near * len(_grams(other)):
                found.append(Leak(task.id, names[other], shared / len(grams)))
                break
    return found


def _grams(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)}
