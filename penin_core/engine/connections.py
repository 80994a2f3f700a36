"""HTTP/1.1 over asyncio: one connection, one exchange at a time.

Parsing is llhttp's, by way of ``httptools``; what is here is when to wait and when to give up.
An answer has a limit on its size.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

import httptools

Headers = list[tuple[bytes, bytes]]

#: The longest head of a reply, and the longest reply, in bytes.
HEAD_LIMIT = 64 * 1024
BODY_LIMIT = 64 * 1024 * 1024
#: Uploads are written in pieces, so that a slow one is not taken for a stalled one.
_PIECE = 64 * 1024
#: Two names of one coding (RFC 9110, section 8.4.1.3).
_GZIP = ("gzip", "x-gzip")


class NotConnected(OSError):
    """No connection could be made; nothing was sent."""


class Broken(OSError):
    """The connection ended, or what came over it is no HTTP."""


class Stalled(TimeoutError):
    """Nothing moved for too long."""


async def limited(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of an answer, within the limit on its size.

    Raises:
        Broken: it is more.
    """
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > BODY_LIMIT:
            raise Broken(f"the answer is over {BODY_LIMIT} bytes")
        yield chunk


def unpacked(headers: Mapping[str, str], content: bytes) -> bytes:
    """Return a body without the gzip that its headers speak of.

    Raises:
        Broken: as ``unzip``.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    return unzip(content) if content and coding in _GZIP else content


def unzip(content: bytes) -> bytes:
    """Return what gzip packed, within the limit on the size of an answer.

    Raises:
        Broken: it is no gzip, or more than the limit.
    """
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(content, BODY_LIMIT)
    except zlib.error as error:
        raise Broken(f"the answer is no gzip: {error}") from error
    if not unpacking.eof:
        raise Broken(f"the answer is cut short, or over {BODY_LIMIT} bytes")
    return found


class Connection(asyncio.Protocol):
    """One connection; ``send`` starts an exchange, ``chunks`` reads the rest of it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._wire: Any = None
        self._broken: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = self._paused = self._kept = False
        self._moved = self._idle_s = self._until = self.free_since = 0.0
        self._start()
        self.complete = True

    def _start(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.complete = False
        self._bytes = 0
        self._chunks: deque[bytes] = deque()
        self._ends_with_connection = True

    @property
    def usable(self) -> bool:
        """Whether another exchange may start here."""
        return self._broken is None and not self._wire.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether the exchange is over and the server keeps the connection open."""
        return self.complete and self._kept and not self._busy and self._broken is None

    async def send(self, request: bytes, idle_s: float, until: float = float("inf")) -> None:
        """Send a whole request, and return when the head of its answer is there.

        The exchange is broken off when nothing moves for ``idle_s`` seconds, and when the clock of
        the event loop says ``until``.

        Raises:
            Broken, Stalled: there is no answer. The connection is closed.
        """
        self._start()
        self._busy, self._idle_s, self._until = True, idle_s, until
        self._moved = self._loop.time()
        self._look_again()
        try:
            await self._write(request)
            while not self.status:
                await self._wait()
        except BaseException:
            self.close()
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            Broken, Stalled: the body ends before its end. The connection is closed.
        """
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self.complete:
                return
            await self._wait()

    async def read(self) -> bytes:
        """Return the body, whole.

        Raises:
            Broken, Stalled: as ``chunks``.
        """
        while not self.complete:
            await self._wait()
            if self._broken is not None and not self.complete:
                raise self._broken
        return b"".join(self._chunks)

    def close(self) -> None:
        """Close the connection; whoever waits for it learns that it is broken."""
        self._fail(Broken("the connection was closed"))

    async def _write(self, request: bytes) -> None:
        if len(request) <= _PIECE:
            self._wire.write(request)
            self._busy = False
            return
        view = memoryview(request)
        for start in range(0, len(view), _PIECE):
            self._wire.write(view[start : start + _PIECE])
            while self._paused and not self.status:
                await self._wait()
            if self.status:
                # Answered before it had heard everything: nothing more is said here.
                return
            self._moved = self._loop.time()
        self._busy = False

    async def _wait(self) -> None:
        if self._broken is None:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._broken is not None and not (self.complete or self._chunks):
            raise self._broken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look_again(self) -> None:
        """Have ``_watch`` called in time; an earlier call that is due does as well."""
        due = min(self._moved + self._idle_s, self._until)
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._watch)

    def _watch(self) -> None:
        # One timer serves many exchanges: most are over long before it looks.
        self._timer, now = None, self._loop.time()
        if self.complete:
            return
        if now >= self._until:
            self._fail(Stalled("the whole answer took too long"))
        elif now >= self._moved + self._idle_s:
            self._fail(Stalled(f"nothing arrived for {self._idle_s:g} s"))
        else:
            self._look_again()

    def _fail(self, error: Exception) -> None:
        if self._broken is None:
            self._broken = error
        if self._timer is not None:
            self._timer.cancel()
        if self._wire is not None:
            self._wire.abort()
        self._wake()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what nobody asked for ends the connection."""
        if self.complete:
            return self._fail(Broken("the server spoke without being asked"))
        self._moved = self._loop.time()
        self._bytes += len(data)
        if self._bytes > BODY_LIMIT:
            # All that came counts, trailers too.
            return self._fail(Broken(f"the answer is over {BODY_LIMIT} bytes"))
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return self._fail(Broken(f"the answer is no HTTP: {type(error).__name__}"))
        if not self.status and self._bytes > HEAD_LIMIT:
            return self._fail(Broken(f"the head of the answer is over {HEAD_LIMIT} bytes"))
        return None

    def connection_lost(self, error: Exception | None) -> None:
        """End what is in progress; a body without a length ends here by right."""
        if self.status and not self.complete and error is None and self._ends_with_connection:
            self.on_message_complete()
        self._fail(Broken(f"the connection ended: {error}" if error else "the connection ended"))

    def pause_writing(self) -> None:
        """Wait with the next piece of an upload."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on with an upload."""
        self._paused = False
        self._wake()

    # What the parser tells

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; see whether it says where the body ends.

        What comes after the body is none: a trailer could replace what the head said (RFC 9110,
        section 6.5.1).
        """
        if self.status:
            return
        self.headers.append((name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._ends_with_connection = False

    def on_headers_complete(self) -> None:
        """Hand over the head, unless it is an interim one (RFC 9110, section 15.2)."""
        status = self._parser.get_status_code()
        if self.complete:
            # Another answer right behind: this connection has lost count.
            self._busy = True
        elif status >= 200:
            self.status = status
            self._wake()

    def on_body(self, body: bytes) -> None:
        """Hand over a piece of the body."""
        if not self.complete:
            self._chunks.append(body)
            self._wake()

    def on_message_complete(self) -> None:
        """End the exchange, or wait for the answer that follows an interim one."""
        if self.complete:
            return
        if not self.status:
            self.headers.clear()
            self._ends_with_connection = True
            return
        # Asked here, because the parser forgets it with the message.
        self.complete, self._kept = True, self._parser.should_keep_alive()
        self._wake()
