"""What plugin authors test with: conformance kits, two providers without models, a local service.

::

    from penin_core.testing import HttpProviderConformance
    from penin_acme import Acme

    class TestAcme(HttpProviderConformance):
        component = Acme
        reply = {...one real answer of the service...}

The kits need pytest; the providers in :mod:`penin_core.testing.fakes` and the service of
:mod:`penin_core.testing.loopback` do not. Names are imported on first use, because pytest imports
this package in every environment that has penin.
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
    from .loopback import Answer, Asked, Loopback
    from .plugin_conformance import CommandConformance, PluginConformance
    from .provider_conformance import HttpProviderConformance, LocalProviderConformance

__all__ = [
    "Answer",
    "Asked",
    "CommandConformance",
    "Conformance",
    "Echo",
    "EvaluatorConformance",
    "GuardConformance",
    "HttpFineTunerConformance",
    "HttpProviderConformance",
    "LocalFineTunerConformance",
    "LocalProviderConformance",
    "Loopback",
    "MutatorConformance",
    "PluginConformance",
    "Scripted",
]

_ELSEWHERE = {
    "Answer": "loopback",
    "Asked": "loopback",
    "CommandConformance": "plugin_conformance",
    "Echo": "fakes",
    "HttpFineTunerConformance": "finetuner_conformance",
    "HttpProviderConformance": "provider_conformance",
    "LocalFineTunerConformance": "finetuner_conformance",
    "LocalProviderConformance": "provider_conformance",
    "Loopback": "loopback",
    "PluginConformance": "plugin_conformance",
    "Scripted": "fakes",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ELSEWHERE.get(name, 'conformance')}", __name__), name)
