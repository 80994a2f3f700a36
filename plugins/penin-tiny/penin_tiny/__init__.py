"""The embedded model of penin: a very small language model that runs anywhere NumPy runs.

Importing this module costs nothing; NumPy and the weights are loaded when a provider is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penin_core import hookimpl

if TYPE_CHECKING:
    from .finetuner import TinyFineTuner
    from .provider import TinyProvider

__version__ = "0.1.0"

penin_api = 1


@hookimpl
def penin_register_providers() -> list[type[TinyProvider]]:
    """Return the provider ``tiny``."""
    from .provider import TinyProvider

    return [TinyProvider]


@hookimpl
def penin_register_finetuners() -> list[type[TinyFineTuner]]:
    """Return the fine-tuner ``tiny``."""
    from .finetuner import TinyFineTuner

    return [TinyFineTuner]
