"""Mistral's own client and the plugin write the same, and read the same out of the same replies.

Version 2.5.1 was the last of their clients with fine-tuning jobs; later ones are not asked.
"""

import asyncio
import json

import pytest

from penin_core import Message, Request
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.testing.loopback import Answer, Loopback
from penin_mistral.finetuner import MistralFineTuner
from penin_mistral.provider import Mistral, MistralOptions

module = pytest.importorskip("mistralai.client", reason="the vendor's client is no dependency")

KEY = "sk-test-12345678"
ASKED = Request(
    provider="mistral",
    model="mistral-small-latest",
    system="Be brief.",
    messages=(Message(role="user", content="Zoë?"),),
    temperature=0.25,
    top_p=0.5,
    max_tokens=32,
    seed=7,
)
CHAT = {
    "model": "mistral-small-latest",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Zoë?"},
    ],
    "temperature": 0.25,
    "top_p": 0.5,
    "max_tokens": 32,
    "random_seed": 7,
}
USAGE = {"prompt_tokens": 16, "completion_tokens": 3, "total_tokens": 19}
LOGPROBS = {
    "content": [
        {"token": "Bon", "logprob": -0.5, "bytes": [66, 111, 110], "token_id": 1},
        {"token": "jour", "logprob": -0.25, "bytes": [106, 111, 117, 114], "token_id": 2},
    ]
}


def chat(kind, **choice):
    return {
        "id": "cmpl-1",
        "object": kind,
        "model": "mistral-small-2603",
        "created": 1,
        "choices": [{"index": 0, "finish_reason": None, **choice}],
    }


ANSWERED = {
    **chat(
        "chat.completion",
        message={"role": "assistant", "content": "Bonjour", "tool_calls": None},
        finish_reason="stop",
        logprobs=LOGPROBS,
    ),
    "usage": USAGE,
}
STREAMED = [
    chat("chat.completion.chunk", delta={"role": "assistant", "content": ""}),
    chat("chat.completion.chunk", delta={"content": "Bon"}),
    {
        **chat("chat.completion.chunk", delta={"content": "jour"}, finish_reason="stop"),
        "usage": USAGE,
    },
]
JOB_ID = "b472ae2a-8c4f-4f3a-9d2f-6b6a5c1f0e11"
FILES = ("d1b2c3d4-0000-4000-8000-000000000001", "d1b2c3d4-0000-4000-8000-000000000002")
JOB = {
    "id": JOB_ID,
    "object": "job",
    "job_type": "completion",
    "auto_start": True,
    "hyperparameters": {"epochs": 3.0, "learning_rate": 0.0001},
    "model": "open-mistral-nemo",
    "status": "SUCCESS",
    "created_at": 1735910000,
    "modified_at": 1735910100,
    "training_files": [FILES[0]],
    "validation_files": [FILES[1]],
    "fine_tuned_model": "ft:open-mistral-nemo:3f1a:20260101:k:b472ae2a",
    "suffix": "k",
    "trained_tokens": 4321,
    "integrations": [],
    "repositories": [],
    "metadata": None,
    "events": [{"name": "status-updated", "data": {"status": "SUCCESS"}, "created_at": 2}],
    "checkpoints": [
        {
            "metrics": {"train_loss": 0.5, "valid_loss": 0.75, "valid_mean_token_accuracy": 1.5},
            "step_number": 100,
            "created_at": 3,
        }
    ],
}


def stream(listed):
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in listed)
    return Answer(200, f"{text}data: [DONE]\n\n", {"content-type": "text/event-stream"})


def written(asked):
    kind = asked.headers.get("content-type", "") if asked.body else ""
    body = asked.parts if kind.startswith("multipart") else asked.body and asked.json
    if isinstance(body, dict) and body.get("stream") is False:
        # Their client says always that it does not stream, which is the service's default.
        body = {name: value for name, value in body.items() if name != "stream"}
    query = {name: value for name, value in asked.query.items() if value not in ("false", "0")}
    return asked.method, asked.path, query, body, asked.headers["authorization"]


class Both:
    """The vendor's client and the plugin, in front of one server."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.client = module.Mistral(api_key=KEY, server_url=server.url)

    async def _with(self, use, **options):
        made = Mistral(MistralOptions(base_url=f"{self.server.url}/v1", **options))
        budget = Budget(self.folder / "budget.db", 10.0)
        cache = ResponseCache(self.folder / "cache.db")
        engine = Engine(lambda name: made, budget=budget, cache=cache)
        try:
            return await use(engine)
        finally:
            await engine.aclose()

    def answer(self, asked, **options):
        async def use(engine):
            return (await engine.answer([asked]))[0]

        return asyncio.run(self._with(use, **options))

    def stream(self, asked):
        async def use(engine):
            return [part async for part in engine.stream(asked)]

        return asyncio.run(self._with(use))

    def drive(self, steps):
        return asyncio.run(self._with(lambda engine: engine.drive("mistral", steps)))

    def same(self):
        """Assert that what both sent is equal, and forget it."""
        half = len(self.server.asked) // 2
        theirs, ours = self.server.asked[:half], self.server.asked[half:]
        self.server.asked.clear()
        assert half > 0
        assert list(map(written, ours)) == list(map(written, theirs))


@pytest.fixture
def both(tmp_path, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    with Loopback(lambda asked: Answer(404)) as server:
        both = Both(tmp_path, server)
        with both.client:
            yield both


def test_a_chat_completion(both):
    both.server.respond = lambda asked: Answer(200, ANSWERED)
    theirs = both.client.chat.complete(**CHAT)
    ours = both.answer(ASKED)
    both.same()
    (choice,) = theirs.choices
    assert (ours.text, ours.model) == (choice.message.content, theirs.model)
    assert ours.finish == choice.finish_reason
    usage = theirs.usage
    assert (ours.tokens_in, ours.tokens_out) == (usage.prompt_tokens, usage.completion_tokens)


def test_log_probabilities(both):
    if "logprobs" not in module.models.ChatCompletionRequest.model_fields:
        pytest.skip("this client is older than the field")
    both.server.respond = lambda asked: Answer(200, ANSWERED)
    theirs = both.client.chat.complete(**CHAT, logprobs=True)
    ours = both.answer(ASKED.model_copy(update={"logprobs": True}), logprobs=True)
    both.same()
    assert list(ours.logprobs) == [t.logprob for t in theirs.choices[0].logprobs.content]


def test_a_chat_completion_as_it_is_written(both):
    both.server.respond = lambda asked: stream(STREAMED)
    with both.client.chat.stream(**CHAT) as events:
        theirs = [event.data for event in events]
    *parts, ours = both.stream(ASKED)
    both.same()
    deltas = [chunk.choices[0].delta.content for chunk in theirs]
    assert parts == [text for text in deltas if text]
    assert (ours.text, ours.finish) == ("Bonjour", theirs[-1].choices[0].finish_reason)
    assert ours.tokens_out == theirs[-1].usage.completion_tokens


def test_data_are_uploaded_and_deleted(both):
    def files(asked):
        made = {"id": FILES[0], "object": "file", "bytes": 1, "created_at": 1, "source": "upload",
                "filename": "train.jsonl", "purpose": "fine-tune", "sample_type": "instruct",
                "num_lines": 1, "visibility": "workspace", "deleted": True}  # fmt: skip
        return Answer(200, {"data": []} if asked.path.endswith("/jobs") else made)

    both.server.respond = files
    content = "Zoë\n".encode()
    both.client.files.upload(
        file={"file_name": "train.jsonl", "content": content}, purpose="fine-tune"
    )
    both.client.files.delete(file_id=FILES[0])
    tuner = MistralFineTuner()
    assert both.drive(tuner.upload_data(content, None)) == (FILES[0],)
    # Ours looks first whether there are jobs at all.
    del both.server.asked[2]
    assert both.drive(tuner.delete_data([FILES[0]])) == ()
    theirs, ours = both.server.asked[0].parts, both.server.asked[2].parts
    assert theirs.pop("visibility", b"workspace") == b"workspace", "their client states the default"
    assert ours == theirs
    assert written(both.server.asked[1]) == written(both.server.asked[3])


@pytest.fixture
def jobs(both):
    if not hasattr(both.client, "fine_tuning"):
        pytest.skip("this client has no fine-tuning jobs any more; 2.5.1 was the last")
    return both.client.fine_tuning.jobs


def test_a_job_is_created_found_and_cancelled(both, jobs):
    def respond(asked):
        listed = asked.method == "GET" and asked.path.endswith("/jobs")
        return Answer(200, {"data": [JOB], "total": 1, "object": "list"} if listed else JOB)

    both.server.respond = respond
    jobs.create(
        model="open-mistral-nemo",
        training_files=[{"file_id": FILES[0], "weight": 1}],
        validation_files=[FILES[1]],
        hyperparameters={"epochs": 3.0, "learning_rate": 0.0001},
        suffix="k",
        auto_start=True,
    )
    jobs.list(suffix="k")
    jobs.cancel(job_id=JOB_ID)
    tuner = MistralFineTuner()
    hyperparams = {"n_epochs": 3.0, "learning_rate": 0.0001}
    assert both.drive(tuner.create_job("open-mistral-nemo", FILES, hyperparams, "k")) == JOB_ID
    assert both.drive(tuner.find_job("k")) == JOB_ID
    both.drive(tuner.cancel(JOB_ID))
    for asked in both.server.asked[:3]:
        defaults = {"page", "page_size", "created_by_me"}
        kept = {name: value for name, value in asked.query.items() if name not in defaults}
        object.__setattr__(asked, "query", kept)
    theirs = both.server.asked[0].json
    defaults = {"invalid_sample_skip_percentage": 0, "weight": 1}
    own = both.server.asked[3].json
    filled = theirs.pop("hyperparameters")
    assert {n: filled[n] for n in own["hyperparameters"]} == own.pop("hyperparameters")
    assert {n: v for n, v in theirs.items() if n not in defaults} == own
    assert list(map(written, both.server.asked[1:3])) == list(map(written, both.server.asked[4:]))


def test_a_job_is_read(both, jobs):
    both.server.respond = lambda asked: Answer(200, JOB)
    theirs = jobs.get(job_id=JOB_ID)
    ours = both.drive(MistralFineTuner().get_job(JOB_ID))
    both.same()
    assert (theirs.status, ours.status) == ("SUCCESS", "succeeded")
    assert ours.tokens == theirs.trained_tokens
    (point,), (checkpoint,) = ours.points, theirs.checkpoints
    assert (point.step, point.loss, point.validation_loss) == (
        checkpoint.step_number,
        checkpoint.metrics.train_loss,
        checkpoint.metrics.valid_loss,
    )
    assert both.drive(MistralFineTuner().get_model(JOB_ID)) == theirs.fine_tuned_model
