"""Chat completions: what a request may say, and the answer as events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from penin_core import Question, Refusal

from .bodies import written
from .fields import Asked, key_of, known, metadata, only, typed, whole_number, wrong

PATH = "/v1/chat/completions"

#: These go on to the model as they are.
PASSED: Mapping[str, tuple[type, ...]] = {
    "function_call": (str, dict),
    "functions": (list,),
    "logprobs": (bool,),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "seed": (int,),
    "stop": (str, list),
    "tool_choice": (str, dict),
    "tools": (list,),
    "top_logprobs": (int,),
}
#: The champion's own take the place of these.
REPLACED = (
    "frequency_penalty",
    "logit_bias",
    "presence_penalty",
    "reasoning_effort",
    "temperature",
    "top_p",
    "verbosity",
)
#: These may only say what is so anyway.
ONLY: Mapping[str, tuple[Any, ...]] = {
    "modalities": (["text"],),
    "n": (1,),
    "service_tier": ("auto", "default"),
    "store": (False,),
}
#: These are understood here.
_READ = (
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "prompt_cache_key",
    "safety_identifier",
    "stream",
    "stream_options",
    "user",
)
NAMES = frozenset((*PASSED, *REPLACED, *ONLY, *_READ))
ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
_TURN = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal")
_MOST_TURNS, _MOST_TOOLS, _MOST_TOKENS = 2048, 128, 10_000_000


def read_chat(body: Mapping[str, Any], id_: str, user: str) -> Asked:
    """Return what a chat completion asks.

    Raises:
        Refusal: it says something that is wrong, unknown, or not to be said.
    """
    fields = known(body, NAMES)
    for name in fields.keys() & ONLY.keys():
        only(fields, name, *ONLY[name])
    wanted: dict[str, Any] = typed(fields, "stream_options", dict) or {}
    told = metadata(fields)
    question = Question(
        id=id_,
        turns=turns(typed(fields, "messages", list)),
        options=options(fields),
        max_tokens=_room(fields),
        metadata=told,
        key=key_of(fields, user, id_),
        consent=told.get("consent") == "true",
    )
    return Asked(
        question,
        typed(fields, "model", str) or "",
        stream=bool(typed(fields, "stream", bool)),
        with_usage=wanted.get("include_usage") is True,
    )


def options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes on to the model; lists and objects that are empty say nothing.

    Raises:
        Refusal: one of them is of the wrong type, or costs more than tokens.
    """
    given = fields.keys() & PASSED.keys()
    if not given:
        return {}
    found = {name: typed(fields, name, *PASSED[name]) for name in sorted(given)}
    tools = found.get("tools", ())
    if len(tools) > _MOST_TOOLS:
        raise wrong("tools", f"may hold {_MOST_TOOLS}")
    for tool in tools:
        if not isinstance(tool, dict) or tool.get("type") not in ("function", "custom"):
            raise wrong("tools", "may hold functions that the client carries out, nothing else")
    return {name: value for name, value in found.items() if value not in ([], {}, False)}


def turns(messages: list[Any] | None, name: str = "messages") -> list[dict[str, Any]]:
    """Return the messages of a conversation, without what the model need not see.

    ``name`` is the field that they stand in.

    Raises:
        Refusal: there is none, or one is no message.
    """
    if not messages or len(messages) > _MOST_TURNS:
        raise wrong(name, f"must hold 1 to {_MOST_TURNS} messages")
    return [_turn(message, f"{name}[{i}]") for i, message in enumerate(messages)]


def _turn(message: Any, place: str) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise wrong(place, f"must be a message with a role: {', '.join(sorted(ROLES))}")
    if len(message) == 2 and isinstance(message.get("content"), str):
        return message
    turn = {name: message[name] for name in _TURN if message.get(name) is not None}
    calls = turn.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise wrong(f"{place}.tool_calls", "must be a list of objects", "invalid_type")
    content = turn.get("content")
    if content is None:
        if turn["role"] != "assistant":
            raise wrong(f"{place}.content", "must be a string or a list of parts")
        turn["content"] = None
    elif not isinstance(content, str):
        _check_parts(content, f"{place}.content")
    return turn


def _check_parts(content: Any, place: str) -> None:
    if not isinstance(content, list) or not content:
        raise wrong(place, "must be a string or a list of parts", "invalid_type")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or (kind == "text" and not isinstance(part.get("text"), str)):
            raise wrong(place, "has a part that is none")


def _room(fields: Mapping[str, Any]) -> int | None:
    given = [name for name in ("max_tokens", "max_completion_tokens") if name in fields]
    limits = [whole_number(fields, name, 1, _MOST_TOKENS) or 1 for name in given]
    return min(limits, default=None)


def whole(answer: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Return the body of an answer."""
    return answer


async def events(chunks: AsyncIterator[dict[str, Any]], asked: Asked) -> AsyncIterator[bytes]:
    """Yield the events of a stream: each chunk, and the end, which may be an error."""
    try:
        async for chunk in chunks:
            if chunk["choices"] or asked.with_usage:
                yield b"data: " + written(chunk) + b"\n\n"
    except Refusal as refusal:
        yield b"data: " + written(refusal.body) + b"\n\n"
        return
    yield b"data: [DONE]\n\n"
