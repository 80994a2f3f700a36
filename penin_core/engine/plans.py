"""What some requests will take, and what an engine has done."""

from __future__ import annotations

from dataclasses import dataclass

from penin_core.errors import ProviderError
from penin_core.records import Completion, Request

from .books import Item


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some requests will take: distinct ones, those not answered yet, and their bound."""

    calls: int
    new_calls: int
    usd: float


@dataclass(frozen=True, slots=True)
class Spend:
    """What an engine did so far. ``calls`` went to a model, ``errors`` of them got no answer."""

    calls: int
    cached: int
    errors: int
    usd: float
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests by slot, each distinct one by its key, and what the cache knows of them."""

    slots: list[str | ProviderError]
    distinct: dict[str, Request]
    known: dict[str, Completion]

    def missing(self) -> dict[str, list[Item]]:
        """Return what has to be asked, by provider."""
        found: dict[str, list[Item]] = {}
        for key, request in self.distinct.items():
            if key not in self.known:
                found.setdefault(request.provider, []).append((key, request))
        return found
