"""Between a model in PyTorch and the file that the plugin loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from penin_tiny.tokenizer import Tokenizer

from .model import Model, Shape

#: Names in the file for the parameters that are not in a layer; a layer's are ``b0.conv``, ...
_NAMES = {
    "embedding": "emb",
    "bias": "bias",
    "scale": "scale",
    "pointer_query": "pq",
    "pointer_key": "pk",
    "gate": "gate",
}
_LAYER = {"conv": "conv", "qkv": "qkv", "out": "o", "up": "up", "down": "down"}
_TRANSPOSED = frozenset({"qkv", "out", "up", "down"})


def save(model: Model, words: Sequence[str], path: Path) -> str:
    """Write the model in half precision and return the file's SHA-256.

    Raises ValueError for a model without a pointer: the plugin has no use for it.
    """
    shape = model.shape
    if not shape.pointer:
        raise ValueError("a model without a pointer cannot be exported")
    arrays = {
        _name(name): (value.t() if _kind(name) in _TRANSPOSED else value).numpy().astype(np.float16)
        for name, value in model.state_dict().items()
    }
    config = {"V": shape.vocabulary, "d": shape.width, "h": shape.heads, "L": shape.layers}
    config |= {"ff": shape.feed_forward, "k": shape.taps, "ptr": True, "maxT": shape.window}
    meta = json.dumps({"cfg": config, "vocab": list(words)}).encode()
    np.savez_compressed(path, meta=np.frombuffer(meta, np.uint8), **arrays)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path) -> tuple[Model, tuple[str, ...]]:
    """Read a model and its word list from a file of the plugin."""
    with np.load(path, allow_pickle=False) as archive:
        meta: dict[str, Any] = json.loads(archive["meta"].tobytes())
        arrays = {
            name: archive[name].astype(np.float32) for name in archive.files if name != "meta"
        }
    config = meta["cfg"]
    shape = Shape(config["V"], config["d"], config["h"], config["L"], config["ff"], config["k"])
    model = Model(shape)
    model.load_state_dict({name: _tensor(arrays, name) for name in model.state_dict()})
    return model, tuple(meta["vocab"])


def grow(model: Model, old: Sequence[str], new: Sequence[str], seed: int = 0) -> Model:
    """Return the model with more words; a new one starts near the mean of its bytes.

    Raises ValueError unless ``new`` begins with ``old``.
    """
    if tuple(new[: len(old)]) != tuple(old):
        raise ValueError("the new word list must begin with the old one")
    before, after = Tokenizer(old), Tokenizer(new)
    first_byte, added = before.size - 256, after.size - before.size
    chance = torch.Generator().manual_seed(seed)
    state = dict(model.state_dict())
    table, bias = state["embedding"], state["bias"]
    noise = torch.randn(added, table.shape[1], generator=chance) * table[20:first_byte].std() * 0.7
    spelled = [[first_byte + byte for byte in word.encode()] for word in new[len(old) :]]
    rows = noise + torch.stack([table[ids].mean(0) for ids in spelled]) * 0.5 if added else noise
    state["embedding"] = torch.cat([table[:first_byte], rows, table[first_byte:]])
    usual = bias[first_byte - 50 : first_byte].mean().expand(added)
    state["bias"] = torch.cat([bias[:first_byte], usual, bias[first_byte:]])
    shape = Shape(**{**vars(model.shape), "vocabulary": after.size})
    grown = Model(shape)
    grown.load_state_dict(state)
    return grown


def _kind(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _name(name: str) -> str:
    if not name.startswith("blocks."):
        return _NAMES[name]
    _, number, kind = name.split(".")
    return f"b{number}.{_LAYER[kind]}"


def _tensor(arrays: Mapping[str, np.ndarray[Any, Any]], name: str) -> Tensor:
    array = arrays[_name(name)]
    return torch.from_numpy(np.ascontiguousarray(array.T if _kind(name) in _TRANSPOSED else array))
