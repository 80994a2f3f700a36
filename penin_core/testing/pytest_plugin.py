"""Loaded by pytest wherever penin-core is installed; imports nothing heavy until it is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from penin_core.plugins import Plugins

pytest.register_assert_rewrite(
    *(
        f"penin_core.testing.{name}"
        for name in (
            "conformance",
            "finetuner_conformance",
            "kits",
            "plugin_conformance",
            "provider_conformance",
        )
    )
)


@pytest.fixture
def penin_plugins() -> Plugins:
    """Only the built-in plugins, so that nothing that is installed can change a test."""
    from penin_core.plugins import Plugins

    return Plugins.load(discover=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stop where a kit was weakened after its test class was made."""
    kits = sys.modules.get("penin_core.testing.kits")
    if kits is None:
        return
    classes = {item.cls: None for item in items if isinstance(item, pytest.Function) and item.cls}
    try:
        for cls in classes:
            if issubclass(cls, kits.Kit):
                kits.refuse_weakened(cls)
    except TypeError as error:
        raise pytest.UsageError(str(error)) from error
