"""What every kind of text has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Document:
    """A text and what is true of it.

    ``facts`` maps keys to spans of the text. ``answer`` is the short answer, where the task has
    one: the value that was asked for, the headline, the label. ``asked`` names the question or the
    kind of label, and ``key_sentence`` is the sentence that says it all.
    """

    text: str
    facts: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    asked: str = ""
    key_sentence: str = ""
