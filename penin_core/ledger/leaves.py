"""A leaf: the exact bytes of one entry, RFC 8785 JSON of ``{"body", "kind", "ts", "v"}``.

``v`` is the format (1), ``kind`` is ``RUN`` or an event kind, ``ts`` is UTC in ISO 8601 with
microseconds, ``body`` an object. What cannot be written in one way only has no leaf: NaN,
infinity, integers beyond 2**53 - 1, keys that are no strings, lone surrogates.

Source: Rundgren, Jordan, Erdtman, "JSON Canonicalization Scheme", RFC 8785 (2020),
DOI 10.17487/RFC8785.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import rfc8785
from pydantic_core import from_json, to_json

#: Longest leaf in bytes: the tile format of C2SP counts it in an unsigned 16-bit integer.
LEAF_LIMIT = 65_535
#: Deepest nesting of arrays and objects in the body of a leaf.
DEPTH_LIMIT = 64
#: Largest integer that every JSON reader keeps exact.
INTEGER_LIMIT = 2**53 - 1

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_BEYOND_BMP = re.compile(rb"[\xf0-\xf4]")
_KEYS = {"body", "kind", "ts", "v"}


class Leaf(NamedTuple):
    """One entry, read back; ``data`` are its bytes."""

    kind: str
    ts: str
    body: dict[str, Any]
    data: bytes

    @property
    def body_json(self) -> str:
        """The canonical text of ``body``."""
        # A quote inside a string is escaped, so the last occurrence is the key.
        return self.data[8 : self.data.rindex(b',"kind":"')].decode()


def encode(value: Any, name: str = "value") -> bytes:
    """Return the canonical JSON of ``value``; ``name`` is what an error calls it.

    Raises:
        ValueError: ``value`` has no canonical form; the message says where, as in
            ``body.scores[3] is nan``.
    """
    try:
        return to_json(_plainly(value, 1))
    except ValueError:
        pass
    try:
        data = rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(next(_faults(value, name, 1), f"{name}: {error}")) from error
    if _may_be_deep(data):
        for fault in _faults(value, name, 1):
            raise ValueError(fault)
    return data


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value`` in lower-case hex."""
    return hashlib.sha256(encode(value)).hexdigest()


def timestamp(moment: datetime) -> str:
    """Return an aware time in the form that leaves use, ``2026-11-22T07:35:01.123456Z``."""
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{naive.isoformat(timespec='microseconds')}Z"


def make(kind: str, ts: str, body: Mapping[str, Any]) -> bytes:
    """Return the leaf of an entry.

    Raises:
        ValueError: ``body`` has no canonical form, or the leaf is longer than ``LEAF_LIMIT``.
    """
    return compose(kind, ts, body)[0]


def compose(kind: str, ts: str, body: Mapping[str, Any]) -> tuple[bytes, Leaf]:
    """Return the leaf of an entry, and what it says when it is read.

    Raises: as ``make``.
    """
    try:
        value = _plainly({"body": dict(body), "kind": kind, "ts": ts, "v": 1}, 0)
        data = to_json(value)
        if len(data) <= LEAF_LIMIT:
            return data, _leaf(data, value)
    except ValueError:
        pass
    # In this order the four keys are sorted, so the whole is canonical when its parts are.
    head = encode(dict(body), kind)
    data = b'{"body":%b,"kind":%b,"ts":%b,"v":1}' % (head, encode(kind), encode(ts))
    if len(data) > LEAF_LIMIT:
        raise ValueError(
            f"the {kind} entry has {len(data)} bytes, more than {LEAF_LIMIT}: "
            "put the large part into a file of the run and its SHA-256 into the entry"
        )
    return data, read(data)


def read(data: bytes) -> Leaf:
    """Return what a leaf says.

    Raises:
        ValueError: the bytes are not a leaf, or not in canonical form.
    """
    if not 0 < len(data) <= LEAF_LIMIT:
        raise ValueError(f"a leaf of {len(data)} bytes; 1 to {LEAF_LIMIT} are allowed")
    try:
        value = parse(data)
    except RecursionError as error:
        raise ValueError("the leaf is nested too deeply") from error
    return _leaf(data, value)


def _leaf(data: bytes, value: Any) -> Leaf:
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise ValueError("the leaf is not an object with body, kind, ts and v")
    kind, ts, body, version = value["kind"], value["ts"], value["body"], value["v"]
    if type(version) is not int or version != 1:
        raise ValueError(f"leaf format v is {version!r}, expected 1")
    if not isinstance(kind, str) or not isinstance(body, dict):
        raise ValueError("kind is not a string, or body is not an object")
    if not isinstance(ts, str) or not _TIME.fullmatch(ts):
        raise ValueError(f"ts is {ts!r}, expected UTC in ISO 8601 with microseconds")
    return Leaf(kind, ts, body, data)


def parse(data: bytes) -> Any:
    """Return the value of canonical JSON.

    Raises:
        ValueError: ``data`` is not JSON, or not the one canonical way to write its value.
    """
    try:
        return _read_plainly(data)
    except ValueError:
        pass
    value = _ANY.decode(data.decode())
    if rfc8785.dumps(value) != data:
        raise ValueError("not in canonical form (RFC 8785)")
    return value


# There is a fast road. What ``to_json`` writes is RFC 8785 except for the order of keys, whole or
# very small or large floats, and integers that a double cannot hold. What it cannot vouch for takes
# the slow road, through the reference implementation.


def _plainly(value: Any, depth: int) -> Any:
    """Return ``value`` so that ``to_json`` writes it canonically, which is also what is read back.

    Raises:
        ValueError: the fast road cannot vouch for it.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int and -(10**15) < value < 10**15:
        return value
    if kind is float and (value == 0.0 or 1e-5 <= abs(value) < 1e15):
        return int(value) if value.is_integer() else value
    if kind is dict and depth <= DEPTH_LIMIT:
        return {name: _plainly(value[name], depth + 1) for name in _sorted_names(value)}
    if (kind is list or kind is tuple) and depth <= DEPTH_LIMIT:
        return [_plainly(item, depth + 1) for item in value]
    raise ValueError("this needs the slow road")


def _sorted_names(value: dict[Any, Any]) -> list[str]:
    try:
        names = sorted(value)
        # Beyond the basic plane, RFC 8785 has another order.
        if "".join(names).isascii():
            return names
    except TypeError as error:
        raise ValueError("a key is no string") from error
    raise ValueError("this needs the slow road")


def _read_plainly(data: bytes) -> Any:
    """Return the value of canonical JSON; ``ValueError`` if the fast road cannot vouch for it."""
    if not _may_be_deep(data) and (data.isascii() or not _BEYOND_BMP.search(data)):
        # Keys come again and again, values hardly ever.
        value = from_json(data, allow_inf_nan=False, cache_strings="keys")
        if to_json(value) == data and _is_ordinary([value]):
            return value
    raise ValueError("this needs the slow road")


def _is_ordinary(value: dict[str, Any] | list[Any]) -> bool:
    """Return whether all keys are in order and all numbers are written alike by everybody."""
    if isinstance(value, dict) and not _are_sorted(tuple(value)):
        return False
    for item in value.values() if isinstance(value, dict) else value:
        kind = type(item)
        if kind is str:
            continue
        if kind is float:
            # Outside of these bounds some write an exponent, and some write 1.0 for 1.
            if not 1e-5 <= abs(item) < 1e15 or item.is_integer():
                return False
        elif kind is int:
            if not -(10**15) < item < 10**15:
                return False
        elif (kind is dict or kind is list) and not _is_ordinary(item):
            return False
    return True


# The entries of a ledger have the same few sets of keys over and over.
@lru_cache(maxsize=256)
def _are_sorted(keys: tuple[str, ...]) -> bool:
    return list(keys) == sorted(keys)


def _may_be_deep(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > DEPTH_LIMIT


def _any_int(token: str) -> int | float:
    # A large double is written without an exponent, so it reads as an integer. Few digits first:
    # int() is slow, and limited, on very long ones.
    if len(token) <= 17 and abs(value := int(token)) <= INTEGER_LIMIT:
        return value
    return float(token)


def _no_constant(token: str) -> float:
    raise ValueError(f"{token} is not JSON")


_ANY = json.JSONDecoder(parse_int=_any_int, parse_constant=_no_constant)
# Its first call imports modules, and aborts where that fails: not when privileges may be gone.
to_json(None)


def _faults(value: Any, path: str, depth: int) -> Iterator[str]:
    """Yield what has no canonical form, outermost and leftmost first."""
    match value:
        case None | bool():
            return
        case int() if abs(value) > INTEGER_LIMIT:
            yield f"{path} is {value}, beyond the integers that JSON keeps exact (2**53 - 1)"
        case float() if not math.isfinite(value):
            yield f"{path} is {value}"
        case str() if _is_broken(value):
            yield f"{path} holds a lone surrogate"
        case int() | float() | str():
            return
        case dict() | list() | tuple() if depth > DEPTH_LIMIT:
            yield f"{path} is nested deeper than {DEPTH_LIMIT} levels"
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    yield f"{path} has the key {key!r}, which is not a string"
                elif _is_broken(key):
                    yield f"{path} has a key with a lone surrogate"
                else:
                    yield from _faults(item, f"{path}.{key}", depth + 1)
        case list() | tuple():
            for at, item in enumerate(value):
                yield from _faults(item, f"{path}[{at}]", depth + 1)
        case _:
            yield f"{path} is a {type(value).__name__}, which JSON does not have"


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
