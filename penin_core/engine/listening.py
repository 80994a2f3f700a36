"""Listening to an answer while it is written: events, their text, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from penin_core.contracts import HttpProvider
from penin_core.errors import ProviderBadReply
from penin_core.records import Reply

from .events import Objects, joined
from .replies import plugin_failure, service_message

OnText: TypeAlias = Callable[[str], None]


class Listener:
    """Feeds one stream to ``provider.decode_event``. ``clean`` takes the key out of an event.

    Its methods raise ProviderBadReply for whatever is no stream of answers.
    """

    def __init__(
        self, provider: HttpProvider, clean: Callable[[Any], Any], on_text: OnText
    ) -> None:
        self._provider = provider
        self._clean = clean
        self._on_text = on_text
        self._objects = Objects()
        self._events: list[Mapping[str, Any]] = []
        self._texts: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take over what arrived; tell what it adds to the text."""
        try:
            found = self._objects.feed(data)
        except (ValueError, RecursionError) as error:
            raise self._bad(str(error)) from None
        for event in found:
            self._take(self._clean(event))

    def end(self) -> dict[str, Any]:
        """Return the body of the reply that the stream adds up to."""
        self.feed(b"")
        try:
            return joined(self._events, self._texts)
        except (LookupError, TypeError, StopIteration, AttributeError):
            problem = "it broke off" if not self._objects.done else "it says no usage"
        raise self._bad(problem)

    def _take(self, event: Mapping[str, Any]) -> None:
        if event.get("error") or event.get("type") == "error":
            said = service_message(Reply(status=200, body=dict(event)))
            raise self._bad(f"the service says: {said}")
        try:
            text = self._provider.decode_event(event)
        except Exception as error:
            problem = self._clean(plugin_failure(error))
        else:
            if isinstance(text, str):
                self._events.append(event)
                self._texts.append(text)
                if text:
                    self._on_text(text)
                return
            problem = f"decode_event() returned {type(text).__name__}, not a text"
        raise self._bad(problem)

    def _bad(self, problem: str) -> ProviderBadReply:
        return ProviderBadReply(
            f"the stream of provider '{self._provider.name}' cannot be read: {problem}",
            hint="check base_url and any proxy; what was sent counts as paid",
        )
