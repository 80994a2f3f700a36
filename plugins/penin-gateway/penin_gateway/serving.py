"""The two endpoints that models answer: read, ask, send, and stop when the client hangs up."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from penin_core import Deployment, Refusal

from . import chat, responses
from .bodies import HungUp, read, respond, understood, written
from .fields import Asked
from .protocol import HANG_UP

Found = TypeVar("Found")

_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


@dataclass(frozen=True)
class Dialect:
    """One way to say the same: how requests are read, and answers written."""

    lead: str
    read: Callable[[Mapping[str, Any], str, str], Asked]
    whole: Callable[[dict[str, Any], Asked], dict[str, Any]]
    #: Ends with the event of an error where the chunks end with a Refusal.
    events: Callable[[AsyncIterator[dict[str, Any]], Asked], AsyncIterator[bytes]]


DIALECTS: Mapping[str, Dialect] = {
    chat.PATH: Dialect("chatcmpl-", chat.read_chat, chat.whole, chat.events),
    responses.PATH: Dialect("resp_", responses.read_response, responses.whole, responses.events),
}


async def asked_in(dialect: Dialect, name: str, user: str, scope: Scope, receive: Receive) -> Asked:
    """Return what a request asks the deployment called ``name``.

    Raises:
        Refusal: it asks wrongly, or for something else.
        HungUp: the client is gone.
    """
    body = await understood(await read(scope, receive))
    asked = dialect.read(body, f"{dialect.lead}{secrets.token_hex(16)}", user)
    if (b"x-penin-consent", b"true") in scope["headers"]:
        asked.question.consent = True
    if not asked.model:
        raise Refusal(
            400, "invalid_value", f"'model' is missing; here it is {name!r}", param="model"
        )
    if asked.model != name:
        words = f"there is no model {asked.model[:100]!r} here; GET /v1/models names the one"
        raise Refusal(404, "model_not_found", words, param="model")
    return asked


async def serve(
    deployment: Deployment, dialect: Dialect, asked: Asked, scope: Scope, send: Send
) -> int:
    """Answer one request; return the status that was sent.

    Raises:
        Refusal: nothing was sent yet.
        HungUp: the client is gone.
    """
    if asked.stream:
        return await _unless_gone(scope, _stream(deployment, dialect, asked, send))
    answer = await _unless_gone(scope, deployment.answer(asked.question))
    await respond(send, 200, written(dialect.whole(answer, asked)))
    return 200


async def _stream(deployment: Deployment, dialect: Dialect, asked: Asked, send: Send) -> int:
    async with aclosing(deployment.stream(asked.question)) as chunks:
        # What goes wrong before the first chunk still has a status of its own.
        first = await anext(chunks)
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})

        async def all_chunks() -> AsyncIterator[dict[str, Any]]:
            yield first
            async for chunk in chunks:
                yield chunk

        async for event in dialect.events(all_chunks(), asked):
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    return 200


async def _unless_gone(scope: Scope, work: Awaitable[Found]) -> Found:
    """Do ``work``, but only as long as the client is there.

    Raises:
        HungUp: it is gone; the work was cancelled.
    """
    task, gone = asyncio.current_task(), False
    assert task is not None

    def hang_up() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    scope["extensions"][HANG_UP](hang_up)
    try:
        return await work
    except asyncio.CancelledError:
        if gone:
            task.uncancel()
            raise HungUp from None
        raise
    finally:
        scope["extensions"][HANG_UP](None)
