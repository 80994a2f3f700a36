"""The arithmetic that reading and writing share. Everything works on the last axis, row by row.

A row's result does not depend on the other rows, to the last bit. Two habits serve that: a product
never has a single row (BLAS takes another routine there, which adds in another order), and its
matrix has a multiple of :data:`LANES` columns (the ragged end of a matrix is another routine too).
"""

from __future__ import annotations

import numpy as np

from .weights import Floats, Layer

#: Matrices of a product are padded to a multiple of so many columns.
LANES = 32

_ROTARY_BASE = 10_000.0
_EPSILON = np.float32(1e-6)


def project(x: Floats, matrix: Floats) -> Floats:
    """Return ``x @ matrix`` with the same bits for a row whatever the number of rows."""
    if len(x) == 1:
        return (np.repeat(x, 2, axis=0) @ matrix)[:1]
    return x @ matrix


def padded(matrix: Floats) -> Floats:
    """Append columns of zeros up to a multiple of :data:`LANES`."""
    missing = -matrix.shape[1] % LANES
    return np.pad(matrix, ((0, 0), (0, missing)))


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


def feed_forward(hidden: Floats, layer: Layer) -> Floats:
    """Return ``hidden`` plus the block's two-layer network with squared ReLU."""
    inner = project(rms_norm(hidden), layer.up)
    np.maximum(inner, 0.0, out=inner)
    np.square(inner, out=inner)
    return hidden + project(inner, layer.down)
