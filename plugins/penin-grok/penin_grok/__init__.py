"""xAI's Grok models for penin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penin_core import hookimpl

if TYPE_CHECKING:
    from penin_core import FineTuner, Provider

__version__ = "0.1.0"

penin_api = 1


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Bring Grok."""
    from .provider import Grok

    return [Grok]


@hookimpl
def penin_register_finetuners() -> list[type[FineTuner]]:
    """Bring the plain answer that xAI trains nothing."""
    from .finetuner import GrokFineTuner

    return [GrokFineTuner]
