"""Bodies on the wire: JSON that is sent, and JSON that comes back, or what comes in its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from penin_core.errors import ProviderBadReply
from penin_core.records import Reply

from .replies import Redactor, status_error

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def json_body(body: Mapping[str, Any]) -> bytes:
    """Return ``body`` as JSON.

    Raises:
        ValueError, TypeError: it has no JSON.
    """
    content = to_json(body)
    if b"NaN" in content or b"Infinity" in content:
        # Perhaps as a number, which no JSON has: the slower way refuses those.
        return _encode(body).encode()
    return content


def read_reply(
    provider: str,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    redactor: Redactor,
    *,
    text: bool = False,
) -> Reply:
    """Return a reply in 200-299, without the key; its body is a text where one is expected.

    Raises:
        ProviderError: the error that another status stands for.
        ProviderBadReply: the body is no JSON.
    """
    clean, body, problem = redactor.headers(headers), None, ""
    if text and 200 <= status < 300:
        said = redactor.text(content.decode(errors="replace"))
        return Reply(status=status, headers=clean, body=said)
    try:
        body = redactor.json(content) if content else None
    except (ValueError, RecursionError):
        kind = clean.get("content-type", "no content type").split(";")[0]
        problem = f"answered {status} with {kind} that is not JSON"
    reply = Reply(status=status, headers=clean, body=body)
    if not 200 <= status < 300:
        raise status_error(provider, reply)
    if problem:
        hint = "check base_url and any proxy"
        raise ProviderBadReply(f"provider '{provider}': {problem}", hint=hint)
    return reply
