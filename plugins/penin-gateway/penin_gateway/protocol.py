"""Connections with deadlines: who says nothing, or says it too slowly, makes room for others.

uvicorn waits for ever for the head of a request, and for a client to read; it knows no limit on the
size of a head, on what follows a body (trailers), or on requests that are sent before the ones
before them are answered. This adds the deadlines and the limits, and errors in OpenAI's shape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penin_core import Refusal

from .bodies import is_too_long, written

#: The extension of ASGI by which an application hears that its client is gone.
HANG_UP = "penin.hang_up"
#: The longest head of a request, in bytes, and how many headers it may have.
HEAD_LIMIT, MOST_HEADERS = 32 * 1024, 100
#: So many requests may wait on one connection until those before them are answered.
MOST_WAITING = 8
#: How long a new connection, or a request that has begun, may take to send a whole head.
HEAD_S = 10.0
#: How often that is looked at.
SWEEP_S = 0.5
#: How long a client may take to read what was sent.
READ_S = 30.0
#: So many connections; one more, and the one that has waited longest to be of use is closed.
MOST_CONNECTIONS = 512


class Connection(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stalled: asyncio.TimerHandle | None = None
        self._head = 0
        #: Bytes that came since the last that were of use to a request that is under way.
        self._beside = 0
        self._reading_head = True
        self._useful = self._refused = self._unwanted = False
        #: Since when a head is waited for that has begun, or the first one.
        self._since = self.loop.time()
        self._hang_up: Callable[[], None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) == 1:
            self.loop.call_later(SWEEP_S, sweep, self.loop, self.connections)
        elif len(self.connections) > MOST_CONNECTIONS:
            _make_room(self.connections - {self})

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client that it is gone."""
        self.resume_writing()
        super().connection_lost(exc)
        if self._hang_up is not None:
            self._hang_up()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, or to nothing, and let the parser have it."""
        if self._refused:
            return
        self._beside += len(data)
        if self._reading_head:
            if not self._head and self._useful:
                self._since = self.loop.time()
            self._head += len(data)
        super().data_received(data)
        if self._reading_head and self._head > HEAD_LIMIT:
            self._refuse(_HEAD_TOO_LARGE)
        elif not self._reading_head and self._beside > HEAD_LIMIT:
            # Trailers, or extensions of chunks. An answer may have been sent: there is no other.
            self._abort()

    def on_message_begin(self) -> None:
        """Say how to hear of a hang-up."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {HANG_UP: self._tell_of_hang_up}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what belongs to a head; trailers are for nobody here."""
        if self._reading_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the request in, unless its head is too long or too many wait before it."""
        if self._refused:
            return
        self._reading_head, self._beside = False, 0
        # What came with the end of the head may be body.
        large = self._head > HEAD_LIMIT and self._head_size() > HEAD_LIMIT
        if large or len(self.headers) > MOST_HEADERS:
            self._refuse(_HEAD_TOO_LARGE)
        elif len(self.pipeline) >= MOST_WAITING:
            self._abort()
        else:
            super().on_headers_complete()
            self._unwanted = is_too_long(dict(self.headers).get(b"content-length", b"0"))

    def on_body(self, body: bytes) -> None:
        """Hand over what belongs to a request that was let in; drop what will not be read."""
        self._beside = 0
        if not (self._refused or self._unwanted):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Count the next bytes to the next head."""
        if not self._refused:
            super().on_message_complete()
            self._reading_head, self._head = True, 0

    def on_response_complete(self) -> None:
        """Wait for the next request, not for long."""
        super().on_response_complete()
        self._useful, self._since = True, self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no HTTP."""
        self._refuse(Refusal(400, "invalid_http", "this is no HTTP/1.1 request"))

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered here: no request has come, or not the whole of it."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    @property
    def use(self) -> tuple[bool, float]:
        """What decides who goes first when there are too many: the least comes first."""
        return self._useful, self._since

    def look(self, now: float) -> None:
        """End the connection if what it waits for takes too long."""
        if self.cycle is not None and not self.cycle.response_complete:
            return
        late = now - self._since > HEAD_S
        if late and self._useful and not self._reading_head:
            # It was answered, and still goes on with its body.
            self.transport.abort()
        elif late and self._head:
            self._refuse(Refusal(408, "request_timeout", f"no head of a request in {HEAD_S:g} s"))
        elif late and not self._useful:
            self.transport.close()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _tell_of_hang_up(self, told: Callable[[], None] | None) -> None:
        self._hang_up = told

    def _abort(self) -> None:
        """Cut the connection off, and have nothing more of what came with it."""
        self._refused = True
        self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why in a whole answer, and close the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        body = written(refusal.body)
        self.transport.write(
            b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (refusal.status, len(body), body)
        )
        self.transport.close()


_HEAD_TOO_LARGE = Refusal(
    431, "head_too_large", f"a head may have {MOST_HEADERS} headers and {HEAD_LIMIT} bytes"
)


def sweep(loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
    """Look at every connection now and then, as long as there is one."""
    for one in list(connections):
        if isinstance(one, Connection):
            one.look(loop.time())
    if connections:
        loop.call_later(SWEEP_S, sweep, loop, connections)


def _make_room(others: set[Any]) -> None:
    """Close the connection that is of the least use, unless enough are closing as it is."""
    open_ones = [one for one in others if not one.transport.is_closing()]
    idle = [one for one in open_ones if isinstance(one, Connection) and one.is_idle]
    if idle and len(open_ones) >= MOST_CONNECTIONS:
        min(idle, key=lambda one: one.use).transport.abort()
