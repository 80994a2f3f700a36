"""The only module that speaks HTTP: one connection pool for one provider, one attempt at a time."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
from typing import Any, TypeAlias

import httpx2

from penin_core.contracts import HttpProvider
from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
)
from penin_core.records import Call, Reply

from .endpoints import base_url
from .replies import Redactor, ReplyLost, shorten, status_error

#: What stands in for the network in tests, and a request that is ready to be sent: named here, so
#: that no other module has to know the library.
Network: TypeAlias = httpx2.AsyncBaseTransport
Prepared: TypeAlias = httpx2.Request

# Their lines quote URLs, reason phrases and response headers, where a service can echo a key.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_CONNECT_S = 10.0
_IDLE_S = 120.0
_TOTAL_S = 600.0
#: The request never arrived.
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
#: The request was on its way, or there already.
_LOST = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.DecodingError,
)


class HttpTransport:
    """Sends the calls of one provider: keep-alive, time-outs, https only, no redirects.

    Plain http is allowed to this computer alone. The key is read from its variable for each call
    and is masked in whatever comes back.

    Raises:
        SettingsError: the base URL is missing, carries a password, or is not https.
    """

    def __init__(
        self,
        provider: HttpProvider,
        *,
        transport: Network | None = None,
        connections: int = 16,
        idle_s: float = _IDLE_S,
        total_s: float = _TOTAL_S,
    ) -> None:
        self._provider = provider
        self._total_s = total_s
        self._base = _checked(provider, base_url(provider))
        self._client = httpx2.AsyncClient(
            transport=transport,
            timeout=httpx2.Timeout(idle_s, connect=min(idle_s, _CONNECT_S), pool=None),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            follow_redirects=False,
            # A proxy from the environment must not see plain http to this computer.
            trust_env=self._base.scheme == "https",
        )

    def prepare(self, call: Call) -> Prepared:
        """Write the request; nothing is sent.

        Raises:
            ProviderAuthError: the variable that holds the key is empty or holds no key.
            ProviderRefused: the path leads away from the base URL, or the headers are wrong.
        """
        if not call.path.startswith("/"):
            raise ProviderRefused(self._say(f"path {call.path!r} does not start with a slash"))
        url = f"{self._base}".rstrip("/") + call.path
        content: dict[str, Any] = {}
        if call.files:
            content["files"] = [
                (part.name, (part.filename, part.content, part.content_type)) for part in call.files
            ]
            content["data"] = call.body or {}
        elif call.body is not None:
            content["json"] = call.body
        try:
            return self._client.build_request(call.method, url, headers=self._headers(), **content)
        except (TypeError, ValueError, httpx2.InvalidURL) as error:
            problem = self.redact(shorten(str(error)))
        raise ProviderRefused(self._say(f"request to {call.path} cannot be written: {problem}"))

    async def send(self, request: Prepared) -> Reply:
        """Send ``request`` once and return a reply in 200-299.

        Raises:
            ProviderError: by name; ReplyLost where it may have been carried out all the same.
        """
        redactor = Redactor(self._key())
        try:
            async with asyncio.timeout(self._total_s):
                response = await self._client.send(request)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            failure = self._failure(error, redactor)
        else:
            return self._read(response, redactor)
        # Raised out here: the context of the original would hold the request and its headers.
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def redact(self, text: str) -> str:
        """Return ``text`` without the key."""
        return Redactor(self._key()).text(text)

    def _say(self, what: str) -> str:
        return f"provider '{self._provider.name}': {what}"

    def _key(self) -> str:
        variable = self._provider.key_env
        return os.environ.get(variable, "").strip() if variable else ""

    def _headers(self) -> dict[str, str]:
        variable, key = self._provider.key_env, self._key()
        if variable and not key:
            raise ProviderAuthError(
                self._say(f"the environment variable {variable} holds no key"),
                hint=f"set {variable}; keys are read from nowhere else",
            )
        if not (key.isascii() and key.isprintable()):
            raise ProviderAuthError(
                self._say(f"{variable} holds characters that no key has"), hint=f"set {variable}"
            )
        return self._provider.headers(key)

    def _failure(self, error: Exception, redactor: Redactor) -> ProviderError:
        words = redactor.text(shorten(str(error)))
        message = self._say(f"{type(error).__name__}: {words}" if words else type(error).__name__)
        if "CERTIFICATE_VERIFY_FAILED" in words:
            hint = "the certificate is not trusted; set SSL_CERT_FILE to one that is"
            return ProviderRefused(message, hint=hint)
        if isinstance(error, _UNSENT):
            hint = f"check the network and base_url ({self._base})"
            return ProviderUnavailable(message, hint=hint)
        if isinstance(error, (*_LOST, TimeoutError)):
            hint = "the call may have been billed and counts as paid; try again later"
            return ReplyLost(message, hint=hint)
        return ProviderRefused(message, hint="check base_url and the key")

    def _read(self, response: httpx2.Response, redactor: Redactor) -> Reply:
        headers = {name.lower(): redactor.text(value) for name, value in response.headers.items()}
        body, problem = None, ""
        try:
            body = redactor.tree(json.loads(response.content)) if response.content else None
        except (ValueError, RecursionError):
            kind = headers.get("content-type", "no content type").split(";")[0]
            problem = f"answered {response.status_code} with {kind} that is not JSON"
        reply = Reply(status=response.status_code, headers=headers, body=body)
        if not 200 <= reply.status < 300:
            raise status_error(self._provider.name, reply)
        if problem:
            raise ProviderBadReply(self._say(problem), hint="check base_url and any proxy")
        return reply


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
    if url.scheme == "http" and not _is_loopback(url.host):
        raise SettingsError(
            f"base_url of provider '{name}' is not https: {text!r}",
            hint="plain http would show the key to everyone on the way; it is for localhost only",
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
