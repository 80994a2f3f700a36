"""One canonical form for everything that is hashed: RFC 8785 JSON, SHA-256, lower-case hex."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 form of ``value``.

    Raises:
        ValueError: NaN, infinity, an integer beyond 2**53 - 1, a key that is no string, or a lone
            surrogate: none of them has a canonical form.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(f"no canonical JSON for this value: {error}") from error


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value`` in lower-case hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
