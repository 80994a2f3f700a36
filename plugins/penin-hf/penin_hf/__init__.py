"""Hugging Face models in this process, for penin: answering and fine-tuning.

Importing this module costs nothing; torch and transformers are loaded with the first model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penin_core import hookimpl

if TYPE_CHECKING:
    from .finetuner import HFFineTuner
    from .provider import HFProvider

__version__ = "0.1.0"

penin_api = 1


@hookimpl
def penin_register_providers() -> list[type[HFProvider]]:
    """Return the provider ``hf``."""
    from .provider import HFProvider

    return [HFProvider]


@hookimpl
def penin_register_finetuners() -> list[type[HFFineTuner]]:
    """Return the fine-tuner ``hf``."""
    from .finetuner import HFFineTuner

    return [HFFineTuner]
