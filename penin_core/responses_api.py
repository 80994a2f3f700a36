"""OpenAI's Responses API, for providers of services that speak it beside chat completions.

It has no seed, keeps what it is asked for 30 days unless told otherwise, and includes
log-probabilities only where they are asked for by name. Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import ProviderRefused, ProviderUnavailable
from .records import Call, Completion, Reply, Request

PATH = "/responses"
#: Below this, the service refuses ``max_output_tokens``.
LEAST_TOKENS = 16
_FINISH = {None: "stop", "max_output_tokens": "length"}


def encode_response(request: Request, refused: tuple[str, ...] = ()) -> Call:
    """Write ``request``; nothing is stored at the service, and what ``refused`` names is left out.

    Raises:
        ProviderRefused: the answer may have fewer tokens than the service accepts as a limit.
    """
    if request.max_tokens < LEAST_TOKENS:
        raise ProviderRefused(
            f"max_tokens = {request.max_tokens}, and the Responses API takes no less than "
            f"{LEAST_TOKENS}",
            hint="raise max_tokens, or use chat completions",
        )
    sampling = {"temperature": request.temperature, "top_p": request.top_p}
    body: dict[str, Any] = {
        "model": request.model,
        "input": [message.model_dump() for message in request.messages],
        "max_output_tokens": request.max_tokens,
        "store": False,
        **{name: value for name, value in sampling.items() if name not in refused},
    }
    if request.system:
        body["instructions"] = request.system
    if request.logprobs and "logprobs" not in refused:
        body["include"] = ["message.output_text.logprobs"]
    return Call(path=PATH, body={**body, **request.extra})


def decode_response(reply: Reply) -> Completion:
    """Read text, usage, log-probabilities and the reason to stop.

    Raises:
        ProviderUnavailable, ProviderRefused: the reply says that the request failed.
        ValueError: it is no finished answer.
    """
    body = reply.body
    if body["status"] == "failed":
        raise _failure(body["error"])
    if body["status"] not in ("completed", "incomplete"):
        raise ValueError(f"the status is {body['status']!r}, no answer")
    parts = list(_parts(body["output"]))
    tokens = [token for part in parts for token in part.get("logprobs") or ()]
    reason = (body.get("incomplete_details") or {}).get("reason")
    return Completion(
        text="".join(part.get("text") or part.get("refusal") or "" for part in parts),
        model=body["model"],
        tokens_in=body["usage"]["input_tokens"],
        tokens_out=body["usage"]["output_tokens"],
        logprobs=tuple(token["logprob"] for token in tokens) if tokens else None,
        finish=_FINISH.get(reason, "other"),
    )


def decode_response_event(event: Mapping[str, Any]) -> str:
    """Return the text that one event of a stream adds."""
    if event["type"] in ("response.output_text.delta", "response.refusal.delta"):
        return str(event["delta"])
    return ""


def _parts(output: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in output:
        if item["type"] == "message":
            yield from item["content"]


def _failure(error: Mapping[str, Any]) -> ProviderUnavailable | ProviderRefused:
    words = f"the service failed: {error['code']}: {error['message']}"
    if error["code"] in ("server_error", "rate_limit_exceeded"):
        return ProviderUnavailable(words, hint="try again later")
    return ProviderRefused(words, hint="the service says why")
