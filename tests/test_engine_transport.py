"""The transport: https only, no redirects, named errors, and a key that is never seen again."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import threading
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import quote

import httpx2
import pytest

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.engine import connections
from penin_core.engine.replies import ReplyLost, decode
from penin_core.engine.transport import HttpTransport
from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
)
from penin_core.records import Call, FilePart, Reply

KEY = "sk-canary-0123456789/abcdef"
Handler = Callable[[httpx2.Request], httpx2.Response]


class Service(ChatCompletionsProvider):
    """A service."""

    name = "service"
    base_url = "https://service.example/v1"
    base_url_env = "SERVICE_BASE_URL"
    key_env = "SERVICE_KEY"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", KEY)


def exchange(handler: Handler | None, call: Call, **options: Any) -> Reply:
    async def go() -> Reply:
        network = None if handler is None else httpx2.MockTransport(handler)
        transport = HttpTransport(Service(), transport=network, **options)
        try:
            return await transport.send(transport.prepare(call))
        finally:
            await transport.aclose()

    return asyncio.run(go())


def respond(status: int = 200, **content: Any) -> Handler:
    return lambda request: httpx2.Response(status, **content)


ASK = Call(path="/chat/completions", body={"q": "é"})


# What is sent


def test_a_call_goes_below_the_base_url_with_key_and_json() -> None:
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"ok": True}, headers={"X-Id": "7"})

    reply = exchange(handler, ASK)
    (request,) = seen
    assert (request.method, str(request.url)) == (
        "POST",
        "https://service.example/v1/chat/completions",
    )
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.content) == {"q": "é"}
    assert (reply.status, reply.body, reply.headers["x-id"]) == (200, {"ok": True}, "7")


def test_files_are_sent_as_multipart() -> None:
    seen: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["content-type"].encode() + b"\n" + request.content)
        return httpx2.Response(200, json={})

    part = FilePart(name="file", filename="train.jsonl", content=b"{}\n", content_type="text/plain")
    exchange(handler, Call(path="/files", body={"purpose": "fine-tune"}, files=(part,)))
    for piece in (b"multipart/form-data", b'filename="train.jsonl"', b"{}\n", b"fine-tune"):
        assert piece in seen[0]


def test_an_empty_body_is_none() -> None:
    assert exchange(respond(204), Call(method="DELETE", path="/x")).body is None


@pytest.mark.parametrize(
    "path", ["x", "@evil.example/x", "https://evil.example/x", ".evil.example"]
)
def test_a_path_cannot_leave_the_base_url(path: str) -> None:
    with pytest.raises(ProviderRefused, match="slash"):
        exchange(respond(), Call(path=path))


@pytest.mark.parametrize("path", ["//evil.example/x", "/../x", "/@evil.example"])
def test_the_host_stays_the_same(path: str) -> None:
    hosts: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(200)

    exchange(handler, Call(path=path))
    assert hosts == ["service.example"]


def test_redirects_are_not_followed() -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(307, headers={"location": "https://evil.example/"})

    with pytest.raises(ProviderRefused, match="307") as refused:
        exchange(handler, ASK)
    assert "redirect" in refused.value.hint
    assert seen == ["service.example"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://service.example/v1", "not https"),
        ("http://0x7f.1/v1", "not https"),
        ("http://2130706433/v1", "not https"),
        ("http://localhost.evil.example/", "not https"),
        ("http://[::ffff:10.0.0.1]/", "not https"),
        ("ftp://service.example", "no address"),
        ("service.example/v1", "no address"),
        ("https://", "no address"),
        ("https://user:pass@service.example/", "password"),
        ("https://service.example/v1?key=1", "query"),
        ("https://service.example\\@evil.example/", "address|password"),
    ],
)
def test_an_unusable_base_url_is_refused(
    url: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_BASE_URL", url)
    with pytest.raises(SettingsError, match=problem) as refused:
        exchange(respond(), ASK)
    assert "'service'" in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_plain_http_is_for_this_computer(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BASE_URL", f"http://{host}:8000/v1")
    assert exchange(respond(), ASK).status == 200


@pytest.mark.parametrize("value", ["", "  ", "sk-two\nlines", "sk-\x00", "schlüssel"])
def test_without_a_usable_key_nothing_is_sent(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\x00" in value:
        monkeypatch.setattr("os.environ", {"SERVICE_KEY": value})
    else:
        monkeypatch.setenv("SERVICE_KEY", value)

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError("sent")

    with pytest.raises(ProviderAuthError, match="SERVICE_KEY") as refused:
        exchange(handler, ASK)
    assert not value.strip() or value not in str(refused.value)


# What comes back


def fail(error: type[Exception]) -> Handler:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error(f"trouble with {request.headers['authorization']}")

    return handler


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError, ProviderUnavailable),
        (httpx2.ConnectTimeout, ProviderUnavailable),
        (httpx2.ReadTimeout, ReplyLost),
        (httpx2.WriteError, ReplyLost),
        (httpx2.RemoteProtocolError, ReplyLost),
        (httpx2.DecodingError, ReplyLost),
        (httpx2.LocalProtocolError, ProviderRefused),
        (httpx2.UnsupportedProtocol, ProviderRefused),
    ],
)
def test_trouble_on_the_way_has_a_name_and_says_whether_it_may_have_been_billed(
    error: type[Exception], kind: type[ProviderError]
) -> None:
    with pytest.raises(ProviderError) as caught:
        exchange(fail(error), ASK)
    assert type(caught.value) is kind
    assert error.__name__ in str(caught.value)


def test_an_untrusted_certificate_is_not_tried_again() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    with pytest.raises(ProviderRefused, match="self-signed") as refused:
        exchange(handler, ASK)
    assert "SSL_CERT_FILE" in refused.value.hint


@pytest.mark.parametrize(
    "content", [b"<html>proxy</html>", b'{"a": ', b"[" * 200_000, b"\xff\xfe\x00"]
)
def test_a_reply_that_is_not_json_is_a_bad_reply(content: bytes) -> None:
    with pytest.raises(ProviderBadReply, match="text/html that is not JSON"):
        exchange(respond(200, content=content, headers={"content-type": "text/html"}), ASK)


def test_an_error_page_that_is_not_json_keeps_its_status() -> None:
    with pytest.raises(ProviderUnavailable, match=r"502: no reason given \(text/html\)"):
        exchange(respond(502, content=b"<html>", headers={"content-type": "text/html"}), ASK)


ECHOES: dict[str, Callable[[str], dict[str, Any]]] = {
    "openai": lambda key: {"json": {"error": {"message": f"Incorrect API key: {key}"}}},
    "flat": lambda key: {"json": {"error": f"wrong key {quote(key, safe='')}"}},
    "fastapi": lambda key: {"json": {"detail": [{"loc": ["header", key], "msg": key}]}},
    "base64": lambda key: {"json": {"message": base64.b64encode(f"user:{key}".encode()).decode()}},
    "escaped": lambda key: {
        "content": json.dumps({"message": key}).replace("s", "\\u0073").encode(),
        "headers": {"x-key": key, "retry-after": key},
    },
    "html": lambda key: {"content": f"<b>{key}</b>".encode(), "headers": {"content-type": key}},
}
FAILURES: list[tuple[str, Handler]] = [
    (f"{status}-{name}", respond(status, **echo(KEY)))
    for status in (200, 302, 401, 404, 429, 500)
    for name, echo in ECHOES.items()
] + [
    (error.__name__, fail(error))
    for error in (httpx2.ConnectError, httpx2.ReadTimeout, httpx2.LocalProtocolError)
]


@pytest.mark.parametrize("handler", [pytest.param(h, id=name) for name, h in FAILURES])
def test_the_key_is_in_no_error_reply_or_log(
    handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    try:
        reply = exchange(handler, ASK)
        seen = repr(reply)
        decode(Service(), reply, str)
    except ProviderError as error:
        seen = f"{error!r} {error.hint} {error.__dict__} {error.__cause__!r} {error.__context__!r}"
        seen += "".join(traceback.format_exception(error))
    seen += caplog.text
    plain = base64.b64encode(KEY.encode()).decode()
    for form in (KEY, quote(KEY, safe=""), plain, plain[4:-4], KEY[::-1], KEY[3:]):
        assert form not in seen


# Through a proxy


class Pieces(httpx2.AsyncByteStream):
    """A body that arrives in pieces, as it does through a proxy."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            yield self.left.pop(0)


def through(pieces: Pieces, **headers: str) -> Reply:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return exchange(respond(stream=pieces, headers=lines), ASK)


def test_an_answer_through_a_proxy_is_read_and_unpacked() -> None:
    packed = gzip.compress(b'{"a": 1}')
    assert through(Pieces(b'{"a":', b" 1}")).body == {"a": 1}
    assert through(Pieces(packed[:9], packed[9:]), content_encoding="gzip").body == {"a": 1}


def test_an_answer_through_a_proxy_has_a_limit_on_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_LIMIT", 1000)
    pieces = Pieces(*[b" " * 100] * 99)
    with pytest.raises(ReplyLost, match="the answer is over 1000 bytes"):
        through(pieces)
    assert len(pieces.left) == 88


def test_what_a_proxy_passes_on_packed_has_a_limit_on_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "BODY_LIMIT", 1000)
    bomb = gzip.compress(b" " * 1001)
    assert len(bomb) < 100
    with pytest.raises(ReplyLost, match="over 1000 bytes"):
        through(Pieces(bomb), content_encoding="gzip")


# Against a real server on this computer


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[Any]] = set()

    def do_POST(self) -> None:
        type(self).connections.add(self.client_address)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/stall":
            self.server.stop.wait(5)  # type: ignore[attr-defined]
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("content-length", "100")
            self.end_headers()
            self.wfile.write(b'{"half":')
            self.close_connection = True
            return
        status = 429 if self.path == "/limit" else 200
        echo = self.headers.get("authorization", "") if self.path == "/echo" else ""
        body = json.dumps({"auth": self.headers.get("authorization", "") == f"Bearer {KEY}"})
        self.send_response(status, echo or None)
        self.send_header("x-echo", echo)
        self.send_header("retry-after", "7")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    _Server.connections.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        server.daemon_threads = True
        server.stop = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("SERVICE_BASE_URL", url)
        # What a proxy in the environment must never see.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        yield url
        server.stop.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def test_one_connection_serves_many_calls(server: str) -> None:
    async def go() -> list[Reply]:
        transport = HttpTransport(Service())
        replies = [await transport.send(transport.prepare(ASK)) for _ in range(5)]
        await transport.aclose()
        return replies

    assert [reply.body for reply in asyncio.run(go())] == [{"auth": True}] * 5
    assert len(_Server.connections) == 1


def test_a_real_429_says_how_long_to_wait(server: str) -> None:
    with pytest.raises(ProviderRateLimited) as limited:
        exchange(None, Call(path="/limit"))
    assert limited.value.retry_after == 7.0


def test_headers_and_reason_that_echo_the_key_reach_no_log(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reply = exchange(None, Call(path="/echo"))
    assert reply.headers["x-echo"] == "Bearer [redacted]"
    assert KEY not in caplog.text


def inside(value: object, depth: int) -> Iterator[object]:
    """Yield what a tool that prints attributes would print, so many levels deep."""
    yield value
    if not depth:
        return
    parts: list[object] = []
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        parts = list(value)
    else:
        parts = list(getattr(value, "__dict__", {}).values())
        slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
        parts += [getattr(value, name) for name in slots if hasattr(value, name)]
    for part in parts:
        yield from inside(part, depth - 1)


@pytest.mark.parametrize("network", [None, httpx2.MockTransport(respond(json={}))])
def test_the_key_stands_in_no_attribute(server: str, network: httpx2.MockTransport | None) -> None:
    async def go() -> list[str]:
        transport = HttpTransport(Service(), transport=network)
        await transport.send(transport.prepare(ASK))
        assert transport.redact(f"<{KEY}>") == "<[redacted]>"
        shown = [repr(value) for value in inside(transport, 6)]
        await transport.aclose()
        return shown

    shown = asyncio.run(go())
    assert any("Redactor" in text for text in shown)
    assert not [text for text in shown if KEY in text]


def test_the_key_stands_in_no_local_of_a_request_that_cannot_be_written() -> None:
    with pytest.raises(ProviderRefused, match="cannot be written") as refused:
        HttpTransport(Service()).prepare(Call(path="/ask", body={"q": float("nan")}))
    for frame, _ in traceback.walk_tb(refused.value.__traceback__):
        assert KEY not in repr(frame.f_locals)


@pytest.mark.parametrize("limit", ["idle_s", "total_s"])
def test_a_server_that_stalls_is_left(server: str, limit: str) -> None:
    with pytest.raises(ReplyLost):
        exchange(None, Call(path="/stall"), **{limit: 0.1})


def test_a_reply_that_breaks_off_is_lost(server: str) -> None:
    with pytest.raises(ReplyLost):
        exchange(None, Call(path="/cut"))


def test_nobody_at_the_other_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_BASE_URL", "http://127.0.0.1:1")
    with pytest.raises(ProviderUnavailable, match="NotConnected") as unavailable:
        exchange(None, ASK)
    assert "http://127.0.0.1:1" in unavailable.value.hint
