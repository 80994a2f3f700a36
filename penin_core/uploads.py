"""How training data reach a service, and how they are removed again: as OpenAI's Files API does it.

Source: https://platform.openai.com/docs/api-reference/files. Mistral's is the same.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

from .errors import PeninError, ProviderError
from .records import Call, FilePart, TrainingExample

#: What a conversation and each turn cost beside their text, in tokens, counted high.
_PER_MESSAGE = 8


def high_count(example: TrainingExample) -> int:
    """Return no fewer tokens than ``example`` has: half a token for each byte of UTF-8."""
    texts = [example.system, *(turn.content for turn in example.messages), example.answer]
    return sum(math.ceil(len(text.encode()) / 2) + _PER_MESSAGE for text in texts)


def upload_files(train: bytes, validation: bytes | None) -> Generator[Call, Any, tuple[str, ...]]:
    """Upload one file or two; return their ids. Where the second fails, the first is deleted."""
    ids: list[str] = []
    try:
        for name, content in (("train", train), ("validation", validation)):
            if content is not None:
                part = FilePart(name="file", filename=f"{name}.jsonl", content=content)
                reply = yield Call(path="/files", body={"purpose": "fine-tune"}, files=(part,))
                ids.append(reply.body["id"])
    except PeninError:
        yield from delete_files(ids)
        raise
    return tuple(ids)


def delete_files(files: Sequence[str]) -> Generator[Call, Any, tuple[str, ...]]:
    """Delete uploaded files; return the ids of those that the service would not delete."""
    left = []
    for file in files:
        try:
            yield Call(method="DELETE", path=f"/files/{file}")
        except ProviderError:
            left.append(file)
    return tuple(left)
