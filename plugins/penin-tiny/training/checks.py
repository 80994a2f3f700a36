"""A quick look during training: answers of which every token is the most likely one."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import torch

from .batches import WINDOW, Batch, collate
from .encoding import Encoder
from .grammar.samples import sample
from .grammar.tasks import TASKS
from .model import Model

Checks = Mapping[str, list[Batch]]


def checks(encoder: Encoder, count: int = 48) -> Checks:
    """Return clear prompts without examples for every task, and vague ones with three."""
    return {
        **{task: _rows(encoder, count, task, "clear", 0) for task in TASKS},
        "3 shots": _rows(encoder, count, "", "vague", 3),
    }


def _rows(encoder: Encoder, count: int, task: str, level: str, shots: int) -> list[Batch]:
    rng = Random(f"check/{task or '3 shots'}")
    rows = [encoder.encode(sample(rng, task, level, shots)) for _ in range(count)]
    rows = sorted((row for row in rows if len(row.ids) <= WINDOW), key=lambda row: len(row.ids))
    return [collate(rows[start : start + 16]) for start in range(0, len(rows), 16)]


def shares(model: Model, batches: Checks) -> dict[str, float]:
    """Return the share of right answers for every kind of prompt."""
    with torch.no_grad():
        return {name: 1 - _wrong(model, group) for name, group in batches.items()}


def losses(model: Model, batches: Checks) -> float:
    """Return the mean of -log p of a whole answer (in a prompt with examples, of all of them)."""
    total, rows = 0.0, 0
    with torch.no_grad():
        for batch in (batch for group in batches.values() for batch in group):
            moved = batch.to(model.embedding.device)
            total += float(model(moved.tokens, moved.places, moved.targets)[0].sum())
            rows += len(moved.tokens)
    return total / rows


def _wrong(model: Model, group: list[Batch]) -> float:
    wrong = rows = 0
    for batch in group:
        moved = batch.to(model.embedding.device)
        _, right = model(moved.tokens, moved.places, moved.targets)
        bad = torch.div(moved.places[~right], moved.tokens.shape[1], rounding_mode="floor")
        wrong, rows = wrong + len(set(bad.tolist())), rows + len(moved.tokens)
    return wrong / rows
