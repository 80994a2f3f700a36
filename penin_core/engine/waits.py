"""When a service wants to be asked again, by the headers that say so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The longest wait that a service can impose, in seconds.
RETRY_AFTER_CAP = 300.0

_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a reply asks to wait, at most 300; None where it does not say.

    ``retry-after-ms`` wins, then ``Retry-After``; then the time after which a limit that is used
    up is set back (``x-ratelimit-reset-requests`` and ``-tokens``, such as ``6m0s``).

    Source: RFC 9110, section 10.2.3 (a number of seconds, or an HTTP date); OpenAI, "Rate limits".
    """
    for seconds in (
        _number(headers.get("retry-after-ms", ""), 1e-3),
        _number(headers.get("retry-after", ""), 1.0),
        _until(headers.get("retry-after", ""), now),
        _reset(headers),
    ):
        if seconds is not None:
            return min(max(seconds, 0.0), RETRY_AFTER_CAP)
    return None


def _number(text: str, unit: float) -> float | None:
    try:
        value = float(text) * unit
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _until(text: str, now: datetime) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return (aware - now).total_seconds()
    except (ValueError, OverflowError):
        # No date, or none that a calendar has.
        return None


def _reset(headers: Mapping[str, str]) -> float | None:
    waits = [
        _duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it, or of a plain number of seconds."""
    parts = _PART.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return _number(text, 1.0)
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)
