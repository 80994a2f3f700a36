"""Loading a model: whole, from safetensors, without a network and without anybody's code."""

import json
import os
import socket

import pytest

from penin_core import ProviderRefused

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
loading = pytest.importorskip("penin_hf.loading")
ModelOptions = pytest.importorskip("penin_hf.options").ModelOptions
safetensors = pytest.importorskip("safetensors.torch")

OPTIONS = ModelOptions()


def refused(folder, load=loading.load_model, options=OPTIONS):
    with pytest.raises(ProviderRefused) as caught:
        load(str(folder), options)
    assert caught.value.hint
    return f"{caught.value} ({caught.value.hint})"


def rewritten(folder, change):
    """Change the weights in a folder."""
    path = folder / "model.safetensors"
    weights = safetensors.load_file(path)
    safetensors.save_file(change(weights), path, {"format": "pt"})
    return folder


def configured(folder, **changes):
    """Change the configuration in a folder."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.fixture
def folder(new_model, tmp_path):
    return new_model(tmp_path / "m")


def test_a_model_is_ready_to_answer_and_not_to_learn(folder):
    model = loading.load_model(str(folder), OPTIONS)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_loading_needs_no_network_and_no_terminal(folder, monkeypatch, capfd):
    def no_network(*_):
        raise AssertionError("somebody asked for the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    loading.load_tokenizer(str(folder), OPTIONS)
    loading.load_model(str(folder), OPTIONS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", [b"", b"\x00" * 64, b"\xff" * 64])
def test_damaged_weights_are_refused(folder, damage):
    (folder / "model.safetensors").write_bytes(damage)
    assert "cannot be loaded" in refused(folder)


def test_weights_that_are_cut_off_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be loaded" in refused(folder)


def test_weights_that_are_missing_are_never_drawn_at_random(folder):
    rewritten(folder, lambda w: {name: w[name] for name in w if "layers.1" not in name})
    assert "are missing" in refused(folder)


def test_weights_of_another_shape_are_refused(folder):
    configured(folder, intermediate_size=96)
    assert refused(folder)


def test_a_shard_that_is_missing_is_named(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    loading.load_model(str(folder), OPTIONS)
    shards[-1].unlink()
    assert shards[-1].name in refused(folder)


def test_a_model_that_continues_no_text_is_refused(tmp_path):
    config = transformers.T5Config(
        vocab_size=20, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    assert "T5Config" in refused(tmp_path / "t5")


def test_a_model_with_a_running_state_is_refused(tmp_path):
    config = transformers.MambaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, state_size=2
    )
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    assert "running state" in refused(tmp_path / "mamba")


def test_an_architecture_that_nobody_knows_is_refused(folder):
    configured(folder, model_type="no_such_model")
    assert "no_such_model" in refused(folder)


def test_a_missing_tokenizer_is_named(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "the tokenizer" in refused(folder, loading.load_tokenizer)


CODE = """
import pathlib
pathlib.Path(__file__).with_name("it-ran").touch()
from transformers import LlamaConfig, LlamaForCausalLM
class Config(LlamaConfig):
    model_type = "foreign"
class Model(LlamaForCausalLM):
    config_class = Config
"""


@pytest.fixture
def foreign(folder, monkeypatch, tmp_path):
    """A model that brings code of its own, which leaves a trace where it runs."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "x"))
    (folder / "foreign.py").write_text(CODE.replace("__file__", repr(str(folder / "x"))))
    names = {"AutoConfig": "foreign.Config", "AutoModelForCausalLM": "foreign.Model"}
    return configured(folder, model_type="foreign", auto_map=names)


def test_foreign_code_does_not_run(foreign):
    said = refused(foreign)
    assert "needs Python code that came with it" in said
    assert f'trust_remote_code = ["{foreign}"]' in said
    assert not (foreign / "it-ran").exists()


def test_foreign_code_runs_where_it_is_trusted_by_name(foreign):
    other = ModelOptions(trust_remote_code=("another", os.fspath(foreign.parent)))
    assert "needs Python code" in refused(foreign, options=other)
    model = loading.load_model(str(foreign), ModelOptions(trust_remote_code=(str(foreign),)))
    assert type(model).__name__ == "Model"
    assert (foreign / "it-ran").exists()


def test_the_ends_of_an_answer_are_those_of_tokenizer_and_model(folder):
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [5, 1, 7]}))
    model = loading.load_model(str(folder), OPTIONS)
    assert loading.end_ids(model, loading.load_tokenizer(str(folder), OPTIONS)) == (1, 5, 7)


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert loading.device_of(OPTIONS) == torch.device("cuda")
    assert loading.device_of(ModelOptions(device="cuda:1")) == torch.device("cuda:1")
    with pytest.raises(ProviderRefused, match="finds 2 GPUs here"):
        loading.device_of(ModelOptions(device="cuda:2"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.device_of(OPTIONS) == torch.device("cpu")
