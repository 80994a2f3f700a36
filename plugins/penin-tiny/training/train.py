"""Train the model: ``python -m training.train RUN_FOLDER`` (see README.md for the recipes).

The schedule counts steps, so the same command makes the same updates wherever it runs. On two
cores: ``torchrun --nproc-per-node 2 -m training.train ...``, which averages the gradients of both.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from . import vocabulary, weightfile
from .batches import Batch, stream
from .checks import Checks, checks, shares
from .encoding import Encoder
from .model import Model, Shape

WARM_UP = 40
#: The learning rate ends at this share of its peak.
FLOOR = 0.02


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the embedded model.")
    add = parser.add_argument
    add("folder", type=Path, help="checkpoint and weights are written here; resumed if it has one")
    add("--steps", type=int, default=14_000)
    add("--seed", type=int, default=0)
    add("--tokens", type=int, default=6144, help="per step, over all processes")
    add("--muon", type=float, default=0.008, help="learning rate of the matrices")
    add("--adam", type=float, default=4e-3, help="learning rate of everything else")
    add("--hold", type=float, default=0.05, help="share of the steps before the rate falls")
    add(
        "--continue-from",
        type=Path,
        help="weights to start from instead of chance, a file of the plugin",
    )
    add("--device", default="cpu")
    add("--workers", type=int, default=0, help="processes that prepare samples, for a GPU")
    add("--check-every", type=int, default=500, help="steps between checkpoints")
    add("--compile", action="store_true", help="a third faster; needs a C++ compiler and a minute")
    add("--no-pointer", action="store_true")
    add("--taps", type=int, default=4)
    add("--bytes-only", action="store_true", help="no words in the vocabulary")
    add("--no-muon", action="store_true", help="AdamW for everything")
    return parser.parse_args(arguments)


def fresh(args: argparse.Namespace) -> tuple[Model, tuple[str, ...]]:
    """Return the model to begin with, and its word list."""
    if args.continue_from is not None:
        model, known = weightfile.load(args.continue_from)
        words = vocabulary.build(known)
        return weightfile.grow(model, known, words, args.seed), words
    words = () if args.bytes_only else vocabulary.build()
    size = Encoder(words).tokenizer.size
    return Model(Shape(size, taps=args.taps, pointer=not args.no_pointer)), words


def optimizers(model: Model, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside and AdamW for the rest.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.
    """
    outside = {"embedding", "bias", "scale", "gate"}
    named = dict(model.named_parameters())
    inner = [p for name, p in named.items() if p.ndim == 2 and not name.endswith("conv")]
    inner = [p for p in inner if p is not named["embedding"]]
    rest = [p for name, p in named.items() if name in outside or name.endswith("conv")]
    if args.no_muon:
        return [torch.optim.AdamW(inner + rest, lr=args.adam, betas=(0.9, 0.98), weight_decay=0.01)]
    return [
        torch.optim.Muon(inner, lr=args.muon, weight_decay=0.02),
        torch.optim.AdamW(rest, lr=args.adam, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int, hold: float) -> float:
    """Return the share of the peak rate: a short warm-up, constant, then falling as a cosine."""
    fallen = max(0.0, step / steps - hold) / (1 - hold) if hold < 1 else 0.0
    fall = 0.5 * (1 + math.cos(math.pi * fallen))
    return min(1.0, (step + 1) / WARM_UP) * (FLOOR + (1 - FLOOR) * fall)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Average the gradients over all processes."""
    flat = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    place = 0
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(flat[place : place + p.numel()].view_as(p))
            place += p.numel()


class Run:
    """A training run that can stop and go on."""

    def __init__(self, args: argparse.Namespace, rank: int, processes: int) -> None:
        self.args, self.rank, self.processes = args, rank, processes
        self.device = torch.device(args.device)
        self.checkpoint = args.folder / "checkpoint.pt"
        self.step, saved = 0, None
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            model, self.words = Model(Shape(**saved["shape"])), tuple(saved["words"])
        else:
            model, self.words = fresh(args)
        self.model = model.to(self.device)
        if args.compile:
            self.model.compile(dynamic=True)
        self.encoder = Encoder(self.words)
        self.optimizers = optimizers(self.model, args)
        self.peaks = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        if saved is not None:
            self._restore(saved)
        self.loss = 0.0

    @cached_property
    def checks(self) -> Checks:
        """The prompts that are looked at with every checkpoint."""
        return checks(self.encoder)

    def go(self) -> None:
        """Train to the last step, with a checkpoint now and then."""
        seed = f"{self.args.seed}/{self.rank}"
        size = self.args.tokens // self.processes
        began, first = time.monotonic(), self.step
        batches = stream(self.encoder, seed, size, self.step, self.args.workers)
        for batch in islice(batches, max(0, self.args.steps - self.step)):
            loss = self._update(batch.to(self.device))
            self.loss = loss if self.step == first else 0.98 * self.loss + 0.02 * loss
            self.step += 1
            if self.rank == 0 and self.step % 50 == 0:
                pace = (time.monotonic() - began) / (self.step - first)
                _say(f"step {self.step} loss {self.loss:.4f} {pace:.2f} s/step")
            if self.step % self.args.check_every == 0 or self.step == self.args.steps:
                self._save()

    def _update(self, batch: Batch) -> float:
        share = rate(self.step, self.args.steps, self.args.hold)
        nll, _ = self.model(batch.tokens, batch.places, batch.targets)
        loss = (nll * batch.weights).sum() / batch.weights.sum()
        loss.backward()
        if self.processes > 1:
            average_gradients(list(self.model.parameters()))
        nn.utils.clip_grad_norm_(self.optimizers[-1].param_groups[0]["params"], 1.0)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _save(self) -> None:
        if self.rank:
            return
        state = {
            "step": self.step,
            "shape": vars(self.model.shape),
            "words": list(self.words),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        self.args.folder.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        scores = " ".join(
            f"{name} {share:.2f}" for name, share in shares(self.model, self.checks).items()
        )
        _say(f"step {self.step} right as a whole: {scores}")

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step = saved["step"]
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Train, and export the weights at the end."""
    args = options()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    if processes > 1:
        dist.init_process_group("gloo")
    run = Run(args, rank, processes)
    if rank == 0:
        _say(f"{sum(p.numel() for p in run.model.parameters())} parameters, from step {run.step}")
    run.go()
    if rank == 0 and run.model.shape.pointer:
        path = args.folder / "weights.npz"
        _say(f"{weightfile.save(run.model.cpu(), run.words, path)}  {path}")


if __name__ == "__main__":
    main()
