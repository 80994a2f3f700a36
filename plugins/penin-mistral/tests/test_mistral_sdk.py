"""The same question, written by Mistral's own client and by the plugin, is the same on the wire."""

import json

import pytest

from penin_core import Message, Request
from penin_mistral.provider import Mistral, MistralOptions

client_module = pytest.importorskip(
    "mistralai.client", reason="the vendor's client is no dependency"
)
httpx2 = pytest.importorskip("httpx2")


def test_chat_completions():
    requests = []

    def answer(request):
        requests.append(request)
        return httpx2.Response(400, json={"object": "error", "message": "no"})

    client = client_module.Mistral(
        api_key="sk-test", client=httpx2.Client(transport=httpx2.MockTransport(answer))
    )
    with pytest.raises(Exception, match="no"):
        client.chat.complete(
            model="mistral-small-latest",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Zoë?"},
            ],
            temperature=0.25,
            top_p=0.5,
            max_tokens=32,
            random_seed=7,
            logprobs=True,
        )
    (theirs,) = requests
    asked = Request(
        provider="mistral",
        model="mistral-small-latest",
        system="Be brief.",
        messages=(Message(role="user", content="Zoë?"),),
        temperature=0.25,
        top_p=0.5,
        max_tokens=32,
        seed=7,
        logprobs=True,
    )
    made = Mistral(MistralOptions(logprobs=True))
    call = made.encode(asked)
    assert (call.method, made.base_url + call.path) == (theirs.method, str(theirs.url))
    sent = json.loads(theirs.content)
    # Their client always says that it does not stream; that is the default of the service.
    assert sent.pop("stream", False) is False
    assert call.body == sent
    assert made.headers("sk-test")["Authorization"] == theirs.headers["Authorization"]
