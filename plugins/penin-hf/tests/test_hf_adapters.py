"""LoRA adapters: several on one copy of the weights, each request answered with its own."""

import json
import shutil

import pytest

from penin_core import Completion, Message, ProviderRefused, Request

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
safetensors = pytest.importorskip("safetensors.torch")
transformers = pytest.importorskip("transformers")
HFProvider = pytest.importorskip("penin_hf.provider").HFProvider
folders = pytest.importorskip("penin_hf.folders")

# PEFT reads an attribute that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers.modeling_utils")


def make_adapter(model, folder, seed, targets=("q_proj", "v_proj"), **changes):
    """Save a LoRA adapter with random weights, as a training would leave it."""
    base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 32, "task_type": "CAUSAL_LM", **changes}
    made = peft.get_peft_model(base, peft.LoraConfig(target_modules=list(targets), **settings))
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=dice) * 0.4)
    made.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def adapters(llama, tmp_path_factory):
    """Three adapters of the small Llama, that differ in their layers and ranks, too."""
    root = tmp_path_factory.mktemp("adapters")
    kinds = [
        {"targets": ("q_proj", "v_proj")},
        {"targets": ("down_proj", "k_proj"), "r": 2, "use_rslora": True},
        {"targets": ("up_proj", "gate_proj"), "use_dora": True},
    ]
    return [make_adapter(llama, root / str(n), n, **kind) for n, kind in enumerate(kinds)]


@pytest.fixture(scope="module")
def provider():
    made = HFProvider()
    yield made
    made.close()


def ask(model, adapter=None, **changes):
    messages = (Message(role="user", content="Say hello."),)
    given = {"max_tokens": 12, "seed": 7, "logprobs": True, "adapter": adapter, **changes}
    return Request(provider="hf", model=model, messages=messages, **given)


def test_each_request_is_answered_with_its_own_adapter(provider, llama, adapters):
    kinds = [None, *adapters, None, *reversed(adapters)]
    together = provider.generate([ask(llama, kind) for kind in kinds])
    assert len({answer.text for answer in together}) == 4
    for kind, answer in zip(kinds, together, strict=True):
        (alone,) = provider.generate([ask(llama, kind)])
        assert answer.text == alone.text
        assert answer.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_an_adapter_answers_as_it_does_when_merged_into_the_weights(provider, llama, adapters):
    (answer,) = provider.generate([ask(llama, adapters[1], temperature=0.0)])
    prompt = provider._load(llama).prompt(ask(llama))
    base = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(base, adapters[1]).merge_and_unload().eval()
    with torch.inference_mode():
        first = merged(torch.tensor([prompt.tokens])).logits[0, -1].double().log_softmax(-1)
    assert answer.logprobs[0] == pytest.approx(first.max().item(), abs=1e-4)


def test_the_base_answers_to_the_last_bit_as_before(provider, llama, adapters):
    (before,) = provider.generate([ask(llama)])
    provider.generate([ask(llama, adapter) for adapter in adapters])
    assert provider.generate([ask(llama)]) == [before]


def test_there_is_one_copy_of_the_weights(llama, adapters):
    provider = HFProvider()
    provider.generate([ask(llama)])
    base = provider._load(llama)._decoder.model
    own = {p.data_ptr(): p.numel() for p in base.parameters()}
    provider.generate([ask(llama, adapter) for adapter in adapters])
    after = provider._load(llama)._decoder.model
    assert after is base
    now = {p.data_ptr(): p.numel() for p in after.parameters()}
    assert own.keys() <= now.keys()
    assert sum(now.values()) < 1.5 * sum(own.values())


def test_adapters_that_are_not_needed_are_let_go(llama, tmp_path, monkeypatch):
    monkeypatch.setattr("penin_hf.adapters.KEPT", 2)
    provider = HFProvider()
    made = [make_adapter(llama, tmp_path / str(n), n) for n in range(4)]
    first = provider.generate([ask(llama, each) for each in made])
    assert len(provider._load(llama)._adapters._peft.peft_config) == 2
    assert provider.generate([ask(llama, each) for each in made]) == first


def refusal(provider, model, adapter):
    """Return why ``adapter`` is refused; the model itself must still answer as it did."""
    (before,) = provider.generate([ask(model)])
    error, after = provider.generate([ask(model, str(adapter)), ask(model)])
    assert isinstance(error, ProviderRefused)
    assert error.hint
    assert after == before
    return str(error)


def changed(source, target, **config):
    """Copy an adapter and change its configuration."""
    shutil.copytree(source, target)
    path = target / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return target


def test_an_adapter_that_is_not_there_is_refused(provider, llama, tmp_path):
    assert "cannot be read" in refusal(provider, llama, tmp_path / "nothing")


def test_a_pickled_adapter_is_refused(provider, llama, adapters, tmp_path):
    folder = changed(adapters[0], tmp_path / "pickled")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert "adapter_model.safetensors cannot be read" in refusal(provider, llama, folder)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"bias": "all"}, "biases"),
        ({"megatron_config": {"x": 1}, "megatron_core": "antigravity"}, "megatron_config"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"target_modules": ["no_such_layer"]}, "does not fit"),
        ({"r": 3}, "does not fit"),
        ({"target_modules": ["q_proj"]}, "does not fit"),
        ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, "does not fit"),
    ],
)
@pytest.mark.parametrize("fresh", [True, False], ids=["first", "later"])
def test_a_configuration_that_cannot_be_served_is_refused(
    provider, llama, adapters, tmp_path, config, why, fresh
):
    provider = HFProvider() if fresh else provider
    assert why in refusal(provider, llama, changed(adapters[0], tmp_path / "changed", **config))
    # And those that fit are still answered with.
    assert isinstance(provider.generate([ask(llama, adapters[1])])[0], Completion)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}"])
def test_a_damaged_adapter_is_refused(provider, llama, adapters, tmp_path, content):
    folder = changed(adapters[0], tmp_path / "damaged")
    (folder / "adapter_model.safetensors").write_bytes(content)
    assert "is damaged" in refusal(provider, llama, folder)


def test_an_adapter_that_brings_weights_of_the_base_is_refused(provider, llama, adapters, tmp_path):
    folder = changed(adapters[0], tmp_path / "greedy")
    name = "base_model.model.lm_head.weight"
    tensors = safetensors.load_file(folder / "adapter_model.safetensors")
    safetensors.save_file(
        {**tensors, name: torch.zeros(258, 32)}, folder / "adapter_model.safetensors"
    )
    assert name in refusal(provider, llama, folder)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_configuration_is_refused(provider, llama, adapters, tmp_path, content):
    folder = changed(adapters[0], tmp_path / "damaged")
    (folder / "adapter_config.json").write_text(content)
    assert "adapter_config.json" in refusal(provider, llama, folder)


def test_an_adapter_of_another_base_is_refused(provider, llama, adapters, tmp_path, new_model):
    folder = changed(adapters[0], tmp_path / "foreign")
    own = folders.weights_digest(folders.locate(llama))
    (folder / "penin.json").write_text(json.dumps({"format": 1, "base": own}))
    assert isinstance(provider.generate([ask(llama, str(folder))])[0], Completion)
    (folder / "penin.json").write_text(json.dumps({"format": 1, "base": "0" * 64}))
    assert "was trained on weights 000" in refusal(provider, llama, folder)
    wide = new_model(tmp_path / "wide", hidden_size=64)
    foreign = make_adapter(str(wide), tmp_path / "wide-adapter", 0)
    assert "does not fit" in refusal(provider, llama, foreign)
