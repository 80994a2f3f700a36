"""The models that may be asked: what is tried is made once, and what failed is tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penin_core.contracts import LocalProvider
from penin_core.errors import PeninError, StateError
from penin_core.project import Project
from penin_core.records import Capabilities, Configuration
from penin_core.serving import models
from penin_core.serving.local import LocalBackend
from penin_core.serving.models import Models
from penin_core.settings import Settings

TRIED = Configuration(provider="local", model="m")


class Local(LocalProvider):
    """Whose weights are not there at first."""

    name = "local"
    looked = 0

    def capabilities(self, model: str) -> Capabilities:
        self.looked += 1
        if self.looked == 1:
            raise StateError("the weights are not there")
        return Capabilities()

    def generate(self, requests: Any) -> Any:
        raise NotImplementedError


def test_what_failed_is_tried_again_after_a_while_and_what_was_made_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Local()
    project = SimpleNamespace(state=tmp_path, settings=Settings(), provider=lambda name: provider)

    async def go() -> list[object]:
        found = Models(cast("Project", project))
        try:
            at_once = [await found.other(TRIED), await found.other(TRIED)]
            monkeypatch.setattr(models, "AGAIN_AFTER_S", 0.0)
            return [*at_once, await found.other(TRIED), await found.other(TRIED)]
        finally:
            await found.aclose()

    monkeypatch.setattr(models, "AGAIN_AFTER_S", 600.0)
    failed, kept, made, again = asyncio.run(go())
    assert isinstance(failed, PeninError)
    assert kept is failed
    assert isinstance(made, LocalBackend)
    assert again is made
    assert provider.looked == 2
