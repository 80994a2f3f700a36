"""Bodies: read within limits, parsed without the liberties that JSON parsers take."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from penin_core import Refusal

#: The longest body, in bytes, how deep it may be nested, and how long it may take to arrive.
LIMIT, DEPTH, PATIENCE_S = 1024 * 1024, 64, 10.0
#: A body of more bytes is parsed beside the event loop, which would stand still for up to 0.15 s.
BESIDE = 64 * 1024
#: How much of unfinished bodies is held altogether, in bytes.
MOST_HELD = 32 * 1024 * 1024


class HungUp(Exception):
    """The client is gone; there is nobody left to answer."""


async def read(scope: Scope, receive: Receive) -> bytes:
    """Return the body of a request, which is JSON by its own account.

    Raises:
        Refusal: it is too large, takes too long, is packed, or something else than JSON.
        HungUp: it ends before its end.
    """
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        words = "send JSON: Content-Type: application/json"
        raise Refusal(415, "unsupported_media_type", words)
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refusal(415, "unsupported_encoding", "send the body as it is, not compressed")
    if is_too_long(headers.get(b"content-length", b"0")):
        raise _too_large()
    try:
        async with asyncio.timeout(PATIENCE_S):
            message = await _next(receive)
            if not message.get("more_body"):
                return _within(message["body"])
            return await _rest(message["body"], receive)
    except TimeoutError:
        words = f"the body did not arrive within {PATIENCE_S:g} s"
        raise Refusal(408, "request_timeout", words) from None


def is_too_long(length: bytes) -> bool:
    """Say whether a body of this length is refused without a look."""
    return not length.isdigit() or int(length[:20]) > LIMIT


class Unfinished:
    """The bytes of bodies that arrive or wait to be parsed, of all requests together."""

    held = 0

    @classmethod
    def hold(cls, size: int) -> None:
        """Count ``size`` more, which the caller takes off again.

        Raises:
            Refusal: there are too many; nothing was counted.
        """
        if cls.held + size > MOST_HELD:
            words = "too many bodies are on their way; try again"
            raise Refusal(503, "overloaded", words, retry_after=1.0)
        cls.held += size


async def _rest(body: bytes, receive: Receive) -> bytes:
    parts, size = list[bytes](), 0
    message: Any = {"body": body, "more_body": True}
    try:
        while True:
            part = message["body"]
            Unfinished.hold(len(part))
            parts.append(part)
            size += len(part)
            if size > LIMIT:
                raise _too_large()
            if not message.get("more_body"):
                break
            message = await _next(receive)
    finally:
        Unfinished.held -= size
    return b"".join(parts)


async def _next(receive: Receive) -> Any:
    message = await receive()
    if message["type"] != "http.request":
        raise HungUp
    return message


async def understood(content: bytes) -> dict[str, Any]:
    """Return the JSON object that ``content`` is; while a large one is parsed, others are answered.

    Raises:
        Refusal: as ``parsed``; also where too many wait for it.
    """
    if len(content) <= BESIDE:
        return parsed(content)
    Unfinished.hold(len(content))
    try:
        return await asyncio.get_running_loop().run_in_executor(_beside, parsed, content)
    finally:
        Unfinished.held -= len(content)


def parsed(content: bytes) -> dict[str, Any]:
    """Return the JSON object that ``content`` is.

    Raises:
        Refusal: it is none; a name stands twice; a number is none; it is nested too deep.
    """
    try:
        found = _decode(str(content, "utf-8"))
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise Refusal(400, "invalid_json", f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refusal(400, "invalid_json", "the body is no JSON object")
    if b"\\ud" in content.lower() and not _is_text(found):
        raise Refusal(400, "invalid_json", "a text holds half of a surrogate pair")
    # Nothing is nested deeper than it has brackets.
    if content.count(b"{") + content.count(b"[") > DEPTH and _deeper(found, DEPTH):
        raise _too_deep()
    return found


def written(value: Any) -> bytes:
    """Return ``value`` as JSON."""
    return to_json(value, inf_nan_mode="null")


async def respond(
    send: Send,
    status: int,
    body: bytes,
    headers: Sequence[tuple[bytes, bytes]] = (),
    kind: bytes = b"application/json",
) -> None:
    """Send a whole answer."""
    always = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": status, "headers": [*always, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send an error."""
    headers = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await respond(send, refusal.status, written(refusal.body), headers)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError("a number is too large")
    return found


def _deeper(value: Any, depth: int) -> bool:
    """Say whether ``value`` is nested deeper than ``depth``."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _is_text(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


_decode = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
).decode


#: One at a time: large bodies together take no more than a part of one core.
_beside = ThreadPoolExecutor(1, thread_name_prefix="penin-bodies")


def _within(body: bytes) -> bytes:
    if len(body) > LIMIT:
        raise _too_large()
    return body


def _too_large() -> Refusal:
    return Refusal(413, "body_too_large", f"a body may have {LIMIT} bytes")


def _too_deep() -> Refusal:
    return Refusal(400, "body_too_deep", f"a body may be nested {DEPTH} deep")
