"""The forms of the Responses API: a response, its items, its usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .fields import Asked

Item = dict[str, Any]

#: Said again in the response, as the client gave it.
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "truncation": "disabled",
    "user": None,
}


def whole_response(answer: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Return a chat completion as a response."""
    choice = answer["choices"][0]
    message = choice["message"]
    lead = tail_of(asked)
    items: list[Item] = []
    if text := text_of(message.get("content")):
        items.append(message_item(f"msg_{lead}", [text_part(text)]))
    elif refusal := message.get("refusal"):
        items.append(message_item(f"msg_{lead}", [{"type": "refusal", "refusal": refusal}]))
    for place, call in enumerate(message.get("tool_calls") or ()):
        items.append(call_item(f"fc_{lead}_{place}", call["id"], call["function"]))
    return response(asked, answer, items, choice.get("finish_reason"))


def text_of(content: object) -> str:
    """Return the text of what a model says: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "".join(str(part.get("text") or "") for part in texts)


def response(
    asked: Asked, answer: Mapping[str, Any], output: Sequence[Item], finish: object
) -> dict[str, Any]:
    """Return a response that has come to its end: complete, or cut off."""
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(str(finish))
    return {
        **begun(asked, answer["created"]),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "output": list(output),
        "usage": usage(answer.get("usage")),
    }


def begun(asked: Asked, created: int) -> dict[str, Any]:
    """Return a response of which nothing is known yet."""
    return {
        "id": asked.question.id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": asked.model,
        "output": [],
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "top_p": None,
        "usage": None,
        **{name: asked.fields.get(name, other) for name, other in _ECHOED.items()},
    }


def message_item(id_: str, content: list[Item], status: str = "completed") -> Item:
    """Return what the model says, as an item."""
    return {
        "id": id_,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def call_item(
    id_: str, call_id: str, function: Mapping[str, Any], status: str = "completed"
) -> Item:
    """Return the call of a function, as an item."""
    return {
        "id": id_,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": function.get("name") or "",
        "arguments": function.get("arguments") or "",
    }


def text_part(text: str) -> Item:
    """Return text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage(counted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how many tokens there were, None where nobody says."""
    if counted is None:
        return None
    read, wrote = counted.get("prompt_tokens") or 0, counted.get("completion_tokens") or 0
    details_in = counted.get("prompt_tokens_details") or {}
    details_out = counted.get("completion_tokens_details") or {}
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": details_in.get("cached_tokens") or 0},
        "output_tokens": wrote,
        "output_tokens_details": {"reasoning_tokens": details_out.get("reasoning_tokens") or 0},
        "total_tokens": counted.get("total_tokens") or read + wrote,
    }


def tail_of(asked: Asked) -> str:
    """Return what tells the items of this response from those of all others."""
    return asked.question.id.rpartition("_")[2]
