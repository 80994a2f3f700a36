"""Loss and gradients of the whole model, backpropagated by hand.

Every step of the forward pass returns its result and the function that carries a gradient back
through it. Parameters keep the names of the weights file, so that what is trained can be stored.
Everything is computed in the precision of the parameters. The model is described in
:mod:`~penin_tiny.model`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layers import rotate, rotations, softmax
from .model import Ints

#: Arrays of one precision, single in training and double where gradients are checked.
Reals = NDArray[Any]
Parameters = Mapping[str, Reals]
Gradients = dict[str, Reals]
#: Takes the gradient of a step's result, returns that of its input.
Back = Callable[[Reals], Reals]

_EPSILON = np.float32(1e-6)
_TINY = np.float32(1e-20)
#: What a probability is never taken to be less than.
_FLOOR = np.float32(1e-9)


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts side by side, padded on the right, and the places whose next token is learnt."""

    tokens: Ints  # (B, T)
    places: Ints  # (N,): row * T + column of the token before the one to learn
    targets: Ints  # (N,)
    weights: Reals  # (N,): what each place counts in the loss


def loss_and_gradients(
    parameters: Parameters, n_heads: int, batch: Batch
) -> tuple[float, Gradients]:
    """Return the weighted sum of -log p(target) and its gradient by every parameter."""
    gradients = {name: np.zeros_like(value) for name, value in parameters.items()}
    run = _Run(parameters, gradients, n_heads, batch.tokens)
    final, back = run.read()
    pointed = batch.tokens[batch.places // batch.tokens.shape[1]] == batch.targets[:, None]
    head = _Head(run, final, batch.places)
    rows = np.arange(len(batch.targets))
    written = head.written[rows, batch.targets]
    copied = (head.attention * pointed).sum(-1)
    likelihood = (1 - head.gate) * written + head.gate * copied + _FLOOR
    loss = -(np.log(likelihood) * batch.weights).sum()
    slope = -batch.weights / likelihood
    d_logits = -head.written * (slope * (1 - head.gate) * written)[:, None]
    d_logits[rows, batch.targets] += slope * (1 - head.gate) * written
    d_gate = slope * (copied - written) * head.gate * (1 - head.gate)
    back(head.back(d_logits, d_gate, (slope * head.gate)[:, None] * pointed))
    return float(loss), gradients


def added(parts: Iterable[tuple[float, Gradients]]) -> tuple[float, Gradients]:
    """Return the sums of losses and of gradients; the first gradients are written to."""
    rest = iter(parts)
    loss, gradients = next(rest)
    for more, others in rest:
        loss += more
        for name, value in others.items():
            gradients[name] += value
    return loss, gradients


def distributions(parameters: Parameters, n_heads: int, batch: Batch) -> Reals:
    """Return the probabilities of the next token at every place, (N, vocabulary)."""
    run = _Run(parameters, {}, n_heads, batch.tokens)
    head = _Head(run, run.read()[0], batch.places)
    size = len(parameters["bias"])
    tokens = batch.tokens[batch.places // batch.tokens.shape[1]]
    where = tokens + np.arange(len(tokens))[:, None] * size
    copied = np.bincount(where.ravel(), head.attention.ravel(), len(tokens) * size)
    gate = head.gate[:, None]
    mixed: Reals = (1 - gate) * head.written + gate * copied.reshape(-1, size)
    return mixed


class _Run:
    """One pass over one batch: what all its steps look at."""

    def __init__(
        self, parameters: Parameters, gradients: Gradients, n_heads: int, tokens: Ints
    ) -> None:
        self.parameters = parameters
        self.gradients = gradients
        self.tokens = tokens
        length, width = tokens.shape[1], parameters["emb"].shape[1]
        kind = parameters["emb"].dtype
        self.n_heads, self.head_width = n_heads, width // n_heads
        self.n_layers = sum(name.endswith(".conv") for name in parameters)
        cosine, sine = rotations(length, self.head_width)
        self.rotation = cosine.astype(kind), sine.astype(kind)
        self.future = np.triu(np.full((length, length), -np.inf, kind), 1)

    def read(self) -> tuple[Reals, Back]:
        """Return the final states of every token, (B, T, d)."""
        table, back_table = _normed(self.parameters["emb"])
        hidden, backs = table[self.tokens], []
        for index in range(self.n_layers):
            for step in (self._mix, self._feed):
                change, back = step(hidden, f"b{index}.")
                hidden = hidden + change
                backs.append(back)
        final, back_final = _normed(hidden)

        def back_all(d_final: Reals) -> Reals:
            d_hidden = back_final(d_final)
            for back in reversed(backs):
                d_hidden = d_hidden + back(d_hidden)
            d_table = np.zeros_like(table)
            np.add.at(d_table, self.tokens.ravel(), _flat(d_hidden))
            self.gradients["emb"] += back_table(d_table)
            return d_hidden

        return final, back_all

    def product(self, x: Reals, name: str) -> tuple[Reals, Back]:
        """Return ``x`` times a matrix."""
        matrix = self.parameters[name]

        def back(dy: Reals) -> Reals:
            self.gradients[name] += _flat(x).T @ _flat(dy)
            return (_flat(dy) @ matrix.T).reshape(x.shape)

        # One large product is several times as fast as NumPy's stack of small ones.
        return (_flat(x) @ matrix).reshape(*x.shape[:-1], -1), back

    def _feed(self, hidden: Reals, layer: str) -> tuple[Reals, Back]:
        normed, back_norm = _normed(hidden)
        inner, back_up = self.product(normed, layer + "up")
        inner = np.maximum(inner, 0)
        out, back_down = self.product(inner * inner, layer + "down")
        return out, lambda dy: back_norm(back_up(back_down(dy) * (2 * inner)))

    def _mix(self, hidden: Reals, layer: str) -> tuple[Reals, Back]:
        normed, back_norm = _normed(hidden)
        convolved, back_taps = self._convolve(normed, layer + "conv")
        qkv, back_qkv = self.product(convolved, layer + "qkv")
        mixed, back_attention = self._attend(qkv)
        out, back_out = self.product(mixed, layer + "o")
        return out, lambda dy: back_norm(back_taps(back_qkv(back_attention(back_out(dy)))))

    def _convolve(self, x: Reals, name: str) -> tuple[Reals, Back]:
        taps = self.parameters[name]
        length = x.shape[1]
        offsets = range(min(len(taps), length))
        y = np.zeros_like(x)
        for offset in offsets:
            y[:, offset:] += x[:, : length - offset] * taps[offset]

        def back(dy: Reals) -> Reals:
            dx = np.zeros_like(x)
            for offset in offsets:
                late, early = dy[:, offset:], x[:, : length - offset]
                self.gradients[name][offset] += np.einsum("btd,btd->d", late, early)
                dx[:, : length - offset] += late * taps[offset]
            return dx

        return y, back

    def _attend(self, qkv: Reals) -> tuple[Reals, Back]:
        n, length, width = len(qkv), qkv.shape[1], self.n_heads * self.head_width
        cosine, sine = self.rotation
        heads = qkv.reshape(n, length, 3, self.n_heads, -1).transpose(2, 0, 3, 1, 4)
        query, key = rotate(heads[0], cosine, sine), rotate(heads[1], cosine, sine)
        value = np.ascontiguousarray(heads[2])
        scale = qkv.dtype.type(self.head_width**-0.5)
        attention = _flushed(softmax((query @ key.swapaxes(-1, -2)) * scale + self.future))
        mixed = (attention @ value).transpose(0, 2, 1, 3).reshape(n, length, width)

        def back(dy: Reals) -> Reals:
            dy = dy.reshape(n, length, self.n_heads, -1).transpose(0, 2, 1, 3)
            d_scores = _back_softmax(attention, dy @ value.swapaxes(-1, -2)) * scale
            d_query = rotate(d_scores @ key, cosine, -sine)
            d_key = rotate(d_scores.swapaxes(-1, -2) @ query, cosine, -sine)
            d_heads = np.stack([d_query, d_key, attention.swapaxes(-1, -2) @ dy])
            return _flushed(d_heads.transpose(1, 3, 0, 2, 4).reshape(n, length, 3 * width))

        return mixed, back


class _Head:
    """The output: what would be written, what the pointer looks at, and the gate between them."""

    def __init__(self, run: _Run, final: Reals, places: Ints) -> None:
        weights, (n, length, width) = run.parameters, final.shape
        self.run, self.final, self.places = run, final, places
        self.states = final.reshape(-1, width)[places]
        self.scores = self.states @ weights["emb"].T
        self.written = softmax(self.scores * weights["scale"] + weights["bias"])
        self.gate = 1 / (1 + np.exp(-(self.states @ weights["gate"][:-1] + weights["gate"][-1])))
        before = np.concatenate([np.zeros_like(final[:, :1]), final[:, :-1]], 1)
        self.query, self.back_query = run.product(final, "pq")
        self.key, self.back_key = run.product(before, "pk")
        self.scale = final.dtype.type(width**-0.5)
        looks = (self.query @ self.key.swapaxes(1, 2)) * self.scale + run.future
        self.attention = softmax(looks.reshape(n * length, length)[places])

    def back(self, d_logits: Reals, d_gate: Reals, d_attention: Reals) -> Reals:
        """Return the gradient of the final states."""
        weights, gradients = self.run.parameters, self.run.gradients
        gradients["bias"] += d_logits.sum(0)
        gradients["scale"] += (d_logits * self.scores).sum()
        gradients["gate"] += np.append(d_gate @ self.states, d_gate.sum())
        d_scores = d_logits * weights["scale"]
        gradients["emb"] += d_scores.T @ self.states
        d_states = d_scores @ weights["emb"] + d_gate[:, None] * weights["gate"][:-1]
        n, length, width = self.final.shape
        d_looks = np.zeros((n * length, length), self.final.dtype)
        d_looks[self.places] = _back_softmax(self.attention, d_attention) * self.scale
        d_looks = d_looks.reshape(n, length, length)
        d_final = self.back_query(d_looks @ self.key)
        d_final[:, :-1] += self.back_key(d_looks.swapaxes(1, 2) @ self.query)[:, 1:]
        np.add.at(d_final.reshape(-1, width), self.places, d_states)
        return d_final


def _normed(x: Reals) -> tuple[Reals, Back]:
    """Scale the last axis to a root mean square of one."""
    inverse = 1 / np.sqrt(np.einsum("...d,...d->...", x, x)[..., None] / x.shape[-1] + _EPSILON)
    y = x * inverse

    def back(dy: Reals) -> Reals:
        shared = np.einsum("...d,...d->...", dy, y)[..., None] / x.shape[-1]
        return np.asarray(inverse * (dy - y * shared))

    return y, back


def _back_softmax(y: Reals, dy: Reals) -> Reals:
    return np.asarray(y * (dy - np.einsum("...d,...d->...", y, dy)[..., None]))


def _flushed(x: Reals) -> Reals:
    """Put zeros for numbers that are next to nothing.

    Where a float is too small to be normal, every product with it takes ten times as long.
    """
    return np.asarray(x * (np.abs(x) > _TINY))


def _flat(x: Reals) -> Reals:
    return x.reshape(-1, x.shape[-1])
