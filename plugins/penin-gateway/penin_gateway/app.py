"""The application: every request goes by the guard, every error has OpenAI's shape."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penin_core import Deployment, Refusal, SettingsError

from .bodies import HungUp, read, refuse, understood, written
from .fields import known, typed, wrong
from .guard import Guard
from .metrics import KIND, Metrics
from .openapi import description
from .serving import DIALECTS, asked_in, serve

logger = logging.getLogger(__name__)

#: How often the file of tokens is looked at.
_TOKENS_EVERY_S = 0.5
_UNEXPECTED = Refusal(500, "internal_error", "this is a defect of the gateway; its log says more")


class Gateway:
    """Serves one deployment; at most ``most`` requests at a time, the others are told to wait."""

    def __init__(self, deployment: Deployment, guard: Guard, most: int) -> None:
        self.deployment = deployment
        self.guard = guard
        self.metrics = Metrics()
        self._most = most
        self._answering = 0
        self.others = _others(deployment, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run from the start of the server to its end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, path = time.perf_counter(), scope["path"]
        self.metrics.in_flight += 1
        try:
            status = await self._admitted(scope, receive, send)
        except HungUp:
            status = 499
        except Refusal as refusal:
            status = refusal.status
            await refuse(send, refusal)
        finally:
            self.metrics.in_flight -= 1
        self.metrics.note(path, status, time.perf_counter() - started)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> int:
        user = self.guard.admit(scope)
        dialect = DIALECTS.get(scope["path"])
        if dialect is None or scope["method"] != "POST":
            return await _through(self.others, scope, receive, send)
        try:
            asked = await asked_in(dialect, self.deployment.name, user, scope, receive)
            # Only now: who is slow to ask takes nobody's place.
            if self._answering >= self._most:
                words = f"{self._most} requests are being answered; try again"
                raise Refusal(503, "overloaded", words, retry_after=1.0)
            self._answering += 1
            try:
                return await serve(self.deployment, dialect, asked, scope, send)
            finally:
                self._answering -= 1
        except (Refusal, HungUp):
            raise
        except Exception:
            logger.exception("a request failed")
            raise _UNEXPECTED from None

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.deployment.start()
        watching = asyncio.ensure_future(self._watch_tokens())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await self.deployment.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _watch_tokens(self) -> None:
        """Follow the file of tokens; one that is wrong changes nothing, but is said once."""
        problem = ""
        while self.guard.tokens is not None:
            await asyncio.sleep(_TOKENS_EVERY_S)
            try:
                self.guard.tokens.refresh()
                problem = ""
            except SettingsError as error:
                if str(error) != problem:
                    logger.error("the tokens stay as they were: %s", error)
                problem = str(error)


async def _through(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> int:
    """Let ``app`` answer; return the status that it sent."""
    sent = 500

    async def seen(message: Message) -> None:
        nonlocal sent
        if message["type"] == "http.response.start":
            sent = message["status"]
        await send(message)

    await app(scope, receive, seen)
    return sent


def _others(deployment: Deployment, metrics: Metrics) -> Starlette:
    """Return every route but the two that models answer, which are listed here all the same."""

    def models(request: Request) -> Response:
        return _json({"object": "list", "data": [_model(deployment)]})

    def model(request: Request) -> Response:
        if request.path_params["name"] != deployment.name:
            words = "there is no such model; GET /v1/models names the one"
            raise Refusal(404, "model_not_found", words, param="model")
        return _json(_model(deployment))

    async def feedback(request: Request) -> Response:
        body = await understood(await read(request.scope, request.receive))
        fields = known(body, {"id", "score", "label"})
        await asyncio.to_thread(_take, deployment, fields)
        return _json({"id": fields["id"], "object": "feedback", "accepted": True})

    def healthz(request: Request) -> Response:
        return _json({"status": "ok"})

    async def figures(request: Request) -> Response:
        text = await asyncio.to_thread(metrics.text, deployment)
        return Response(text, media_type=KIND)

    def openapi(request: Request) -> Response:
        return _json(description(deployment.name))

    def hot(request: Request) -> Response:
        raise HTTPException(405, headers={"allow": "POST"})

    routes = [
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        Route("/v1/feedback", feedback, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/metrics", figures),
        Route("/openapi.json", openapi),
        *(Route(path, hot, methods=["POST"]) for path in DIALECTS),
    ]
    handlers = {
        HTTPException: _http_error,
        Refusal: _refused,
        Exception: _unexpected,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def _take(deployment: Deployment, fields: Mapping[str, object]) -> None:
    id_, label = typed(fields, "id", str), typed(fields, "label", str)
    score = typed(fields, "score", float, int)
    if not id_:
        raise wrong("id", "is missing: it is the 'id' of the answer that the feedback is about")
    deployment.feedback(id_, score=None if score is None else float(score), label=label)


def _model(deployment: Deployment) -> dict[str, object]:
    champion = deployment.champion
    since = datetime.fromisoformat(champion.updated_at).timestamp() if champion else 0
    return {
        "id": deployment.name,
        "object": "model",
        "created": int(since),
        "owned_by": "penin",
    }


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(written(value), status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _json(error.body, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow", "")
        words = f"{request.method} is not possible here; {allowed} is"
        return _json(Refusal(405, "method_not_allowed", words).body, 405, {"allow": allowed})
    words = "there is nothing at this address; docs/gateway.md lists what there is"
    return _json(Refusal(404, "not_found", words).body, 404)


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("a request failed", exc_info=error)
    return _json(_UNEXPECTED.body, 500)
