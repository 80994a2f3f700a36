"""What is trained: all parameters, or low-rank changes to the matrices (LoRA).

Trained arrays are named after the parameters. ``NAME:A`` (a, r) and ``NAME:B`` (r, b) stand for
``NAME + SCALE A B``; any other array stands for the parameter itself.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022
(arXiv 2106.09685).
"""

from __future__ import annotations

import numpy as np

from .gradients import Gradients, Parameters, Reals

#: What the product of the two factors counts.
SCALE = np.float32(2.0)

_MATRICES = ("qkv", "o", "up", "down", "pq", "pk")


def everything(base: Parameters) -> dict[str, Reals]:
    """Return copies of all parameters, to be trained."""
    return {name: value.copy() for name, value in base.items()}


def low_rank(base: Parameters, rank: int, rng: np.random.Generator) -> dict[str, Reals]:
    """Return factors of ``rank`` for every matrix; at first they change nothing."""
    trained: dict[str, Reals] = {}
    for name in sorted(base):
        if name.split(".")[-1] in _MATRICES:
            rows, columns = base[name].shape
            first = rng.standard_normal((rows, rank)) / rows**0.5
            trained[name + ":A"] = first.astype(base[name].dtype)
            trained[name + ":B"] = np.zeros((rank, columns), base[name].dtype)
    return trained


def applied(base: Parameters, trained: Parameters) -> dict[str, Reals]:
    """Return the parameters of the model that ``trained`` makes of ``base``."""
    parameters = dict(base)
    for name, value in trained.items():
        matrix, _, factor = name.partition(":")
        if factor == "A":
            parameters[matrix] = base[matrix] + SCALE * (value @ trained[matrix + ":B"])
        elif not factor:
            parameters[name] = value
    return parameters


def blended(base: Parameters, trained: Parameters, share: np.float32) -> dict[str, Reals]:
    """Return arrays that stand for a model ``share`` of the way from ``base`` to ``trained``.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022
    (arXiv 2109.01903).
    """
    parameters: dict[str, Reals] = {}
    for name, value in trained.items():
        _, _, factor = name.partition(":")
        if factor == "A":
            parameters[name] = value
        elif factor == "B":
            parameters[name] = share * value
        else:
            parameters[name] = base[name] + share * (value - base[name])
    return parameters


def projected(gradients: Parameters, trained: Parameters) -> Gradients:
    """Return the gradients by the trained arrays, from those by the parameters."""
    wanted: Gradients = {}
    for name in trained:
        matrix, _, factor = name.partition(":")
        if factor == "A":
            wanted[name] = SCALE * (gradients[matrix] @ trained[matrix + ":B"].T)
        elif factor == "B":
            wanted[name] = SCALE * (trained[matrix + ":A"].T @ gradients[matrix])
        else:
            wanted[name] = gradients[name]
    return wanted
