"""Harmless changes of a text, to measure how much an answer depends on the accidents of typing.

Each function takes a text, a generator and the strings that the answer depends on, and returns
the text with the same meaning. Protected strings are never touched; where nothing else can be
changed, the text comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from penin_core.omega.metrics import count_unspaced

Perturbation = Callable[[str, np.random.Generator, frozenset[str]], str]

#: Phrases that say the same, both ways; contractions as in everyday English.
PARAPHRASES = (
    ("I would like", "I'd like"),
    ("I am", "I'm"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("cannot", "can't"),
    ("is not", "isn't"),
    ("it is", "it's"),
    ("we will", "we'll"),
    ("could you please", "could you kindly"),
    ("how do I", "how can I"),
    ("want to", "would like to"),
    ("thank you", "thanks"),
)

#: Words that tie a sentence of an instruction to its place.
_ORDERED = re.compile(
    r"\b(?:first|second|third|then|next|finally|last|after|afterwards|before|above|below|following"
    r"|follows|previous|it|this|that|these|those|they|them|otherwise|also|but|however)\b|[0-9][.)]",
    re.IGNORECASE,
)

GREETINGS = ("Hello. ", "Hi team. ", "Good morning. ")


def whitespace(text: str, rng: np.random.Generator, protected: frozenset[str]) -> str:
    """Double one of the spaces between words."""
    taken = _protected_characters(text, protected)
    gaps = [match.start() for match in re.finditer(r"(?<=\S) (?=\S)", text)]
    free = [gap for gap in gaps if not (gap - 1 in taken and gap + 1 in taken)]
    gap = _choose(free, rng)
    return text if gap is None else f"{text[:gap]} {text[gap:]}"


def typo(text: str, rng: np.random.Generator, protected: frozenset[str]) -> str:
    """Swap two inner letters of one word of at least five letters."""
    at = _choose(list(_possible_swaps(text, protected)), rng)
    return text if at is None else text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def case(text: str, rng: np.random.Generator, protected: frozenset[str]) -> str:
    """Begin the text in lower case, as in a message typed in haste."""
    if not text or 0 in _protected_characters(text, protected):
        return text
    return text[0].lower() + text[1:]


def greeting(text: str, rng: np.random.Generator, protected: frozenset[str]) -> str:
    """Say hello first."""
    return GREETINGS[int(rng.integers(len(GREETINGS)))] + text


def paraphrase(text: str, rng: np.random.Generator, protected: frozenset[str]) -> str:
    """Replace one phrase of the table by the other one that says the same."""
    taken = _protected_characters(text, protected)
    pairs = [*PARAPHRASES, *(pair[::-1] for pair in PARAPHRASES)]
    found = [
        (*match.span(), _cased(other, match.group()))
        for phrase, other in pairs
        for match in re.finditer(rf"\b{re.escape(phrase)}\b", text, re.IGNORECASE)
        if taken.isdisjoint(range(*match.span()))
    ]
    if not found:
        return text
    start, end, other = sorted(found)[int(rng.integers(len(found)))]
    return text[:start] + other + text[end:]


def reorder(text: str, rng: np.random.Generator, protected: frozenset[str]) -> str:
    """Put the sentences of an instruction into another order, where none refers to another."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    if len(sentences) < 2 or _ORDERED.search(text):
        return text
    turn = 1 + int(rng.integers(len(sentences) - 1))
    return " ".join(sentences[turn:] + sentences[:turn])


PERTURBATIONS: dict[str, Perturbation] = {
    "whitespace": whitespace,
    "typo": typo,
    "case": case,
    "greeting": greeting,
    "paraphrase": paraphrase,
}

#: These change the instruction that a task itself carries, not its input.
INSTRUCTION_PERTURBATIONS: dict[str, Perturbation] = {"reorder": reorder}

#: What robustness applies unless told otherwise.
DEFAULT_PERTURBATIONS = ("whitespace", "typo", "case", "greeting")


def _cased(text: str, like: str) -> str:
    """Return ``text``, beginning in upper case where ``like`` does."""
    return text[0].upper() + text[1:] if like[0].isupper() else text


def _choose(options: list[int], rng: np.random.Generator) -> int | None:
    return options[int(rng.integers(len(options)))] if options else None


def _protected_characters(text: str, protected: frozenset[str]) -> set[int]:
    """The positions of every protected string, and of each of its words, in any case."""
    patterns = {re.escape(string) for string in protected if string.strip()}
    words = {word for string in protected for word in re.findall(r"\w+", string)}
    patterns |= {rf"(?<!\w){word}(?!\w)" for word in words}
    return {
        position
        for pattern in patterns
        for match in re.finditer(pattern, text, re.IGNORECASE)
        for position in range(*match.span())
    }


def _possible_swaps(text: str, protected: frozenset[str]) -> Iterator[int]:
    """Positions of two different neighbouring letters inside long, unprotected words."""
    taken = _protected_characters(text, protected)
    for match in re.finditer(r"(?<!\S)[^\W\d_]{5,}(?=[.,;:!?]?(?:\s|$))", text):
        start, end = match.span()
        # Where no spaces divide words, this would swap words of a sentence.
        if taken.isdisjoint(range(start, end)) and not count_unspaced(match.group()):
            yield from (at for at in range(start + 1, end - 2) if text[at] != text[at + 1])
