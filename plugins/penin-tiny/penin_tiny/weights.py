"""The trained parameters: read from the wheel, checked against their SHA-256, widened to fp32."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penin_core import PluginInvalid

Floats = NDArray[np.float32]

PATH = Path(__file__).with_name("tiny-5.npz")
SHA256 = "1c95d970ba5b92e756159d3ff19145b05473d84501d618f1c8dd544b28b88120"


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. Matrices multiply from the right: ``x @ qkv``; width d, feed-forward width f."""

    conv: Floats  # (taps, d): row i weighs the input i positions back
    qkv: Floats  # (d, 3 d)
    out: Floats  # (d, d)
    up: Floats  # (d, f)
    down: Floats  # (f, d)


@dataclass(frozen=True, slots=True)
class Weights:
    """All parameters, and the words of the vocabulary that they were trained with."""

    words: tuple[str, ...]
    n_heads: int
    window: int  # longest text in training, prompt and answer together, in tokens
    embedding: Floats  # (V, d), also the output matrix
    scale: float
    bias: Floats  # (V,)
    pointer_query: Floats  # (d, d)
    pointer_key: Floats  # (d, d)
    gate: Floats  # (d,)
    gate_bias: float
    layers: tuple[Layer, ...]
    temperature: float = 1.0  # fitted after training; log-probabilities are of p^(1/t), normalised


def load(path: Path = PATH, sha256: str = SHA256) -> Weights:
    """Return the weights at ``path``; raises what :func:`read` raises."""
    return assemble(*read(path, sha256))


def read(path: Path = PATH, sha256: str = SHA256) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Return description and arrays of the file at ``path``, by the names that they have there.

    The bytes are compared with ``sha256`` before any of them is parsed, and nothing in the file
    can run: it holds plain arrays.

    Raises PluginInvalid where the file is missing or is not the one that belongs to this release.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(f"the weights {path} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise _damaged(f"the weights {path} have SHA-256 {found}, expected {sha256}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        meta = json.loads(archive["meta"].tobytes())
        arrays = {
            name: archive[name].astype(np.float32) for name in archive.files if name != "meta"
        }
    return meta, arrays


def _damaged(message: str) -> PluginInvalid:
    hint = "install it again: pip install --force-reinstall --no-deps ./plugins/penin-tiny"
    return PluginInvalid(message, hint=hint)


def assemble(
    meta: Mapping[str, Any], arrays: Mapping[str, Floats], temperature: float = 1.0
) -> Weights:
    """Return as a model what :func:`read` returned, the ``arrays`` perhaps trained further."""
    config = meta["cfg"]
    return Weights(
        words=tuple(meta["vocab"]),
        n_heads=config["h"],
        window=config["maxT"],
        embedding=arrays["emb"],
        scale=arrays["scale"].item(),
        bias=arrays["bias"],
        pointer_query=arrays["pq"],
        pointer_key=arrays["pk"],
        gate=arrays["gate"][:-1],
        gate_bias=arrays["gate"][-1].item(),
        layers=tuple(_layer(arrays, f"b{index}.") for index in range(config["L"])),
        temperature=temperature,
    )


def _layer(arrays: Mapping[str, Floats], prefix: str) -> Layer:
    return Layer(
        conv=arrays[prefix + "conv"],
        qkv=arrays[prefix + "qkv"],
        out=arrays[prefix + "o"],
        up=arrays[prefix + "up"],
        down=arrays[prefix + "down"],
    )
