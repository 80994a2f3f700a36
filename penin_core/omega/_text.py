"""Scores of a text against a reference."""

from __future__ import annotations

import re
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

# Thai and Lao; Myanmar; Khmer; kana and Han, with their iteration marks and older forms.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"
    "\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
_LETTER = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

# A sign that no letter stands before, perhaps with a currency; digits and what joins them.
_NUMBER = re.compile(
    r"(?:(?<!\w)(?P<minus>[-\u2010-\u2013\u2212])[$€£¥]?)?"
    r"(?P<digits>(?:(?<![\w.])\.)?\d+(?:[.,:/]\d+)*)"
)
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")


def normalize_text(text: str) -> str:
    """Return the text in NFKC, case-folded, without punctuation (Unicode P*), spaces collapsed."""
    return " ".join(_unpunctuated(text).split())


def _unpunctuated(text: str) -> str:
    if text.isascii():
        return text.encode().translate(_SMALL, _PUNCTUATION).decode()
    return unicodedata.normalize("NFKC", text).casefold().translate(_UNPUNCTUATED)


def split_words(text: str) -> list[str]:
    """Return the words of a text: what stands between spaces, and each letter without them.

    Han, kana, Thai, Lao, Khmer and Myanmar are written without spaces, so that there a whole
    sentence would be one word.
    """
    return text.split() if text.isascii() or not _LETTER.search(text) else _WORD.findall(text)


def count_unspaced(text: str) -> int:
    """Return how many letters of a text are written without spaces, as ``split_words`` says."""
    return 0 if text.isascii() else len(_LETTER.findall(text))


def _words(text: str) -> list[str]:
    return split_words(_unpunctuated(text))


def exact_match(prediction: str, reference: str) -> float:
    """Return 1 if the normalised texts are equal and their numbers are written alike, else 0.

    Normalisation makes 125 of -12.5, and nothing of a question mark. So sign, digits and the
    ``. , : /`` between them count, but for commas between thousands; and where nothing is left of
    both texts, their signs are compared.
    """
    same = normalize_text(prediction) == normalize_text(reference)
    return float(same and exact_key(prediction) == exact_key(reference))


def exact_key(text: str) -> tuple[str, frozenset[str] | tuple[str, ...]]:
    """Return what two texts must have in common that agree exactly."""
    normalised, written = normalize_text(text), unicodedata.normalize("NFKC", text)
    # Repeated signs agree with one, as in the published scores of SQuAD.
    return normalised, _numbers(written) if normalised else frozenset(written.split())


def _numbers(text: str) -> tuple[str, ...]:
    return tuple(
        ("-" if found["minus"] else "") + _THOUSANDS.sub("", found["digits"])
        for found in _NUMBER.finditer(text)
    )


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
