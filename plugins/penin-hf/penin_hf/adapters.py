"""LoRA adapters on one copy of a model's weights: loaded once, switched for each batch."""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penin_core import ProviderRefused

WEIGHTS, CONFIG, ABOUT = "adapter_model.safetensors", "adapter_config.json", "penin.json"
#: Adapters of one model that stay in memory.
KEPT = 8
#: What a LoRA configuration may ask for that is refused: it changes the weights that all adapters
#: share, or imports whatever it names.
_REFUSED = (
    "alora_invocation_tokens",
    "arrow_config",
    "auto_mapping",
    "layer_replication",
    "megatron_config",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
)
#: Beginnings that leave the shared weights alone; others (pissa, olora, ...) subtract from them.
_BEGINNINGS = (True, False, "gaussian", "orthogonal")


class Adapters:
    """The adapters of one model. ``base`` is the digest of its weights."""

    def __init__(self, model: Any, base: str) -> None:
        self._model, self._base = model, base
        self._peft: Any = None
        self._names: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._count = 0

    @contextmanager
    def use(self, folder: Path | None) -> Iterator[None]:
        """Let the model answer with the adapter in ``folder``, or as it is without one.

        Raises:
            ProviderRefused: the adapter is missing, damaged, not a LoRA of plain safetensors, or
                was trained on other weights.
        """
        if folder is not None:
            self._peft_set(self._name(folder))
            yield
        elif self._peft is None:
            yield
        else:
            with self._peft.disable_adapter():
                yield

    def _peft_set(self, name: str) -> None:
        self._peft.set_adapter(name)
        self._model.requires_grad_(False)

    def _name(self, folder: Path) -> str:
        key = (str(folder), *_stamp(folder))
        if key not in self._names:
            self._names[key] = self._load(folder)
            if len(self._names) > KEPT:
                self._peft.delete_adapter(self._names.popitem(last=False)[1])
        self._names.move_to_end(key)
        return self._names[key]

    def _load(self, folder: Path) -> str:
        check_adapter(folder, self._base)
        self._count += 1
        name = f"adapter-{self._count}"
        try:
            self._inject(folder, name)
        except Exception as error:
            self._forget(name)
            raise ProviderRefused(
                f"the adapter in {folder} does not fit the model: {_first_line(error)}",
                hint="it must be a LoRA that was trained on this very model",
            ) from error
        return name

    def _inject(self, folder: Path, name: str) -> None:
        from peft import LoraConfig, PeftModel

        with warnings.catch_warnings():
            # What it warns of, tensors that are missing, is refused below.
            warnings.simplefilter("ignore")
            if self._peft is None:
                self._peft = PeftModel(self._model, LoraConfig.from_pretrained(str(folder)), name)
            found = self._peft.load_adapter(str(folder), name, torch_device=str(self._model.device))
        own = [key for key in found.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
        if own or found.unexpected_keys:
            raise ValueError(
                f"{len(own)} tensors are missing and {len(found.unexpected_keys)} belong to "
                f"nothing, {(*own, *found.unexpected_keys)[0]} for one"
            )

    def _forget(self, name: str) -> None:
        if self._peft is not None and name in self._peft.peft_config:
            self._peft.delete_adapter(name)
        if self._peft is not None and not self._peft.peft_config:
            # The first one failed: PEFT cannot be without any.
            self._peft.unload()
            self._peft = None


def check_adapter(folder: Path, base: str) -> None:
    """Look at the adapter in ``folder`` without loading it; ``base`` is the digest of the weights.

    Raises:
        ProviderRefused: it is no LoRA adapter of plain safetensors, or one of another model.
    """
    _stamp(folder)
    config = _read(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise _unfit(folder, f"is of the kind {config.get('peft_type')!r}, not LORA")
    if config.get("bias", "none") != "none":
        raise _unfit(folder, "changes biases, which all adapters share")
    if asked := [name for name in _REFUSED if config.get(name)]:
        raise _unfit(folder, f"asks for {', '.join(asked)}")
    if (begun := config.get("init_lora_weights", True)) not in _BEGINNINGS:
        raise _unfit(folder, f"begins by {begun!r}, which changes weights that all adapters share")
    if other := [name for name in _tensors(folder) if ".lora_" not in name]:
        raise _unfit(folder, f"replaces weights that all adapters share: {other[0]}")
    if (folder / ABOUT).exists():
        trained_on = _read(folder / ABOUT).get("base")
        if trained_on != base:
            raise _unfit(folder, f"was trained on weights {trained_on}, these are {base}")


def _unfit(folder: Path, why: str) -> ProviderRefused:
    return ProviderRefused(
        f"the adapter in {folder} {why}",
        hint="use an adapter that was trained on this very model: penin finetune list",
    )


def _stamp(folder: Path) -> tuple[tuple[int, int], ...]:
    """Return what changes when a file of the adapter does."""
    try:
        files = [folder / WEIGHTS, folder / CONFIG, *folder.glob(ABOUT)]
        return tuple((found.st_mtime_ns, found.st_size) for found in map(Path.stat, files))
    except OSError as error:
        raise ProviderRefused(
            f"the adapter {error.filename} cannot be read: {error.strerror}",
            hint="adapter is the folder of a LoRA adapter; its weights must be safetensors, "
            "because a pickle can run code",
        ) from error


def _tensors(folder: Path) -> list[str]:
    from safetensors import safe_open

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return list(file.keys())
    except Exception as error:
        raise _unfit(folder, f"is damaged: {_first_line(error)}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ProviderRefused(f"{path} cannot be read: {error}", hint="copy it again") from error
    if not isinstance(content, dict):
        raise ProviderRefused(f"{path} holds no JSON object", hint="copy it again")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
