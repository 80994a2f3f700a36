"""What a sender is told when the service behind the deployment does not answer."""

import pytest

from penin_core.errors import (
    ProviderAuthError,
    ProviderBadReply,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from penin_core.serving.refusals import refusal_of

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
