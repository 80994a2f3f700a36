"""What the plugins write, held against the documents in which the vendors describe their services.

The documents are not part of this repository: a variable for each names one that was fetched. The
server that they drive is Prism (``npm install @stoplight/prism-cli@5.14``), found on the path or by
PENIN_PRISM. Without them the tests are skipped, and say so.
"""

import asyncio
import importlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from penin_core import Call, Completion, Message, Price, ProviderError, Request
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.records import JobState

FILES = ("d1b2c3d4-0000-4000-8000-000000000001", "d1b2c3d4-0000-4000-8000-000000000002")
JOB = "b472ae2a-8c4f-4f3a-9d2f-6b6a5c1f0e11"
STARTS_WITHIN_S = 180
ROWS = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


def plugin(module, name, **options):
    pytest.importorskip(module.partition(".")[0], reason="the plugin is not installed")
    kind = getattr(importlib.import_module(module), name)
    return lambda url: kind(kind.Options(base_url=url, **options))


def tuner(module, name):
    return getattr(importlib.import_module(f"{module}.finetuner"), name)()


def trim():
    path = Path(__file__).with_name("trim.py")
    spec = importlib.util.spec_from_file_location("penin_contracts_trim", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class Prism:
    """A server on this computer that knows one document, and refuses what it does not allow."""

    def __init__(self, folder, variable, paths):
        document = os.environ.get(variable)
        binary = os.environ.get("PENIN_PRISM") or shutil.which("prism")
        if not document or not binary:
            missing = f"{variable} names no document" if not document else "there is no Prism"
            pytest.skip(f"{missing}; see docs/providers.md")
        trimmer = trim()
        small = folder / "trimmed.json"
        small.write_text(json.dumps(trimmer.trimmed(trimmer.read(Path(document)), paths)))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}", folder / "prism.log"
        self._log = self.log.open("w")
        command = [binary, "mock", "--errors", "--port", str(port), str(small)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def __enter__(self):
        ends = time.monotonic() + STARTS_WITHIN_S
        while not answers(self.url):
            assert self._process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < ends, "Prism does not start"
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@pytest.fixture(scope="class")
def prism(request, tmp_path_factory):
    contract = request.cls
    with Prism(tmp_path_factory.mktemp("prism"), contract.variable, contract.paths) as prism:
        yield prism


class Contract:
    """One vendor: right calls of the plugin are accepted, and wrong ones beside them refused."""

    variable = ""
    paths = ()
    key_env = ""
    base = ""

    @pytest.fixture(autouse=True)
    def key(self, monkeypatch):
        if self.key_env:
            monkeypatch.setenv(self.key_env, "sk-test-12345678")

    def run(self, prism, folder, use, model="", **options):
        made = self.provider(**options)(prism.url + self.base)

        async def with_engine():
            budget = Budget(folder / "budget.db", 100.0)
            cache = ResponseCache(folder / "cache.db")
            free = {f"any:{model}": Price(input_per_million=0, output_per_million=0)}
            engine = Engine(lambda name: made, budget=budget, cache=cache, prices=free)
            try:
                return await use(engine)
            finally:
                await engine.aclose()

        return asyncio.run(with_engine())

    def drive(self, prism, folder, steps):
        return self.run(prism, folder, lambda engine: engine.drive("any", steps))

    def ask(self, prism, folder, request, **options):
        async def use(engine):
            (answer,) = await engine.answer([request])
            if isinstance(answer, ProviderError):
                raise answer
            return answer

        return self.run(prism, folder, use, request.model, **options)

    def refused(self, prism, folder, call):
        with pytest.raises(ProviderError) as caught:
            self.drive(prism, folder, sent(call))
        assert caught.value.status in (400, 404, 405, 422), str(caught.value)


def question(model, **changes):
    given = {"system": "Be brief.", "max_tokens": 32, "seed": 5, "temperature": 0.5, **changes}
    turns = (Message(role="user", content="Zoë?"), Message(role="assistant", content="Yes."),
             Message(role="user", content="And?"))  # fmt: skip
    return Request(provider="any", model=model, messages=turns, **given)


def sent(call):
    """Send one call, and return the status of its reply."""
    return (yield call).status


def spoiled(call, **changes):
    """Return ``call`` with other fields in its body; None takes one out."""
    body = {**(call.body or {}), **changes}
    return call.model_copy(update={"body": {k: v for k, v in body.items() if v is not None}})


class TestOpenAI(Contract):
    variable, key_env = "PENIN_OPENAPI_OPENAI", "OPENAI_API_KEY"
    paths = ("/chat/completions", "/responses", "/files", "/fine_tuning/jobs", "/models")

    def provider(self, **options):
        return plugin("penin_openai.provider", "OpenAI", **options)

    def chat(self, prism, model="gpt-4.1-mini", **changes):
        return self.provider()(prism.url).encode(question(model, **changes))

    @pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5.4", "o3"])
    @pytest.mark.parametrize("api", ["chat", "responses"])
    @pytest.mark.parametrize("effort", [None, "none", "low"])
    def test_a_question_is_accepted_and_its_answer_is_read(
        self, prism, tmp_path, model, api, effort
    ):
        asked = question(model, logprobs=True)
        found = self.ask(prism, tmp_path, asked, api=api, reasoning_effort=effort)
        assert isinstance(found, Completion)

    @pytest.mark.parametrize(
        "changes",
        [{"messages": None}, {"messages": []}, {"temperature": 9}, {"top_logprobs": 21},
         {"reasoning_effort": "enormous"}, {"max_completion_tokens": "many"}],
        ids=str,
    )  # fmt: skip
    def test_a_wrong_chat_completion_is_refused(self, prism, tmp_path, changes):
        self.refused(prism, tmp_path, spoiled(self.chat(prism), **changes))

    @pytest.mark.parametrize(
        "changes",
        [{"max_output_tokens": 15}, {"temperature": 2.5}, {"include": ["no.such.thing"]},
         {"reasoning": {"effort": "enormous"}}],
        ids=str,
    )  # fmt: skip
    def test_a_wrong_response_is_refused(self, prism, tmp_path, changes):
        made = self.provider(api="responses")(prism.url)
        self.refused(prism, tmp_path, spoiled(made.encode(question("gpt-4.1-mini")), **changes))

    def test_a_stream_is_asked_for_as_both_endpoints_want_it(self, prism, tmp_path):
        for api in ("chat", "responses"):
            made = self.provider(api=api)(prism.url)
            call = made.encode(question("gpt-4.1-mini", extra=dict(made.streaming)))
            assert self.drive(prism, tmp_path, sent(call)) == 200

    def test_data_are_uploaded_and_deleted(self, prism, tmp_path):
        made = tuner("penin_openai", "OpenAIFineTuner")
        assert len(self.drive(prism, tmp_path, made.upload_data(ROWS, ROWS))) == 2
        assert self.drive(prism, tmp_path, made.delete_data(FILES)) == ()
        wrong = spoiled(next(made.upload_data(ROWS, None)), purpose="amusement")
        self.refused(prism, tmp_path, wrong)
        self.refused(prism, tmp_path, Call(method="PUT", path=f"/files/{FILES[0]}"))

    def job(self, **changes):
        made = tuner("penin_openai", "OpenAIFineTuner")
        chosen = made.Hyperparams(**changes).model_dump(mode="json")
        return made.create_job("gpt-4.1-mini-2025-04-14", FILES, chosen, "0" * 32)

    @pytest.mark.parametrize(
        "changes", [{}, {"n_epochs": 50, "batch_size": 256, "learning_rate_multiplier": 0.1}]
    )
    def test_a_job_is_created(self, prism, tmp_path, changes):
        assert self.drive(prism, tmp_path, self.job(**changes))

    @pytest.mark.parametrize(
        "changes",
        [{"training_file": None}, {"model": None}, {"method": {"type": "magic"}},
         {"method": {"type": "supervised",
                     "supervised": {"hyperparameters": {"n_epochs": 51}}}}, {"metadata": 5}],
        ids=str,
    )  # fmt: skip
    def test_a_wrong_job_is_refused(self, prism, tmp_path, changes):
        self.refused(prism, tmp_path, spoiled(next(self.job()), **changes))

    def test_a_job_is_looked_for_read_and_cancelled(self, prism, tmp_path):
        made = tuner("penin_openai", "OpenAIFineTuner")
        assert self.drive(prism, tmp_path, made.find_job("0" * 32)) is None
        assert isinstance(self.drive(prism, tmp_path, made.get_job("ftjob-1")), JobState)
        assert self.drive(prism, tmp_path, made.get_model("ftjob-1"))
        self.drive(prism, tmp_path, made.cancel("ftjob-1"))

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/fine_tuning/jobs?limit=many"),
            ("GET", "/fine_tuning/jobs/ftjob-1/events?limit=many"),
            ("GET", "/fine_tuning/jobs/ftjob-1/checkpoints?limit=many"),
            ("POST", "/fine_tuning/jobs/ftjob-1"),
            ("GET", "/fine_tuning/jobs/ftjob-1/cancel"),
            ("POST", "/models"),
        ],
    )
    def test_a_wrong_look_is_refused(self, prism, tmp_path, method, path):
        self.refused(prism, tmp_path, Call(method=method, path=path))

    def test_models_are_listed(self, prism, tmp_path):
        def steps():
            return (yield Call(method="GET", path="/models")).body["data"]

        assert all("id" in found for found in self.drive(prism, tmp_path, steps()))


class TestMistral(Contract):
    variable, key_env, base = "PENIN_OPENAPI_MISTRAL", "MISTRAL_API_KEY", "/v1"
    paths = ("/v1/chat/completions", "/v1/files", "/v1/fine_tuning/jobs", "/v1/models")

    def provider(self, **options):
        return plugin("penin_mistral.provider", "Mistral", **options)

    def test_a_question_is_accepted_and_its_answer_is_read(self, prism, tmp_path):
        found = self.ask(prism, tmp_path, question("mistral-small-latest", logprobs=True))
        assert isinstance(found, Completion)
        assert "logprobs" in found.dropped

    def test_a_stream_is_asked_for(self, prism, tmp_path):
        made = self.provider()(prism.url)
        call = made.encode(question("mistral-small-latest", extra=dict(made.streaming)))
        assert self.drive(prism, tmp_path, sent(call)) == 200

    @pytest.mark.parametrize(
        "changes",
        [{"seed": 5}, {"max_completion_tokens": 5}, {"temperature": 1.6}, {"messages": None},
         {"stream_options": {"include_usage": True}},
         {"messages": [{"role": "developer", "content": "Be brief."}]}],
        ids=str,
    )  # fmt: skip
    def test_a_wrong_question_is_refused(self, prism, tmp_path, changes):
        call = self.provider()(prism.url).encode(question("mistral-small-latest"))
        self.refused(prism, tmp_path, spoiled(call, **changes))

    def test_data_are_uploaded_and_deleted(self, prism, tmp_path):
        made = tuner("penin_mistral", "MistralFineTuner")
        assert len(self.drive(prism, tmp_path, made.upload_data(ROWS, ROWS))) == 2
        assert self.drive(prism, tmp_path, made.delete_data(FILES)) == ()
        upload = Call(path="/files", body={"purpose": "amusement"},
                      files=next(iter_calls(made.upload_data(ROWS, None))).files)  # fmt: skip
        self.refused(prism, tmp_path, upload)
        self.refused(prism, tmp_path, Call(method="DELETE", path="/files/not-a-uuid"))

    def job(self, **changes):
        made = tuner("penin_mistral", "MistralFineTuner")
        chosen = made.Hyperparams(**changes).model_dump(mode="json")
        return made.create_job("open-mistral-nemo", FILES, chosen, "0123456789abcdef" * 2)

    @pytest.mark.parametrize("changes", [{}, {"n_epochs": 0.5, "learning_rate": 1e-8}], ids=str)
    def test_a_job_is_created(self, prism, tmp_path, changes):
        assert self.drive(prism, tmp_path, self.job(**changes))

    @pytest.mark.parametrize(
        "changes",
        [{"model": None}, {"hyperparameters": None}, {"suffix": "0" * 19},
         {"training_files": [{"file_id": "file-1"}]}, {"auto_start": "perhaps"},
         {"hyperparameters": {"epochs": 0, "learning_rate": 2}}],
        ids=str,
    )  # fmt: skip
    def test_a_wrong_job_is_refused(self, prism, tmp_path, changes):
        self.refused(prism, tmp_path, spoiled(next(self.job()), **changes))

    def test_a_job_is_looked_for_read_and_cancelled(self, prism, tmp_path):
        made = tuner("penin_mistral", "MistralFineTuner")
        assert self.drive(prism, tmp_path, made.find_job("0" * 32)) is None
        assert isinstance(self.drive(prism, tmp_path, made.get_job(JOB)), JobState)
        self.drive(prism, tmp_path, made.cancel(JOB))

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/fine_tuning/jobs?page_size=many"),
            ("GET", "/fine_tuning/jobs/job-1"),
            ("POST", "/fine_tuning/jobs/job-1/cancel"),
            ("POST", "/models"),
        ],
    )
    def test_a_wrong_look_is_refused(self, prism, tmp_path, method, path):
        self.refused(prism, tmp_path, Call(method=method, path=path))


def iter_calls(steps):
    """Yield the calls of an operation that is answered with an empty list and then with ids."""
    reply = None
    while True:
        call = steps.send(reply)
        if call.files:
            yield call
        reply = type("R", (), {"body": {"data": [], "id": FILES[0]}})()


class TestXAI(Contract):
    variable, key_env, base = "PENIN_OPENAPI_XAI", "XAI_API_KEY", "/v1"
    paths = ("/v1/chat/completions", "/v1/models")

    def provider(self, **options):
        return plugin("penin_grok.provider", "Grok", **options)

    def test_a_question_is_accepted(self, prism, tmp_path):
        call = self.provider()(prism.url).encode(question("grok-4", logprobs=True))
        assert self.drive(prism, tmp_path, sent(call)) == 200

    @pytest.mark.parametrize(
        "changes",
        [{"messages": None}, {"model": None}, {"temperature": "hot"}, {"seed": "x"}],
        ids=str,
    )
    def test_a_wrong_question_is_refused(self, prism, tmp_path, changes):
        call = self.provider()(prism.url).encode(question("grok-4"))
        self.refused(prism, tmp_path, spoiled(call, **changes))


class TestVLLM(Contract):
    variable, base = "PENIN_OPENAPI_VLLM", "/v1"
    paths = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics",
             "/v1/load_lora_adapter", "/v1/unload_lora_adapter")  # fmt: skip

    def provider(self, **options):
        return plugin("penin_vllm", "VLLM", **options)

    @pytest.mark.parametrize("api", ["chat", "completions"])
    def test_a_question_is_accepted(self, prism, tmp_path, api):
        wanted = {"structured_outputs": {"choice": ["yes", "no"]}}
        made = self.provider(api=api)(prism.url)
        call = made.encode(question("m", logprobs=True, extra=wanted))
        assert self.drive(prism, tmp_path, sent(call)) == 200

    @pytest.mark.parametrize("api", ["chat", "completions"])
    @pytest.mark.parametrize(
        "changes",
        [{"messages": "Hi", "prompt": {}}, {"temperature": "hot"}, {"logprobs": "some"},
         {"structured_outputs": 5}],
        ids=str,
    )  # fmt: skip
    def test_a_wrong_question_is_refused(self, prism, tmp_path, changes, api):
        call = self.provider(api=api)(prism.url).encode(question("m", logprobs=True))
        self.refused(prism, tmp_path, spoiled(call, **changes))

    def test_what_the_server_once_took_is_let_through_in_silence(self, prism, tmp_path):
        call = self.provider()(prism.url).encode(question("m"))
        old = spoiled(call, guided_choice=["yes", "no"])
        assert self.drive(prism, tmp_path, sent(old)) == 200

    @pytest.mark.parametrize("name", ["load_adapter", "unload_adapter"])
    def test_adapters_are_loaded_and_forgotten(self, prism, tmp_path, name):
        made = self.provider()(prism.url + self.base)
        given = {"load_adapter": ("a", "/models/a"), "unload_adapter": ("a",)}[name]
        call = next(getattr(made, name)(*given))
        assert self.drive(prism, tmp_path, sent(call)) == 200
        self.refused(prism, tmp_path, spoiled(call, lora_name=None))

    def test_health_and_metrics_are_asked_for_beside_the_version(self, prism, tmp_path):
        made = self.provider()(prism.url + self.base)
        for steps in (made.health(), made.metrics()):
            assert self.drive(prism, tmp_path, sent(next(steps))) == 200
        self.refused(prism, tmp_path, Call(method="GET", path="/health"))
