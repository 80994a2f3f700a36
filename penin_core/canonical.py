"""One canonical form for everything that is hashed: RFC 8785 JSON, SHA-256, lower-case hex."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785
from pydantic_core import to_json

_LARGEST = 2**53 - 1
_SAME = frozenset({str, bool, type(None)})


class _Unusual(ValueError):
    """What ``to_json`` may write in another way than RFC 8785."""


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 form of ``value``.

    Raises:
        ValueError: NaN, infinity, an integer beyond 2**53 - 1, a key that is no string, or a lone
            surrogate: none of them has a canonical form.
    """
    try:
        return to_json(_plain(value))
    except ValueError:
        # Also where it is nested too deeply for the short way, or holds a lone surrogate.
        pass
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(f"no canonical JSON for this value: {error}") from error


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value`` in lower-case hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _plain(value: Any) -> Any:
    """Return ``value`` as something that ``to_json``, too, writes canonically.

    It is many times as fast as ``rfc8785``, escapes the same characters and writes the same digits,
    but for whole floats and for very small or large ones. It keeps the order of names.
    """
    kind = type(value)
    if kind in _SAME:
        return value
    if kind is dict:
        return {
            name: each if type(each := value[name]) in _SAME else _plain(each)
            for name in _sorted_names(value)
        }
    if kind is list or kind is tuple:
        return [each if type(each) in _SAME else _plain(each) for each in value]
    if kind is int and -_LARGEST <= value <= _LARGEST:
        return value
    if kind is float and (value == 0.0 or 1e-4 <= abs(value) < 1e15):
        return int(value) if value.is_integer() else value
    raise _Unusual


def _sorted_names(value: dict[Any, Any]) -> list[str]:
    try:
        names = sorted(value)
        if "".join(names).isascii():
            return names
    except TypeError:
        pass
    raise _Unusual
