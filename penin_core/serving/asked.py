"""One request on its way: who answers it, what it came to, and its copy for a shadow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from penin_core.errors import BudgetExceeded, PeninError, ProviderRateLimited
from penin_core.live.served import Assignment, Served

from .models import Models
from .pieces import Backend, Tally
from .questions import Question
from .refusals import Refusal, about_the_request

logger = logging.getLogger(__name__)

#: So many copies are answered at a time; more are not made.
MOST_COPIES = 16


@dataclass(slots=True)
class Asked:
    """A request, who answers it, and the way there; ``told`` says that it is recorded already."""

    question: Question
    assignment: Assignment
    backend: Backend
    provider: str
    shadow: bool = False
    told: bool = False
    tally: Tally = field(default_factory=Tally)
    started: float = field(default_factory=time.perf_counter)

    def served(self) -> Served:
        """Return what became of it: it was answered."""
        question, tally = self.question, self.tally
        return Served(
            request_id=question.id,
            key=question.key,
            assignment=self.assignment,
            shadow=self.shadow,
            messages=question.turns,
            metadata=question.metadata,
            text=tally.text,
            cost_usd=tally.micro_usd / 1_000_000,
            latency_ms=1000.0 * (time.perf_counter() - self.started),
            finish=tally.finish,
            consent=question.consent,
        )

    def failed(self, error: Exception) -> Served | None:
        """Return what became of it, None where the configuration is not to blame."""
        if isinstance(error, Refusal):
            blamed = error.status >= 500 or about_the_request(error)
        else:
            blamed = not isinstance(error, BudgetExceeded | ProviderRateLimited)
        if not blamed:
            return None
        found = failed(self.question, self.assignment, shadow=self.shadow)
        found.refused = about_the_request(error)
        return found


def failed(question: Question, assignment: Assignment, *, shadow: bool = False) -> Served:
    """Return the record of a request that a configuration could not answer."""
    return Served(question.id, question.key, assignment, shadow, failed=True)


class Shadows:
    """Has copies of requests answered in the background, and forgets the answers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(
        self,
        models: Models,
        question: Question,
        assignment: Assignment,
        record: Callable[[Served], None],
    ) -> None:
        """Have one copy answered, unless too many are on their way."""
        if len(self._tasks) < MOST_COPIES:
            task = asyncio.ensure_future(_copied(models, question, assignment, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Give up the copies that are on their way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copied(
    models: Models,
    question: Question,
    assignment: Assignment,
    record: Callable[[Served], None],
) -> None:
    config = assignment.shadow
    assert config is not None
    backend = await models.other(config)
    if isinstance(backend, PeninError):
        record(failed(question, assignment, shadow=True))
        return
    copy = Asked(question, assignment, backend, config.provider, shadow=True)
    served: Served | None
    try:
        await backend.ask(question, copy.tally)
        served = copy.served()
    except Exception as error:
        if not isinstance(error, PeninError | Refusal):
            logger.exception("the copy of a request failed")
        served = copy.failed(error)
    if served is not None:
        record(served)
