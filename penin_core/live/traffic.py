"""Live: one process's view of the experiment that runs. Says who answers, hears what became of it.

Asking and telling is what happens on the way of a request, so it takes microseconds, waits for
nothing and never raises. Everything else (scores, bounds, files, the ledger) is done by one thread
that wakes fifty times a second. Where that thread cannot keep watch, because it hangs, falls
behind or cannot write, the challenger gets nothing: who is not watched is not served.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from penin_core.contracts import Evaluator
from penin_core.errors import PeninError, SettingsError, StateError
from penin_core.league.canary import arm_of
from penin_core.league.promotion import LeagueOrchestrator
from penin_core.settings import LiveSettings, parse_duration
from penin_core.state import exclusive

from .content import Redact, bytes_of, kept, outcome_of, redaction, suited
from .course import Course, Route
from .feedback import score_of
from .served import PLAIN, Assignment, Served
from .status import counted, described
from .store import Kept, LiveStore, Pass, Row

if TYPE_CHECKING:
    from penin_core.ledger.store import WORMLedger
    from penin_core.project import Project

__all__ = ["Assignment", "Live", "Served"]

log = logging.getLogger(__name__)

#: How often the thread wakes, how often it writes, and how often it forgets what is too old.
WAKE_S, WRITE_S, PRUNE_S = 0.02, 0.25, 60.0
#: How long to wait after something could not be written.
AGAIN_S = 1.0
#: A thread that has not woken for so long, or has so many requests or bytes of texts before it,
#: does not watch any more.
STALE_S, BEHIND, BEHIND_BYTES = 5.0, 20_000, 64 * 1024 * 1024
#: So much is taken on in one pass, so that harm found in it is acted on soon.
_AT_ONCE = 500


class Live:
    """The experiment that runs on the traffic of one process, if any.

    ``evaluators`` score answers: those that need no reference are used. ``redactors`` take out of
    a text what must not be kept. One process at a time serves a state directory.

    Raises:
        StateError: another process serves this state directory, or it cannot be used.
        SettingsError: a duration or a pattern of the settings is none.
    """

    def __init__(
        self,
        league: LeagueOrchestrator,
        settings: LiveSettings,
        *,
        evaluators: Sequence[Evaluator] = (),
        redactors: Sequence[Evaluator] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self._clock = settings, clock
        self._evaluators = suited(evaluators)
        self._redact: Redact = redaction(redactors, settings.redact_patterns)
        self._keep_s = parse_duration(settings.keep)
        self._queue: deque[tuple[Served, int]] = deque()
        #: Bytes of texts that went into the queue and came out of it, each counted by one thread.
        self._put = self._got = 0
        self._said: deque[tuple[str, float]] = deque()
        #: Requests that are not in the file yet, for feedback that comes at once.
        self._recent = set[str]()
        self._work = Pass.empty()
        self._problem = ""
        self._beat = self._looked = self._wrote = self._pruned = self._paused_until = clock()
        self._held = ExitStack()
        self._held.enter_context(exclusive(league.state, "watcher"))
        try:
            self._store = LiveStore(league.state)
            self._held.callback(self._store.close)
            for redactor in redactors:
                self._held.callback(redactor.close)
            self._course = Course(league, self._store)
        except BaseException:
            self._held.close()
            raise
        self._route: Route | None = None
        self._closed, self._ending = False, threading.Event()
        self._thread: threading.Thread | None = None
        # A challenger that cannot be served is no reason not to serve the champion.
        self._pass()

    @classmethod
    def of(cls, project: Project, ledger: WORMLedger) -> Live:
        """Return the live traffic of a project, with its suite's evaluators.

        Raises:
            StateError, SettingsError: as the class; also for a redactor that redacts nothing.
            PluginError: a redactor does not exist.
        """
        settings, redactors = project.settings.live, list[Evaluator]()
        for name in settings.redact if settings.log else ():
            made = project.plugins.create("evaluators", name)
            if type(made).redact is Evaluator.redact:
                raise SettingsError(
                    f"live.redact: evaluator {name!r} takes nothing out of a text",
                    hint="name one that does, such as secrets or personal_data",
                )
            redactors.append(made)
        evaluators = project.evaluators()
        return cls(project.league(ledger), settings, evaluators=evaluators, redactors=redactors)

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name="penin-live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take in what was recorded, write it, and let the state directory go; may take a while."""
        if self._closed:
            return
        self._closed = True
        self._ending.set()
        if self._thread is not None:
            self._thread.join(STALE_S)
        with self._held:
            if self._thread is None or not self._thread.is_alive():
                self._pass(last=True)
            else:
                log.error("the watcher hangs: what it did not write is lost")

    def assign(self, request_id: str, key: str) -> Assignment:
        """Return who answers a request of ``key``; a key keeps its side. Never raises.

        Without a key, every request is drawn on its own.
        """
        route = self._route
        if route is None:
            return PLAIN
        return route.sides[arm_of(key or request_id, route.salt, route.fraction)]

    def record(self, served: Served) -> None:
        """Take in one request that has ended, or a shadow's copy of one. Never raises.

        Its texts are dropped where nobody will read them.
        """
        if not self._is_read(served):
            served.messages, served.metadata, served.text = (), {}, ""
        size = sum(map(bytes_of, (served.messages, served.metadata, served.text)))
        if len(self._queue) >= BEHIND or self._put - self._got + size > BEHIND_BYTES:
            self._route = None
            return
        if self._clock() - self._beat > STALE_S:
            self._route = None
        if not served.shadow:
            self._recent.add(served.request_id)
        self._put += size
        self._queue.append((served, size))

    def feedback(
        self, request_id: str, *, score: float | None = None, label: str | None = None
    ) -> bool:
        """Take in what a user says about an answer; say whether the request is known.

        In an experiment the first feedback of each user counts, for a task the last on a request.

        Raises:
            ValueError: it is no score in [0, 1] and no known label, or both, or neither.
            StateError: the request cannot be looked up, or too much waits to be written.
        """
        value = score_of(score, label)
        known = request_id in self._recent or self._store.request(request_id) is not None
        if known and len(self._said) >= BEHIND:
            raise StateError("feedback cannot be taken in now", hint="try again in a minute")
        if known:
            self._said.append((request_id, value))
        return known

    def status(self) -> dict[str, Any]:
        """Return how the experiment stands, as ``penin canary status --json`` prints it."""
        return described(self._course.trial, self._problem or self._course.waiting)

    def counts(self) -> list[tuple[str, dict[str, str], float]]:
        """Return figures for monitoring: name, labels, value."""
        return counted(self._course.trial, share=self._route.fraction if self._route else 0.0)

    def _watch(self) -> None:
        while not self._ending.wait(WAKE_S):
            self._pass()

    def _pass(self, *, last: bool = False) -> None:
        """Do all that is to be done now; what fails is named once, and tried again."""
        now = self._clock()
        passed, self._beat, self._looked = max(0.0, now - self._looked), now, now
        if 0.0 < self._paused_until - now <= AGAIN_S and not last:
            return
        try:
            self._take_in(passed, last=last)
            self._route = self._course.route()
            self._problem = ""
        except Exception as error:
            self._route, self._paused_until = None, self._clock() + AGAIN_S
            said = str(error) if isinstance(error, PeninError) else repr(error)
            if said != self._problem:
                log.error("the challenger gets no traffic: %s", said)
                self._problem = said
        self._beat = self._clock()

    def _take_in(self, passed: float, *, last: bool) -> None:
        self._course.refresh(min(passed, STALE_S))
        if self._problem:
            # Nothing more is taken on before what was seen is written.
            self._write()
        for _ in range(len(self._queue) if last else min(len(self._queue), _AT_ONCE)):
            served, size = self._queue.popleft()
            self._got += size
            self._take(served)
            # Whoever serves in this process goes first.
            time.sleep(0)
        for _ in range(len(self._said)):
            self._hear(*self._said.popleft())
        # Before anything is written: nobody else is sent to a challenger whose time is over.
        self._route = self._course.route()
        self._course.act()
        if last or self._clock() - self._wrote >= WRITE_S:
            self._write(last=last)

    def _take(self, served: Served) -> None:
        name, assigned = served.request_id, served.assignment
        user = self._store.user_of(served.key or name)
        self._course.observe(
            served,
            lambda: outcome_of(served, self._evaluators),
            lambda what: self._is_first(served, user, what),
        )
        if self._course.harmful:
            self._route = None
        if served.shadow:
            return
        self._work.requests[name] = Row(name, served.at, assigned.experiment, assigned.arm, user)
        if self._is_kept(served):
            content = kept(served, self._redact, self._course.columns)
            if content is not None:
                self._work.traffic.append(Kept(name, served.at, user, content))

    def _is_kept(self, served: Served) -> bool:
        agreed = served.consent or self.settings.consent == "all"
        return self.settings.log and agreed and not served.shadow

    def _is_read(self, served: Served) -> bool:
        """Say whether anybody will look at what was said: an evaluator, or who keeps it."""
        scored = served.assignment.experiment is not None and bool(self._evaluators)
        return scored or self._is_kept(served)

    def _is_first(self, served: Served, user: str, what: str) -> bool:
        """Say whether ``what``, such as the side that answered, is new of a user."""
        if served.key in ("", served.request_id):
            return True
        answered = (served.assignment.experiment or "", what, user)
        if answered in self._work.answered or self._store.answered(*answered):
            return False
        self._work.answered.add(answered)
        return True

    def _hear(self, request_id: str, score: float) -> None:
        row = self._work.requests.get(request_id) or self._store.request(request_id)
        if row is None:
            # Its request is still in the queue.
            self._said.append((request_id, score))
            return
        self._work.scores[request_id] = score
        voter = (row.experiment or "", row.user)
        if voter not in self._work.votes and self._course.vote(row, score):
            self._work.votes.add(voter)

    def _write(self, *, last: bool = False) -> None:
        now, work = self._clock(), self._work
        if last or self._course.moved:
            work.trial = self._course.state(serving=not last)
        if work:
            self._store.write(work)
            self._work = Pass.empty()
            for name in work.requests:
                self._recent.discard(name)
        if now - self._pruned >= PRUNE_S:
            self._store.prune(time.time() - self._keep_s, self.settings.keep_requests)
            self._pruned = now
        self._wrote = now
