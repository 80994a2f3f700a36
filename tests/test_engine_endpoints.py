"""Endpoints: an answer belongs to where it came from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.contracts import ComponentOptions
from penin_core.engine.endpoints import answer_key, base_url, identity, origin
from penin_core.errors import ProviderRefused
from penin_core.records import Message, Request


class Service(ChatCompletionsProvider):
    """A service."""

    class Options(ComponentOptions):
        base_url: str = ""

    name = "service"
    base_url = "https://one.example/v1/"
    base_url_env = "SERVICE_BASE_URL"


LOCAL = """
import sys
from penin_core.contracts import ComponentOptions, LocalProvider
WEIGHTS = "{weights}"
class Options(ComponentOptions):
    size: int = 1
class Model(LocalProvider):
    name = "model"
    Options = Options
    def capabilities(self, model): ...
    def generate(self, requests): ...
"""


def load(path: Path, weights: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path.write_text(LOCAL.format(weights=weights))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_option_moves_the_endpoint_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_url(Service()) == "https://one.example/v1"
    monkeypatch.setenv("SERVICE_BASE_URL", "https://two.example ")
    assert base_url(Service()) == "https://two.example"
    moved = Service(Service.Options(base_url="https://three.example/"))
    assert identity(moved) == base_url(moved) == "https://three.example"


def test_a_local_model_is_its_code_and_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load(tmp_path / "local_model.py", "sha-1", monkeypatch)
    before = identity(old.Model())
    assert identity(old.Model()) == before
    assert identity(old.Model(old.Options(size=2))) != before
    new = load(tmp_path / "local_model.py", "sha-2", monkeypatch)
    assert identity(new.Model()) != before


def test_a_package_counts_with_its_other_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__init__.py").write_text("")
    model = load(tmp_path / "local_model.py", "sha-1", monkeypatch).Model()
    before = identity(model)
    (tmp_path / "weights.py").write_text("SHA256 = 'x'")
    assert identity(model) != before


def test_the_weights_of_a_local_model_are_part_of_where_answers_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tmp_path / "local_model.py", "sha-1", monkeypatch).Model()
    assert origin(model, "a") == identity(model)
    model.fingerprint = lambda name: {"a": "1", "b": "2", "c": "1"}[name]
    assert origin(model, "a") == origin(model, "c")
    assert len({identity(model), origin(model, "a"), origin(model, "b")}) == 3
    with pytest.raises(ProviderRefused, match="provider 'model' cannot read model 'd'"):
        origin(model, "d")
    assert origin(Service(), "any") == identity(Service())


def test_everything_that_can_change_an_answer_changes_its_key() -> None:
    request = Request(provider="p", model="m", messages=(Message(role="user", content="hi"),))
    assert request.key
    variants = [
        request.model_copy(update={name: value})
        for name, value in [
            ("provider", "q"),
            ("model", "n"),
            ("system", "s"),
            ("temperature", 0.5),
            ("seed", 1),
            ("sample", 1),
            ("adapter", "a"),
            ("extra", {"n": 1}),
        ]
    ]
    keys = [answer_key("here", each) for each in [request, *variants]]
    assert len({*keys, answer_key("there", request)}) == len(keys) + 1
