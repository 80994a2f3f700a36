"""Measure what the parts of the recipe are worth: ``python -m training.ablate FOLDER``.

Every variant is trained from scratch with the same seeds and steps; the figures are the loss on
samples that no run was trained on, and the share of them that is right as a whole.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import torch

from .checks import checks, losses, shares
from .train import Run, options

VARIANTS: dict[str, list[str]] = {
    "as shipped": [],
    "without pointer": ["--no-pointer"],
    "without convolution": ["--taps", "1"],
    "bytes only": ["--bytes-only"],
    "AdamW only": ["--no-muon"],
}


def measure(folder: Path, variant: list[str], common: list[str], seed: int) -> tuple[float, float]:
    """Train one variant with one seed; return the loss per answer and the share that is right."""
    torch.manual_seed(seed)
    args = options([str(folder), "--seed", str(seed), *common, *variant])
    run = Run(args, rank=0, processes=1)
    run.go()
    batches = checks(run.encoder, count=96)
    found = shares(run.model, batches)
    return losses(run.model, batches), sum(found.values()) / len(found)


def main() -> None:
    """Print mean and standard deviation over the seeds for every variant."""
    parser = argparse.ArgumentParser(description="Measure the parts of the recipe.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", default="3000")
    parser.add_argument("--tokens", default="6144", help="per step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", default="0")
    args = parser.parse_args()
    torch.set_num_threads(1)
    common = ["--steps", args.steps, "--tokens", args.tokens, "--check-every", args.steps]
    common += ["--device", args.device, "--workers", args.workers]
    for name, variant in VARIANTS.items():
        found = [
            measure(args.folder / f"{name}-{seed}".replace(" ", "-"), variant, common, seed)
            for seed in range(args.seeds)
        ]
        loss, right = ([pair[side] for pair in found] for side in (0, 1))
        sys.stdout.write(f"{name:<20} loss {_spread(loss)}  right {_spread(right)}\n")


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} +- {deviation:.3f}"


if __name__ == "__main__":
    main()
