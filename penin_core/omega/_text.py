"""Scores of a text against a reference."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


class _Unpunctuated(dict[int, int | None]):
    """A table for ``str.translate`` that deletes the characters of the Unicode classes P*."""

    def __missing__(self, code: int) -> int | None:
        kept = None if unicodedata.category(chr(code)).startswith("P") else code
        self[code] = kept
        return kept


_UNPUNCTUATED = _Unpunctuated()


# The same for ASCII alone, as one pass over bytes: small letters, without these characters.
_SMALL = bytes(range(256)).lower()
_PUNCTUATION = bytes(code for code in range(128) if _UNPUNCTUATED[code] is None)


def normalize_text(text: str) -> str:
    """Return the text in NFKC, case-folded, without punctuation (Unicode P*), spaces collapsed."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    if text.isascii():
        return text.encode().translate(_SMALL, _PUNCTUATION).decode().split()
    return unicodedata.normalize("NFKC", text).casefold().translate(_UNPUNCTUATED).split()


def exact_match(prediction: str, reference: str) -> float:
    """Return 1 if the normalised texts are equal, else 0."""
    return float(_words(prediction) == _words(reference))


def token_f1(prediction: str, reference: str) -> float:
    """Return the F1 in [0, 1] of the words that both normalised texts share, with their counts.

    Both empty: 1; one empty: 0.
    """
    found, wanted = _words(prediction), _words(reference)
    return f1_score(_shared_words(found, wanted), len(found), len(wanted))


def rouge_l_f(prediction: str, reference: str) -> float:
    """Return the F1 in [0, 1] of the longest common subsequence of words of the normalised texts.

    Both empty: 1; one empty: 0. Source: Lin 2004, "ROUGE: a package for automatic evaluation of
    summaries", with equal weight on precision and recall.
    """
    found, wanted = _words(prediction), _words(reference)
    return f1_score(_common_subsequence(found, wanted), len(found), len(wanted))


def f1_score(shared: int, found: int, wanted: int) -> float:
    """Return the F1 in [0, 1] of ``shared`` items among those found and those wanted."""
    return 2 * shared / (found + wanted) if found + wanted else 1.0


def _shared_words(found: list[str], wanted: list[str]) -> int:
    """Return how many words both have, repeated ones as often as both have them."""
    left: dict[str, int] = {}
    for word in wanted:
        left[word] = left.get(word, 0) + 1
    shared = 0
    for word in found:
        if remaining := left.get(word):
            left[word] = remaining - 1
            shared += 1
    return shared


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    Bit-parallel, one big integer per word; source: Hyyrö 2004, "Bit-parallel LCS-length
    computation revisited".
    """
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    everything = (1 << len(first)) - 1
    unmatched = everything
    for word in second:
        matches = unmatched & places.get(word, 0)
        unmatched = (unmatched + matches | unmatched - matches) & everything
    return len(first) - unmatched.bit_count()
