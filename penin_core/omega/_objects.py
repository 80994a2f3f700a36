"""Scores of a JSON object against a reference."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from penin_core.omega._numbers import finite
from penin_core.omega._text import exact_key, f1_score


def parse_json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that the text is, or else the first one that it contains, or None.

    Braces before it that open and close around something else are no object. None as well for a
    text that is some other JSON value, duplicate keys, NaN, infinities, and an object that is
    broken, nested too deeply, or stands within other braces.
    """
    stripped = text.strip()
    start = _opening(stripped)
    if start is None:
        return None
    try:
        if start > 0 and _is_json(stripped):
            return None
        value: dict[str, Any] = _DECODER.raw_decode(stripped, start)[0]
    except (ValueError, RecursionError):
        return None
    return value


# An object opens with its end, or with a key; any other brace is one of prose.
_BRACE = re.compile(r'\{(?P<object>\s*(?:\}|"(?:[^"\\]|\\.)*"\s*:))?|\}', re.DOTALL)


def _opening(text: str) -> int | None:
    """Return where the first object begins that stands within no other brace."""
    depth = 0
    for brace in _BRACE.finditer(text):
        if brace["object"] is not None:
            return None if depth else brace.start()
        depth = depth + 1 if brace[0] == "{" else max(0, depth - 1)
    return None


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except ValueError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


def _finite_literal(literal: str) -> float:
    return finite(literal, float(literal))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite_literal, parse_constant=_finite_literal
)


def field_f1(prediction: object, reference: object) -> float:
    """Return the F1 in [0, 1] of the key/value pairs that two JSON objects share.

    Nested objects and arrays count leaf by leaf, under their full path. Texts are equal when
    ``exact_match`` says so, numbers when their values are; a boolean is not a number. Both
    empty: 1; one empty, or a prediction that is no object: 0.

    Raises: ValueError for a reference that is no object.
    """
    if not isinstance(reference, Mapping):
        raise ValueError(f"the reference must be an object, got {reference!r}")
    if not isinstance(prediction, Mapping):
        return 0.0
    found, wanted = _leaves(prediction), _leaves(reference)
    shared = sum(1 for path, leaf in wanted.items() if path in found and found[path] == leaf)
    return f1_score(shared, len(found), len(wanted))


def object_exact(prediction: object, reference: object) -> float:
    """Return 1 if two JSON objects agree in every pair, compared as ``field_f1`` does, else 0.

    Raises: ValueError for a reference that is no object.
    """
    return float(field_f1(prediction, reference) == 1.0)


def _leaves(members: Mapping[str, Any]) -> dict[tuple[object, ...], tuple[type, object]]:
    """Return the leaves by path, as (kind, value) so that 1, true and "1" differ."""
    leaves: dict[tuple[object, ...], tuple[type, object]] = {}
    pending: list[tuple[tuple[object, ...], object]] = [((key,), v) for key, v in members.items()]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping) and value:
            pending += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)) and value:
            pending += [((*path, i), item) for i, item in enumerate(value)]
        else:
            leaves[path] = _leaf(value)
    return leaves


def _leaf(value: object) -> tuple[type, object]:
    if isinstance(value, str):
        return str, exact_key(value)
    if isinstance(value, (Mapping, list, tuple)):
        return dict if isinstance(value, Mapping) else list, None
    return bool if isinstance(value, bool) else float, value
