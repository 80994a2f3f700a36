"""Servers that others wrote, with the same small Llama: they and penin-hf must agree.

The servers are ``transformers serve`` and vLLM on the CPU. A test skips where its server is not
installed; the tox environment ``servers`` has both.
"""

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from penin_core import Completion, Message, ProviderRefused, Request
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
HFProvider = pytest.importorskip("penin_hf.provider").HFProvider

# PEFT reads an attribute that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers.modeling_utils")

#: Seconds that a server may take to start on a machine with other work.
PATIENCE = 420
TOLERANCE = 1e-3


def needs(*modules):
    """Skip, with the reason, where a server is not installed."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed; tox -e servers has it")


@contextmanager
def running(command, health, log, **environment):
    """Run a server until the block ends; its port is the last of ``command``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    with log.open("wb") as out:
        started = subprocess.Popen([*command, str(port)], env=given, stdout=out, stderr=out)
        try:
            wait_for(f"http://127.0.0.1:{port}{health}", started, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            started.terminate()
            started.wait(timeout=60)


def wait_for(url, started, log):
    """Return when the server answers 200; fail with its log where it ends or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and started.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def model(tmp_path_factory, new_model):
    """A Llama whose heads are wide enough for vLLM."""
    sizes = {"hidden_size": 128, "intermediate_size": 128, "initializer_range": 0.2}
    template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    folder = tmp_path_factory.mktemp("served") / "llama"
    return str(new_model(folder, template=template, **sizes))


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    """A LoRA adapter of that model, with random weights."""
    base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    config = peft.LoraConfig(
        r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    made = peft.get_peft_model(base, config)
    dice = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=dice) * 0.3)
    folder = tmp_path_factory.mktemp("adapters") / "one"
    made.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def local():
    made = HFProvider()
    yield made
    made.close()


@pytest.fixture
def ask(model):
    """Return what makes greedy questions, so that the servers need no chance of their own."""

    def make(text, **changes):
        messages = (Message(role="user", content=text),)
        given = {"provider": "any", "model": model, "system": "Be brief.", "max_tokens": 12}
        sampling = {"temperature": 0.0, "seed": 7, "logprobs": True}
        return Request(messages=messages, **{**given, **sampling, **changes})

    return make


@pytest.fixture
def engine(tmp_path):
    """Return what asks a provider as penin does, or carries out its steps."""

    def connect(provider):
        budget = Budget(tmp_path / "budget.db", 5.0)
        cache = ResponseCache(tmp_path / "cache.db")
        return Engine(lambda name: provider, budget=budget, cache=cache)

    return connect


async def used(engine, use):
    """Use an engine once, and close it."""
    try:
        return await use(engine)
    finally:
        await engine.aclose()


def answers(connect, provider, *requests):
    return asyncio.run(used(connect(provider), lambda engine: engine.answer(list(requests))))


def operate(connect, provider, steps):
    return asyncio.run(used(connect(provider), lambda engine: engine.drive("vllm", steps)))


TEXTS = ("Say hello to Zoë.", "a", "word " * 12)


def test_transformers_serve_writes_what_penin_hf_writes(model, local, ask, engine, tmp_path):
    needs("fastapi", "uvicorn")
    plugin = pytest.importorskip("penin_openai.provider")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model]
    command += ["--device", "cpu", "--dtype", "float32", "--port"]
    requests = [ask(text) for text in TEXTS]
    with running(command, "/health", tmp_path / "log") as base_url:
        options = plugin.CompatibleOptions(base_url=base_url, free=True)
        served = answers(engine, plugin.Compatible(options), *requests)
    for there, here in zip(served, local.generate(requests), strict=True):
        assert isinstance(there, Completion), there
        assert there.text == here.text
        assert (there.tokens_in, there.tokens_out) == (here.tokens_in, here.tokens_out)
        # It takes the parameter and gives none; the engine notices.
        assert there.logprobs is None
        assert "logprobs" in there.dropped


@pytest.fixture(scope="module")
def vllm_server(model, tmp_path_factory):
    """The base URL of a vLLM server that may load adapters."""
    needs("vllm")
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--served-model-name", model, "--dtype", "float32", "--max-model-len", "256"]
    command += ["--enforce-eager", "--enable-lora", "--max-lora-rank", "8", "--max-loras", "2"]
    command += ["--host", "127.0.0.1", "--port"]
    log = tmp_path_factory.mktemp("vllm") / "log"
    settings = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with running(command, "/health", log, VLLM_NO_USAGE_STATS="1", **settings) as base_url:
        yield base_url


@pytest.fixture
def vllm(vllm_server):
    plugin = pytest.importorskip("penin_vllm")
    return plugin.VLLM(plugin.VLLMOptions(base_url=vllm_server))


def agree(there, here):
    """Both wrote the same, and were as sure of it.

    vLLM keeps the bytes of an unfinished letter at the end to itself.
    """
    assert isinstance(there, Completion), there
    assert there.text == here.text.rstrip("\ufffd")
    assert there.finish == here.finish
    assert (there.tokens_in, there.tokens_out) == (here.tokens_in, here.tokens_out)
    assert there.logprobs == pytest.approx(here.logprobs, abs=TOLERANCE)


def test_vllm_is_as_sure_as_penin_hf(vllm, local, ask, engine):
    requests = [ask(text) for text in TEXTS]
    for there, here in zip(answers(engine, vllm, *requests), local.generate(requests), strict=True):
        agree(there, here)


def test_vllm_means_the_same_by_log_probabilities_when_it_samples(vllm, local, ask, engine):
    # What it draws is its own chance; what it is sure of must be the model's own.
    (there,) = answers(engine, vllm, ask("a", temperature=1.3, top_p=0.8, max_tokens=1))
    prompt = local._load(ask("a").model).prompt(ask("a"))
    own = transformers.AutoModelForCausalLM.from_pretrained(ask("a").model, dtype=torch.float32)
    with torch.inference_mode():
        logs = own(torch.tensor([prompt.tokens])).logits[0, -1].double().log_softmax(-1)
    assert (logs - there.logprobs[0]).abs().min().item() < TOLERANCE


def test_an_adapter_is_loaded_answers_and_is_unloaded(vllm, local, ask, engine, adapter):
    operate(engine, vllm, vllm.load_adapter("one", adapter))
    requests = [ask(text, adapter="one") for text in TEXTS]
    tuned = local.generate([ask(text, adapter=adapter) for text in TEXTS])
    base = local.generate([ask(text) for text in TEXTS])
    assert [a.text for a in tuned] != [a.text for a in base]
    for there, here in zip(answers(engine, vllm, *requests), tuned, strict=True):
        agree(there, here)
    operate(engine, vllm, vllm.unload_adapter("one"))
    (gone,) = answers(engine, vllm, ask("once more", adapter="one"))
    assert isinstance(gone, ProviderRefused)


def test_an_adapter_that_the_server_cannot_load_is_refused(vllm, engine, tmp_path):
    with pytest.raises(ProviderRefused):
        operate(engine, vllm, vllm.load_adapter("none", str(tmp_path / "nothing")))
