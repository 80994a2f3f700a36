"""A deployment: whatever is the champion answers, under one name that stays the same."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from pathlib import Path
from typing import Any

from penin_core.errors import PeninError, StateError
from penin_core.ledger.champion import Champion
from penin_core.live.traffic import Live
from penin_core.project import Project, open_project
from penin_core.records import Configuration
from penin_core.state import exclusive

from .asked import Asked, Shadows, failed
from .figures import Family, Figures, Labels
from .following import Following
from .models import Models
from .pieces import Backend, Piece
from .questions import Question
from .refusals import Refusal, refusal_of

logger = logging.getLogger(__name__)


class Deployment:
    """The champion of a state directory, ready to answer; one process at a time has it.

    ``name`` is what requests call it. ``tell`` hears, in one line, of every change of champion. It
    is opened and closed as a context manager; between ``start`` and ``aclose``, on one event loop,
    it answers and follows the pointer.
    """

    def __init__(
        self, project: Project, *, name: str, tell: Callable[[str], None] = logger.info
    ) -> None:
        self.name = name
        self.state = project.state
        self._project = project
        self._tell = tell
        self._stack = ExitStack()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._figures = Figures(project.state, project.settings.budget.daily_usd)
        self._shadows = Shadows()

    @classmethod
    def find(
        cls,
        config: Path | None = None,
        state: Path | None = None,
        *,
        name: str,
        tell: Callable[[str], None] = logger.info,
    ) -> Deployment:
        """Return the deployment of the project that the settings and the environment lead to.

        Raises:
            SettingsError, SuiteError, PluginError: something is wrong, in words that name it.
            StateError: the state directory cannot be used.
        """
        return cls(open_project(config=config, state=state), name=name, tell=tell)

    def __enter__(self) -> Deployment:
        """Take the state directory, and get ready to ask its champion, if there is one.

        Raises:
            StateError: another process serves from this state directory.
            LedgerInvalid: the pointer and the ledger contradict each other.
            PluginError, ProviderError, SettingsError: the champion cannot be asked.
        """
        with ExitStack() as stack:
            stack.enter_context(exclusive(self.state, "gateway"))
            stack.enter_context(closing(self._project))
            ledger = stack.enter_context(self._project.ledger())
            self._models = Models(self._project)
            self._following = Following(self.state, ledger, self._ready, self._tell)
            self._live = stack.enter_context(closing(Live.of(self._project, ledger)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def start(self) -> None:
        """Begin to follow the pointer, and to watch experiments."""
        self._live.start()
        self._following.start()

    async def aclose(self) -> None:
        """Stop following the pointer; close connections; settle what was spent.

        Each of them is done, last to first, whatever becomes of the others.
        """
        async with AsyncExitStack() as parts:
            parts.push_async_callback(self._models.aclose)
            parts.push_async_callback(self._shadows.aclose)
            parts.push_async_callback(self._following.aclose)

    @property
    def champion(self) -> Champion | None:
        """The champion that answers now; None before the first one."""
        serving = self._following.serving
        return serving.champion if serving else None

    @property
    def problem(self) -> str:
        """Why the pointer is not followed; empty while it is."""
        return self._following.problem

    async def answer(self, question: Question) -> dict[str, Any]:
        """Return the answer to ``question`` as a chat completion.

        Raises:
            Refusal: there is none; it says what to tell the sender.
        """
        asked = await self._asked(question)
        try:
            piece = await asked.backend.ask(question, asked.tally)
        except Exception as error:
            raise self._refused(asked, error) from error
        self._answered(asked)
        return self._named(piece, question.id, int(time.time()), "chat.completion")

    async def stream(self, question: Question) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the answer as chunks of a chat completion; the last one says the usage.

        Raises:
            Refusal: as ``answer``; also after the first chunks.
        """
        asked, created = await self._asked(question), int(time.time())
        try:
            async with aclosing(asked.backend.stream(question, asked.tally)) as pieces:
                async for piece in pieces:
                    yield self._named(piece, question.id, created, "chat.completion.chunk")
        except Exception as error:
            raise self._refused(asked, error) from error
        self._answered(asked)

    def feedback(self, id_: str, *, score: float | None, label: str | None) -> None:
        """Take what a person thought of the answer ``id_``.

        Raises:
            Refusal: it says nothing, or something else than a score or a label, or the answer is
                not known.
        """
        try:
            known = self._live.feedback(id_, score=score, label=label)
        except ValueError as error:
            raise Refusal(400, "invalid_value", str(error)) from None
        except StateError as error:
            raise refusal_of(error) from error
        if not known:
            raise Refusal(404, "unknown_answer", "there is no such answer", param="id")

    def figures(self) -> list[Family]:
        """Return what can be measured of the project behind this deployment; it takes a while.

        Raises:
            StateError, LedgerInvalid: ledger or budget cannot be read.
        """
        counted = [
            ({"provider": provider, "outcome": outcome}, float(count))
            for (provider, outcome), count in sorted(self._outcomes.items())
        ]
        live: dict[str, list[tuple[Labels, float]]] = {}
        for name, labels, value in self._live.counts():
            live.setdefault(name, []).append((labels, value))
        followed: list[tuple[Labels, float]] = [({}, float(not self.problem))]
        return [
            ("penin_provider_requests_total", "counter", "Requests to models.", counted),
            ("penin_gateway_follows", "gauge", "Whether the pointer can be followed.", followed),
            *((name, "gauge", _LIVE.get(name, name), values) for name, values in live.items()),
            *self._figures.read(),
        ]

    async def _asked(self, question: Question) -> Asked:
        """Find out who answers, and have a copy answered by a shadow."""
        serving = await self._following.now()
        if serving is None:
            words = "this deployment has no champion yet; penin evolve makes the first one"
            raise Refusal(503, "no_champion", words, retry_after=60.0)
        assigned = self._live.assign(question.id, question.key)
        if assigned.shadow is not None:
            self._shadows.ask(self._models, question, assigned, self._live.record)
        provider = serving.champion.config["provider"]
        if assigned.configuration is None:
            return Asked(question, assigned, serving.backend, provider)
        backend = await self._models.other(assigned.configuration)
        if isinstance(backend, PeninError):
            # The person who asks is answered all the same, by the champion.
            self._live.record(failed(question, assigned))
            return Asked(question, assigned, serving.backend, provider, told=True)
        return Asked(question, assigned, backend, assigned.configuration.provider)

    def _answered(self, asked: Asked) -> None:
        self._outcomes[asked.provider, "answered"] += 1
        if not asked.told:
            self._live.record(asked.served())

    def _refused(self, asked: Asked, error: Exception) -> Refusal:
        """Return what the sender is told; what the configuration did wrong counts against it.

        That includes whatever a plugin raises: who fails unseen is never taken back.
        """
        served = asked.failed(error)
        self._outcomes[asked.provider, "failed" if served else "refused"] += 1
        if served is not None and not asked.told:
            self._live.record(served)
        return refusal_of(error)

    def _named(self, piece: Piece, id_: str, created: int, kind: str) -> dict[str, Any]:
        answer = {
            "id": id_,
            "object": kind,
            "created": created,
            "model": self.name,
            "choices": piece.choices,
        }
        return answer if piece.usage is None else {**answer, "usage": piece.usage}

    def _ready(self, champion: Champion) -> Backend:
        return self._models.backend(Configuration.model_validate(champion.config))


_LIVE = {
    "penin_live_share": "Share of the traffic that the challenger answers.",
    "penin_live_requests": "Requests of the experiment by arm.",
    "penin_live_votes": "Feedback in the experiment by arm.",
    "penin_live_log_e": "Natural logarithm of each e-value of the experiment.",
    "penin_live_step": "Step of the ramp.",
}
