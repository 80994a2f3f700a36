"""The same question, written by OpenAI's own client and by the plugin, is the same on the wire."""

import json

import pytest

from penin_core import Message, Request
from penin_openai.finetuner import OpenAIFineTuner, OpenAIHyperparams
from penin_openai.provider import OpenAI, OpenAIOptions

openai = pytest.importorskip("openai", reason="the vendor's client is no dependency")
httpx2 = pytest.importorskip("httpx2")

ASKED = Request(
    provider="openai",
    model="gpt-4.1-mini",
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
)


@pytest.fixture
def sent():
    """Return a client that sends nothing, and the list of what it would have sent."""
    requests = []

    def answer(request):
        requests.append(request)
        return httpx2.Response(500, json={"error": {"message": "no", "type": "t"}})

    client = openai.OpenAI(
        api_key="sk-test",
        organization="org-1",
        project="proj-1",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    return client, requests


def compare(requests, api):
    made = OpenAI(OpenAIOptions(api=api, organization="org-1", project="proj-1"))
    call, (theirs,) = made.encode(ASKED), requests
    assert (call.method, made.base_url + call.path) == (theirs.method, str(theirs.url))
    assert call.body == json.loads(theirs.content)
    for name, value in made.headers("sk-test").items():
        assert theirs.headers[name] == value


def test_chat_completions(sent):
    client, requests = sent
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(
            model="gpt-4.1-mini",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Zoë?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "And now?"},
            ],
            temperature=0.25,
            top_p=0.5,
            max_completion_tokens=32,
            seed=7,
            logprobs=True,
        )
    compare(requests, "chat")


def test_responses(sent):
    client, requests = sent
    with pytest.raises(openai.InternalServerError):
        client.responses.create(
            model="gpt-4.1-mini",
            instructions="Be brief.",
            input=[
                {"role": "user", "content": "Zoë?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "And now?"},
            ],
            temperature=0.25,
            top_p=0.5,
            max_output_tokens=32,
            include=["message.output_text.logprobs"],
            store=False,
        )
    compare(requests, "responses")


def test_fine_tuning_jobs(sent):
    client, requests = sent
    with pytest.raises(openai.InternalServerError):
        client.fine_tuning.jobs.create(
            model="gpt-4.1-mini",
            training_file="file-1",
            validation_file="file-2",
            method={
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {
                        "n_epochs": 3,
                        "batch_size": "auto",
                        "learning_rate_multiplier": "auto",
                    }
                },
            },
            metadata={"penin": "k"},
        )
    hyperparams = OpenAIHyperparams().model_dump()
    steps = OpenAIFineTuner().create_job("gpt-4.1-mini", ("file-1", "file-2"), hyperparams, "k")
    call, (theirs,) = next(steps), requests
    assert (call.method, OpenAI.base_url + call.path) == (theirs.method, str(theirs.url))
    assert call.body == json.loads(theirs.content)
