"""Every way in which a service can fail, over real sockets: one clear error, never an answer."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penin_core import ChatCompletionsProvider
from penin_core.engine import connections
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.connections import BODY_LIMIT, HEAD_LIMIT, Stalled
from penin_core.engine.pool import Pool, Prepared
from penin_core.engine.replies import ReplyLost
from penin_core.engine.transport import HttpTransport
from penin_core.engine.wire import Engine
from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    SettingsError,
)
from penin_core.records import (
    Call,
    Capabilities,
    Completion,
    FilePart,
    Message,
    Price,
    Reply,
    Request,
)

KEY = "sk-canary-0123456789"
GOOD = {
    "model": "m",
    "choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2},
}
Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Service(ChatCompletionsProvider):
    """A service that costs something."""

    name = "service"
    base_url = "https://service.example"
    base_url_env = "SERVICE_BASE_URL"
    key_env = "SERVICE_KEY"

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(price=Price(input_per_million=5, output_per_million=10))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", KEY)


class Server:
    """A server on this computer that says what it is told, byte for byte."""

    def __init__(self, *replies: bytes | None, close: bool = False) -> None:
        self.replies = list(replies)
        self.close = close
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.broken = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.replies:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                reply = self.replies.pop(0)
                if reply is None:
                    await self.broken.wait()
                    return
                writer.write(reply)
                await writer.drain()
                if self.close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http(body: Any = GOOD, status: str = "200 OK", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


def events(*data: Any, end: bool = True) -> bytes:
    lines = [f"data: {json.dumps(each)}\n\n" for each in data] + ["data: [DONE]\n\n"] * end
    return http("".join(lines).encode(), content_type="text/event-stream")


def chunk(text: str = "", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"delta": {"content": text}}], **fields}


LAST = {
    "model": "m",
    "choices": [{"delta": {}, "finish_reason": "stop"}],
    "usage": GOOD["usage"],
}


def exchange(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    *,
    calls: int = 1,
    call: Call | None = None,
    context: ssl.SSLContext | None = None,
    **options: Any,
) -> list[Reply]:
    async def go() -> list[Reply]:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        scheme = "http" if context is None else "https"
        monkeypatch.setenv("SERVICE_BASE_URL", f"{scheme}://localhost:{port}/v1")
        transport = HttpTransport(Service(), **options)
        try:
            sent = call or Call(path="/x", body={"q": 1})
            return [await transport.send(transport.prepare(sent)) for _ in range(calls)]
        finally:
            await transport.aclose()
            server.broken.set()
            listening.close()
            await asyncio.sleep(0.01)

    return asyncio.run(go())


# HTTP, as servers write it


@pytest.mark.parametrize(
    "reply",
    [
        http(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + http(),
        http(gzip.compress(json.dumps(GOOD).encode()), content_encoding="gzip"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (1, bytes([byte])) for byte in json.dumps(GOOD).encode())
        + b"0\r\ntrailer: x\r\n\r\n",
    ],
)
def test_a_reply_is_read_in_every_form_and_the_connection_is_used_again(
    reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(reply, reply, reply)
    assert [each.body for each in exchange(server, monkeypatch, calls=3)] == [GOOD] * 3
    assert server.connections == 1
    assert server.heads[0].startswith(b"POST /v1/x HTTP/1.1\r\nhost: localhost:")


@pytest.mark.parametrize("version", [b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nconnection: close"])
def test_a_body_may_end_with_its_connection(
    version: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = version + b"\r\n\r\n" + json.dumps(GOOD).encode()
    server = Server(reply, reply, close=True)
    assert [each.body for each in exchange(server, monkeypatch, calls=2)] == [GOOD] * 2
    assert server.connections == 2


def test_a_server_that_hangs_up_between_calls_is_connected_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Leaving(Server):
        async def serve(self, reader: Any, writer: Any) -> None:
            self.close = True
            await super().serve(reader, writer)

    server = Leaving(http(), http())
    call = Call(path="/x", body={})

    async def go() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("SERVICE_BASE_URL", f"http://127.0.0.1:{port}")
        transport = HttpTransport(Service())
        for _ in range(2):
            assert (await transport.send(transport.prepare(call))).body == GOOD
            await asyncio.sleep(0.05)
        await transport.aclose()
        listening.close()

    asyncio.run(go())
    assert server.connections == 2


def test_a_large_upload_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(http())
    content = bytes(range(256)) * 20_000
    part = FilePart(name="file", filename="a.bin", content=content)
    exchange(server, monkeypatch, call=Call(path="/files", body={"purpose": "x"}, files=(part,)))
    assert content in server.bodies[0]
    assert b"multipart/form-data; boundary=" in server.heads[0]


BROKEN: dict[str, bytes | None] = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "half a body": http()[:-5],
    "half a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (HEAD_LIMIT // 5),
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"
    ),
    "bad gzip": http(b"not gzip", content_encoding="gzip"),
    "half gzip": http(gzip.compress(b"{}" * 99)[:-9], content_encoding="gzip"),
    "bomb": http(gzip.compress(b" " * (BODY_LIMIT + 9), 1), content_encoding="gzip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_whole_answer_is_lost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReplyLost, match="Broken"):
        exchange(Server(BROKEN[name], close=True), monkeypatch)


def chunked(*trailers: bytes) -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"2\r\n{}\r\n0\r\n" + b"".join(trailers) + b"\r\n"


def test_trailers_replace_no_header_and_the_connection_is_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(chunked(b"content-type: text/html\r\n", b"x-more: 1\r\n"), http())
    first, second = exchange(server, monkeypatch, calls=2)
    assert (first.body, first.headers["content-type"]) == ({}, "application/json")
    assert "x-more" not in first.headers
    assert (second.body, server.connections) == (GOOD, 1)


@pytest.mark.parametrize("trailer", [b"x: y\r\n" * 9_999, b"x: " + b"y" * 49_999 + b"\r\n"])
def test_trailers_count_as_part_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, trailer: bytes
) -> None:
    monkeypatch.setattr(connections, "BODY_LIMIT", 40_000)
    with pytest.raises(ReplyLost, match="the answer is over 40000 bytes"):
        exchange(Server(chunked(trailer)), monkeypatch)


@pytest.mark.parametrize("coding", ["GZIP", "gzip", "X-GZip"])
def test_the_name_of_a_coding_may_be_in_capitals(
    monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    packed = http(gzip.compress(json.dumps(GOOD).encode()), content_encoding=coding)
    (reply,) = exchange(Server(packed), monkeypatch)
    assert reply.body == GOOD


def test_nothing_is_packed_in_no_body(monkeypatch: pytest.MonkeyPatch) -> None:
    (reply,) = exchange(Server(http(b"", content_encoding="gzip")), monkeypatch)
    assert reply.body is None


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReplyLost, match=r"nothing arrived for 0.1 s"):
        exchange(Server(None), monkeypatch, idle_s=0.1)


def test_an_answer_that_stalls_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(Server):
        async def serve(self, reader: Any, writer: Any) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http()[:-5])
            await self.broken.wait()
            writer.close()

    with pytest.raises(ReplyLost, match="Stalled"):
        exchange(Half(), monkeypatch, idle_s=0.1)


def test_a_server_that_says_nothing_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(http(), None)
    with pytest.raises(ReplyLost, match=r"nothing arrived for 0.1 s"):
        exchange(server, monkeypatch, calls=2, idle_s=0.1)
    assert (len(server.heads), server.connections) == (2, 1)


def test_a_connection_that_was_under_a_later_limit_keeps_to_an_earlier_one() -> None:
    server = Server(http(), None)

    async def go() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        pool = Pool("127.0.0.1", port, None, connect_s=5, idle_s=60, total_s=0.1, keep=1)
        ask = Prepared("POST", f"http://127.0.0.1:{port}", "/", {}, b"")
        async with pool.stream(ask) as (status, _, chunks):
            assert status == 200
            assert json.loads(b"".join([piece async for piece in chunks])) == GOOD
        with pytest.raises(Stalled, match="too long"):
            await asyncio.wait_for(pool.exchange(ask), 10)
        server.broken.set()
        listening.close()

    asyncio.run(go())
    assert server.connections == 1


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(http() + http({"wrong": 1}), http({"right": 1}))
    replies = exchange(server, monkeypatch, calls=2)
    assert [reply.body for reply in replies] == [GOOD, {"right": 1}]
    assert server.connections == 2


def certificate(folder: Path, host: str = "localhost") -> ssl.SSLContext:
    """Return the context of a server that signed its own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "cert.pem").write_bytes(pem)
    (folder / "both.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


def test_a_self_signed_certificate_is_refused_unless_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path)
    with pytest.raises(ProviderRefused, match="CERTIFICATE_VERIFY_FAILED") as refused:
        exchange(Server(http()), monkeypatch, context=context)
    assert "SSL_CERT_FILE" in refused.value.hint
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    (reply,) = exchange(Server(http()), monkeypatch, context=context)
    assert reply.body == GOOD


def test_a_proxy_of_the_environment_is_asked_for_https_and_sees_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def go() -> None:
        listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("https_proxy", raising=False)
        transport = HttpTransport(Service())
        try:
            await transport.send(transport.prepare(Call(path="/x", body={})))
        finally:
            await transport.aclose()
            listening.close()

    with pytest.raises(ProviderUnavailable, match="403"):
        asyncio.run(go())
    assert heads[0].startswith(b"CONNECT service.example:443 HTTP/1.1")
    assert KEY.encode() not in heads[0]
    monkeypatch.setenv("HTTPS_PROXY", "socks9://nowhere")
    with pytest.raises(SettingsError, match="proxy"):
        HttpTransport(Service())
    monkeypatch.setenv("NO_PROXY", "service.example")
    HttpTransport(Service())


Proxy = Callable[[Any, Any, Any], Awaitable[None]]


async def sent_through(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> tuple[Prepared, Any]:
    """Send a call through ``proxy``, which can give it up; return it, and what came of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await proxy(reader, writer, lambda: sending.cancel())
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    monkeypatch.delenv("https_proxy", raising=False)
    transport = HttpTransport(Service())
    prepared = transport.prepare(Call(path="/x", body={}))
    sending = asyncio.ensure_future(transport.send(prepared))
    (found,) = await asyncio.gather(sending, return_exceptions=True)
    await transport.aclose()
    listening.close()
    return prepared, found


def test_a_call_given_up_before_the_proxy_opened_the_way_has_not_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def proxy(reader: Any, writer: Any, give_up: Any) -> None:
        give_up()
        await reader.read()

    prepared, found = asyncio.run(sent_through(monkeypatch, proxy))
    assert isinstance(found, asyncio.CancelledError)
    assert prepared.unsent


def test_a_call_given_up_behind_the_proxy_may_have_been_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path, "service.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    async def proxy(reader: Any, writer: Any, give_up: Any) -> None:
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await writer.start_tls(context)
        await reader.readuntil(b"\r\n\r\n")
        give_up()
        await reader.read()

    prepared, found = asyncio.run(sent_through(monkeypatch, proxy))
    assert isinstance(found, asyncio.CancelledError)
    assert not prepared.unsent


def test_a_proxy_that_breaks_off_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def proxy(reader: Any, writer: Any, give_up: Any) -> None:
        writer.write(b"HTTP/1.1 200")

    prepared, found = asyncio.run(sent_through(monkeypatch, proxy))
    assert prepared.unsent
    assert isinstance(found, ProviderUnavailable)
    assert not isinstance(found, ReplyLost)
    assert "the proxy opens no way: RemoteProtocolError" in str(found)


# The whole engine: a failure is recorded, paid where it may have been, and never an answer


def ask_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, server: Server, **options: Any
) -> tuple[Completion | ProviderError, int, int]:
    """Return what one question gets, what it cost, and what stays reserved."""

    async def go() -> Completion | ProviderError:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("SERVICE_BASE_URL", f"http://127.0.0.1:{port}")
        engine = Engine(
            lambda name: Service(),
            budget=budget,
            cache=ResponseCache(folder / "c.db"),
            sleep=no_sleep,
            **options,
        )
        turn = (Message(role="user", content="q"),)
        request = Request(provider="service", model="m", messages=turn, max_tokens=10)
        try:
            (found,) = await engine.answer([request])
            return found
        finally:
            await engine.aclose()
            server.broken.set()
            listening.close()
            await asyncio.sleep(0.01)

    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    budget = Budget(folder / "b.db")
    found = asyncio.run(go())
    reserved = sum(each.bound_micro_usd for each in budget.open_reservations())
    spent = budget.spent_today()
    budget.close()
    return found, spent, reserved


def usage(prompt: Any, completion: Any) -> dict[str, Any]:
    return {**GOOD, "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


RECORDED: dict[str, tuple[bytes, type[ProviderError], str]] = {
    "reset mid-body": (http()[:-5], ReplyLost, "connection ended"),
    "truncated JSON": (http(json.dumps(GOOD).encode()[:-9]), ProviderBadReply, "not JSON"),
    "negative usage": (http(usage(4, -2)), ProviderBadReply, "tokens_out"),
    "usage in words": (http(usage("four", 2)), ProviderBadReply, "tokens_in"),
    "no usage": (http({**GOOD, "usage": None}), ProviderBadReply, "cannot be read"),
    "error body": (
        http({"error": {"message": "overloaded, come back"}}),
        ProviderBadReply,
        "overloaded, come back",
    ),
    "html": (
        http(b"<html>Please log in</html>", content_type="text/html"),
        ProviderBadReply,
        "text/html that is not JSON",
    ),
    "empty": (http(b""), ProviderBadReply, "cannot be read"),
    "a list": (http([]), ProviderBadReply, "cannot be read"),
    "wrong base URL": (http({"detail": "Not Found"}, "404 Not Found"), ProviderRefused, "404"),
    "unknown model": (
        http({"error": {"message": "no model 'm'"}}, "404 Not Found"),
        ProviderRefused,
        "no model 'm'",
    ),
    "wrong key": (
        http({"error": {"message": f"bad key {KEY}"}}, "401 Unauthorized"),
        ProviderAuthError,
        r"\[redacted\]",
    ),
    "redirect": (http(b"", "302 Found", location="https://evil.example"), ProviderRefused, "302"),
    "unavailable": (http(b"", "503 Service Unavailable"), ProviderUnavailable, "503"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_fault_ends_as_one_recorded_failure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reply, kind, words = RECORDED[name]
    server = Server(*[reply] * 5, close=True)
    found, spent, reserved = ask_engine(tmp_path, monkeypatch, server)
    assert isinstance(found, kind)
    with pytest.raises(kind, match=words):
        raise found
    assert found.hint
    billed = kind in (ReplyLost, ProviderBadReply)
    assert (spent > 0, reserved) == (billed, 0)
    assert KEY not in f"{found!r} {found.hint} {caplog.text}"


def test_usage_beyond_what_was_reserved_is_paid_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, spent, reserved = ask_engine(tmp_path, monkeypatch, Server(http(usage(9, 10_000))))
    assert isinstance(found, Completion)
    assert (spent, reserved) == (9 * 5 + 10_000 * 10, 0)


def test_a_clock_that_is_set_back_loses_no_reservation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = iter(range(27, 0, -1))
    path = tmp_path / "b.db"
    budget = Budget(path, now=lambda: datetime.datetime(2026, 3, next(days), tzinfo=datetime.UTC))
    for _ in range(5):
        budget.settle(budget.reserve(100, "k"), 60)
    assert budget.open_reservations() == ()
    budget.close()


def test_an_address_that_must_not_be_called_stops_the_run_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_BASE_URL", "https://10.0.0.1/v1")

    async def go() -> None:
        engine = Engine(
            lambda name: Service(), budget=budget, cache=ResponseCache(tmp_path / "c.db")
        )
        turn = (Message(role="user", content="q"),)
        try:
            await engine.answer([Request(provider="service", model="m", messages=turn)])
        finally:
            await engine.aclose()

    budget = Budget(tmp_path / "b.db")
    with pytest.raises(SettingsError, match=r"10\.0\.0\.1 lies in a private network"):
        asyncio.run(go())
    assert (budget.spent_today(), budget.open_reservations()) == (0, ())
    budget.close()


# Streams


def listen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, server: Server, questions: int = 1
) -> tuple[list[str | Completion], Engine]:
    async def go() -> list[str | Completion]:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("SERVICE_BASE_URL", f"http://127.0.0.1:{port}")
        turn = (Message(role="user", content="q"),)
        request = Request(provider="service", model="m", messages=turn, max_tokens=10)
        try:
            return [part for _ in range(questions) async for part in engine.stream(request)]
        finally:
            await engine.aclose()
            listening.close()
            await asyncio.sleep(0.01)

    engine = Engine(
        lambda name: Service(),
        budget=Budget(folder / "b.db"),
        cache=ResponseCache(folder / "c.db"),
    )
    return asyncio.run(go()), engine


def test_a_stream_yields_text_and_then_the_whole_answer_which_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(events(chunk("fi"), chunk("ne"), LAST))
    parts, engine = listen(tmp_path, monkeypatch, server, questions=2)
    assert parts[:2] == ["fi", "ne"]
    assert isinstance(parts[2], Completion)
    assert (parts[2].text, parts[2].tokens_out, parts[2].finish) == ("fine", 2, "stop")
    assert parts[3:] == ["fine", parts[2]]
    asked = json.loads(server.bodies[0])
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})
    assert engine.spend.usd == pytest.approx(40e-6)


def test_a_service_that_does_not_stream_is_heard_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (answer,), _ = listen(tmp_path, monkeypatch, Server(http()))
    assert isinstance(answer, Completion)
    assert answer.text == "fine"


def test_the_last_event_of_a_responses_api_is_the_whole_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"status": "completed", "model": "m", "output": [], "usage": {}}
    told = [
        {"type": "response.output_text.delta", "delta": "fi"},
        {"type": "response.completed", "response": whole},
    ]
    seen: list[object] = []

    def read(self: Service, reply: Reply) -> Completion:
        seen.append(reply.body)
        return Completion(text="fine", model="m", tokens_in=1, tokens_out=1)

    monkeypatch.setattr(Service, "decode", read)
    monkeypatch.setattr(Service, "decode_event", lambda self, event: event.get("delta", ""))
    parts, _ = listen(tmp_path, monkeypatch, Server(events(*told, end=False)))
    assert parts[0] == "fi"
    assert seen == [whole]


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (events(chunk("fi"), end=False), ProviderBadReply, "broke off"),
        (events(chunk("fi"), chunk("ne")), ProviderBadReply, "no usage"),
        (events(chunk("fi"), {"error": {"message": "overloaded"}}), ProviderBadReply, "overloaded"),
        (events(chunk("fi"), {"type": "error", "message": "boom"}), ProviderBadReply, "boom"),
        (events(["fi"]), ProviderBadReply, "no JSON object"),
        (events(chunk("fi"), {"choices": 3}), ProviderBadReply, "cannot be read"),
        (
            http(
                b'id: 1\ndata: {"model":"m","choices":[]}\n\n' * 2,
                content_type="text/event-stream",
            ),
            ProviderBadReply,
            "came twice",
        ),
        (http(b"data: {\n\n", content_type="text/event-stream"), ProviderBadReply, "cannot be"),
        (events(chunk("fi"), LAST)[:-40], ReplyLost, "connection ended"),
        (http({"error": {"message": "no"}}, "400 Bad Request"), ProviderRefused, "400: no"),
    ],
)
def test_half_a_stream_is_no_answer(
    reply: bytes,
    kind: type[ProviderError],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(kind, match=words):
        listen(tmp_path, monkeypatch, Server(reply, close=True))
    budget = Budget(tmp_path / "b.db")
    assert (budget.spent_today() > 0) == (kind is not ProviderRefused)
    assert budget.open_reservations() == ()
    budget.close()
