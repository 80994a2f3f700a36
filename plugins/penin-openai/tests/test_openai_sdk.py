"""OpenAI's own client and the plugin write the same, and read the same out of the same replies."""

import asyncio
import json
from contextlib import closing

import pytest

from penin_core import Message, Request
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.testing.loopback import Answer, Loopback
from penin_openai.finetuner import OpenAIFineTuner, OpenAIHyperparams
from penin_openai.provider import OpenAI, OpenAIOptions

openai = pytest.importorskip("openai", reason="the vendor's client is no dependency")

KEY = "sk-test-12345678"
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
TURNS = [
    {"role": "user", "content": "Zoë?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And now?"},
]
CHAT = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "system", "content": "Be brief."}, *TURNS],
    "temperature": 0.25,
    "top_p": 0.5,
    "max_completion_tokens": 32,
    "seed": 7,
    "logprobs": True,
}
RESPONSES = {
    "model": "gpt-4.1-mini",
    "instructions": "Be brief.",
    "input": TURNS,
    "temperature": 0.25,
    "top_p": 0.5,
    "max_output_tokens": 32,
    "include": ["message.output_text.logprobs"],
    "store": False,
}
USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 2,
    "total_tokens": 21,
    "completion_tokens_details": {"reasoning_tokens": 0},
}
COUNTED = {
    "input_tokens": 19,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 21,
}


def token(text, logprob):
    return {"token": text, "logprob": logprob, "bytes": [*text.encode()], "top_logprobs": []}


def chat(object_name, **choice):
    return {
        "id": "chatcmpl-1",
        "object": object_name,
        "created": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [{"index": 0, "finish_reason": None, **choice}],
    }


ANSWERED = {
    **chat(
        "chat.completion",
        message={"role": "assistant", "content": "Hello!", "refusal": None},
        logprobs={"content": [token("Hello", -0.5), token("!", -9999.0)], "refusal": None},
        finish_reason="stop",
    ),
    "usage": USAGE,
}
STREAMED = [
    chat("chat.completion.chunk", delta={"role": "assistant", "content": ""}),
    chat(
        "chat.completion.chunk",
        delta={"content": "Hello"},
        logprobs={"content": [token("Hello", -0.5)], "refusal": None},
    ),
    chat(
        "chat.completion.chunk",
        delta={"content": "!"},
        logprobs={"content": [token("!", -9999.0)], "refusal": None},
    ),
    chat("chat.completion.chunk", delta={}, finish_reason="stop"),
    {**chat("chat.completion.chunk"), "choices": [], "usage": USAGE},
]


def response(**changes):
    part = {
        "type": "output_text",
        "text": "Hello!",
        "annotations": [],
        "logprobs": [token("Hello", -0.5), token("!", -9999.0)],
    }
    said = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant"}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-4.1-mini-2025-04-14",
        "output": [{**said, "content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": COUNTED,
        **changes,
    }


def events():
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun = response(status="in_progress", output=[], usage=None)
    found = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_text.delta", "delta": "Hello", "logprobs": [], **place},
        {"type": "response.output_text.delta", "delta": "!", "logprobs": [], **place},
        {"type": "response.completed", "response": response()},
    ]
    return [{**event, "sequence_number": n} for n, event in enumerate(found)]


def stream(listed, done=True):
    text = "".join(f"event: {e.get('type', 'x')}\ndata: {json.dumps(e)}\n\n" for e in listed)
    return Answer(200, text + "data: [DONE]\n\n" * done, {"content-type": "text/event-stream"})


class Both:
    """The vendor's client and the plugin, in front of one server."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.client = openai.OpenAI(
            api_key=KEY, organization="org-1", project="proj-1", base_url=server.url, max_retries=0
        )

    def engine(self, **options):
        account = {"organization": "org-1", "project": "proj-1"}
        made = OpenAI(OpenAIOptions(base_url=self.server.url, **account, **options))
        budget = Budget(self.folder / "budget.db", 10.0)
        return Engine(
            lambda name: made, budget=budget, cache=ResponseCache(self.folder / "cache.db")
        )

    async def _with(self, engine, use):
        try:
            return await use(engine)
        finally:
            await engine.aclose()

    def answer(self, **options):
        async def use(engine):
            return (await engine.answer([ASKED]))[0]

        return asyncio.run(self._with(self.engine(**options), use))

    def stream(self, **options):
        async def use(engine):
            return [part async for part in engine.stream(ASKED)]

        return asyncio.run(self._with(self.engine(**options), use))

    def drive(self, steps):
        return asyncio.run(self._with(self.engine(), lambda engine: engine.drive("openai", steps)))

    def same(self):
        """Assert that what both sent is equal, and forget it."""
        half = len(self.server.asked) // 2
        theirs, ours = self.server.asked[:half], self.server.asked[half:]
        self.server.asked.clear()
        assert half > 0
        assert list(map(written, ours)) == list(map(written, theirs))


def written(asked):
    names = ("authorization", "openai-organization", "openai-project")
    kind = asked.headers.get("content-type", "") if asked.body else ""
    body = asked.parts if kind.startswith("multipart") else asked.body and asked.json
    return asked.method, asked.path, asked.query, body, [asked.headers[name] for name in names]


@pytest.fixture
def both(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Loopback(lambda asked: Answer(404)) as server:
        both = Both(tmp_path, server)
        with closing(both.client):
            yield both


def test_a_chat_completion(both):
    both.server.respond = lambda asked: Answer(200, ANSWERED)
    theirs = both.client.chat.completions.create(**CHAT)
    ours = both.answer()
    both.same()
    (choice,) = theirs.choices
    assert ours.text == choice.message.content
    assert ours.model == theirs.model
    assert ours.finish == choice.finish_reason
    assert list(ours.logprobs) == [found.logprob for found in choice.logprobs.content]
    usage = theirs.usage
    assert (ours.tokens_in, ours.tokens_out) == (usage.prompt_tokens, usage.completion_tokens)


def test_a_chat_completion_as_it_is_written(both):
    both.server.respond = lambda asked: stream(STREAMED)
    asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    theirs = list(both.client.chat.completions.create(**asked))
    *parts, ours = both.stream()
    both.same()
    deltas = [c.choices[0].delta.content for c in theirs if c.choices]
    assert parts == [text for text in deltas if text]
    assert ours.text == "".join(parts)
    tokens = [c.choices[0].logprobs for c in theirs if c.choices and c.choices[0].logprobs]
    assert list(ours.logprobs) == [each.content[0].logprob for each in tokens]
    assert ours.tokens_out == theirs[-1].usage.completion_tokens


def test_a_response(both):
    both.server.respond = lambda asked: Answer(200, response())
    theirs = both.client.responses.create(**RESPONSES)
    ours = both.answer(api="responses")
    both.same()
    assert (ours.text, ours.model) == (theirs.output_text, theirs.model)
    assert list(ours.logprobs) == [f.logprob for f in theirs.output[0].content[0].logprobs]
    usage = theirs.usage
    assert (ours.tokens_in, ours.tokens_out) == (usage.input_tokens, usage.output_tokens)


def test_a_response_that_was_cut(both):
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    both.server.respond = lambda asked: Answer(200, cut)
    theirs = both.client.responses.create(**RESPONSES)
    assert theirs.incomplete_details.reason == "max_output_tokens"
    assert both.answer(api="responses").finish == "length"


def test_a_response_as_it_is_written(both):
    both.server.respond = lambda asked: stream(events(), done=False)
    theirs = list(both.client.responses.create(**RESPONSES, stream=True))
    *parts, ours = both.stream(api="responses")
    both.same()
    assert parts == [e.delta for e in theirs if e.type == "response.output_text.delta"]
    assert (ours.text, ours.tokens_out) == (theirs[-1].response.output_text, 2)
    assert list(ours.logprobs) == [-0.5, -9999.0]


JOB = {
    "id": "ftjob-1",
    "object": "fine_tuning.job",
    "created_at": 1,
    "error": {"code": None, "message": None, "param": None},
    "fine_tuned_model": "ft:gpt-4.1-mini:acme::1",
    "finished_at": 2,
    "hyperparameters": {"n_epochs": 3},
    "model": "gpt-4.1-mini",
    "organization_id": "org-1",
    "result_files": ["file-9"],
    "seed": 1,
    "status": "succeeded",
    "trained_tokens": 4321,
    "training_file": "file-1",
    "validation_file": "file-2",
    "metadata": {"penin": "k"},
}
EVENT = {
    "id": "e1",
    "object": "fine_tuning.job.event",
    "created_at": 1,
    "level": "info",
    "type": "metrics",
    "message": "Step 1/3",
    "data": {"step": 1, "total_steps": 3, "train_loss": 0.5, "valid_loss": 0.75},
}
CHECKPOINT = {
    "id": "c1",
    "object": "fine_tuning.job.checkpoint",
    "created_at": 1,
    "fine_tuning_job_id": "ftjob-1",
    "fine_tuned_model_checkpoint": "ft:gpt-4.1-mini:acme::1:ckpt-step-2",
    "step_number": 2,
    "metrics": {"step": 2, "train_loss": 0.25, "full_valid_loss": 0.5},
}


def jobs(asked):
    if asked.path.startswith("/files"):
        return Answer(200, {"id": "file-1", "object": "file", "deleted": True})
    listed = {"/events": [EVENT], "/checkpoints": [CHECKPOINT], "/jobs": [JOB]}
    for end, data in listed.items():
        if asked.path.endswith(end) and asked.method == "GET":
            return Answer(200, {"object": "list", "data": data, "has_more": False})
    return Answer(200, JOB)


def test_data_are_uploaded_and_deleted(both):
    both.server.respond = jobs
    for name, content in (("train", b"{1}\n{2}\n"), ("validation", "Zoë\n".encode())):
        both.client.files.create(file=(f"{name}.jsonl", content), purpose="fine-tune")
    both.client.files.delete("file-1")
    tuner = OpenAIFineTuner()
    assert both.drive(tuner.upload_data(b"{1}\n{2}\n", "Zoë\n".encode())) == ("file-1",) * 2
    assert both.drive(tuner.delete_data(["file-1"])) == ()
    both.same()


def test_a_job_is_created_found_and_cancelled(both):
    both.server.respond = jobs
    hyperparams = OpenAIHyperparams(n_epochs=4, batch_size=8).model_dump()
    theirs = both.client.fine_tuning.jobs
    theirs.create(
        model="gpt-4.1-mini",
        training_file="file-1",
        validation_file="file-2",
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparams}},
        metadata={"penin": "k"},
    )
    theirs.list(limit=100, metadata={"penin": "k"})
    theirs.cancel("ftjob-1")
    tuner, files = OpenAIFineTuner(), ("file-1", "file-2")
    assert both.drive(tuner.create_job("gpt-4.1-mini", files, hyperparams, "k")) == "ftjob-1"
    assert both.drive(tuner.find_job("k")) == "ftjob-1"
    both.drive(tuner.cancel("ftjob-1"))
    both.same()


def test_a_job_is_read(both):
    both.server.respond = jobs
    theirs = both.client.fine_tuning.jobs
    job = theirs.retrieve("ftjob-1")
    (event,) = theirs.list_events("ftjob-1", limit=100).data
    (checkpoint,) = theirs.checkpoints.list("ftjob-1", limit=100).data
    ours = both.drive(OpenAIFineTuner().get_job("ftjob-1"))
    both.same()
    assert (ours.status, ours.tokens) == (job.status, job.trained_tokens)
    assert list(ours.files) == job.result_files
    assert ours.events == (event.message,)
    assert ours.points[0].loss == event.data["train_loss"]
    (kept,) = ours.checkpoints
    assert (kept.model, kept.step) == (
        checkpoint.fine_tuned_model_checkpoint,
        checkpoint.step_number,
    )
    assert (kept.loss, kept.validation_loss) == (
        checkpoint.metrics.train_loss,
        checkpoint.metrics.full_valid_loss,
    )
    assert both.drive(OpenAIFineTuner().get_model("ftjob-1")) == job.fine_tuned_model
