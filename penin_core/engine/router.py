"""Which of several models answers a request: for serving, never for measuring.

An evaluation pins provider and model, because routing would change what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from penin_core.contracts import Provider
from penin_core.errors import BudgetExceeded, ProviderError, ProviderRefused
from penin_core.records import Completion, Request

from .prices import prompt_bound
from .replies import capabilities_of
from .wire import Engine

Need = Literal["logprobs", "seed", "json_mode", "streaming"]

#: So many models are tried for one request.
MOST_TRIES = 3
#: Weights of quality, latency and cost.
_QUALITY, _LATENCY, _COST = 0.4, 0.3, 0.3
#: At this latency, and at this cost, half of their share is lost.
_SLOW_S, _DEAR_USD = 2.0, 0.01
#: How much the last answer counts in the smoothed latency.
_SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Route:
    """A model that may answer, and how good its answers are, in [0, 1]."""

    provider: str
    model: str
    quality: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.quality <= 1.0:
            raise ValueError(f"quality = {self.quality!r} must lie in [0, 1]")


@dataclass(slots=True)
class Past:
    """How a route did: requests, answers, and the smoothed latency of the answers."""

    asked: int = 0
    answered: int = 0
    latency_s: float = 0.0

    def note(self, answer: Completion | ProviderError) -> None:
        """Take one more request into account."""
        self.asked += 1
        if isinstance(answer, Completion):
            seconds = answer.latency_ms / 1000.0
            share = _SMOOTHING if self.answered else 1.0
            self.latency_s += share * (seconds - self.latency_s)
            self.answered += 1


def route_score(quality: float, past: Past, cost_usd: float) -> float:
    """Return 0.4 q (s+1)/(n+2) + 0.3/(1 + t/2 s) + 0.3/(1 + c/0.01 USD), in (0, 1].

    ``s`` of ``n`` requests were answered, in the smoothed time ``t``; ``c`` is the most that this
    request can cost.
    """
    reliable = (past.answered + 1) / (past.asked + 2)
    fast = 1.0 / (1.0 + past.latency_s / _SLOW_S)
    return _QUALITY * quality * reliable + _LATENCY * fast + _COST / (1.0 + cost_usd / _DEAR_USD)


class Router:
    """Sends each request to the best of some models, and to the next where one fails."""

    def __init__(
        self, engine: Engine, providers: Callable[[str], Provider], routes: Sequence[Route]
    ) -> None:
        if not routes:
            raise ValueError("a router needs at least one route")
        self._engine = engine
        self._providers = providers
        self.past = {route: Past() for route in routes}

    def ranked(self, request: Request, needs: Collection[Need] = ()) -> list[Route]:
        """Return the routes that can answer, best first; ties go to the cheaper, then by name.

        A route can where its service is not known to be down, the model has what ``needs`` names
        and room for the request, and its price is known.
        """
        found = []
        for route, past in self.past.items():
            cost = self._cost(route, request, needs)
            if cost is not None:
                order = (-route_score(route.quality, past, cost), cost, route.provider, route.model)
                found.append((order, route))
        return [route for _, route in sorted(found, key=lambda pair: pair[0])]

    async def answer(self, request: Request, needs: Collection[Need] = ()) -> Completion:
        """Return the answer of the best route, else of the next ones, three at most.

        ``provider`` and ``model`` of the request are replaced by those of the route.

        Raises:
            ProviderError: no route can answer, or the last one that was tried failed.
            BudgetExceeded: the budget is too small for every one of them.
        """
        failure: ProviderError | BudgetExceeded = ProviderRefused(
            "no route can answer this request",
            hint=f"routes: {', '.join(f'{r.provider}:{r.model}' for r in self.past)}",
        )
        for route in self.ranked(request, needs)[:MOST_TRIES]:
            try:
                (answer,) = await self._engine.answer([_sent_to(route, request)])
            except BudgetExceeded as error:
                failure = error
                continue
            self.past[route].note(answer)
            if isinstance(answer, Completion):
                return answer
            failure = answer
        raise failure

    def _cost(self, route: Route, request: Request, needs: Collection[Need]) -> float | None:
        """Return the most that the route can cost, or None where it cannot answer."""
        if self._engine.is_down(route.provider):
            return None
        try:
            able = capabilities_of(self._providers(route.provider), route.model)
            cost = self._engine.estimate([_sent_to(route, request)]).usd
        except ProviderError:
            return None
        room = able.context_tokens
        fits = room is None or prompt_bound(request) + request.max_tokens <= room
        return cost if fits and all(getattr(able, need) for need in needs) else None


def _sent_to(route: Route, request: Request) -> Request:
    return request.model_copy(update={"provider": route.provider, "model": route.model})
