"""One canonical form for everything that is hashed: RFC 8785 JSON, SHA-256, lower-case hex."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
).encode
_LARGEST = 2**53 - 1
_SAME = frozenset({str, bool, type(None)})


class _Unusual(Exception):
    """What the standard library may write in another way than RFC 8785."""


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 form of ``value``.

    Raises:
        ValueError: NaN, infinity, an integer beyond 2**53 - 1, a key that is no string, or a lone
            surrogate: none of them has a canonical form.
    """
    try:
        try:
            return _encode(_plain(value)).encode()
        except _Unusual:
            return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(f"no canonical JSON for this value: {error}") from error


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value`` in lower-case hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _plain(value: Any) -> Any:
    """Return ``value`` as something that the standard library, too, writes canonically.

    It is ten times as fast as ``rfc8785``, sorts ASCII names in the same way, escapes the same
    characters and writes the same digits, but for whole floats and for very small or large ones.
    """
    kind = type(value)
    if kind in _SAME:
        return value
    if kind is dict:
        if not all(type(name) is str and name.isascii() for name in value):
            raise _Unusual
        return {name: each if type(each) in _SAME else _plain(each) for name, each in value.items()}
    if kind is list or kind is tuple:
        return [each if type(each) in _SAME else _plain(each) for each in value]
    if kind is int and -_LARGEST <= value <= _LARGEST:
        return value
    if kind is float and (value == 0.0 or 1e-4 <= abs(value) < 1e16):
        return int(value) if value.is_integer() else value
    raise _Unusual
