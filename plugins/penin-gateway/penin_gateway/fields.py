"""What the endpoints share in reading a request: which fields there are, and of which type."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from penin_core import Question, Refusal

#: These would lead a request, or a key, somewhere else: the upstream is fixed by the settings.
FORBIDDEN = (
    "api_base",
    "api_key",
    "api_version",
    "base_url",
    "custom_llm_provider",
    "default_headers",
    "extra_headers",
    "headers",
    "organization",
    "project",
    "provider",
    "proxies",
    "proxy",
)
#: Where a client says on whose behalf it asks.
_WHO = ("safety_identifier", "user")
_PAIRS, _NAME, _VALUE = 16, 64, 512


@dataclass(slots=True)
class Asked:
    """A request that was read: what it asks, and how it wants to be answered."""

    question: Question
    model: str
    stream: bool = False
    with_usage: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


def known(body: Mapping[str, Any], names: AbstractSet[str]) -> dict[str, Any]:
    """Return the fields that say something; null says nothing.

    Raises:
        Refusal: a field is forbidden, or none of ``names``.
    """
    if names >= body.keys():
        return {name: value for name, value in body.items() if value is not None}
    wrong = min(body.keys() - names)
    if wrong in FORBIDDEN:
        words = f"'{wrong}' cannot be set by a request: the settings of the deployment fix it"
        raise Refusal(400, "forbidden_parameter", words, param=wrong)
    raise Refusal(400, "unknown_parameter", f"unknown parameter: '{wrong}'", param=wrong)


def typed(fields: Mapping[str, Any], name: str, *types: type) -> Any:
    """Return a field, None where it is missing.

    Raises:
        Refusal: it is of none of ``types``.
    """
    value = fields.get(name)
    # To Python, true is the number 1; to JSON it is not.
    if value is None or type(value) in types:
        return value
    told = " or ".join(dict.fromkeys(_WORDS[kind] for kind in types))
    raise wrong(name, f"must be {told}", "invalid_type")


def whole_number(fields: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """Return a field that is a number from ``least`` to ``most``.

    Raises:
        Refusal: it is no such number.
    """
    value: int | None = typed(fields, name, int)
    if value is not None and not least <= value <= most:
        raise wrong(name, f"must lie between {least} and {most}")
    return value


def only(fields: Mapping[str, Any], name: str, *allowed: Any) -> None:
    """Let a field say only what it would mean anyway.

    Raises:
        Refusal: it asks for something that this server does not do.
    """
    value = fields.get(name)
    if value is not None and not any(value == one and type(value) is type(one) for one in allowed):
        raise wrong(name, "asks for what this server does not do", "unsupported_value")


def metadata(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata: at most 16 pairs of short texts.

    Raises:
        Refusal: they are something else.
    """
    if "metadata" not in fields:
        return {}
    found: dict[str, str] = typed(fields, "metadata", dict)
    texts = all(isinstance(value, str) and len(value) <= _VALUE for value in found.values())
    if not texts or len(found) > _PAIRS or any(len(name) > _NAME for name in found):
        raise wrong("metadata", f"must be at most {_PAIRS} pairs of short texts")
    return found


def key_of(fields: Mapping[str, Any], user: str, id_: str) -> str:
    """Return what an experiment divides traffic by: the person who asks, where that is told.

    One token (``user``) may serve many people; without a word of who asks, each request is its own.
    """
    for name in _WHO:
        if told := typed(fields, name, str):
            return f"{user}/{told}"
    told = (fields.get("metadata") or {}).get("user_id")
    return f"{user}/{told}" if told else id_


def wrong(name: str, what: str, code: str = "invalid_value") -> Refusal:
    """Return the error for a field that is wrong."""
    return Refusal(400, code, f"'{name}' {what}", param=name)


_WORDS = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
