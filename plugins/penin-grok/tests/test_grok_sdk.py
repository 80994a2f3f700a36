"""xAI's own client and the plugin mean the same, as far as gRPC and REST have the same fields."""

import pytest

from penin_core import Message, Reply, Request
from penin_grok.provider import Grok

xai_sdk = pytest.importorskip("xai_sdk", reason="the vendor's client is no dependency")
chat = pytest.importorskip("xai_sdk.chat")
protos = pytest.importorskip("xai_sdk.proto")
json_format = pytest.importorskip("google.protobuf.json_format")

ASKED = Request(
    provider="grok",
    model="grok-4",
    system="Be brief.",
    messages=(
        Message(role="user", content="Zoë?"),
        Message(role="assistant", content="Yes."),
        Message(role="user", content="And now?"),
    ),
    temperature=0.25,
    top_p=0.5,
    max_tokens=32,
    seed=7,
    logprobs=True,
    extra={"reasoning_effort": "low"},
)
#: What REST calls a field that gRPC names otherwise.
NAMES = {"max_tokens": "max_completion_tokens"}


@pytest.fixture(scope="module")
def client():
    with xai_sdk.Client(api_key="sk-test", api_host="localhost:1") as client:
        yield client


def as_rest(message):
    """Return what a request of gRPC says, in the words of REST."""
    said = json_format.MessageToDict(message, preserving_proto_field_name=True)
    turns = [
        {
            "role": turn["role"].removeprefix("ROLE_").lower(),
            "content": "".join(part["text"] for part in turn["content"]),
        }
        for turn in said["messages"]
    ]
    effort = said["reasoning_effort"].removeprefix("EFFORT_").lower()
    found = {**said, "messages": turns, "reasoning_effort": effort}
    return {NAMES.get(name, name): value for name, value in found.items()}


def test_a_chat_completion(client):
    theirs = client.chat.create(
        model="grok-4",
        messages=[
            chat.system("Be brief."),
            chat.user("Zoë?"),
            chat.assistant("Yes."),
            chat.user("And now?"),
        ],
        temperature=0.25,
        top_p=0.5,
        max_tokens=32,
        seed=7,
        logprobs=True,
        reasoning_effort="low",
    )
    assert Grok().encode(ASKED).body == as_rest(theirs.proto)


def usage(**changes):
    given = {"prompt_tokens": 32, "completion_tokens": 9, "reasoning_tokens": 94,
             "total_tokens": 135, "cost_in_usd_ticks": 37756000}  # fmt: skip
    return protos.usage_pb2.SamplingUsage(**{**given, **changes})


def answered(counted):
    """Return their answer of gRPC, and the same one of REST."""
    message = protos.chat_pb2.CompletionMessage(content="303", role="ROLE_ASSISTANT")
    output = protos.chat_pb2.CompletionOutput(message=message, finish_reason="REASON_STOP")
    proto = protos.chat_pb2.GetChatCompletionResponse(
        id="a", model="grok-4.7", outputs=[output], usage=counted
    )
    details = {"reasoning_tokens": counted.reasoning_tokens}
    body = {
        "model": proto.model,
        "choices": [{"message": {"role": "assistant", "content": "303"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": counted.prompt_tokens,
            "completion_tokens": counted.completion_tokens,
            "total_tokens": counted.total_tokens,
            "completion_tokens_details": details,
        },
    }
    if counted.HasField("cost_in_usd_ticks"):
        body["usage"]["cost_in_usd_ticks"] = counted.cost_in_usd_ticks
    return chat.Response(proto, 0), Reply(status=200, body=body)


def test_an_answer_its_tokens_and_its_price():
    theirs, reply = answered(usage())
    ours = Grok().decode(reply)
    assert (ours.text, ours.model) == (theirs.content, theirs.proto.model)
    assert ours.cost_usd == pytest.approx(theirs.cost_usd, rel=1e-12)
    assert ours.tokens_in + ours.tokens_out == theirs.usage.total_tokens


def test_an_answer_without_a_price():
    counted = usage()
    counted.ClearField("cost_in_usd_ticks")
    theirs, reply = answered(counted)
    assert (Grok().decode(reply).cost_usd, theirs.cost_usd) == (None, None)


def test_their_client_has_no_fine_tuning_either(client):
    assert [name for name in dir(client) if "tun" in name.lower()] == []
