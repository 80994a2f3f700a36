"""The part of JSON Schema 2020-12 that the schema verifier knows.

Types, enum and const; properties, required, additionalProperties, minProperties, maxProperties;
items, minItems, maxItems, uniqueItems; minLength, maxLength, pattern; the bounds of numbers and
multipleOf; allOf, anyOf, oneOf, not. No references and no formats. Titles, descriptions and the
like say nothing about a value. Source: JSON Schema Validation, draft 2020-12, sections 6 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

_NOTES = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples"})

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    # 1.0 is an integer, as the specification has it.
    "integer": lambda value: _is_number(value) and value == int(value),
}

Rule = Callable[[Any, Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(first: Any, second: Any) -> bool:
    """Say whether two JSON values are equal: 1 is 1.0, but true is not 1."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    return bool(first == second)


def _types(value: Any, names: Any) -> bool:
    return any(_TYPES[name](value) for name in ([names] if isinstance(names, str) else names))


def _unique(items: list[Any], wanted: bool) -> bool:
    pairs = ((a, b) for i, a in enumerate(items) for b in items[:i])
    return not wanted or not any(equal(a, b) for a, b in pairs)


def _multiple(value: float, of: float) -> bool:
    return Fraction(str(value)) % Fraction(str(of)) == 0


#: Keyword -> (the type of value that it says something about, the rule).
_RULES: Mapping[str, tuple[str | None, Rule]] = {
    "type": (None, _types),
    "enum": (None, lambda value, among: any(equal(value, option) for option in among)),
    "const": (None, equal),
    "minLength": ("string", lambda value, least: len(value) >= least),
    "maxLength": ("string", lambda value, most: len(value) <= most),
    "pattern": ("string", lambda value, pattern: re.search(pattern, value) is not None),
    "minimum": ("number", lambda value, least: value >= least),
    "maximum": ("number", lambda value, most: value <= most),
    "exclusiveMinimum": ("number", lambda value, below: value > below),
    "exclusiveMaximum": ("number", lambda value, above: value < above),
    "multipleOf": ("number", _multiple),
    "minItems": ("array", lambda value, least: len(value) >= least),
    "maxItems": ("array", lambda value, most: len(value) <= most),
    "uniqueItems": ("array", _unique),
    "items": ("array", lambda value, rule: all(conforms(item, rule) for item in value)),
    "required": ("object", lambda value, keys: set(keys) <= value.keys()),
    "minProperties": ("object", lambda value, least: len(value) >= least),
    "maxProperties": ("object", lambda value, most: len(value) <= most),
    "properties": (
        "object",
        lambda value, rules: all(conforms(value[k], rules[k]) for k in rules if k in value),
    ),
    "allOf": (None, lambda value, rules: all(conforms(value, rule) for rule in rules)),
    "anyOf": (None, lambda value, rules: any(conforms(value, rule) for rule in rules)),
    "oneOf": (None, lambda value, rules: sum(conforms(value, rule) for rule in rules) == 1),
    "not": (None, lambda value, rule: not conforms(value, rule)),
}


def conforms(value: Any, rule: Any) -> bool:
    """Say whether ``rule``, a schema that :func:`check_schema` has passed, allows ``value``."""
    if isinstance(rule, bool):
        return rule
    for keyword, wanted in rule.items():
        kind, holds = _RULES.get(keyword, (None, None))
        if holds is not None and (kind is None or _TYPES[kind](value)) and not holds(value, wanted):
            return False
    if isinstance(value, dict) and "additionalProperties" in rule:
        others = value.keys() - rule.get("properties", {}).keys()
        return all(conforms(value[key], rule["additionalProperties"]) for key in others)
    return True


_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "type": lambda names: (
        all(isinstance(n, str) and n in _TYPES for n in names)
        if isinstance(names, list)
        else isinstance(names, str) and names in _TYPES
    ),
    "enum": lambda options: isinstance(options, list),
    "uniqueItems": lambda wanted: isinstance(wanted, bool),
    "required": lambda keys: isinstance(keys, list) and all(isinstance(k, str) for k in keys),
    "multipleOf": lambda of: _is_number(of) and of > 0,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        lambda n: isinstance(n, int) and not isinstance(n, bool) and n >= 0,
    ),
}


def check_schema(rule: Any) -> None:
    """Refuse a schema that this module cannot check.

    Raises:
        ValueError: a keyword that is not known, or one whose value has the wrong form.
    """
    if isinstance(rule, bool):
        return
    if not isinstance(rule, Mapping):
        raise ValueError(f"a schema is an object, true or false, not {rule!r}")
    for keyword, wanted in rule.items():
        if keyword in _NOTES:
            continue
        if keyword not in _RULES and keyword != "additionalProperties":
            raise ValueError(f"schema keyword {keyword!r} is not known")
        if keyword in _FORMS and not _FORMS[keyword](wanted):
            raise ValueError(f"schema keyword {keyword!r} cannot be {wanted!r}")
        for inner in _inner(keyword, wanted):
            check_schema(inner)


def _inner(keyword: str, wanted: Any) -> list[Any]:
    """Return the schemas within the value of a keyword."""
    if keyword in ("items", "not", "additionalProperties"):
        return [wanted]
    if keyword in ("allOf", "anyOf", "oneOf"):
        if not isinstance(wanted, list) or not wanted:
            raise ValueError(f"schema keyword {keyword!r} needs a list of schemas")
        return wanted
    if keyword == "properties":
        if not isinstance(wanted, Mapping):
            raise ValueError(f"schema keyword {keyword!r} needs an object of schemas")
        return list(wanted.values())
    if keyword == "pattern":
        try:
            re.compile(wanted)
        except (re.error, TypeError) as error:
            raise ValueError(f"schema pattern {wanted!r} is no regular expression") from error
    return []
