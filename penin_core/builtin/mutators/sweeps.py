"""Sampling parameters: sweeps over their whole ranges, and steps near the champion."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from penin_core import Candidate, ComponentOptions, Mutator

TEMPERATURE = (0.1, 1.5)
TOP_P = (0.5, 1.0)
MAX_TOKENS = (100, 200, 500, 1000)
_REDRAWS = 100

Design = Literal["random", "lhs", "sobol"]


def generate_param_sweeps(
    base_cfg: Mapping[str, Any],
    n_challengers: int,
    seed: int,
    design: Design = "random",
    refused: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return up to ``n_challengers`` copies of ``base_cfg`` with other sampling parameters.

    temperature in [0.1, 1.5], top_p in [0.5, 1.0], both to three decimals, max_tokens one of 100,
    200, 500, 1000. Deterministic in all arguments; neighbouring seeds share no variant stream. No
    two are equal, none equals the base; where 100 redraws find nothing new there are fewer.
    ``design`` places them independently, or spread out: see :func:`unit_design`. What the model
    ``refused`` stays as it is in the base.

    Raises:
        ValueError: ``n_challengers`` is negative, or the design is not known.
    """
    if n_challengers < 0:
        raise ValueError(f"n_challengers must not be negative, not {n_challengers}")
    points = None if design == "random" else unit_design(design, n_challengers, 3, seed)
    base = json.dumps(base_cfg, sort_keys=True, default=str)
    seen = {base}
    variants = []
    for index in range(n_challengers):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        for attempt in range(_REDRAWS):
            placed = points is not None and attempt == 0
            drawn = _placed(points[index]) if placed and points is not None else _drawn(stream)
            taken = {name: value for name, value in drawn.items() if name not in refused}
            variant = copy.deepcopy(dict(base_cfg)) | taken
            key = json.dumps(variant, sort_keys=True, default=str)
            if key not in seen:
                seen.add(key)
                variants.append(variant)
                break
    return variants


def _drawn(stream: np.random.Generator) -> dict[str, Any]:
    return {
        "temperature": round(float(stream.uniform(*TEMPERATURE)), 3),
        "top_p": round(float(stream.uniform(*TOP_P)), 3),
        "max_tokens": int(stream.choice(MAX_TOKENS)),
    }


def _placed(point: NDArray[np.float64]) -> dict[str, Any]:
    """Return the parameters that a point of the unit cube stands for."""
    heat, nucleus, length = (float(share) for share in point)
    return {
        "temperature": round(TEMPERATURE[0] + heat * (TEMPERATURE[1] - TEMPERATURE[0]), 3),
        "top_p": round(TOP_P[0] + nucleus * (TOP_P[1] - TOP_P[0]), 3),
        "max_tokens": MAX_TOKENS[min(len(MAX_TOKENS) - 1, int(length * len(MAX_TOKENS)))],
    }


def unit_design(design: Design, count: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    """Return ``count`` points of the unit cube [0, 1)^d that fill it evenly, a row for each.

    ``lhs``: a Latin hypercube, one point in each of ``count`` slices along every axis (McKay,
    Beckman and Conover 1979, doi 10.2307/1268522). ``sobol``: a scrambled Sobol sequence by SciPy
    (Sobol' 1967; Owen 1998, doi 10.1145/272991.273010); without SciPy, a Latin hypercube.

    Raises:
        ValueError: another design.
    """
    if design not in ("lhs", "sobol"):
        raise ValueError(f"design must be one of random, lhs, sobol, not {design!r}")
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, dimensions)))
    qmc = quasi_random() if design == "sobol" else None
    if count == 0:
        return np.empty((0, dimensions))
    if qmc is not None:
        sobol = qmc.Sobol(d=dimensions, scramble=True, rng=stream)
        points: NDArray[np.float64] = sobol.random_base2(math.ceil(math.log2(count)))[:count]
        return points
    slices = np.column_stack([stream.permutation(count) for _ in range(dimensions)])
    return (slices + stream.uniform(size=(count, dimensions))) / count


def quasi_random() -> Any | None:
    """Return SciPy's module of quasi-random designs, or None where SciPy is not installed."""
    try:
        return import_module("scipy.stats.qmc")
    except ImportError:
        return None


def _in_words(champion: Candidate, values: Mapping[str, Any]) -> str:
    taken = (name for name in values if name not in champion.refused)
    return ", ".join(f"{name} {values[name]}" for name in taken)


def _sampling(champion: Candidate) -> dict[str, Any]:
    return {key: getattr(champion.config, key) for key in ("temperature", "top_p", "max_tokens")}


class ParamSweep(Mutator):
    """Other temperatures, nucleus sizes and answer lengths."""

    name = "param_sweep"

    class Options(ComponentOptions):
        """How the points are placed: ``random``, or spread out by ``lhs`` or ``sobol`` (SciPy)."""

        design: Design = "random"

    options: ParamSweep.Options

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return ``count`` children that differ in sampling parameters only."""
        design, seed = self.options.design, int(rng.integers(2**31))
        missing = design == "sobol" and quasi_random() is None
        note = "; Latin hypercube, for SciPy is not installed" if missing else ""
        base, refused = _sampling(champion), champion.refused
        for variant in generate_param_sweeps(base, count, seed, design, refused):
            yield champion.child(self.name, _in_words(champion, variant) + note, **variant)


class NearStep(Mutator):
    """Small steps from the champion's sampling parameters; the larger φ is, the larger the steps.

    A step of temperature and top_p is normal with standard deviation ``reach`` · φ of the range,
    cut to the range; max_tokens is multiplied by 2 to the power of such a step in octaves.
    """

    name = "near_step"

    class Options(ComponentOptions):
        """φ of CAOS⁺ in [0, 1], and the reach at φ = 1.

        φ is an option and not read from the ledger: it knows what confirmations measured, and the
        search must not.
        """

        phi: float = Field(default=0.5, ge=0.0, le=1.0)
        reach: float = Field(default=0.25, gt=0.0, le=1.0)

    options: NearStep.Options

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return up to ``count`` children near the champion; φ = 0 still steps a little."""
        scale = self.options.reach * max(0.05, self.options.phi)
        seen = {champion.hash}
        for _ in range(count):
            for _ in range(_REDRAWS):
                values = self._stepped(champion, rng.normal(scale=scale, size=3))
                child = champion.child(self.name, _in_words(champion, values), **values)
                if child.hash not in seen:
                    seen.add(child.hash)
                    yield child
                    break

    @staticmethod
    def _stepped(champion: Candidate, step: NDArray[np.float64]) -> dict[str, Any]:
        config = champion.config
        longer = config.max_tokens * 2.0 ** float(step[2])
        return {
            "temperature": _moved(config.temperature, float(step[0]), TEMPERATURE),
            "top_p": _moved(config.top_p, float(step[1]), TOP_P),
            "max_tokens": min(max(1, round(longer)), max(MAX_TOKENS[-1], config.max_tokens)),
        }


def _moved(value: float, step: float, limits: tuple[float, float]) -> float:
    """Step within the range, or within the wider one that a champion outside of it has."""
    low, high = min(limits[0], value), max(limits[1], value)
    return round(min(high, max(low, value + step * (limits[1] - limits[0]))), 3)
