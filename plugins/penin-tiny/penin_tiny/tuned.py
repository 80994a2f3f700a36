"""The file that fine-tuning leaves: what was trained, on which base, and the temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from penin_core import ProviderRefused

from . import adapting, archives, weights
from .gradients import Parameters, Reals
from .tokenizer import Tokenizer
from .weights import Floats, Weights

#: The name of the file in the folder of a job and of an artifact.
FILE = "tuned.npz"
FORMAT = 1

_AGAIN = "train it again, or take the file from where it was exported"


@cache
def base() -> tuple[dict[str, Any], dict[str, Floats]]:
    """Return description and arrays of the shipped model; they are shared and never written to.

    Raises PluginInvalid where the shipped weights are damaged.
    """
    meta, arrays = weights.read()
    for value in arrays.values():
        value.setflags(write=False)
    return meta, arrays


@cache
def tokenizer() -> Tokenizer:
    """Return the tokenizer of the shipped model."""
    return Tokenizer(base()[0]["vocab"])


def rounded(trained: Parameters) -> dict[str, Reals]:
    """Return ``trained`` in half precision, as it is stored; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return {name: value.astype(np.float16) for name, value in trained.items()}


def write(folder: Path, trained: Parameters, temperature: float) -> None:
    """Write the tuned model into ``folder``. Raises OSError, with an older file left whole."""
    meta = {"format": FORMAT, "base": weights.SHA256, "temperature": temperature}
    archives.write(folder / FILE, meta, trained)


def load(folder: Path) -> Weights:
    """Return the tuned model in ``folder``.

    Raises ProviderRefused where there is none, where it is damaged, or where it belongs to another
    base or another release.
    """
    path = folder / FILE
    try:
        meta, trained = archives.read(path)
    except OSError as error:
        raise _refused(f"the tuned model {path} cannot be read: {error.strerror}") from error
    except archives.Damaged as error:
        raise _refused(f"the tuned model is damaged: {error}") from error
    _check_meta(path, meta)
    description, parameters = base()
    singles = {name: value.astype(np.float32) for name, value in trained.items()}
    _check_arrays(path, singles, parameters)
    complete = adapting.applied(parameters, singles)
    return weights.assemble(description, complete, float(meta["temperature"]))


def _check_meta(path: Path, meta: Mapping[str, Any]) -> None:
    if meta.get("format") != FORMAT:
        raise _refused(
            f"the tuned model {path} has format {meta.get('format')!r}, this penin-tiny reads "
            f"{FORMAT}",
            hint="install the penin-tiny that it was trained with",
        )
    if meta.get("base") != weights.SHA256:
        raise _refused(
            f"the tuned model {path} belongs to a base with SHA-256 {meta.get('base')}, this "
            f"penin-tiny has {weights.SHA256}",
            hint="train it again on this base, or install the penin-tiny that it was trained with",
        )
    temperature = meta.get("temperature")
    if not isinstance(temperature, float) or not 0.0 < temperature < math.inf:
        raise _refused(f"the tuned model {path} has the temperature {temperature!r}")


def _check_arrays(path: Path, trained: Parameters, parameters: Parameters) -> None:
    """Refuse what no training of this base can have left."""
    for name, value in trained.items():
        matrix, _, factor = name.partition(":")
        expected = parameters[matrix].shape if matrix in parameters else None
        partner = trained.get(f"{matrix}:{'B' if factor == 'A' else 'A'}")
        if factor and expected is not None and partner is not None:
            rank = min(value.shape, default=0) and value.shape[factor == "A"]
            expected = (expected[0], rank) if factor == "A" else (rank, expected[1])
        if value.shape != expected or not np.isfinite(value).all():
            raise _refused(f"the tuned model {path} has an unusable array {name!r} {value.shape}")


def _refused(message: str, hint: str = _AGAIN) -> ProviderRefused:
    return ProviderRefused(message, hint=hint)
