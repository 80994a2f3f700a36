"""Tokenizers and models out of a folder: safetensors only, and no code but this library's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penin_core import ProviderRefused

from . import folders
from .options import ModelOptions

if TYPE_CHECKING:
    import torch


def device_of(options: ModelOptions) -> torch.device:
    """Return the device that ``options`` ask for.

    Raises:
        ProviderRefused: it is not there.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if options.device == "auto":
        return torch.device("cuda" if count else "cpu")
    device = torch.device(options.device)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ProviderRefused(
            f"device is {options.device!r}, and torch {torch.__version__} finds "
            f"{count or 'no'} GPU{'s' if count > 1 else ''} here",
            hint='set device = "auto" or "cpu" under [providers.hf]; if there is a GPU, look at '
            "its driver (nvidia-smi) and install a build of torch for CUDA",
        )
    return device


def load_tokenizer(model: str, options: ModelOptions) -> Any:
    """Return the tokenizer of ``model``.

    Raises:
        ProviderRefused: there is no such model, or its tokenizer cannot be read.
    """
    from transformers import AutoTokenizer

    folder = folders.locate(model)
    try:
        with _quiet():
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=model in options.trust_remote_code
            )
    except Exception as error:
        raise _unreadable("the tokenizer", model, error) from error


def load_model(model: str, options: ModelOptions) -> Any:
    """Return ``model`` on its device, ready to answer: no gradients, no dropout.

    Raises:
        ProviderRefused: there is no such model or device, the weights are damaged or incomplete,
            or an architecture needs code that is not trusted.
    """
    import torch
    from transformers import AutoModelForCausalLM

    folder = folders.locate(model)
    device = device_of(options)
    dtype: Any = options.dtype
    if dtype == "auto" and device.type == "cpu":
        dtype = "float32"
    try:
        with _quiet():
            loaded, report = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype if dtype == "auto" else getattr(torch, dtype),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=model in options.trust_remote_code,
                output_loading_info=True,
            )
        _check_whole(folder, report)
        _check_cache(model, loaded)
        return loaded.to(device).requires_grad_(False).eval()
    except ProviderRefused:
        raise
    except Exception as error:
        raise _unreadable("the model", model, error) from error


def end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end an answer, those of the tokenizer first."""
    stated = getattr(model.generation_config, "eos_token_id", None)
    listed = stated if isinstance(stated, list) else [stated]
    found = [tokenizer.eos_token_id, *listed]
    return tuple(dict.fromkeys(token for token in found if token is not None))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's bars and its reports from the terminal; what matters becomes an error."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _check_whole(folder: Path, report: Any) -> None:
    # Weights that are not in the files would be drawn at random, with nothing but a warning.
    lacking = sorted(report["missing_keys"])
    other = [str(each[0]) for each in report["mismatched_keys"]]
    if lacking or other:
        first = (*lacking, *other)[0]
        raise ProviderRefused(
            f"the weights in {folder} do not fit its config.json: {len(lacking)} are missing, "
            f"{len(other)} have another shape, {first} for one",
            hint="copy or download the whole folder again",
        )


def _check_cache(model: str, loaded: Any) -> None:
    # States that run through a text take in the padding, so answers would depend on the batch.
    if getattr(loaded, "_is_stateful", False):
        raise ProviderRefused(
            f"the model {model!r}, a {type(loaded).__name__}, keeps a running state, not keys "
            "and values",
            hint="serve it with vLLM, and use the provider vllm",
        )


def _unreadable(what: str, model: str, error: Exception) -> ProviderRefused:
    said = (str(error).strip().splitlines() or [""])[0]
    if "trust_remote_code" in str(error):
        return ProviderRefused(
            f"{what} {model!r} needs Python code that came with it",
            hint=f'read that code; if you trust it, set trust_remote_code = ["{model}"] under '
            "[providers.hf]",
        )
    return ProviderRefused(
        f"{what} {model!r} cannot be loaded: {type(error).__name__}: {said}",
        hint="look whether the folder is whole, and whether this transformers knows it",
    )
