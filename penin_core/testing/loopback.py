"""A service on this computer, over real HTTP: what a provider meets where nothing stands in for it.

It answers as a function says. Faults are answers too: a connection that is reset, the page of a
proxy, a reply that says when to come back.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

#: Closed at once when the process that asked ends, which this sends to the other side as a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived. The names in ``headers`` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def parts(self) -> dict[str, bytes]:
        """The parts of a multipart upload, by name."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        found = {}
        for part in BytesParser().parsebytes(head + self.body).walk():
            name = part.get_param("name", header="content-disposition")
            if name is not None:
                found[str(name)] = bytes(part.get_payload(decode=True))
        return found


@dataclass(frozen=True)
class Answer:
    """One reply: a dict or list is sent as JSON, a text or bytes as they are, None as nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """What is sent."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()


#: Instead of an Answer: the connection ends without a word, after the request has arrived.
RESET = Answer(status=0)


class Loopback:
    """Listens on loopback while its block runs, and answers each request as ``respond`` says.

    ``asked`` holds every request, in order. What ``respond`` raises is raised again at the end of
    the block. It is called by one thread at a time.
    """

    def __init__(self, respond: Callable[[Asked], Answer]) -> None:
        self.respond = respond
        self.asked: list[Asked] = []
        self._failures: list[BaseException] = []
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Loopback:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._failures:
            raise self._failures[0]

    def answer(self, asked: Asked) -> Answer:
        """Note a request, and return what it is answered with."""
        with self._lock:
            self.asked.append(asked)
            try:
                return self.respond(asked)
            except BaseException as error:
                self._failures.append(error)
                return RESET


def _handler(service: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            answer = service.answer(
                Asked(
                    method=self.command,
                    path=url.path,
                    query=dict(parse_qsl(url.query)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(length),
                )
            )
            if answer is RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.close_connection = True
            else:
                self._send(answer)

        def _send(self, answer: Answer) -> None:
            content, headers = answer.content, dict(answer.headers)
            if not isinstance(answer.body, str | bytes | None):
                headers.setdefault("content-type", "application/json")
            self.send_response(answer.status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_PUT = _serve  # noqa: N815 - named by the base class

        def log_message(self, *args: object) -> None:
            return

    return Handler
