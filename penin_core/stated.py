"""Confidence in words: how a question asks for it, and how an answer's statement is read.

For models without log-probabilities. Source: Lin, Hilton and Evans 2022, "Teaching models to
express their uncertainty in words", arXiv 2205.14334; Tian et al. 2023, arXiv 2305.14975.
"""

from __future__ import annotations

import re

from .records import Completion, Task

#: Stands at the end of every question of a suite with ``calibration = "stated"``.
ASK = (
    "\n\nAfter your answer, write one more line that says how likely the answer is right, "
    "from 0% to 100%:\nConfidence: N%"
)

_STATEMENT = re.compile(
    r"(?:^|(?<=[\s*_(\[.,;]))confidence\b[\s*_]*(?:[:=][\s*_]*|(?=[0-9]))(?P<number>[^\n]*)$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?(%?)[\s*_.)\]]*")


def asking(task: Task) -> Task:
    """Return the task with the request for a confidence at its end."""
    return task.model_copy(update={"input": task.input + ASK})


def read_stated(answer: Completion) -> Completion:
    """Return the answer without its statement, and with the confidence that it stated.

    The statement is the end of the last line, as the question asks for it. Without a percent sign
    1 might be either one per cent or certainty, and is unclear. Where there is no
    statement, or an unclear one, ``stated`` is None; log-probabilities do not stand in for it.
    """
    text = answer.text.rstrip()
    start = text.rfind("\n") + 1
    match = _STATEMENT.search(text, start)
    if match is None:
        return answer.model_copy(update={"logprobs": None, "stated": None})
    kept = text[: match.start()].rstrip(" \t\n*_([")
    return answer.model_copy(
        update={"text": kept, "logprobs": None, "stated": _probability(match["number"])}
    )


def _probability(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    number = float(match[1])
    if match[2] or number > 1:
        return number / 100 if number <= 100 else None
    return number if number < 1 else None
