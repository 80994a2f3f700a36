"""The pages over HTTP: on this computer, to be read, and by nobody else's page."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penin_core import Page, StateError, Views

HOST = "127.0.0.1"
#: Names by which this computer may call itself.
NAMES = (HOST, "localhost")
#: What a browser may load for a page: the style sheet of this site. There is no script.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
METHODS = ("GET", "HEAD")
#: Connections at a time; more get a 503 at once.
CONNECTIONS = 64


class Guarded:
    """Lets requests through that only read and that mean this host; adds headers to every answer.

    The host is compared with what is served: a name of somebody else that leads to this address
    (DNS rebinding) would let their page read ours.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}".encode() for name in NAMES}
        if port == 80:
            self.hosts |= {name.encode() for name in NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything that is not HTTP gets no answer."""
        if scope["type"] != "http":
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        answer: ASGIApp = self.app
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            answer = Response("this server is called 127.0.0.1\n", 421, media_type="text/plain")
        elif scope["method"] not in METHODS:
            allowed = {"allow": ", ".join(METHODS)}
            answer = Response("there is nothing to change here\n", 405, allowed, "text/plain")

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(k, v) for k, v in message["headers"] if k.decode() not in HEADERS]
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": given + added}
            await send(message)

        await answer(scope, receive, sent)


def application(views: Views, port: int) -> Guarded:
    """Return the application that serves ``views`` under 127.0.0.1 and localhost at ``port``."""

    def runs(request: Request) -> Response:
        return _answer(views.runs(_index(request.query_params.get("before", ""))))

    def ledger(request: Request) -> Response:
        return _answer(views.ledger(_index(request.query_params.get("before", ""))))

    def proof(request: Request) -> Response:
        idx = _index(request.path_params["idx"])
        return _answer(views.missing() if idx is None else views.proof(idx))

    def report(request: Request) -> Response:
        return _answer(views.report(request.path_params["run_id"]))

    def run(request: Request) -> Response:
        return _answer(views.run(request.path_params["run_id"]))

    def compare(request: Request) -> Response:
        return _answer(views.compare(request.path_params["one"], request.path_params["other"]))

    def missing(request: Request, error: Exception) -> Response:
        return _answer(views.missing())

    plain = {
        "/": views.overview,
        "/lineage": views.lineage,
        "/canary": views.canary,
        "/tuner": views.tuner,
        "/ledger/checkpoint": views.checkpoint,
        "/style.css": views.style,
    }
    routes = [Route(path, _plain(page)) for path, page in plain.items()]
    routes += [
        Route("/runs", runs),
        Route("/run/{run_id}", run),
        Route("/report/{run_id}", report),
        Route("/ledger", ledger),
        Route("/ledger/proof/{idx}", proof),
        Route("/compare/{one}/{other}", compare),
    ]
    app = Starlette(routes=routes, exception_handlers={404: missing})
    app.router.redirect_slashes = False
    return Guarded(app, port)


def serve_until_interrupted(views: Views, port: int, announce: Callable[[str], None]) -> None:
    """Serve on 127.0.0.1 until Ctrl-C; ``announce`` is told the address.

    Raises:
        StateError: the port cannot be used.
    """
    try:
        listening = socket.create_server((HOST, port), backlog=CONNECTIONS)
    except OSError as error:
        raise StateError(
            f"port {port} of {HOST} cannot be used: {error.strerror}",
            hint="name another with --port; --port 0 takes any that is free",
        ) from error
    with listening:
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            application(views, port),
            log_level="warning",
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=5,
        )
        announce(f"http://{HOST}:{port}/")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def _plain(page: Callable[[], Page]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return _answer(page())

    return endpoint


def _index(text: str) -> int | None:
    """Return the index of an entry that is meant, None where it is no number of one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _answer(page: Page) -> Response:
    saved = {"content-disposition": f'attachment; filename="{page.name}"'} if page.name else None
    return Response(page.body, page.status, saved, media_type=f"{page.kind}; charset=utf-8")
