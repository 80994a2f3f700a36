"""The Responses API: read as the chat completion that it means, and answered in its own form.

Nothing is stored: a conversation is sent whole each time. Source of the forms:
https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from penin_core import Question, Refusal

from .chat import options, turns
from .fields import Asked, key_of, known, metadata, only, typed, whole_number, wrong
from .response_events import Writer
from .response_forms import whole_response

PATH = "/v1/responses"

#: The champion's own take the place of these, or they change nothing here.
REPLACED = ("reasoning", "temperature", "top_p")
_READ = (
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "truncation",
    "user",
)
NAMES = frozenset((*REPLACED, *_READ))
_PART = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_MOST_TOKENS = 10_000_000


def read_response(body: Mapping[str, Any], id_: str, user: str) -> Asked:
    """Return what a request for a response asks.

    Raises:
        Refusal: it says something that is wrong, unknown, or not to be said.
    """
    fields = known(body, NAMES)
    only(fields, "store", False)
    only(fields, "background", False)
    only(fields, "service_tier", "auto", "default")
    for name in ("previous_response_id", "conversation", "prompt", "max_tool_calls"):
        # Nothing is stored here that they could name.
        only(fields, name)
    told = metadata(fields)
    question = Question(
        id=id_,
        turns=turns(_messages(fields), "input"),
        options=options(_options(fields)),
        max_tokens=whole_number(fields, "max_output_tokens", 1, _MOST_TOKENS),
        metadata=told,
        key=key_of(fields, user, id_),
        consent=told.get("consent") == "true",
    )
    return Asked(
        question,
        typed(fields, "model", str) or "",
        stream=bool(typed(fields, "stream", bool)),
        fields=fields,
    )


def whole(answer: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Return a chat completion as a response."""
    return whole_response(answer, asked)


async def events(chunks: AsyncIterator[dict[str, Any]], asked: Asked) -> AsyncIterator[bytes]:
    """Yield the events of a response that the chunks of a chat completion make."""
    writer = Writer(asked)
    for event in writer.begin():
        yield event
    try:
        async for chunk in chunks:
            for event in writer.take(chunk):
                yield event
    except Refusal as refusal:
        yield writer.failed(refusal)
        return
    for event in writer.end():
        yield event


def _messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = typed(fields, "instructions", str)
    found: list[dict[str, Any]] = [{"role": "system", "content": told}] if told else []
    given = typed(fields, "input", str, list)
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    for place, item in enumerate(given or ()):
        _add(found, item, f"input[{place}]")
    return found


def _add(found: list[dict[str, Any]], item: Any, place: str) -> None:
    """Add one item to the conversation; calls of functions belong to the message before them."""
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "message":
        found.append({"role": item.get("role"), "content": _content(item.get("content"), place)})
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        if not all(isinstance(v, str) for v in (call["id"], *function.values())):
            raise wrong(place, "needs call_id, name and arguments, all strings")
        if not found or found[-1]["role"] != "assistant":
            found.append({"role": "assistant", "content": None})
        found[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        content = _content(item.get("output"), place)
        found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
    elif kind != "reasoning":
        raise wrong(place, "is no item that this server knows", "unsupported_value")


def _content(content: Any, place: str) -> Any:
    """Return content as chat completions say it."""
    if not isinstance(content, list):
        return content
    found = [_part(part, place) for part in content]
    texts = all(part["type"] == "text" for part in found)
    return "".join(part["text"] for part in found) if found and texts else found


def _part(part: Any, place: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"], "detail": part.get("detail") or "auto"}
        return {"type": "image_url", "image_url": image}
    if kind not in _PART or not isinstance(part.get(_PART[kind]), str):
        raise wrong(place, "has a part that this server does not know", "unsupported_value")
    return {"type": "text", "text": part[_PART[kind]]}


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes on to the model, as chat completions say it."""
    found: dict[str, Any] = {}
    if "parallel_tool_calls" in fields:
        found["parallel_tool_calls"] = fields["parallel_tool_calls"]
    if tools := typed(fields, "tools", list):
        found["tools"] = [_tool(tool) for tool in tools]
    if choice := typed(fields, "tool_choice", str, dict):
        named = isinstance(choice, dict) and choice.get("type") == "function"
        function = {"type": "function", "function": {"name": choice.get("name")}} if named else None
        found["tool_choice"] = function or choice
    form = (typed(fields, "text", dict) or {}).get("format") or {}
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = {name: form[name] for name in ("name", "schema", "strict") if name in form}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(form, dict) and form.get("type") == "json_object":
        found["response_format"] = {"type": "json_object"}
    return found


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        # Refused where tools are checked, in words of its own.
        return tool
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if tool.get(name) is not None}
    return {"type": "function", "function": function}
