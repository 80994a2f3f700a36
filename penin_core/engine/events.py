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
_LINE = re.compile(r"\r\n|\n|\r")
_DONE = "[DONE]"
_WHOLE = ("response.completed", "response.incomplete", "response.failed")


class Event(NamedTuple):
    """One event; ``name`` is "message" where the stream does not say.

    ``id`` is the last that the stream said, ``named`` whether it said it with this event.
    """

    data: str
    name: str = "message"
    id: str = ""
    named: bool = False


class EventParser:
    """Takes bytes as they arrive and returns the events that are complete."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        #: The line that is not over yet, as it came: searched once, however small the pieces are.
        self._rest: list[str] = []
        self._returned = self._begun = self._named = False
        self._data: list[str] = []
        self._in_rest = self._in_data = 0
        self._name = self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes.

        Raises:
            ValueError: an event is over the limit.
        """
        text = self._decode(data)
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if self._returned:
            text = f"\r{text}"
        # A line feed that follows a carriage return may still be on its way.
        self._returned = text.endswith("\r")
        *lines, rest = _LINE.split(text.removesuffix("\r"))
        if lines:
            lines[0] = self._whole(lines[0])
        self._rest.append(rest)
        self._in_rest += len(rest)
        events = [event for line in lines if (event := self._line(line)) is not None]
        if self._in_rest + self._in_data > EVENT_LIMIT:
            raise ValueError(f"an event is over {EVENT_LIMIT} characters")
        return events

    def end(self) -> list[Event]:
        """Return what the end of the stream completes: nothing but a last carriage return does."""
        if not self._returned:
            return []
        event = self._line(self._whole(""))
        return [] if event is None else [event]

    def _whole(self, end: str) -> str:
        """Return the line that ``end`` is the end of."""
        line = "".join([*self._rest, end])
        self._rest.clear()
        self._in_rest = 0
        return line

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._in_data += len(value) + 1
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id, self._named = value, True
        return None

    def _dispatch(self) -> Event | None:
        data, name, named = self._data, self._name, self._named
        self._data, self._name, self._named, self._in_data = [], "", False, 0
        return Event("\n".join(data), name or "message", self._id, named) if data else None


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
        if event.named and event.id:
            if event.id in self._seen:
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
