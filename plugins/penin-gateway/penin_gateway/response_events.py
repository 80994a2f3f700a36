"""The events of a response that is streamed, made of the chunks of a chat completion."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from penin_core import Refusal

from .bodies import written
from .fields import Asked
from .response_forms import (
    Item,
    begun,
    call_item,
    message_item,
    response,
    tail_of,
    text_of,
    text_part,
)


def event_of(kind: str, fields: Mapping[str, Any]) -> bytes:
    """Return one event of a stream."""
    return b"event: " + kind.encode() + b"\ndata: " + written(fields) + b"\n\n"


@dataclass
class Writer:
    """Turns chunks into events: an item is opened by its first chunk, and closed by the next item.

    A text is one message; every call of a function is an item of its own.
    """

    asked: Asked
    created: int = field(default_factory=lambda: int(time.time()))
    done: list[Item] = field(default_factory=list)
    usage: Mapping[str, Any] | None = None
    finish: object = None
    _number: int = 0
    _open: Item | None = None
    _call: object = None
    _parts: list[str] = field(default_factory=list)

    def begin(self) -> Iterator[bytes]:
        """Yield the events before the first chunk."""
        empty = begun(self.asked, self.created)
        yield self._event("response.created", response=empty)
        yield self._event("response.in_progress", response=empty)

    def take(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the events of one chunk."""
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"][:1]:
            self.finish = choice.get("finish_reason") or self.finish
            delta = choice["delta"]
            if text := text_of(delta.get("content")) or text_of(delta.get("refusal")):
                yield from self._text(text)
            for call in delta.get("tool_calls") or ():
                yield from self._called(call)

    def end(self) -> Iterator[bytes]:
        """Yield the events after the last chunk."""
        yield from self._close()
        answer = {"created": self.created, "usage": self.usage}
        found = response(self.asked, answer, self.done, self.finish)
        yield self._event(f"response.{found['status']}", response=found)

    def failed(self, refusal: Refusal) -> bytes:
        """Return the event that ends a stream which cannot go on."""
        error = refusal.body["error"]
        told = {name: error[name] for name in ("code", "message", "param")}
        return self._event("error", **told)

    def _text(self, text: str) -> Iterator[bytes]:
        if self._open is None or self._open["type"] != "message":
            yield from self._close()
            item = message_item(f"msg_{tail_of(self.asked)}_{len(self.done)}", [], "in_progress")
            yield from self._opened(item)
            yield self._event("response.content_part.added", content_index=0, part=text_part(""))
        self._parts.append(text)
        yield self._event("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def _called(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        function = call.get("function") or {}
        if self._open is None or self._open["type"] == "message" or call.get("index") != self._call:
            yield from self._close()
            self._call = call.get("index")
            id_ = f"fc_{tail_of(self.asked)}_{len(self.done)}"
            named = {"name": function.get("name")}
            yield from self._opened(call_item(id_, str(call.get("id")), named, "in_progress"))
        if text := function.get("arguments"):
            self._parts.append(text)
            yield self._event("response.function_call_arguments.delta", delta=text)

    def _opened(self, item: Item) -> Iterator[bytes]:
        self._open, self._parts = item, []
        yield self._event("response.output_item.added", item=item, item_id=None)

    def _close(self) -> Iterator[bytes]:
        item, text = self._open, "".join(self._parts)
        if item is None:
            return
        if item["type"] == "message":
            part = text_part(text)
            yield self._event("response.output_text.done", content_index=0, text=text, logprobs=[])
            yield self._event("response.content_part.done", content_index=0, part=part)
            finished = {**item, "status": "completed", "content": [part]}
        else:
            name = item["name"]
            yield self._event("response.function_call_arguments.done", name=name, arguments=text)
            finished = {**item, "status": "completed", "arguments": text}
        yield self._event("response.output_item.done", item=finished, item_id=None)
        self.done.append(finished)
        self._open = None

    def _event(self, kind: str, **fields: Any) -> bytes:
        """Return one event; what belongs to an item says which."""
        told: dict[str, Any] = {"type": kind, "sequence_number": self._number, **fields}
        if "response" not in fields and kind != "error":
            told["output_index"] = len(self.done)
            told.setdefault("item_id", self._open["id"] if self._open else None)
        if told.get("item_id") is None:
            told.pop("item_id", None)
        self._number += 1
        return event_of(kind, told)
