"""What the gateway says of itself: its routes, fields and statuses, in OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import chat, responses
from .fields import FORBIDDEN

Schema = dict[str, Any]

_TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
_TEXT_OR_PARTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
_TURN = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": {"enum": sorted(chat.ROLES)}, "content": _TEXT_OR_PARTS},
}
_READ: Mapping[str, Schema] = {
    "input": _TEXT_OR_PARTS,
    "instructions": {"type": "string"},
    "max_completion_tokens": {"type": "integer", "minimum": 1},
    "max_output_tokens": {"type": "integer", "minimum": 1},
    "max_tokens": {"type": "integer", "minimum": 1},
    "messages": {"type": "array", "items": _TURN, "minItems": 1},
    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    "model": {"type": "string"},
    "stream": {"type": "boolean"},
    "stream_options": {"type": "object"},
    "user": {"type": "string"},
}
_ERROR = {
    "description": "Why there is no answer",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": "string"},
                        },
                    }
                },
            }
        }
    },
}


def description(name: str) -> Schema:
    """Return the description of a gateway whose deployment is called ``name``."""
    asked = {
        chat.PATH: _body(chat.NAMES, ("model", "messages"), name),
        responses.PATH: _body(responses.NAMES, ("model", "input"), name),
        "/v1/feedback": {
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string"},
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "label": {"type": "string"},
            },
            "additionalProperties": False,
        },
    }
    paths: dict[str, Schema] = {path: {"post": _post(body)} for path, body in asked.items()}
    for path in ("/v1/models", "/healthz", "/metrics", "/openapi.json"):
        kind = "text/plain" if path == "/metrics" else "application/json"
        paths[path] = {"get": {"responses": _answers(kind)}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "penin-gateway", "version": "1", "description": _ABOUT},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}, {}],
    }


_ABOUT = f"The champion answers. No request can set {', '.join(FORBIDDEN)}."


def _body(names: frozenset[str], required: tuple[str, ...], deployment: str) -> Schema:
    fields: Schema = {name: _field(name) for name in sorted(names)}
    fields["model"] = {"const": deployment}
    return {
        "type": "object",
        "required": list(required),
        "properties": fields,
        "additionalProperties": False,
    }


def _field(name: str) -> Schema:
    if name in chat.PASSED:
        return {"type": [_TYPES[kind] for kind in chat.PASSED[name]]}
    if name in chat.ONLY:
        return {"enum": list(chat.ONLY[name])}
    return dict(_READ.get(name, {}))


def _post(body: Schema) -> Schema:
    content = {"application/json": {"schema": body}}
    return {"requestBody": {"required": True, "content": content}, "responses": _answers()}


def _answers(kind: str = "application/json") -> Schema:
    return {
        "200": {"description": "The answer", "content": {kind: {}, "text/event-stream": {}}},
        "4XX": _ERROR,
        "5XX": _ERROR,
    }
