"""Choosing the next token from a distribution, each row with its own temperature and top-p."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

#: At or below this temperature the most likely token is taken and chance plays no part.
GREEDY = 1e-6


def choose(probabilities: Doubles, temperature: Doubles, top_p: Doubles, uniform: Doubles) -> Ints:
    """Return one token for each row of ``probabilities`` (rows sum to 1).

    ``temperature`` >= 0 (0 takes the most likely token), ``top_p`` in (0, 1], ``uniform`` in
    [0, 1): the chance that decides, one number per row. A row's token depends on nothing else.
    """
    tokens: Ints = probabilities.argmax(-1)
    warm = np.flatnonzero(temperature > GREEDY)
    if warm.size:
        weights = tempered(probabilities[warm], temperature[warm])
        narrow = np.flatnonzero(top_p[warm] < 1.0)
        if narrow.size:
            weights[narrow] = nucleus(weights[narrow], top_p[warm][narrow])
        tokens[warm] = _invert(weights, uniform[warm])
    return tokens


def tempered(probabilities: Doubles, temperature: Doubles) -> Doubles:
    """Return weights proportional to p^(1/T), the largest of each row being 1."""
    relative = probabilities / probabilities.max(-1, keepdims=True)
    return np.asarray(relative ** (1.0 / temperature[:, None]), np.float64)


def nucleus(weights: Doubles, top_p: Doubles) -> Doubles:
    """Return ``weights`` with zeros outside the smallest set of top tokens that holds ``top_p``.

    Tokens exactly as likely as the last one that is kept are kept too.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020, section 3.1
    (arXiv 1904.09751).
    """
    falling = -np.sort(-weights, axis=-1)
    reached = np.cumsum(falling, axis=-1)
    needed = top_p[:, None] * reached[:, -1:]
    last = (reached - falling < needed).sum(-1) - 1
    cutoff = np.take_along_axis(falling, last[:, None], axis=-1)
    return np.where(weights >= cutoff, weights, 0.0)


def _invert(weights: Doubles, uniform: Doubles) -> Ints:
    """Return the first token of each row at which the cumulative weight passes ``uniform``."""
    cumulative = np.cumsum(weights, axis=-1)
    total = cumulative[:, -1]
    # Rounding must not carry the threshold up to the total: that would point past the last token.
    threshold = np.minimum(uniform * total, np.nextafter(total, 0.0))
    first: Ints = (cumulative > threshold[:, None]).argmax(-1)
    return first
