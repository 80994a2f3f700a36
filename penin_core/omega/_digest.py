"""One hash for whatever evidence there is, wrong evidence included."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import rfc8785

_EXACT_INTEGER = 2**53 - 1


def sha256_of(content: object) -> str:
    """Return the SHA-256 in hexadecimal of the RFC 8785 text of ``content``.

    Whatever that text cannot hold, such as NaN or a whole number beyond 2^53, is hashed as text.
    """
    return hashlib.sha256(rfc8785.dumps(_plain(content))).hexdigest()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Integral):
        return int(value) if abs(int(value)) <= _EXACT_INTEGER else str(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"
