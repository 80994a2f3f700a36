"""Choosing the next token from raw logits, each row with its own temperature, top-p and chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: At or below this temperature the most likely token is taken and chance plays no part.
GREEDY = 1e-6
#: How many of the most likely tokens are looked at before all of them are.
_HEAD = 128


def choose(
    logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """Return one token for each row of ``logits``, and its log-probability at temperature 1.

    ``temperature`` >= 0 (0 takes the most likely token), ``top_p`` in (0, 1] and ``uniform`` in
    [0, 1), the chance that decides, hold one number for each row. A row's token depends on nothing
    else. The log-probability is the model's own, whatever the row is drawn from: natural, of the
    softmax of ``logits`` as they are. It is NaN where a logit is.
    """
    logs = torch.log_softmax(logits.double(), -1)
    tokens = logs.argmax(-1)
    warm = temperature > GREEDY
    if bool(warm.any()):
        weights = _tempered(logs[warm], temperature[warm])
        narrow = top_p[warm] < 1.0
        if bool(narrow.any()):
            weights[narrow] = nucleus(weights[narrow], top_p[warm][narrow])
        tokens[warm] = _invert(weights, uniform[warm])
    return tokens, logs.gather(-1, tokens[:, None])[:, 0]


def _tempered(logs: Tensor, temperature: Tensor) -> Tensor:
    """Return weights proportional to p^(1/T), the largest of each row being 1."""
    return ((logs - logs.amax(-1, keepdim=True)) / temperature[:, None]).exp()


def nucleus(weights: Tensor, top_p: Tensor) -> Tensor:
    """Return ``weights`` with zeros outside the smallest set of top tokens that holds ``top_p``.

    Tokens exactly as likely as the last one that is kept are kept too.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020, section 3.1
    (arXiv 1904.09751).
    """
    needed = top_p[:, None] * weights.sum(-1, keepdim=True)
    # Trained models are so sure that the head nearly always does, and sorting all takes long.
    cutoff, held = _cutoff(weights, needed, min(_HEAD, weights.shape[-1]))
    wide = ~held
    if bool(wide.any()):
        cutoff[wide], _ = _cutoff(weights[wide], needed[wide], weights.shape[-1])
    return weights.where(weights >= cutoff, 0.0)


def _cutoff(weights: Tensor, needed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the least weight that is kept, and whether ``count`` top tokens hold ``needed``."""
    falling = weights.topk(count).values
    reached = falling.cumsum(-1)
    last = (reached - falling < needed).sum(-1, keepdim=True) - 1
    return falling.gather(-1, last), reached[:, -1] >= needed[:, 0]


def _invert(weights: Tensor, uniform: Tensor) -> Tensor:
    """Return the first token of each row at which the cumulative weight passes ``uniform``."""
    cumulative = weights.cumsum(-1)
    total = cumulative[:, -1]
    # Rounding must not carry the threshold up to the total: that would point past the last token.
    threshold = torch.minimum(uniform * total, total.nextafter(torch.zeros_like(total)))
    return (cumulative > threshold[:, None]).int().argmax(-1)
