"""Mistral's models for penin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penin_core import hookimpl

if TYPE_CHECKING:
    from penin_core import FineTuner, Provider

__version__ = "0.1.0"

penin_api = 1


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Bring Mistral."""
    from .provider import Mistral

    return [Mistral]


@hookimpl
def penin_register_finetuners() -> list[type[FineTuner]]:
    """Bring Mistral's fine-tuning jobs, where the service still answers."""
    from .finetuner import MistralFineTuner

    return [MistralFineTuner]
