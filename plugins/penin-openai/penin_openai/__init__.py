"""OpenAI's models for penin, and any service compatible with their chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penin_core import hookimpl

if TYPE_CHECKING:
    from penin_core import FineTuner, Provider

__version__ = "0.1.0"

penin_api = 1


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Bring OpenAI, and what is compatible with it."""
    from .provider import Compatible, OpenAI

    return [OpenAI, Compatible]


@hookimpl
def penin_register_finetuners() -> list[type[FineTuner]]:
    """Bring OpenAI's fine-tuning, as long as it lasts."""
    from .finetuner import OpenAIFineTuner

    return [OpenAIFineTuner]
