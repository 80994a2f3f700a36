"""Endless batches of samples of like length, the same for the same seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from random import Random

import torch
from torch import Tensor

from .encoding import Encoded, Encoder
from .grammar.samples import sample

WINDOW = 512
#: Batches per pool of samples that are drawn and sorted together.
BATCHES = 16


@dataclass(frozen=True)
class Batch:
    """Tokens (rows, columns), and the places, targets and weights of what is learned."""

    tokens: Tensor
    places: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def stream(
    encoder: Encoder, seed: str, tokens: int, first: int = 0, workers: int = 0
) -> Iterator[Batch]:
    """Yield batches of about ``tokens`` tokens, from number ``first`` on.

    A batch depends on the seed and its number, not on ``first`` or on ``workers``, the number of
    processes that prepare batches ahead.
    """
    pool, skipped = divmod(first, BATCHES)
    names = (f"{seed}/{number}" for number in count(pool))
    for groups in _prepared(encoder, names, tokens, workers):
        for group in groups[skipped:]:
            yield collate(group)
        skipped = 0


def _prepared(
    encoder: Encoder, names: Iterator[str], tokens: int, workers: int
) -> Iterator[list[list[Encoded]]]:
    """Yield the pools of these names; with workers, other processes draw the next ones ahead."""
    if not workers:
        yield from (_groups(encoder, name, tokens) for name in names)
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        waiting: deque[Future[list[list[Encoded]]]] = deque()
        for name in names:
            waiting.append(executor.submit(_groups, encoder, name, tokens))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()


def _groups(encoder: Encoder, seed: str, tokens: int) -> list[list[Encoded]]:
    """Draw a pool of samples and cut it, sorted by length, into batches in random order."""
    rng = Random(seed)
    pool: list[Encoded] = []
    groups: list[list[Encoded]] = []
    while len(groups) < BATCHES:
        pool += _samples(encoder, rng, tokens // 8)
        pool.sort(key=lambda encoded: len(encoded.ids))
        groups = _cut(pool, tokens)
    rng.shuffle(groups)
    return groups[:BATCHES]


def _samples(encoder: Encoder, rng: Random, count: int) -> list[Encoded]:
    drawn = (encoder.encode(sample(rng), rng) for _ in range(count))
    return [encoded for encoded in drawn if len(encoded.ids) <= WINDOW]


def _cut(pool: list[Encoded], tokens: int) -> list[list[Encoded]]:
    """Group neighbours, so that no group has more than ``tokens`` tokens with its padding."""
    groups: list[list[Encoded]] = [[]]
    for encoded in pool:
        if groups[-1] and (len(groups[-1]) + 1) * len(encoded.ids) > tokens:
            groups.append([])
        groups[-1].append(encoded)
    return groups


def collate(group: list[Encoded]) -> Batch:
    """Lay samples side by side, padded behind their ends."""
    columns = max(len(encoded.ids) for encoded in group) - 1
    tokens = torch.zeros(len(group), columns, dtype=torch.long)
    places, targets, weights = [], [], []
    for row, encoded in enumerate(group):
        tokens[row, : len(encoded.ids) - 1] = torch.tensor(encoded.ids[:-1])
        for column, (target, weight) in enumerate(
            zip(encoded.ids[1:], encoded.weights[1:], strict=True)
        ):
            if weight:
                places.append(row * columns + column)
                targets.append(target)
                weights.append(weight)
    return Batch(tokens, torch.tensor(places), torch.tensor(targets), torch.tensor(weights))
