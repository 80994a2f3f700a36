"""What a sender is told when the service behind the deployment does not answer."""

import httpx2
import pytest

from penin_core import ChatCompletionsProvider
from penin_core.engine.replies import Redactor
from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from penin_core.serving.refusals import about_the_request, refusal_of
from penin_core.serving.upstream import Upstream

SECRET = "https://10.0.0.7/v1 said: account 4711 has no credit"


def failure(kind, words, status):
    error = kind(words)
    error.status = status
    return error


@pytest.mark.parametrize(
    ("kind", "answered", "status", "code"),
    [
        (ProviderRefused, 404, 502, "upstream_refused"),
        (ProviderRefused, 402, 502, "upstream_refused"),
        (ProviderBadReply, None, 502, "upstream_bad_reply"),
        (ProviderAuthError, 401, 502, "upstream_auth"),
        (ProviderRateLimited, 429, 429, "rate_limit_exceeded"),
        (ProviderUnavailable, 504, 504, "upstream_timeout"),
        (ProviderUnavailable, 503, 503, "upstream_unavailable"),
        (ProviderUnavailable, 500, 502, "upstream_unavailable"),
    ],
)
def test_every_failure_of_a_service_has_a_code_and_keeps_its_words_to_the_log(
    kind, answered, status, code, caplog
):
    refusal = refusal_of(failure(kind, SECRET, answered))
    assert (refusal.status, refusal.code) == (status, code)
    assert SECRET not in str(refusal)
    assert SECRET in caplog.text


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_wrong_with_the_request_is_handed_on(status):
    refusal = refusal_of(failure(ProviderRefused, "no such tool", status))
    assert (refusal.status, refusal.code) == (400, "invalid_request")


class Service(ChatCompletionsProvider):
    """A service within the house."""

    name = "service"
    base_url = "https://within.example/v1"


@pytest.mark.parametrize("problem", ["CERTIFICATE_VERIFY_FAILED", "no such protocol"])
def test_a_service_that_cannot_be_spoken_to_is_no_fault_of_who_asks(problem, caplog):
    error = Upstream(Service())._failure(httpx2.LocalProtocolError(problem), Redactor(""))
    assert isinstance(error, ProviderRefused)
    assert not about_the_request(error)
    refusal = refusal_of(error)
    assert (refusal.status, refusal.code) == (502, "upstream_refused")
    assert problem not in str(refusal)
    assert problem in caplog.text
