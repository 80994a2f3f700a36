"""The built-in mutators: they propose candidates near the champion."""

from __future__ import annotations

from penin_core import Mutator, hookimpl

from .crossing import Crossover, ModelSwap
from .examples import FewShot
from .prompts import PromptVariants, generate_prompt_variants
from .sweeps import MAX_TOKENS, NearStep, ParamSweep, generate_param_sweeps

__all__ = [
    "MAX_TOKENS",
    "Crossover",
    "FewShot",
    "ModelSwap",
    "NearStep",
    "ParamSweep",
    "PromptVariants",
    "generate_param_sweeps",
    "generate_prompt_variants",
]

penin_api = 1


@hookimpl
def penin_register_mutators() -> list[type[Mutator]]:
    """Return the built-in mutators."""
    return [ParamSweep, NearStep, PromptVariants, FewShot, Crossover, ModelSwap]
