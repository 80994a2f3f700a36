"""Reading what a service or a local model answered: a completion, or an error with a name."""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import from_json

from penin_core.contracts import HttpProvider, Provider
from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from penin_core.records import Capabilities, Completion, Reply, Request

from .waits import retry_after

logger = logging.getLogger(__name__)

#: What reading a reply of another shape than expected raises in a plugin.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
_TRY_AGAIN = {408, 409, 425}
_LONGEST_MESSAGE = 300
CHECK_KEY = "check the key, and what it is allowed to use"
#: xAI answers 400 to a wrong key.
_WRONG_KEY = "incorrect api key"
#: Shorter keys are placeholders ("EMPTY", "none"), and masking them would damage real answers.
_SHORTEST_SECRET = 8


class ReplyLost(ProviderUnavailable):
    """The request was sent and its answer never came: it may have been carried out and billed."""


class ServiceDown(ProviderUnavailable):
    """The service does not come back; nothing was sent."""

    transient = False


class Redactor:
    """Masks one key wherever a text quotes it: plain, URL-encoded or in base64."""

    #: Returns a text without the key.
    text: Callable[[str], str]

    def __init__(self, secret: str) -> None:
        forms = _forms(secret) if len(secret) >= _SHORTEST_SECRET else ()
        self.text, self._in = _masking(forms)
        self._masks = bool(forms)
        self._plain = not forms or not set(secret) & set('"\\')

    def __repr__(self) -> str:
        return "Redactor(...)"

    def __reduce__(self) -> str:
        raise TypeError("a redactor holds a key and cannot be pickled")

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return headers without the key, their names in lower case."""
        if not self._masks or not self._in("\n".join(headers.values())):
            return {name.lower(): value for name, value in headers.items()}
        return {name.lower(): self.text(value) for name, value in headers.items()}

    def json(self, content: bytes) -> Any:
        """Return the JSON value that ``content`` holds, without the key.

        Raises:
            ValueError, RecursionError: it is no JSON.
        """
        value = _parsed(content)
        if not self._masks:
            return value
        # An escape can hide the key in the text; only then every string has to be looked at.
        hidden = not self._plain or b"\\u" in content or b"\\/" in content
        return self.tree(value) if hidden or self._in(content.decode()) else value

    def tree(self, value: Any) -> Any:
        """Return a JSON value without the key."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.tree(item) for key, item in value.items()}
        return value


def _parsed(content: bytes) -> Any:
    try:
        return from_json(content, cache_strings="keys")
    except ValueError:
        # The standard library also reads lone surrogates, and deeper nesting.
        return json.loads(content.decode())


def _masking(forms: Sequence[str]) -> tuple[Callable[[str], str], Callable[[str], bool]]:
    """Return what masks ``forms`` in a text, and what says whether one of them is in it."""
    # Functions keep them, not attributes: tools that show a traceback with its locals print those.

    def masked(text: str) -> str:
        for form in forms:
            text = text.replace(form, "[redacted]")
        return text

    def found(text: str) -> bool:
        return any(form in text for form in forms)

    return masked, found


def _forms(secret: str) -> tuple[str, ...]:
    forms = {secret, quote(secret, safe="")}
    for shift in range(3):
        # In base64 of a longer text the key starts at one of three alignments; the characters at
        # both ends mix with its neighbours and are left out.
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        forms.add(encoded[(0, 2, 3)[shift] : len(encoded) - 1])
    return tuple(sorted(forms, key=len, reverse=True))


def status_error(provider: str, reply: Reply, now: datetime | None = None) -> ProviderError:
    """Return the error that a reply outside 200-299 stands for, with the service's own words."""
    message = f"provider '{provider}' answered {reply.status}: {service_message(reply)}"
    error = _error_for(reply, message)
    error.retry_after = retry_after(reply.headers, now or datetime.now(UTC))
    error.code, error.param = service_field(reply, "code"), service_field(reply, "param")
    error.status = reply.status
    if reply.status < 500 and "html" in reply.headers.get("content-type", ""):
        error.hint = "that is a page for people, as proxies answer; check base_url and any proxy"
    return error


def service_field(reply: Reply, name: str) -> str:
    """Return what an error says under ``name`` (``code``, ``param``), in it or beside it."""
    body = reply.body if isinstance(reply.body, dict) else {}
    inner = body.get("error")
    value = inner.get(name) if isinstance(inner, dict) else body.get(name)
    return shorten(str(value)) if isinstance(value, str | int) else ""


def _error_for(reply: Reply, message: str) -> ProviderError:
    status = reply.status
    if reply.headers.get("x-should-retry") == "false" or _used_up(reply.body):
        hint = "the service says that asking again is of no use; see to the account there"
        return ProviderRefused(message, hint=hint)
    if status in (401, 403) or (status == 400 and _WRONG_KEY in message.lower()):
        return ProviderAuthError(message, hint=CHECK_KEY)
    if status == 429:
        return ProviderRateLimited(message, hint="wait, or raise the limit at the service")
    if status in _TRY_AGAIN or status >= 500:
        return ProviderUnavailable(message, hint="try again later")
    if 300 <= status < 400:
        hint = "redirects are not followed, so that the key goes nowhere else; correct base_url"
        return ProviderRefused(message, hint=hint)
    return ProviderRefused(message, hint="check the model, its parameters and base_url")


def _used_up(body: Any) -> bool:
    """Say whether a reply means that the account has no money left, which OpenAI calls a 429."""
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and "insufficient_quota" in (
        error.get("code"),
        error.get("type"),
    )


def service_message(reply: Reply) -> str:
    """Return what a service says about an error, in one line of at most 300 characters.

    Knows the shapes of OpenAI (``{"error": {"message"}}``), Mistral (``{"message"}``), FastAPI
    (``{"detail": [{"loc", "msg"}]}``) and xAI (``{"error": "text"}``).
    """
    body = reply.body
    if isinstance(body, dict):
        for name in ("error", "message", "detail"):
            found = shorten(_words(body.get(name)))
            if found:
                return found
    kind = reply.headers.get("content-type", "").split(";")[0] or "nothing"
    return shorten(f"no reason given ({kind})")


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner = _words(value.get("message")) or _words(value.get("detail"))
        return inner or (_field_problem(value) if "msg" in value else "")
    if isinstance(value, list):
        return "; ".join(filter(None, map(_words, value)))
    return ""


def _field_problem(item: Mapping[str, Any]) -> str:
    place = item.get("loc")
    path = ".".join(map(str, place)) if isinstance(place, list) else ""
    return f"{path}: {item['msg']}" if path else str(item["msg"])


def shorten(text: str) -> str:
    """Return ``text`` as one printable line of at most 300 characters."""
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


def decode(provider: HttpProvider, reply: Reply, redact: Callable[[str], str]) -> Completion:
    """Let ``provider`` read ``reply``.

    Raises:
        ProviderError: the provider recognised an error in the reply.
        ProviderBadReply: it could not read the reply; the message says what was missing.
    """
    try:
        completion = provider.decode(reply)
    except ProviderError:
        raise
    except Exception as error:
        logger.debug("decode of provider '%s' failed: %s", provider.name, type(error).__name__)
        problem = redact(plugin_failure(error))
        if isinstance(reply.body, dict) and reply.body.get("error"):
            problem = f"the service says: {service_message(reply)}"
    else:
        if isinstance(completion, Completion):
            return completion
        problem = f"decode() returned {type(completion).__name__}, not Completion"
    # Raised out here, so that it carries no context whose frames hold the whole reply.
    raise ProviderBadReply(
        f"the reply of provider '{provider.name}' cannot be read: {problem}",
        hint="check that base_url leads to the service that this provider is written for",
    )


def plugin_failure(error: Exception) -> str:
    """Say what went wrong in a plugin: the kind of error, its words, and the line of code."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return shorten(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    words = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
    frames = traceback.extract_tb(error.__traceback__)
    line = f" at `{frames[-1].line}`" if frames and frames[-1].line else ""
    return shorten(f"{type(error).__name__}: {words}{line}")


def capabilities_of(provider: Provider, model: str) -> Capabilities:
    """Let ``provider`` say what ``model`` can do.

    Raises:
        ProviderRefused: the provider does not know the model, or fails to answer.
    """
    try:
        found = provider.capabilities(model)
        if isinstance(found, Capabilities):
            return found
        problem = f"capabilities() returned {type(found).__name__}, not Capabilities"
    except ProviderError:
        raise
    except Exception as error:
        problem = plugin_failure(error)
    raise ProviderRefused(
        f"provider '{provider.name}' cannot say what model '{model}' can do: {problem}",
        hint="this is a defect of the provider; report it to its author",
    )


def completed(
    completion: Completion,
    request: Request,
    capabilities: Capabilities,
    *,
    latency_ms: float,
    micro_usd: int,
) -> Completion:
    """Return ``completion`` with what the engine knows about it."""
    dropped = [*completion.dropped]
    dropped += [name for name in capabilities.refused if _carries(request, name)]
    if request.logprobs and capabilities.logprobs and completion.logprobs is None:
        # Some services ignore in silence what they do not give.
        dropped.append("logprobs")
    return completion.model_copy(
        update={
            "latency_ms": latency_ms,
            "cost_usd": micro_usd / 1_000_000,
            "dropped": tuple(dict.fromkeys(dropped)),
        }
    )


def _carries(request: Request, parameter: str) -> bool:
    if parameter not in Request.model_fields:
        return False
    return getattr(request, parameter) not in (None, False, "", {})
