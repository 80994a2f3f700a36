"""Where and how a model is loaded; shared by the provider and the fine-tuner."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penin_core import ComponentOptions


class ModelOptions(ComponentOptions):
    """What ``[providers.hf]`` says about loading a model."""

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$",
        description="`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Number format of the weights; `auto` is float32 on the CPU and the model's "
        "own on a GPU.",
    )
    trust_remote_code: tuple[str, ...] = Field(
        default=(),
        description="Models, by name, whose own Python code may run on this machine.",
    )


class HFOptions(ModelOptions):
    """``[providers.hf]``."""

    batch: int = Field(
        default=16, ge=1, le=1024, description="How many requests are answered side by side."
    )
