"""The transformer in NumPy: reading a text, and the matrices that writing shares with it.

Decoder only, norms first, no biases. A short causal convolution stands before attention (like the
squared ReLU from Primer, So et al. 2021, arXiv 2109.08668). Positions are rotary (Su et al. 2021,
arXiv 2104.09864), norms are RMSNorm without gain (Zhang and Sennrich 2019, arXiv 1910.07467). The
output mixes the vocabulary with a pointer into the text (See et al. 2017, arXiv 1704.04368)::

    p = (1 - g) softmax(s E h + b) + g sum_j a_j [token_j],   g = sigmoid(w h + c)

The pointer's attention a compares h with a key for each token j, made of the state before j.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .layers import feed_forward, rms_norm, rotate, rotations, softmax
from .weights import Floats, Weights

Ints = NDArray[np.int64]

#: Positions there are: the most tokens that prompt and answer may have together.
POSITIONS = 2048


@dataclass(frozen=True, slots=True)
class Past:
    """All that the model remembers of a text of n tokens."""

    tokens: Ints  # (n,)
    keys: Floats  # (layers, heads, n, d / heads)
    values: Floats  # (layers, heads, n, d / heads)
    recent: Floats  # (layers, taps - 1, d): the convolution's last inputs, oldest first
    pointer_keys: Floats  # (n, d)
    hidden: Floats  # (d,): the state after the last token


class Transformer:
    """The model as functions of its weights; it keeps no state between calls."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.n_tokens, self.width = weights.embedding.shape
        self.n_heads = weights.n_heads
        self.head_width = self.width // self.n_heads
        self.embedding = rms_norm(weights.embedding)
        self.output = np.ascontiguousarray(weights.embedding.T)
        # Row i of a kernel weighs the input i positions back; here the oldest comes first.
        self.taps = tuple(np.ascontiguousarray(layer.conv[::-1]) for layer in weights.layers)
        self.cosine, self.sine = rotations(POSITIONS, self.head_width)

    def empty(self) -> Past:
        """Return the past of the empty text."""
        n_layers = len(self.weights.layers)
        cache = np.zeros((n_layers, self.n_heads, 0, self.head_width), np.float32)
        return Past(
            tokens=np.zeros(0, np.int64),
            keys=cache,
            values=cache,
            recent=np.zeros((n_layers, len(self.taps[0]) - 1, self.width), np.float32),
            pointer_keys=np.zeros((0, self.width), np.float32),
            hidden=np.zeros(self.width, np.float32),
        )

    def extend(self, past: Past, tokens: Sequence[int]) -> Past:
        """Read ``tokens`` (at least one) after ``past`` and return the longer past."""
        ids = np.asarray(tokens, np.int64)
        hidden = self.embedding[ids]
        reads = []
        for index, layer in enumerate(self.weights.layers):
            inputs = np.concatenate([past.recent[index], rms_norm(hidden)])
            qkv = _convolve(inputs, self.taps[index]) @ layer.qkv
            mixed, keys, values = self._attend(qkv, past.keys[index], past.values[index])
            hidden = feed_forward(hidden + mixed @ layer.out, layer, np.matmul)
            reads.append((keys, values, inputs[len(ids) :]))
        keys, values, recent = (np.stack(parts) for parts in zip(*reads, strict=True))
        final = rms_norm(hidden)
        before = np.concatenate([past.hidden[None], final[:-1]])
        pointer_keys = before @ self.weights.pointer_key
        return Past(
            tokens=np.concatenate([past.tokens, ids]),
            keys=keys,
            values=values,
            recent=recent,
            pointer_keys=np.concatenate([past.pointer_keys, pointer_keys]),
            hidden=final[-1],
        )

    def _attend(self, qkv: Floats, keys: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the attention's output, and keys and values with the new tokens' appended."""
        n, start = len(qkv), keys.shape[1]
        heads = qkv.reshape(n, 3, self.n_heads, self.head_width).transpose(1, 2, 0, 3)
        rotation = self.cosine[start : start + n], self.sine[start : start + n]
        keys = np.concatenate([keys, rotate(heads[1], *rotation)], axis=1)
        values = np.concatenate([values, heads[2]], axis=1)
        future = np.triu(np.full((n, start + n), -np.inf, np.float32), start + 1)
        scores = rotate(heads[0], *rotation) @ keys.transpose(0, 2, 1)
        mixed = softmax(scores * np.float32(self.head_width**-0.5) + future) @ values
        joined: Floats = mixed.transpose(1, 0, 2).reshape(n, self.width)
        return joined, keys, values


def _convolve(inputs: Floats, taps: Floats) -> Floats:
    """Causal depthwise convolution; the first len(taps) - 1 inputs are context only."""
    n = len(inputs) - len(taps) + 1
    mixed: Floats = inputs[:n] * taps[0]
    for offset in range(1, len(taps)):
        mixed += inputs[offset : offset + n] * taps[offset]
    return mixed
