"""Retries: only what may pass, never before the service asks, never beyond the time left."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.engine.retry import TRIES, pause, retried
from penin_core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
)


def run(failures: list[ProviderError], left: float = float("inf")) -> tuple[str, list[float]]:
    slept: list[float] = []

    async def attempt() -> str:
        if failures:
            raise failures.pop(0)
        return "answer"

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return asyncio.run(retried(attempt, sleep=sleep, seconds_left=lambda: left)), slept


def limited(seconds: float) -> ProviderRateLimited:
    error = ProviderRateLimited("429")
    error.retry_after = seconds
    return error


@given(st.integers(0, 20), st.floats(0, 1))
def test_the_pause_is_a_share_of_a_doubling_bound_of_at_most_thirty_seconds(
    attempt: int, share: float
) -> None:
    wait = pause(ProviderUnavailable("503"), attempt, lambda: share)
    assert wait == pytest.approx(share * min(30.0, 0.5 * 2**attempt))


def test_what_the_service_asks_for_wins() -> None:
    assert run([limited(17.0), limited(0.0)]) == ("answer", [17.0, 0.0])


def test_the_last_error_is_raised_after_five_tries() -> None:
    failures: list[ProviderError] = [ProviderUnavailable(str(n)) for n in range(9)]
    with pytest.raises(ProviderUnavailable, match=str(TRIES - 1)):
        run(failures)
    assert len(failures) == 9 - TRIES


def test_what_cannot_pass_is_not_tried_again() -> None:
    failures: list[ProviderError] = [ProviderAuthError("401"), ProviderAuthError("401")]
    with pytest.raises(ProviderAuthError):
        run(failures)
    assert len(failures) == 1


def test_a_pause_that_does_not_fit_is_not_begun() -> None:
    failures: list[ProviderError] = [limited(60.0)]
    with pytest.raises(ProviderRateLimited):
        run(failures, left=59.0)
    assert run([limited(60.0)], left=61.0) == ("answer", [60.0])
