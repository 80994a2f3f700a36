"""The only module that speaks HTTP: one connection pool for one provider, one attempt at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import httpx2

from penin_core.contracts import HttpProvider
from penin_core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
)
from penin_core.records import Call, Reply

from .addresses import is_loopback
from .bodies import json_body, read_reply
from .connections import Broken, NotConnected, limited, unpacked
from .endpoints import base_url, key_headers, key_of, proxy_for
from .listening import Listener, OnText
from .pool import Pool, Prepared
from .replies import CHECK_KEY, Redactor, ReplyLost, shorten

#: What stands in for the network in tests: named here, so that no other module has to know the
#: library.
Network: TypeAlias = httpx2.AsyncBaseTransport

# Their lines quote URLs, reason phrases and response headers, where a service can echo a key.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_CONNECT_S = 10.0
_IDLE_S = 120.0
_TOTAL_S = 600.0
#: Paths that are kept parsed; a job that is polled adds one.
_TARGETS = 256
_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "gzip",
    "content-type": "application/json",
    "user-agent": "penin",
}
#: The request never arrived.
_UNSENT = (
    NotConnected,
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
)
#: The request was on its way, or there already.
_LOST = (
    TimeoutError,
    Broken,
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.DecodingError,
)


class HttpTransport:
    """Sends the calls of one provider: keep-alive, time-outs, https only, no redirects.

    Plain http is allowed to this computer alone. The key is read from its variable for each call
    and is masked in whatever comes back. ``private_hosts`` may stand in a private network.

    Raises:
        SettingsError: the base URL is missing, carries a password, or is not https.
    """

    def __init__(
        self,
        provider: HttpProvider,
        *,
        transport: Network | None = None,
        connections: int = 100,
        private_hosts: Collection[str] = (),
        idle_s: float = _IDLE_S,
        total_s: float = _TOTAL_S,
    ) -> None:
        self._provider = provider
        self._total_s = total_s
        self._base = _checked(provider, base_url(provider))
        self._wire = _wire(self._base, transport, connections, private_hosts, idle_s, total_s)
        self._origin = f"{self._base.scheme}://{self._base.netloc.decode()}"
        self._below = f"{self._base}".rstrip("/")
        self._targets: dict[str, str] = {}
        #: By the hash of the key: a traceback with locals shows what is here.
        self._redactors: dict[int, Redactor] = {}

    def prepare(self, call: Call) -> Prepared:
        """Write the request; nothing is sent.

        Raises:
            ProviderAuthError: the variable that holds the key is empty or holds no key.
            ProviderRefused: the path leads away from the base URL, or the headers are wrong.
        """
        if not call.path.startswith("/"):
            raise ProviderRefused(self._say(f"path {call.path!r} does not start with a slash"))
        headers = {**_HEADERS, **key_headers(self._provider)}
        if call.text:
            headers["accept"] = "*/*"
        try:
            target = self._target(call.path, outside=call.outside)
            if call.files:
                content = _multipart(call, headers)
            else:
                content = b"" if call.body is None else json_body(call.body)
            return Prepared(call.method, self._origin, target, headers, content, text=call.text)
        except (TypeError, ValueError, RecursionError, httpx2.InvalidURL) as error:
            problem = self.redact(shorten(str(error)))
        # They hold the key, and a traceback with locals would show them.
        headers.clear()
        raise ProviderRefused(self._say(f"request to {call.path} cannot be written: {problem}"))

    async def send(self, request: Prepared, on_text: OnText | None = None) -> Reply:
        """Send ``request`` once and return a reply in 200-299.

        ``on_text`` is told what each event of a stream adds; the reply is then what all of them
        add up to.

        Raises:
            ProviderError: by name; ReplyLost where it may have been carried out all the same.
            SettingsError: the host stands at an address that must not be called.
        """
        redactor = self._redactor()
        try:
            if on_text is not None:
                async with asyncio.timeout(self._total_s):
                    return await self._listen(request, redactor, on_text)
            status, headers, content = await self._wire.exchange(request)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            failure = self._failure(error, redactor)
        else:
            return self._read(status, headers, content, redactor, text=request.text)
        # Raised out here: the context of the original would hold the request and its headers.
        raise failure

    async def _listen(self, request: Prepared, redactor: Redactor, on_text: OnText) -> Reply:
        # Not a copy: whoever sends this one sees in it whether it has left.
        request.headers = {**request.headers, "accept-encoding": "identity"}
        async with self._wire.stream(request) as (status, headers, chunks):
            if not headers.get("content-type", "").startswith("text/event-stream"):
                content = unpacked(headers, b"".join([chunk async for chunk in chunks]))
                return self._read(status, headers, content, redactor)
            heard = Listener(self._provider, redactor.tree, on_text)
            async for chunk in chunks:
                heard.feed(chunk)
            return Reply(status=status, headers=redactor.headers(headers), body=heard.end())

    def _read(
        self,
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        redactor: Redactor,
        *,
        text: bool = False,
    ) -> Reply:
        try:
            return read_reply(self._provider.name, status, headers, content, redactor, text=text)
        except ProviderAuthError as error:
            if self._provider.key_env and error.hint == CHECK_KEY:
                error.hint = f"check the key in {self._provider.key_env}, and what it may use"
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    def redact(self, text: str) -> str:
        """Return ``text`` without the key."""
        return self._redactor().text(text)

    def _redactor(self) -> Redactor:
        key = key_of(self._provider)
        found = self._redactors.get(hash(key))
        if found is None:
            found = Redactor(key)
            self._redactors = {hash(key): found}
        return found

    def _target(self, path: str, *, outside: bool = False) -> str:
        base = self._below
        if outside:
            return httpx2.URL(base.removesuffix("/v1") + path).raw_path.decode()
        if path not in self._targets:
            if len(self._targets) >= _TARGETS:
                self._targets.clear()
            self._targets[path] = httpx2.URL(base + path).raw_path.decode()
        return self._targets[path]

    def _say(self, what: str) -> str:
        return f"provider '{self._provider.name}': {what}"

    def _failure(self, error: Exception, redactor: Redactor) -> ProviderError:
        words = redactor.text(shorten(str(error)))
        message = self._say(f"{type(error).__name__}: {words}" if words else type(error).__name__)
        if "CERTIFICATE_VERIFY_FAILED" in words:
            hint = "the certificate is not trusted; set SSL_CERT_FILE to one that is"
            return ProviderRefused(message, hint=hint)
        if isinstance(error, _UNSENT):
            hint = f"check the network and base_url ({self._base})"
            return ProviderUnavailable(message, hint=hint)
        if isinstance(error, _LOST):
            hint = "the call may have been billed and counts as paid; try again later"
            return ReplyLost(message, hint=hint)
        return ProviderRefused(message, hint="check base_url and the key")


def _checked(provider: HttpProvider, text: str) -> httpx2.URL:
    name = provider.name
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.userinfo or url.query or url.fragment:
        raise SettingsError(
            f"base_url of provider '{name}' carries a password, a query or a fragment",
            hint="give scheme, host and path only; the key comes from its environment variable",
        )
    if not url.host or url.scheme not in ("https", "http"):
        raise SettingsError(
            f"base_url of provider '{name}' is no address: {text!r}",
            hint=f"set base_url under [providers.{name}], such as https://example.org/v1",
        )
    if url.scheme == "http" and not is_loopback(url.host):
        raise SettingsError(
            f"base_url of provider '{name}' is not https: {text!r}",
            hint="plain http would show the key to everyone on the way; it is for localhost only",
        )
    return url


def _multipart(call: Call, headers: dict[str, str]) -> bytes:
    """Return the body of an upload, and name its boundary in ``headers``."""
    files = [(part.name, (part.filename, part.content, part.content_type)) for part in call.files]
    request = httpx2.Request("POST", "http://localhost", files=files, data=call.body or {})
    headers["content-type"] = request.headers["content-type"]
    return request.read()


def _wire(
    base: httpx2.URL,
    network: Network | None,
    connections: int,
    private_hosts: Collection[str],
    idle_s: float,
    total_s: float,
) -> Through | Pool:
    """Return the way out: what stands in for it, the proxy of the environment, or our own."""
    # A proxy from the environment must not see plain http to this computer.
    proxy = proxy_for(base.host) if base.scheme == "https" else None
    connect_s = min(idle_s, _CONNECT_S)
    if network is not None:
        return Through(network, connect_s, idle_s, total_s)
    if proxy is None:
        secure = base.scheme == "https"
        return Pool(
            base.raw_host.decode(),
            base.port or (443 if secure else 80),
            httpx2.create_ssl_context() if secure else None,
            connect_s=connect_s,
            idle_s=idle_s,
            total_s=total_s,
            keep=connections,
            private_hosts=private_hosts,
        )
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    try:
        proxied = httpx2.AsyncHTTPTransport(proxy=proxy, limits=limits)
        return Through(proxied, connect_s, idle_s, total_s)
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise SettingsError(
            f"the proxy that the environment names cannot be used: {type(error).__name__}",
            hint="correct HTTPS_PROXY, or exempt the host in NO_PROXY",
        ) from None


class Through:
    """Sends requests through a transport of httpx2: a proxy, or what stands in for the network."""

    def __init__(self, network: Network, connect_s: float, idle_s: float, total_s: float) -> None:
        self._network = network
        self._total_s = total_s
        self._timeout = {"connect": connect_s, "read": idle_s, "write": idle_s, "pool": None}

    async def exchange(self, request: Prepared) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; return status, headers and body."""
        async with asyncio.timeout(self._total_s):
            async with self.stream(request) as (status, headers, chunks):
                content = b"".join([chunk async for chunk in chunks])
                return status, headers, unpacked(headers, content)

    @asynccontextmanager
    async def stream(
        self, request: Prepared
    ) -> AsyncIterator[tuple[int, Mapping[str, str], AsyncIterator[bytes]]]:
        """Send one request; the body of the answer is read inside the block, as it arrives."""
        written = httpx2.Request(
            request.method,
            f"{request.origin}{request.target}",
            headers=dict(request.headers),
            content=request.content,
            extensions={"timeout": self._timeout, "trace": request.follow},
        )
        # What stands in for the network says nothing of how far it is.
        request.unsent = False
        try:
            response = await self._network.handle_async_request(written)
        except httpx2.TransportError as error:
            if request.unsent and not isinstance(error, _UNSENT):
                raise NotConnected(f"the proxy opens no way: {type(error).__name__}") from error
            raise
        # As it came over the wire: what httpx2 unpacks has no limit.
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        try:
            yield response.status_code, response.headers, limited(response.stream)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._network.aclose()
