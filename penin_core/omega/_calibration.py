"""Expected calibration error with its noise floor and its debiased companion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penin_core.omega._numbers import binary, count, same_length, unit

N_BINS = 10
SCHEME = "equal_mass"


@dataclass(frozen=True)
class CalibrationError:
    """Calibration of a set of probabilities, all in [0, 1]."""

    #: Plug-in expected calibration error; biased upwards, the more so the fewer the samples.
    ece: float
    #: About the plug-in error that a perfectly calibrated model would show on these samples.
    noise_floor: float
    #: Root mean square calibration error with the sampling noise taken out.
    rms_debiased: float


def expected_calibration_error(
    probs: Sequence[float],
    labels: Sequence[int | bool],
    n_bins: int = N_BINS,
    scheme: str = SCHEME,
) -> CalibrationError:
    """Return how far stated probabilities lie from the observed frequencies.

    Symbols: ECE = Σ_b (n_b / n)·|ȳ_b - p̄_b|. ``equal_mass`` puts equal probabilities into one bin,
    so the order of the samples is irrelevant; ``equal_width`` cuts [0, 1] evenly.
    Source: Roelofs et al. 2022, arXiv 2012.08668; debiasing after Bröcker 2012,
    doi 10.1007/s00382-011-1191-1, and Kumar et al. 2019, arXiv 1909.10155.

    Raises: ValueError for no samples, lengths that differ, probabilities outside [0, 1], labels
    other than 0 and 1, n_bins below 1, or an unknown scheme.
    """
    n = same_length(probs=probs, labels=labels)
    if n == 0:
        raise ValueError("there are no samples to measure calibration on")
    pairs = sorted(
        (unit("probs", p), binary("labels", y)) for p, y in zip(probs, labels, strict=True)
    )
    size = count("n_bins", n_bins, least=1)
    probabilities = [p for p, _ in pairs]
    bins: dict[int, list[tuple[float, int]]] = {}
    for pair, place in zip(pairs, _bin_places(probabilities, size, scheme), strict=True):
        bins.setdefault(place, []).append(pair)
    parts = [_bin_terms(members) for members in bins.values()]
    ece, floor, squared = (math.fsum(terms) / n for terms in zip(*parts, strict=True))
    return CalibrationError(min(1.0, ece), min(1.0, floor), min(1.0, math.sqrt(max(0.0, squared))))


def _bin_places(ordered: list[float], n_bins: int, scheme: str) -> list[int]:
    """Return the bin of each probability; the probabilities are in ascending order."""
    if scheme == "equal_width":
        return [min(n_bins - 1, int(p * n_bins)) for p in ordered]
    if scheme != "equal_mass":
        raise ValueError(f"scheme must be 'equal_mass' or 'equal_width', got {scheme!r}")
    n = len(ordered)
    places: list[int] = []
    while len(places) < n:
        below = len(places)
        ties = 1
        while below + ties < n and ordered[below + ties] == ordered[below]:
            ties += 1
        # The bin that holds the middle of the tied samples, in whole numbers.
        places += [min(n_bins - 1, n_bins * (2 * below + ties) // (2 * n))] * ties
    return places


def _bin_terms(members: list[tuple[float, int]]) -> tuple[float, float, float]:
    """Return n_b times the gap, the noise floor and the debiased squared gap of one bin."""
    size = len(members)
    frequency = sum(outcome for _, outcome in members) / size
    gap = abs(math.fsum(outcome - p for p, outcome in members)) / size
    variance = math.fsum(p * (1 - p) for p, _ in members) / size
    noise = frequency * (1 - frequency) / (size - 1) if size > 1 else 0.0
    return size * gap, math.sqrt(2 * variance * size / math.pi), size * (gap * gap - noise)
