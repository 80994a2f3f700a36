"""What an answer is made of, as chat completions say it, and what it came to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from penin_core.records import Completion

from .questions import Question


class Piece(NamedTuple):
    """What an answer, or one event of it, says: choices, and how many tokens there were."""

    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


@dataclass(slots=True)
class Tally:
    """What an answer came to."""

    text: str = ""
    finish: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    micro_usd: int = 0


class Backend(Protocol):
    """A way to ask; ``tally`` is filled in while the answer comes."""

    async def ask(self, question: Question, tally: Tally) -> Piece:
        """Return the whole answer."""
        ...

    def stream(self, question: Question, tally: Tally) -> AsyncGenerator[Piece, None]:
        """Yield the answer as it is written; the last piece says the usage, where it is known."""
        ...


def whole(completion: Completion) -> Piece:
    """Return an answer that is a text as the choices of a chat completion."""
    message = {"role": "assistant", "content": completion.text, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_of(completion.finish),
    }
    return Piece([choice], usage_of(completion))


def in_pieces(completion: Completion) -> list[Piece]:
    """Return an answer that came at once as the events of a stream."""
    return [
        Piece([delta_of(role="assistant", content=completion.text)]),
        Piece([delta_of(finish=completion.finish)]),
        Piece([], usage_of(completion)),
    ]


def usage_of(completion: Completion) -> dict[str, int]:
    """Return how many tokens an answer took, as chat completions say it."""
    return {
        "prompt_tokens": completion.tokens_in,
        "completion_tokens": completion.tokens_out,
        "total_tokens": completion.tokens_in + completion.tokens_out,
    }


def delta_of(finish: str | None = None, **delta: str) -> dict[str, Any]:
    """Return a choice that adds ``delta``, or that says why the answer ends."""
    reason = None if finish is None else finish_of(finish)
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def finish_of(finish: str) -> str:
    """Return why an answer ends, as chat completions say it."""
    return "length" if finish == "length" else "stop"
