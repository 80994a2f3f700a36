"""Many texts being written at once, one token a step, each at its own length.

A text goes on in the same way alone and in company, to the last bit on the BLAS of NumPy's wheels.
Every row starts at column 0, columns past its end weigh nothing, and sums run over whole blocks of
:data:`BLOCK` columns, so that a longer neighbour only adds zeros behind them. For the products with
weights see :func:`~penin_tiny.layers.project`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .layers import feed_forward, project, rms_norm, rotate
from .model import Ints, Past, Transformer
from .tokenizer import N_CONTROL
from .weights import Floats

Doubles = NDArray[np.float64]

#: Columns are looked at in multiples of this many, and never fewer than four of these blocks.
BLOCK = 16


class Batch:
    """The pasts of up to ``rows`` texts of up to ``columns`` tokens, side by side."""

    def __init__(self, model: Transformer, rows: int, columns: int) -> None:
        columns = _whole_blocks(columns)
        n_layers = len(model.weights.layers)
        cache = (n_layers, rows, model.n_heads, columns, model.head_width)
        self._model = model
        self._keys = np.zeros(cache, np.float32)
        self._values = np.zeros(cache, np.float32)
        self._recent = np.zeros((n_layers, rows, len(model.taps[0]), model.width), np.float32)
        self._pointer_keys = np.zeros((rows, columns, model.width), np.float32)
        self._hidden = np.zeros((rows, model.width), np.float32)
        self._tokens = np.zeros((rows, columns), np.int64)
        self._length = np.zeros(rows, np.int64)
        self.size = 0

    def admit(self, past: Past) -> None:
        """Add a text as the last row."""
        row, length = self.size, len(past.tokens)
        self._keys[:, row, :, :length] = past.keys
        self._values[:, row, :, :length] = past.values
        self._recent[:, row, 1:] = past.recent
        self._pointer_keys[row, :length] = past.pointer_keys
        self._hidden[row] = past.hidden
        self._tokens[row, :length] = past.tokens
        self._length[row] = length
        self.size += 1

    def retire(self, row: int) -> None:
        """Remove ``row``; the last row takes its place."""
        self.size -= 1
        last, length = self.size, self._length[self.size]
        if row == last:
            return
        for cache in (self._keys, self._values):
            cache[:, row, :, :length] = cache[:, last, :, :length]
        self._recent[:, row] = self._recent[:, last]
        self._pointer_keys[row, :length] = self._pointer_keys[last, :length]
        for state in (self._hidden, self._tokens, self._length):
            state[row] = state[last]

    def advance(self, tokens: Ints) -> None:
        """Append one token to every row."""
        model, n = self._model, self.size
        rows, at = np.arange(n), self._length[:n].copy()
        self._tokens[rows, at] = tokens
        self._pointer_keys[rows, at] = project(self._hidden[:n], model.weights.pointer_key)
        self._length[:n] += 1
        rotation = model.cosine[at][:, None, None], model.sine[at][:, None, None]
        mask = self._mask()
        hidden = model.embedding[tokens]
        for index, layer in enumerate(model.weights.layers):
            qkv = project(self._convolve(index, rms_norm(hidden)), layer.qkv)
            heads = qkv.reshape(n, 3, model.n_heads, model.head_width)
            turned = rotate(heads[:, :2], *rotation)
            self._keys[index][rows, :, at] = turned[:, 1]
            self._values[index][rows, :, at] = heads[:, 2]
            mixed = self._attend(index, turned[:, 0], mask)
            hidden = feed_forward(hidden + project(mixed, layer.out), layer, project)
        self._hidden[:n] = rms_norm(hidden)

    def distribution(self) -> Doubles:
        """Return the probabilities of every row's next token, (size, vocabulary)."""
        hidden, weights = self._hidden[: self.size], self._model.weights
        logits = project(hidden, self._model.output)
        logits = logits * np.float32(weights.scale) + weights.bias
        written = np.exp(logits - logits.max(-1, keepdims=True))
        written /= written.sum(-1, keepdims=True)
        copied = self._copied(hidden)
        score = (hidden * weights.gate).sum(-1, keepdims=True) + np.float32(weights.gate_bias)
        gate = 1.0 / (1.0 + np.exp(-score.astype(np.float64)))
        mixed: Doubles = (1.0 - gate) * written + gate * copied
        mixed[:, :N_CONTROL] = 0.0
        mixed /= mixed.sum(-1, keepdims=True)
        return mixed

    def _convolve(self, index: int, normed: Floats) -> Floats:
        recent = self._recent[index, : self.size]
        recent[:, :-1] = recent[:, 1:]
        recent[:, -1] = normed
        mixed: Floats = (recent * self._model.taps[index]).sum(1)
        return mixed

    def _attend(self, index: int, query: Floats, mask: Floats) -> Floats:
        n, width = mask.shape
        query = query * np.float32(self._model.head_width**-0.5)
        scores = (self._keys[index, :n, :, :width] @ query[..., None])[..., 0]
        powers = _masked_exp(scores, mask[:, None])
        mixed = (powers[:, :, None] @ self._values[index, :n, :, :width])[:, :, 0]
        mixed = mixed / np.einsum("nht->nh", powers)[..., None]
        joined: Floats = mixed.reshape(n, self._model.width)
        return joined

    def _copied(self, hidden: Floats) -> Doubles:
        """Return what the pointer alone would write: (size, vocabulary), rows sum to 1."""
        mask = self._mask()
        n, width = mask.shape
        query = project(hidden, self._model.weights.pointer_query)
        query = query * np.float32(self._model.width**-0.5)
        scores = (self._pointer_keys[:n, :width] @ query[..., None])[..., 0]
        size = self._model.n_tokens
        places = self._tokens[:n, :width] + np.arange(n)[:, None] * size
        mass = np.bincount(places.ravel(), _masked_exp(scores, mask).ravel(), n * size)
        copied = np.asarray(mass, np.float64).reshape(n, size)
        copied /= copied.sum(-1, keepdims=True)
        return copied

    def _mask(self) -> Floats:
        """Return zeros where a row has tokens and -inf behind them, in whole blocks."""
        length = self._length[: self.size]
        columns = np.arange(_whole_blocks(int(length.max())))
        return np.where(columns < length[:, None], np.float32(0.0), np.float32(-np.inf))


def _masked_exp(scores: Floats, mask: Floats) -> Floats:
    scores += mask
    scores -= scores.max(-1, keepdims=True)
    return np.exp(scores, out=scores)


def _whole_blocks(columns: int) -> int:
    return max(4, -(-columns // BLOCK)) * BLOCK
