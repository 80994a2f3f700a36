"""The connections to one host: made to a checked address, kept alive, used again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from penin_core.errors import SettingsError

from .addresses import resolve
from .connections import Connection, NotConnected, unpacked

#: A connection that was idle for so long is not trusted any more; many servers close at 60.
KEEP_S = 20.0
#: What a name stands for is looked up again after so long.
_FRESH_S = 5.0


@dataclass(slots=True)
class Prepared:
    """A request that is ready to be sent. Its headers hold the key.

    ``unsent`` is True until there is a connection for it: nothing of it has left before.
    """

    method: str
    origin: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    unsent: bool = True
    text: bool = False

    async def follow(self, event: str, about: Mapping[str, Any]) -> None:
        """Hear from httpcore2 how far it is: on its way to a proxy, or beyond."""
        if event.endswith("connect_tcp.started"):
            self.unsent = True
        elif event.endswith("send_request_headers.started"):
            # What asks the proxy for the way is none of ours.
            self.unsent = about["request"].method == b"CONNECT"


class Pool:
    """Sends requests to one host, by name or address; the connection free last goes first."""

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        connect_s: float,
        idle_s: float,
        total_s: float,
        keep: int,
        private_hosts: Collection[str] = (),
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._connect_s = connect_s
        self._idle_s = idle_s
        self._total_s = total_s
        self._keep = keep
        self._private_hosts = private_hosts
        self._free: list[Connection] = []
        self._lookup = asyncio.Lock()
        self._addresses: list[str] = []
        self._fresh_until = 0.0

    async def exchange(self, request: Prepared) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; return status, headers (lower case) and body.

        Raises:
            NotConnected, SettingsError: nothing was sent.
            Broken, Stalled: it was sent, and there is no answer, or half of one.
        """
        until = asyncio.get_running_loop().time() + self._total_s
        connection = await self._ready(request)
        try:
            await connection.send(_bytes_of(request), self._idle_s, until)
            content = await connection.read()
        finally:
            self._release(connection)
        headers = _headers_of(connection)
        return connection.status, headers, unpacked(headers, content)

    @asynccontextmanager
    async def stream(
        self, request: Prepared
    ) -> AsyncIterator[tuple[int, Mapping[str, str], AsyncIterator[bytes]]]:
        """Send one request; the body of the answer is read inside the block, as it arrives.

        Raises:
            NotConnected, SettingsError, Broken, Stalled: as ``exchange``.
        """
        connection = await self._ready(request)
        try:
            await connection.send(_bytes_of(request), self._idle_s)
            yield connection.status, _headers_of(connection), connection.chunks()
        finally:
            self._release(connection)

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        while self._free:
            self._free.pop().close()

    def _kept(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._free:
            connection = self._free.pop()
            if connection.usable and now - connection.free_since < KEEP_S:
                return connection
            connection.close()
        return None

    async def _ready(self, request: Prepared) -> Connection:
        connection = self._kept() or await self._connect()
        request.unsent = False
        return connection

    def _release(self, connection: Connection) -> None:
        if connection.reusable and len(self._free) < self._keep:
            connection.free_since = asyncio.get_running_loop().time()
            self._free.append(connection)
        else:
            connection.close()

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                return await self._first_of(await self._resolve())
        except SettingsError:
            raise
        except TimeoutError as error:
            raise NotConnected(f"no connection within {self._connect_s:g} s") from error
        except (OSError, UnicodeError) as error:
            raise NotConnected(str(error)) from error

    async def _resolve(self) -> list[str]:
        async with self._lookup:
            now = asyncio.get_running_loop().time()
            if now >= self._fresh_until:
                self._addresses = await resolve(self._host, self._port, self._private_hosts)
                self._fresh_until = now + _FRESH_S
        return self._addresses

    async def _first_of(self, addresses: list[str]) -> Connection:
        loop = asyncio.get_running_loop()
        name = self._host if self._context else None
        patience = self._connect_s / len(addresses)
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            try:
                async with asyncio.timeout(patience if left else None):
                    _, connection = await loop.create_connection(
                        Connection, address, self._port, ssl=self._context, server_hostname=name
                    )
                return connection
            except (OSError, TimeoutError):
                if not left:
                    raise
        raise NotConnected("the name has no address")


def _headers_of(connection: Connection) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in connection.headers
    }


def _bytes_of(request: Prepared) -> bytes:
    host = request.origin.partition("://")[2]
    lines = [f"{request.method} {request.target} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"content-length: {len(request.content)}", "", ""]
    return "\r\n".join(lines).encode() + request.content
