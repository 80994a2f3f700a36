"""Text to tokens and back: frequent words are one token each, all other text is UTF-8 bytes.

Token ids, in this order: four control tokens, the glue of JSON and punctuation, the words of the
model's vocabulary, the 256 bytes. Every text that UTF-8 can write survives the round trip.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

PADDING, BEGIN, INPUT, OUTPUT = range(4)
#: Ids below this one steer the model; it never writes them.
N_CONTROL = 4

_CONTROL = ("<pad>", "<bos>", "\nInput: ", "\nOutput: ")
_GLUE = ('{"', '": "', '", "', '"}', '": ', ', "', "e-mail", "E-mail", ". ", ", ", "; ", " | ")


class Tokenizer:
    """Maps texts to token ids with the word list that the model was trained with."""

    def __init__(self, words: Sequence[str]) -> None:
        self._strings = (*_CONTROL, *_GLUE, *words)
        self._ids = {string: index for index, string in enumerate(self._strings)}
        self._first_byte = len(self._strings)
        self.size = self._first_byte + 256
        self.stop = self._first_byte + ord("\n")
        self._pieces = re.compile(_pattern(), re.DOTALL)

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, without a leading :data:`BEGIN`.

        Raises UnicodeEncodeError for text that UTF-8 cannot write (lone surrogates).
        """
        ids: list[int] = []
        for piece in self._pieces.findall(text):
            known = self._ids.get(piece)
            if known is not None:
                ids.append(known)
            else:
                ids.extend(self._first_byte + byte for byte in piece.encode("utf-8"))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(self._bytes, ids)).decode("utf-8", errors="replace")

    def id_of(self, string: str) -> int:
        """Return the id of ``string``, which must be one token. Raises KeyError otherwise."""
        return self._ids[string]

    def spell(self, ids: Iterable[int], words: Container[int]) -> list[int]:
        """Return ``ids`` with those among ``words`` written in bytes; the text stays the same."""
        spelled: list[int] = []
        for index in ids:
            if index in words:
                spelled.extend(self._first_byte + byte for byte in self._bytes(index))
            else:
                spelled.append(index)
        return spelled

    @property
    def words(self) -> range:
        """The ids of words: all that is neither control, nor glue, nor a byte."""
        return range(N_CONTROL + len(_GLUE), self._first_byte)

    def _bytes(self, index: int) -> bytes:
        if index >= self._first_byte:
            return bytes([index - self._first_byte])
        return self._strings[index].encode("utf-8")


def _pattern() -> str:
    """Return what a piece of text can be; earlier alternatives win."""
    control = [re.escape(string) for string in _CONTROL[INPUT:]]
    glue = [re.escape(string) for string in sorted(_GLUE, key=len, reverse=True)]
    return "|".join([*control, " e-mail", *glue, " ?[A-Za-z]+", "."])
