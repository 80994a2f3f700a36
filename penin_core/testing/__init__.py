"""What plugin authors test with: conformance kits, and two providers that need no model.

::

    from penin_core.testing import HttpProviderConformance
    from penin_acme import Acme

    class TestAcme(HttpProviderConformance):
        component = Acme
        reply = {...one real answer of the service...}

The kits need pytest; the providers in :mod:`penin_core.testing.fakes` do not. Names are imported on
first use, because pytest imports this package in every environment that has penin.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conformance import (
        Conformance,
        EvaluatorConformance,
        GuardConformance,
        MutatorConformance,
    )
    from .fakes import Echo, Scripted
    from .finetuner_conformance import HttpFineTunerConformance, LocalFineTunerConformance
    from .plugin_conformance import CommandConformance, PluginConformance
    from .provider_conformance import HttpProviderConformance, LocalProviderConformance

__all__ = [
    "CommandConformance",
    "Conformance",
    "Echo",
    "EvaluatorConformance",
    "GuardConformance",
    "HttpFineTunerConformance",
    "HttpProviderConformance",
    "LocalFineTunerConformance",
    "LocalProviderConformance",
    "MutatorConformance",
    "PluginConformance",
    "Scripted",
]

_ELSEWHERE = {
    "CommandConformance": "plugin_conformance",
    "Echo": "fakes",
    "HttpFineTunerConformance": "finetuner_conformance",
    "HttpProviderConformance": "provider_conformance",
    "LocalFineTunerConformance": "finetuner_conformance",
    "LocalProviderConformance": "provider_conformance",
    "PluginConformance": "plugin_conformance",
    "Scripted": "fakes",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ELSEWHERE.get(name, 'conformance')}", __name__), name)
