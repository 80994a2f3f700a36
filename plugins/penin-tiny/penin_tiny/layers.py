"""The arithmetic that reading and writing share. Everything works on the last axis, row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .weights import Floats, Layer

#: A way to multiply rows with a matrix: ``np.matmul`` or :func:`project`.
Product = Callable[[Floats, Floats], Floats]

#: Rows that :func:`project` multiplies at a time.
TILE = 4

_ROTARY_BASE = 10_000.0
_EPSILON = np.float32(1e-6)


def project(x: Floats, matrix: Floats) -> Floats:
    """Return ``x @ matrix`` with the same bits for a row in whatever company it comes.

    BLAS adds in another order at the ragged ends of a matrix, and which rows stand there depends on
    how many there are. In tiles of a fixed size, every row is always added up in the same way.
    """
    n, width = x.shape
    missing = -n % TILE
    if missing:
        x = np.concatenate([x, np.zeros((missing, width), np.float32)])
    tiles = x.reshape(-1, TILE, width) @ matrix
    return tiles.reshape(n + missing, -1)[:n]


def rms_norm(x: Floats) -> Floats:
    """Scale the last axis to a root mean square of one."""
    mean_square = np.einsum("...d,...d->...", x, x)[..., None] / np.float32(x.shape[-1])
    normed: Floats = x / np.sqrt(mean_square + _EPSILON)
    return normed


def softmax(x: Floats) -> Floats:
    """Return exp(x) divided by its sum over the last axis."""
    powers: Floats = np.exp(x - x.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


def rotate(x: Floats, cosine: Floats, sine: Floats) -> Floats:
    """Turn the pairs (first half, second half) of the last axis by their positions' angles."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


def rotations(positions: int, head_width: int) -> tuple[Floats, Floats]:
    """Return cosine and sine of every position's angles, each (positions, head_width / 2)."""
    frequency = _ROTARY_BASE ** -(np.arange(0, head_width, 2) / head_width)
    angle = np.outer(np.arange(positions), frequency)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def feed_forward(hidden: Floats, layer: Layer, product: Product) -> Floats:
    """Return ``hidden`` plus the block's two-layer network with squared ReLU."""
    inner = product(rms_norm(hidden), layer.up)
    np.maximum(inner, 0.0, out=inner)
    np.square(inner, out=inner)
    return hidden + product(inner, layer.down)
