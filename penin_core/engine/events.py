"""Server-sent events: a stream of bytes cut into events, and what they add up to.

Source: WHATWG HTML Living Standard, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: The longest event, in characters.
EVENT_LIMIT = 4 * 1024 * 1024
_LINE = re.compile(r"\r\n|\n|\r(?!\Z)")
_DONE = "[DONE]"
_WHOLE = ("response.completed", "response.incomplete", "response.failed")


class Event(NamedTuple):
    """One event; ``name`` is "message" where the stream does not say."""

    data: str
    name: str = "message"
    id: str = ""


class EventParser:
    """Takes bytes as they arrive and returns the events that are complete."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._text = ""
        self._begun = False
        self._data: list[str] = []
        self._name = self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes.

        Raises:
            ValueError: an event is over the limit.
        """
        self._text += self._decode(data)
        if self._text and not self._begun:
            self._begun = True
            self._text = self._text.removeprefix("\ufeff")
        *lines, self._text = _LINE.split(self._text)
        # A line feed that follows a carriage return may still be on its way.
        events = [event for line in lines if (event := self._line(line)) is not None]
        if len(self._text) + sum(map(len, self._data)) > EVENT_LIMIT:
            raise ValueError(f"an event is over {EVENT_LIMIT} characters")
        return events

    def end(self) -> list[Event]:
        """Return what the end of the stream completes: nothing but a last carriage return does."""
        if not self._text.endswith("\r"):
            return []
        events = [self._line(line) for line in self._text.split("\r")[:-1]]
        return [event for event in events if event is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name = [], ""
        return Event("\n".join(data), name or "message", self._id) if data else None


class Objects:
    """Reads the JSON object of each event, up to ``[DONE]``.

    ``feed`` raises ValueError for what is no object, for an event that comes twice, and for what
    comes after the end.
    """

    def __init__(self) -> None:
        self._parser = EventParser()
        self._seen: set[str] = set()
        self.done = False

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the objects that ``data`` completes."""
        events = self._parser.feed(data) if data else self._parser.end()
        return [found for event in events if (found := self._read(event)) is not None]

    def _read(self, event: Event) -> dict[str, Any] | None:
        if self.done:
            raise ValueError("an event came after the end of the stream")
        if event.data.strip() == _DONE:
            self.done = True
            return None
        if event.id and event.id in self._seen:
            raise ValueError(f"event {event.id!r} came twice")
        self._seen.add(event.id)
        found = json.loads(event.data)
        if not isinstance(found, dict):
            raise ValueError("an event is no JSON object")
        return found


def joined(events: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> dict[str, Any]:
    """Return the body of the chat completion that a stream of its chunks adds up to.

    The last event of a Responses API holds its whole body.

    Raises:
        LookupError, StopIteration: there is no usage, or no reason to have stopped.
    """
    if events and events[-1].get("type") in _WHOLE:
        return dict(events[-1]["response"])
    choices = [choice for event in events for choice in (event.get("choices") or ())[:1]]
    usage = next(event["usage"] for event in reversed(events) if event.get("usage"))
    finish = next(c["finish_reason"] for c in reversed(choices) if c.get("finish_reason"))
    logs = [choice["logprobs"]["content"] or [] for choice in choices if choice.get("logprobs")]
    return {
        "model": events[0]["model"],
        "choices": [
            {
                "message": {"role": "assistant", "content": "".join(texts)},
                "finish_reason": finish,
                "logprobs": {"content": [token for log in logs for token in log]} if logs else None,
            }
        ],
        "usage": usage,
    }
