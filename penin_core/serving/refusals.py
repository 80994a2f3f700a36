"""What a caller is told who gets no answer: a status of HTTP, and an error in OpenAI's shape."""

from __future__ import annotations

import logging
import math
from typing import Any

from penin_core.errors import (
    BudgetExceeded,
    PeninError,
    ProviderAuthError,
    ProviderBadReply,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)

logger = logging.getLogger(__name__)

#: Statuses of a service that say something about the request, not about the deployment.
_ABOUT_THE_REQUEST = (400, 413, 422)
#: Codes of what one configuration cannot be asked, and another one can.
_UNABLE = ("missing_column", "unsupported_content", "unsupported_parameter")


class Refusal(Exception):
    """Why a request is not answered, as its sender is told.

    ``status`` is that of HTTP, ``code`` names the case for programs, ``param`` the field that is
    wrong; ``retry_after`` is in seconds. ``final`` says that asking again is of no use.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.final = final

    @property
    def body(self) -> dict[str, Any]:
        """The answer, as OpenAI's clients read it."""
        error = {
            "message": str(self),
            "type": _type_of(self.status),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that tell a client when to ask again, or that it should not."""
        found = {}
        if self.retry_after is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            # RFC 9110, 15.5.2: whoever is turned away learns how to say who he is.
            found["www-authenticate"] = "Bearer"
        if self.final:
            # OpenAI's own clients obey it.
            found["x-should-retry"] = "false"
        return found


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> Refusal:
    """Return what is said of a request that is wrong as it stands."""
    return Refusal(400, code, message, param=param)


def refusal_of(error: Exception) -> Refusal:
    """Return what the sender of a request is told of an error behind the gateway."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, BudgetExceeded):
        words = "the deployment has spent its budget; whoever runs it can raise the limit"
        return Refusal(429, "insufficient_quota", words, final=True)
    if isinstance(error, ProviderError):
        return _of_provider(error)
    # Whatever is no error of ours is a defect, and keeps its traceback.
    logger.error("no answer: %s", error, exc_info=None if isinstance(error, PeninError) else error)
    return Refusal(500, "internal_error", "the deployment cannot answer; its log says why")


def about_the_request(error: Exception) -> bool:
    """Say whether a service, or its configuration, cannot answer what is asked.

    That may be the sender's doing, too.
    """
    if isinstance(error, Refusal):
        return error.code in _UNABLE
    return isinstance(error, ProviderRefused) and (error.status or 400) in _ABOUT_THE_REQUEST


def _of_provider(error: ProviderError) -> Refusal:
    wait = error.retry_after
    if about_the_request(error):
        param = error.param or None
        return Refusal(400, error.code or "invalid_request", str(error), param=param)
    # What follows is no business of the sender's: addresses, names, lines of code.
    logger.warning("no answer: %s", error)
    if isinstance(error, ProviderRateLimited):
        words = "the service behind this deployment asks to slow down"
        return Refusal(429, "rate_limit_exceeded", words, retry_after=wait or 1.0)
    if isinstance(error, ProviderAuthError):
        words = "the service behind this deployment does not accept its key"
        return Refusal(502, "upstream_auth", words, final=True)
    if isinstance(error, ProviderUnavailable):
        if error.status == 504:
            words = "the service behind this deployment did not answer in time"
            return Refusal(504, "upstream_timeout", words)
        words = "the service behind this deployment cannot be reached, or failed"
        if wait is not None or error.status == 503:
            return Refusal(503, "upstream_unavailable", words, retry_after=wait or 1.0)
        return Refusal(502, "upstream_unavailable", words)
    if isinstance(error, ProviderBadReply):
        words = "the service behind this deployment answered what cannot be read"
        return Refusal(502, "upstream_bad_reply", words)
    words = "the service behind this deployment refused the call; its operator's log says why"
    return Refusal(502, "upstream_refused", words)


def _type_of(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
