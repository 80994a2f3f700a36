"""Loaded by pytest wherever penin-core is installed; imports nothing heavy until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from penin_core.plugins import Plugins

pytest.register_assert_rewrite(
    "penin_core.testing.conformance", "penin_core.testing.provider_conformance"
)


@pytest.fixture
def penin_plugins() -> Plugins:
    """Only the built-in plugins, so that nothing that is installed can change a test."""
    from penin_core.plugins import Plugins

    return Plugins.load(discover=False)
