"""Models on this disk: where they lie, what is in them, and how long a text they read.

Nothing here needs torch or transformers, and nothing here reaches a network.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from penin_core import ProviderRefused

#: What can change an answer. Code counts, because it may be trusted by name.
_SUFFIXES = {".json", ".safetensors", ".jinja", ".txt", ".model", ".tiktoken", ".py"}
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5"}
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
#: What architectures call the longest text that they read, in tokens.
_WINDOW = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_CHUNK = 1 << 22

#: Name, time of change and size of each file.
Signature = tuple[tuple[str, int, int], ...]


def locate(model: str) -> Path:
    """Return the folder of ``model``: a path, or a name of the hub that is in the local cache.

    Raises:
        ProviderRefused: there is no such folder, it holds no model, or only pickled weights.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _cached(model)
    _check(folder)
    return folder.resolve()


def _cached(model: str) -> Path:
    if model.startswith((".", "~")) or not _HUB_ID.fullmatch(model):
        raise ProviderRefused(
            f"there is no folder {model!r}",
            hint="model is a folder with config.json and safetensors, or the name of a model of "
            "the Hugging Face hub that has been downloaded",
        )
    # Here, because it takes a while to load.
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ProviderRefused(
            f"there is neither a folder {model!r} nor such a model in the local cache",
            hint=f"give the path of a folder, or download it once: hf download {model}",
        ) from error


def _check(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ProviderRefused(
            f"{folder} holds no model: config.json is missing",
            hint="model is the folder that save_pretrained() wrote; an adapter goes into adapter",
        )
    if weight_files(folder):
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickled:
        raise ProviderRefused(
            f"the weights in {folder} are pickled ({', '.join(pickled)})",
            hint="a pickle can run code: load it where it is trusted and save it again with "
            "save_pretrained(), which writes safetensors",
        )
    raise ProviderRefused(
        f"{folder} holds no weights: there is no .safetensors file",
        hint="download or copy the whole folder",
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the files with weights, sorted by name."""
    return [path for path in _files(folder) if path.suffix == ".safetensors"]


def model_digest(folder: Path) -> str:
    """Return 64 hex digits that change with anything in ``folder`` that can change an answer.

    Raises:
        ProviderRefused: a file cannot be read.
    """
    return _digest(_files(folder))


def weights_digest(folder: Path) -> str:
    """Return 64 hex digits that change with the weights in ``folder`` alone."""
    return _digest(weight_files(folder))


def signature(folder: Path) -> Signature:
    """Return names, times and sizes of what can change an answer; cheap enough for each batch.

    Raises: as ``model_digest``.
    """
    with _readable():
        return tuple((path.name, *_stamp(path)) for path in _files(folder))


def check_unchanged(folder: Path, seen: Signature) -> None:
    """Compare ``folder`` with what it was: other weights must not answer in the name of the old.

    Raises:
        ProviderRefused: something has changed, or cannot be read.
    """
    if signature(folder) != seen:
        raise ProviderRefused(
            f"the files in {folder} have changed since they were read",
            hint="start again; changed weights are another model, and nothing is mixed up",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Return what ``config.json`` says.

    Raises:
        ProviderRefused: it cannot be read, or is no JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ProviderRefused(f"{path} cannot be read: {error}", hint="copy it again") from error
    if not isinstance(config, dict):
        raise ProviderRefused(f"{path} holds no JSON object", hint="copy it again")
    return config


def window(folder: Path) -> int | None:
    """Return how many tokens, prompt and answer together, a model reads; None where no limit is.

    Raises: as ``read_config``.
    """
    config = read_config(folder)
    nested = config.get("text_config")
    for about in (config, nested if isinstance(nested, dict) else {}):
        for name in _WINDOW:
            if isinstance(about.get(name), int) and about[name] > 0:
                return int(about[name])
    return None


def _files(folder: Path) -> list[Path]:
    with _readable():
        found = [path for path in folder.iterdir() if path.suffix in _SUFFIXES]
        return sorted(path for path in found if path.is_file())


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProviderRefused(
            f"{error.filename} cannot be read: {error.strerror}",
            hint="look at the folder of the model and its permissions, and start again",
        ) from error


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _digest(paths: Iterable[Path]) -> str:
    with _readable():
        lines = [f"{path.name} {_hashed(path, _stamp(path))}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _hashed(path: Path, _changed: tuple[int, int]) -> str:
    """Return the SHA-256 of a file; time and size are there so that a change is noticed."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()
