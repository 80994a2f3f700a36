"""The adapter that a training leaves: a PEFT folder, and a note on which base it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What an adapter consists of. The first two are PEFT's, so that vLLM and others load the folder.
FILES = ("adapter_model.safetensors", "adapter_config.json", "penin.json")
FORMAT = 1


def write(folder: Path, weights: Mapping[str, Any], config: Mapping[str, Any], base: str) -> None:
    """Write an adapter into ``folder``; the same one always gives the same bytes.

    ``config`` is PEFT's; ``base`` the digest of the base model's weights.

    Raises:
        OSError: a file cannot be written; none is left half written.
    """
    from safetensors.torch import save

    about = {"format": FORMAT, "base": base}
    contents = (save(dict(weights), {"format": "pt"}), _json(config), _json(about))
    for name, content in zip(FILES, contents, strict=True):
        aside = folder / f"{name}.part"
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(folder / name)
        except OSError:
            aside.unlink(missing_ok=True)
            raise


def _json(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, indent=2, sort_keys=True, default=sorted, ensure_ascii=False)
    return f"{text}\n".encode()
