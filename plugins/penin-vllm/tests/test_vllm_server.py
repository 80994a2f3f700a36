"""A server that answers as vLLM 0.32 does: sentences instead of JSON, codes that are numbers."""

import asyncio

import pytest

from penin_core import (
    Message,
    ProviderRefused,
    ProviderUnavailable,
    Request,
)
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.testing.loopback import Answer, Loopback
from penin_vllm import VLLM, VLLMOptions

METRICS = """\
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="tiny"} 36.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="a}b"} 2.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 3.0
process_open_fds 41.0
"""


class Server:
    """Serves one base model, and the adapters that it is told to load."""

    def __init__(self):
        self.adapters, self.updating, self.ready = {}, True, True

    def respond(self, asked):
        if asked.path == "/health":
            return Answer(200 if self.ready else 503)
        if asked.path == "/metrics":
            return Answer(200, METRICS, {"content-type": "text/plain; version=0.0.4"})
        if asked.path == "/v1/models":
            base = [{"id": "tiny", "object": "model", "root": "/models/tiny", "parent": None}]
            tuned = [{"id": name, "object": "model", "root": path, "parent": "tiny"}
                     for name, path in self.adapters.items()]  # fmt: skip
            return Answer(200, {"object": "list", "data": base + tuned})
        if asked.path == "/v1/chat/completions":
            return self.error(404, "The model `x` does not exist.", "NotFoundError", "model")
        if not self.updating:
            return Answer(404, {"detail": "Not Found"})
        return self.update(asked.path, asked.json)

    def update(self, path, body):
        name = body["lora_name"]
        if path == "/v1/unload_lora_adapter":
            if self.adapters.pop(name, None) is None:
                gone = f"The lora adapter '{name}' cannot be found."
                return self.error(404, gone, "NotFoundError")
            return Answer(200, f"Success: LoRA adapter '{name}' removed successfully.")
        if name in self.adapters:
            return self.error(400, f"The lora adapter '{name}' has already been loaded.", "x")
        if not body["lora_path"].startswith("/models/"):
            gone = f"Loading lora {name} failed: No adapter found for {body['lora_path']}"
            return self.error(404, gone, "NotFoundError")
        self.adapters[name] = body["lora_path"]
        return Answer(200, f"Success: LoRA adapter '{name}' added successfully.")

    def error(self, status, message, kind, param=None):
        error = {"message": message, "type": kind, "param": param, "code": status}
        return Answer(status, {"error": error})


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def drive(server, tmp_path):
    with Loopback(server.respond) as loopback:
        made = VLLM(VLLMOptions(base_url=f"{loopback.url}/v1"))

        async def with_engine(use):
            budget = Budget(tmp_path / "budget.db")
            cache = ResponseCache(tmp_path / "cache.db")
            engine = Engine(lambda name: made, budget=budget, cache=cache, sleep=asyncio.sleep)
            try:
                return await use(engine)
            finally:
                await engine.aclose()

        def drive(steps=None, ask=None):
            if ask is not None:
                return asyncio.run(with_engine(lambda engine: engine.answer([ask])))[0]
            return asyncio.run(with_engine(lambda engine: engine.drive("vllm", steps(made))))

        yield drive


def test_an_adapter_is_loaded_served_and_forgotten(drive):
    drive(lambda vllm: vllm.load_adapter("slots-1", "/models/slots-1"))
    assert drive(lambda vllm: vllm.adapters()) == ("slots-1",)
    drive(lambda vllm: vllm.unload_adapter("slots-1"))
    assert drive(lambda vllm: vllm.adapters()) == ()


def test_an_adapter_that_is_not_there_is_refused_in_the_server_s_words(drive):
    with pytest.raises(ProviderRefused, match="No adapter found for /tmp/slots-1") as caught:
        drive(lambda vllm: vllm.load_adapter("slots-1", "/tmp/slots-1"))
    assert "VLLM_ALLOW" not in caught.value.hint
    with pytest.raises(ProviderRefused, match="cannot be found"):
        drive(lambda vllm: vllm.unload_adapter("slots-1"))


def test_an_adapter_is_not_loaded_twice(drive):
    drive(lambda vllm: vllm.load_adapter("slots-1", "/models/slots-1"))
    with pytest.raises(ProviderRefused, match="already been loaded"):
        drive(lambda vllm: vllm.load_adapter("slots-1", "/models/slots-1"))


def test_a_server_that_says_yes_and_serves_nothing_is_not_believed(drive, server):
    server.update = lambda path, body: Answer(200, "Success: LoRA adapter added successfully.")
    with pytest.raises(ProviderRefused, match="does not serve adapter 'slots-1'"):
        drive(lambda vllm: vllm.load_adapter("slots-1", "/models/slots-1"))


def test_a_server_without_updates_at_run_time_says_how_to_start_it(drive, server):
    server.updating = False
    with pytest.raises(ProviderRefused, match="Not Found") as caught:
        drive(lambda vllm: vllm.load_adapter("slots-1", "/models/slots-1"))
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in caught.value.hint


def test_health_stands_beside_the_version(drive, server):
    assert drive(lambda vllm: vllm.health()) is True


def test_a_server_that_is_not_ready_is_unavailable(drive, server, monkeypatch):
    async def at_once(seconds):
        return

    monkeypatch.setattr(asyncio, "sleep", at_once)
    server.ready = False
    with pytest.raises(ProviderUnavailable, match="503"):
        drive(lambda vllm: vllm.health())


def test_metrics_are_summed_over_their_labels(drive):
    assert drive(lambda vllm: vllm.metrics()) == {
        "vllm:generation_tokens_total": 36.0,
        "vllm:request_success_total": 5.0,
        "process_open_fds": 41.0,
    }


def test_an_error_whose_code_is_a_number_is_read(drive):
    asked = Request(provider="vllm", model="x", messages=(Message(role="user", content="Hi"),))
    error = drive(ask=asked)
    assert isinstance(error, ProviderRefused)
    assert "The model `x` does not exist." in str(error)
    assert (error.code, error.param) == ("404", "model")
