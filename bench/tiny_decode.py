"""Decoding speed of penin-tiny in NumPy against the same weights in torch, on one thread each.

Both write the same number of tokens after the same prompts, taking the most likely token, with a
cache of keys and values. They take turns, and the medians are compared, in processor time, so that
other work on the machine counts less. Goals: 1,500 tokens/s at batch 1, 5,000 at batch 32, and at
least 0.7 of what torch does; 150 ms to import and load the model over NumPy, in a process of its
own, that answers 64 prompts side by side in at most 200 MB. Run with penin-tiny and torch
installed::

    python bench/tiny_decode.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from penin_tiny.batch import Batch
from penin_tiny.model import Transformer
from penin_tiny.threads import one_blas_thread
from penin_tiny.tokenizer import BEGIN, N_CONTROL, Tokenizer
from penin_tiny.weights import Layer, Weights, load

GOAL = 0.7
#: Batch -> tokens per second.
SPEEDS = {1: 1500.0, 32: 5000.0}
LOAD_MS, PEAK_MB = 150.0, 200.0
STEPS = 48
ROUNDS = 15

_INSTRUCTION = "Extract name, email and amount as JSON. No extra text."
_DOCUMENTS = (
    "This is Anna Costa, I paid $120.50 on 3 May 2024; write to anna.costa@mail.example.",
    "Order #4711: bought by Hugo Meyer, contact hugo@post.example, the total is EUR 89.",
    "Client Nora Silva wrote to us from nora77@web.example. Charged 1,250.00 USD, due 2025-01-31.",
    "Reach me at b.khan@site.example, my name is Ben Khan, it cost £35, call +44 123.",
)


class TorchPeer:
    """The model as one would write it in torch: left-padded prompts, a preallocated cache."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.width, self.n_heads = weights.embedding.shape[1], weights.n_heads
        self.head_width = self.width // self.n_heads
        embedding = torch.from_numpy(weights.embedding)
        self.embedding = functional.rms_norm(embedding, (self.width,), eps=1e-6)
        self.output = embedding
        self.bias = torch.from_numpy(weights.bias)
        self.pointer_query = torch.from_numpy(weights.pointer_query)
        self.pointer_key = torch.from_numpy(weights.pointer_key)
        self.gate = torch.from_numpy(weights.gate)
        self.layers = [_Block(layer) for layer in weights.layers]
        frequency = 10_000.0 ** -(torch.arange(0, self.head_width, 2) / self.head_width)
        angle = torch.outer(torch.arange(2048.0), frequency)
        self.cosine, self.sine = angle.cos(), angle.sin()

    def read(self, prompts: Sequence[Sequence[int]], room: int) -> torch.Tensor:
        """Read all prompts and return the probabilities of the next tokens."""
        n, longest = len(prompts), max(map(len, prompts))
        total = longest + room
        cache = (len(self.layers), n, self.n_heads, total, self.head_width)
        self.keys, self.values = torch.zeros(cache), torch.zeros(cache)
        self.recent = torch.zeros(
            len(self.layers), n, len(self.weights.layers[0].conv) - 1, self.width
        )
        self.pointer_keys = torch.zeros(n, total, self.width)
        self.tokens = torch.zeros(n, total, dtype=torch.int64)
        self.mask = torch.zeros(n, total)
        for row, prompt in enumerate(prompts):
            self.tokens[row, longest - len(prompt) : longest] = torch.tensor(prompt)
            self.mask[row, : longest - len(prompt)] = -1e9
        self.end, self.last = 0, torch.zeros(n, self.width)
        return self._append(self.tokens[:, :longest])

    def write(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to every row and return the probabilities of the next tokens."""
        self.tokens[:, self.end] = tokens
        return self._append(tokens[:, None])

    def _append(self, tokens: torch.Tensor) -> torch.Tensor:
        start, self.end = self.end, self.end + tokens.shape[1]
        # Only the prompts are padded: 1 where a token stands, 0 on the left of it.
        present = (self.mask[:, : self.end, None] == 0).float() if start == 0 else torch.ones(1)
        mask = self.mask[:, None, None, : self.end]
        if start == 0:
            mask = mask + torch.full((self.end, self.end), -1e9).triu(1)
        hidden = self.embedding[tokens]
        for index, layer in enumerate(self.layers):
            inputs = torch.cat([self.recent[index], self._norm(hidden) * present], 1)
            self.recent[index] = inputs[:, -self.recent.shape[2] :]
            qkv = functional.linear(layer.convolve(inputs), layer.qkv)
            mixed = self._attend(index, qkv, mask, start)
            hidden = hidden + functional.linear(mixed, layer.out)
            inner = functional.relu(functional.linear(self._norm(hidden), layer.up)).square()
            hidden = hidden + functional.linear(inner, layer.down)
        final = self._norm(hidden) * present
        before = torch.cat([self.last[:, None], final[:, :-1]], 1)
        self.pointer_keys[:, start : self.end] = before @ self.pointer_key
        self.last = final[:, -1]
        return self._distribution(self.last)

    def _norm(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(hidden, (self.width,), eps=1e-6)

    def _attend(
        self, index: int, qkv: torch.Tensor, mask: torch.Tensor, start: int
    ) -> torch.Tensor:
        n, length, end = len(qkv), qkv.shape[1], self.end
        heads = qkv.view(n, length, 3, self.n_heads, self.head_width).permute(2, 0, 3, 1, 4)
        rotation = self.cosine[start:end], self.sine[start:end]
        keys, values = self.keys[index], self.values[index]
        keys[:, :, start:end] = _rotate(heads[1], *rotation)
        values[:, :, start:end] = heads[2]
        query = _rotate(heads[0], *rotation)
        mixed = functional.scaled_dot_product_attention(
            query, keys[:, :, :end], values[:, :, :end], mask
        )
        return mixed.transpose(1, 2).reshape(n, length, self.width)

    def _distribution(self, hidden: torch.Tensor) -> torch.Tensor:
        end = self.end
        logits = functional.linear(hidden, self.output) * self.weights.scale + self.bias
        query = (hidden @ self.pointer_query)[:, :, None]
        scores = (self.pointer_keys[:, :end] @ query)[:, :, 0] * self.width**-0.5
        attention = (scores + self.mask[:, :end]).softmax(-1)
        gate = torch.sigmoid(hidden @ self.gate + self.weights.gate_bias)[:, None]
        mixed = logits.softmax(-1) * (1.0 - gate)
        mixed.scatter_add_(1, self.tokens[:, :end], attention * gate)
        mixed[:, :N_CONTROL] = 0.0
        return mixed / mixed.sum(-1, keepdim=True)


class _Block:
    """One layer's parameters in the layout that torch's ``linear`` wants."""

    def __init__(self, layer: Layer) -> None:
        self.taps = torch.from_numpy(layer.conv)
        self.qkv = torch.from_numpy(layer.qkv).T.contiguous()
        self.out = torch.from_numpy(layer.out).T.contiguous()
        self.up = torch.from_numpy(layer.up).T.contiguous()
        self.down = torch.from_numpy(layer.down).T.contiguous()

    def convolve(self, inputs: torch.Tensor) -> torch.Tensor:
        """Causal depthwise convolution; the first inputs are context only."""
        back = len(self.taps) - 1
        mixed = inputs[:, back:] * self.taps[0]
        for offset in range(1, len(self.taps)):
            mixed = torch.addcmul(mixed, inputs[:, back - offset : -offset], self.taps[offset])
        return mixed


def _rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


Measured = tuple[float, float, list[list[int]]]


def numpy_run(model: Transformer, prompts: Sequence[Sequence[int]]) -> Measured:
    """Return seconds of reading, seconds of writing, and what was written."""
    written = []
    with one_blas_thread():
        begin = time.process_time()
        batch = Batch(model, len(prompts), max(map(len, prompts)) + STEPS)
        for prompt in prompts:
            batch.admit(model.extend(model.empty(), prompt))
        probabilities = batch.distribution()
        middle = time.process_time()
        for _ in range(STEPS):
            tokens = probabilities.argmax(-1)
            written.append(tokens.tolist())
            batch.advance(tokens)
            probabilities = batch.distribution()
    return middle - begin, time.process_time() - middle, written


def torch_run(peer: TorchPeer, prompts: Sequence[Sequence[int]]) -> Measured:
    """The same in torch."""
    written = []
    with torch.inference_mode():
        begin = time.process_time()
        probabilities = peer.read(prompts, STEPS)
        middle = time.process_time()
        for _ in range(STEPS):
            tokens = probabilities.argmax(-1)
            written.append(tokens.tolist())
            probabilities = peer.write(tokens)
    return middle - begin, time.process_time() - middle, written


def compare(size: int, one: Callable[[], Measured], other: Callable[[], Measured]) -> bool:
    """Print tokens per second of both and say whether the goals are met."""
    reads: tuple[list[float], list[float]] = ([], [])
    writes: tuple[list[float], list[float]] = ([], [])
    if one()[2] != other()[2]:
        sys.exit("the two runtimes wrote different tokens: nothing to compare")
    for _ in range(ROUNDS):
        for side, run in enumerate((one, other)):
            read, write, _ = run()
            reads[side].append(read)
            writes[side].append(write)
    speeds = [STEPS * size / statistics.median(side) for side in writes]
    whole = [
        STEPS * size / statistics.median(map(sum, zip(read, write, strict=True)))
        for read, write in zip(reads, writes, strict=True)
    ]
    print(
        f"batch {size:2}: writing {speeds[0]:6.0f} numpy, {speeds[1]:6.0f} torch tokens/s, "
        f"ratio {speeds[0] / speeds[1]:.2f}; with reading {whole[0]:6.0f}, {whole[1]:6.0f}, "
        f"ratio {whole[0] / whole[1]:.2f}"
    )
    return speeds[0] >= SPEEDS[size] and speeds[0] / speeds[1] >= GOAL


#: Runs without torch, which would weigh more than all else.
_ALONE = """
import sys, time
import numpy
begin = time.process_time()
from penin_tiny.decoding import Decoder, Prompt
from penin_tiny.weights import load
decoder = Decoder(load())
loaded = time.process_time() - begin
prompt = Prompt(decoder.tokenize(sys.argv[1]), 0.0, 1.0, 96, 0)
decoder.answer([prompt] * 64)
# What the kernel says of resources includes the parent's memory; this does not.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(1000 * loaded, int(status["VmHWM"].split()[0]) / 1024)
"""


def alone() -> bool:
    """Print what loading takes and how much memory answering does; say whether both are met."""
    prompt = f"{_INSTRUCTION}\nInput: {_DOCUMENTS[0]}\nOutput: "
    command = [sys.executable, "-c", _ALONE, prompt]
    runs = [
        tuple(map(float, subprocess.check_output(command, text=True).split())) for _ in range(3)
    ]
    milliseconds, peak = (statistics.median(figures) for figures in zip(*runs, strict=True))
    print(f"import and load over NumPy {milliseconds:.0f} ms, peak memory {peak:.0f} MB")
    return milliseconds <= LOAD_MS and peak <= PEAK_MB


def main() -> int:
    """Compare at batch 1 and 32; exit code 1 where a goal is missed."""
    torch.set_num_threads(1)
    weights = load()
    tokenizer, model, peer = Tokenizer(weights.words), Transformer(weights), TorchPeer(weights)
    prompts = [
        [BEGIN, *tokenizer.encode(f"{_INSTRUCTION}\nInput: {document}\nOutput: ")]
        for document in _DOCUMENTS
    ]
    print(f"numpy {np.__version__}, torch {torch.__version__}, {STEPS} tokens after each prompt")
    met = [alone()]
    for size in (1, 32):
        batch = [prompts[index % len(prompts)] for index in range(size)]
        met.append(
            compare(size, lambda b=batch: numpy_run(model, b), lambda b=batch: torch_run(peer, b))
        )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
