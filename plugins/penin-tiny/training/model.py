"""The model of :mod:`penin_tiny.model` in PyTorch, for training only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. ``pointer`` and ``taps`` > 1 can be switched off to measure them."""

    vocabulary: int
    width: int = 128
    heads: int = 4
    layers: int = 4
    feed_forward: int = 384
    taps: int = 4
    window: int = 512
    pointer: bool = True


class Block(nn.Module):
    """One layer: convolution and attention, then a feed-forward part with squared ReLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, f = shape.width, shape.feed_forward
        self.heads = shape.heads
        self.conv = nn.Parameter(torch.randn(shape.taps, d) * 0.3)
        self.qkv = nn.Parameter(torch.randn(3 * d, d) * d**-0.5)
        self.out = nn.Parameter(torch.zeros(d, d))
        self.up = nn.Parameter(torch.randn(f, d) * d**-0.5)
        self.down = nn.Parameter(torch.zeros(d, f))
        with torch.no_grad():
            self.conv[0] = 1.0

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        n, t, d = x.shape
        qkv = F.linear(self._convolve(_norm(x)), self.qkv)
        q, k, v = qkv.view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, cosine, sine), _rotate(k, cosine, sine)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(mixed.transpose(1, 2).reshape(n, t, d), self.out)
        return x + F.linear(F.relu(F.linear(_norm(x), self.up)).square(), self.down)

    def _convolve(self, x: Tensor) -> Tensor:
        mixed = x * self.conv[0]
        for back in range(1, len(self.conv)):
            mixed = mixed + F.pad(x[:, :-back], (0, 0, back, 0)) * self.conv[back]
        return mixed


class Model(nn.Module):
    """A decoder that writes from its vocabulary and copies from its text."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, size = shape.width, shape.vocabulary
        self.embedding = nn.Parameter(torch.randn(size, d) * 0.05)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(size))
        if shape.pointer:
            self.pointer_query = nn.Parameter(torch.randn(d, d) * d**-0.5)
            self.pointer_key = nn.Parameter(torch.randn(d, d) * d**-0.5)
            self.gate = nn.Parameter(torch.zeros(d + 1))
        half = d // shape.heads // 2
        angles = torch.outer(torch.arange(shape.window), 10_000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return -log p of each target, and whether it is the most likely token.

        ``tokens`` is (rows, columns); ``places`` are flat positions in it, after which the
        ``targets`` stand.
        """
        p = self.distributions(tokens, places)
        right = p.gather(1, targets[:, None])[:, 0]
        return -(right + 1e-9).log(), p.argmax(1) == targets

    def distributions(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return the probabilities of the token after each place, (places, vocabulary)."""
        n, t = tokens.shape
        x = _norm(F.embedding(tokens, self.embedding))
        for block in self.blocks:
            x = block(x, self.cosine[:t], self.sine[:t])
        states = _norm(x)
        h = states.reshape(n * t, -1)[places]
        written = ((h @ self.embedding.t()) * self.scale + self.bias).softmax(1)
        if not self.shape.pointer:
            return written
        attention = self._pointer(states)[places]
        rows = tokens[torch.div(places, t, rounding_mode="floor")]
        copied = torch.zeros_like(written).scatter_add(1, rows, attention.to(written.dtype))
        g = torch.sigmoid(h @ self.gate[:-1] + self.gate[-1])[:, None]
        return (1 - g) * written + g * copied

    def _pointer(self, states: Tensor) -> Tensor:
        """Return the pointer's attention; the key of a token is the state before it."""
        n, t, d = states.shape
        keys = F.pad(states[:, :-1] @ self.pointer_key, (0, 0, 1, 0))
        scores = (states @ self.pointer_query) @ keys.transpose(1, 2) * d**-0.5
        future = torch.ones(t, t, dtype=torch.bool, device=states.device).triu(1)
        attention: Tensor = scores.masked_fill(future, -1e9).reshape(n * t, t).softmax(1)
        return attention


def _norm(x: Tensor) -> Tensor:
    normed: Tensor = F.rms_norm(x, (x.shape[-1],), eps=1e-6)
    return normed


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)
