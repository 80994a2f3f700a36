"""Models on this disk: found by path or by name, refused in words, known by their content."""

import json
import os

import pytest

from penin_core import ProviderRefused

folders = pytest.importorskip("penin_hf.folders")


@pytest.fixture
def folder(tmp_path):
    """A folder with the names of a model; nothing here looks into the weights."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "tokenizer.json").write_text("{}")
    (made / "README.md").write_text("hello")
    return made


def refused(model):
    with pytest.raises(ProviderRefused) as caught:
        folders.locate(str(model))
    assert caught.value.hint
    return str(caught.value), caught.value.hint


def test_a_folder_is_found_by_any_of_its_paths(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    found = {folders.locate(name) for name in (str(folder), "model", "./model", "~/model")}
    assert found == {folder.resolve()}


def test_a_name_of_the_hub_is_found_in_the_local_cache(folder, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    kept = tmp_path / "hub/models--someone--small"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs/main").write_text("0" * 40)
    (kept / "snapshots").mkdir()
    folder.rename(kept / "snapshots" / ("0" * 40))
    assert folders.window(folders.locate("someone/small")) == 64


def test_a_model_that_is_not_there_is_refused_with_what_to_do(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    said, hint = refused("someone/small")
    assert "local cache" in said
    assert "hf download someone/small" in hint
    assert "no folder" in refused(tmp_path / "nothing")[0]
    assert "no folder" in refused("../no/such/place")[0]


def test_a_folder_without_a_configuration_is_refused(folder):
    (folder / "config.json").unlink()
    assert "config.json is missing" in refused(folder)[0]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    said, hint = refused(folder)
    assert name in said
    assert "pickle can run code" in hint


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    assert "no weights" in refused(folder)[0]


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"max_position_embeddings": 64}, 64),
        ({"n_positions": 32, "n_ctx": 16}, 32),
        ({"text_config": {"max_position_embeddings": 128}}, 128),
        ({"model_type": "bloom"}, None),
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": -1, "text_config": 3}, None),
    ],
)
def test_the_window_is_what_the_configuration_says(folder, config, tokens):
    (folder / "config.json").write_text(json.dumps(config))
    assert folders.window(folder) == tokens


@pytest.mark.parametrize("content", ["", "[]", "{", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_damaged_configuration_is_refused(folder, content):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "config.json").write_bytes(data)
    with pytest.raises(ProviderRefused, match=r"config\.json"):
        folders.window(folder)


def test_whatever_can_change_an_answer_changes_the_digest(folder):
    seen = {folders.model_digest(folder)}
    for name, content in (
        ("config.json", "{}"),
        ("model.safetensors", "other"),
        ("tokenizer.json", "[]"),
        ("chat_template.jinja", "{{ messages }}"),
        ("modeling_own.py", "x = 1"),
        ("generation_config.json", "{}"),
    ):
        (folder / name).write_text(content)
        seen.add(folders.model_digest(folder))
    assert len(seen) == 7


def test_what_cannot_change_an_answer_does_not_change_the_digest(folder):
    before = folders.model_digest(folder), folders.signature(folder)
    (folder / "README.md").write_text("other")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle that is not read")
    assert (folders.model_digest(folder), folders.signature(folder)) == before


def test_the_digest_of_the_weights_is_of_the_weights_alone(folder):
    before = folders.weights_digest(folder)
    (folder / "tokenizer.json").write_text("[]")
    assert folders.weights_digest(folder) == before
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    assert folders.weights_digest(folder) != before


def test_a_file_is_read_again_only_when_it_has_changed(folder, monkeypatch):
    before = folders.model_digest(folder)
    with monkeypatch.context() as patched:
        patched.setattr(type(folder), "open", None)
        assert folders.model_digest(folder) == before
    path = folder / "model.safetensors"
    changed = path.stat().st_mtime_ns + 1
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(changed, changed))
    assert folders.model_digest(folder) != before
    assert folders.signature(folder) != before
