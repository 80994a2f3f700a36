"""Who answers now: the champion of the pointer, for every request that begins after a move."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penin_core.errors import PeninError
from penin_core.ledger.champion import Champion, sync_champion
from penin_core.ledger.store import WORMLedger

from .pieces import Backend
from .pointer import Mark, mark_of, present_champion

logger = logging.getLogger(__name__)

#: How often the pointer is looked at where nobody asks, and how long to wait after it could not be
#: followed.
LOOK_EVERY_S, AGAIN_AFTER_S = 0.02, 1.0
#: So long may requests wait for a champion that is being made ready; then the former one answers.
PATIENCE_S = 1.0


@dataclass(frozen=True)
class Serving:
    """A champion, and the way to ask it."""

    champion: Champion
    backend: Backend


class Following:
    """Follows the pointer of a state directory, on one event loop.

    ``ready`` finds the way to ask a champion; ``tell`` hears, in one line, of every change.
    ``problem`` says why the pointer is not followed, and is empty while it is.

    Raises:
        LedgerInvalid: pointer and ledger contradict each other.
        PeninError: as ``ready``.
    """

    def __init__(
        self,
        state: Path,
        ledger: WORMLedger,
        ready: Callable[[Champion], Backend],
        tell: Callable[[str], None],
    ) -> None:
        self.problem = ""
        self._state, self._ledger = state, ledger
        self._ready, self._tell = ready, tell
        # Before the pointer is read: what moves in between is seen by the next look.
        self._mark = mark_of(state)
        champion = sync_champion(state, ledger)
        self.serving = None if champion is None else Serving(champion, ready(champion))
        self._looking: asyncio.Task[None] | None = None
        self._began = self._ended = 0.0
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look at the pointer also where nobody asks."""
        self._watching = asyncio.ensure_future(self._watch())

    async def aclose(self) -> None:
        """Stop looking."""
        tasks = [task for task in (self._watching, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def now(self) -> Serving | None:
        """Return who answers a request that begins now; None before the first champion.

        The pointer is looked at for each of them: however busy the event loop is, what begins after
        a move waits until the new champion is ready.
        """
        while (mark := mark_of(self._state)) != self._mark:
            if not await self._looked(mark):
                break
        return self.serving

    async def _looked(self, mark: Mark | None) -> bool:
        """Wait for a look at the pointer; False where it takes too long."""
        if self._looking is None or self._looking.done():
            self._looking, self._began = asyncio.ensure_future(self._follow(mark)), time.monotonic()
        left = self._began + PATIENCE_S - time.monotonic()
        return bool((await asyncio.wait([self._looking], timeout=max(0.0, left)))[0])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            mark = mark_of(self._state)
            again = self.problem and time.monotonic() - self._ended >= AGAIN_AFTER_S
            if mark != self._mark or again:
                await self._looked(mark)

    async def _follow(self, mark: Mark | None) -> None:
        """Let the champion of the pointer answer from now on; what is in flight ends as it began.

        A champion that cannot be believed or asked changes nothing, and is tried again.
        """
        problem, found = "", None
        try:
            found = await asyncio.to_thread(self._look)
        except Exception as error:
            problem = str(error) if isinstance(error, PeninError) else repr(error)
            if problem != self.problem:
                logger.error("the champion stays as it was: %s", problem)
        self._mark, self.problem, self._ended = mark, problem, time.monotonic()
        if found is not None:
            self.serving, config = found, found.champion.config
            self._say(
                f"now answering: {config['provider']}:{config['model']}, "
                f"configuration {found.champion.config_digest[:12]}"
            )

    def _say(self, line: str) -> None:
        """Tell of a change; whoever has stopped listening changes nothing."""
        try:
            self._tell(line)
        except Exception as error:
            logger.warning("%s; this could not be told: %r", line, error)

    def _look(self) -> Serving | None:
        """Return the champion of the pointer, ready to be asked; None where it answers already."""
        champion = present_champion(self._state, self._ledger)
        if champion is None or (self.serving and champion == self.serving.champion):
            return None
        return Serving(champion, self._ready(champion))
