"""The course of an experiment: what the ledger says of it, what is due, and who gets what."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from penin_core.errors import PromotionRefused, StateError
from penin_core.league.canary import Arm, Outcome
from penin_core.league.promotion import LAST_GOOD, Entries, Feedback, LeagueOrchestrator
from penin_core.ledger.champion import champions, current_champion, last_good
from penin_core.records import Configuration
from penin_core.rendering import columns
from penin_core.state import exclusive

from .experiment import Experiment, Running, running
from .served import Assignment, Served
from .start import ending
from .store import LiveStore, Row
from .trial import Climb, End, Trial

log = logging.getLogger(__name__)


class Route(NamedTuple):
    """How requests are shared out: the salt, the challenger's share, and both assignments."""

    salt: str
    fraction: float
    sides: Mapping[Arm, Assignment]


class Course:
    """The experiment that runs on one state directory, for the one process that serves it."""

    def __init__(self, league: LeagueOrchestrator, store: LiveStore) -> None:
        self.league, self.store = league, store
        self.trial: Trial | None = None
        #: What a promotion that is due waits for.
        self.waiting = ""
        #: The columns that the prompts of the champion and of the challenger use.
        self.columns: frozenset[str] = frozenset()
        #: Whether there is something new to write down.
        self.moved = False
        self._size = -1
        self._superseded = ""
        self._configurations: dict[str, Configuration] = {}

    @property
    def harmful(self) -> bool:
        """Whether the challenger did harm, and nobody may be sent to it any more."""
        return self.trial is not None and self.trial.monitor.taken_back

    def refresh(self, passed: float) -> None:
        """Count the seconds that ``passed``, and read the ledger where it has grown.

        Raises:
            StateError, LedgerInvalid: the ledger or the challenger's files cannot be read.
        """
        if self.trial is not None:
            self.trial.served_s += passed
        if (size := self.league.ledger.size) == self._size:
            return
        found = running(self.league.ledger)
        if found is None:
            self.trial = None
        elif self.trial is None or self.trial.experiment.id != found.experiment.id:
            self._superseded = self.waiting = ""
            self._configurations = self._known(found.experiment)
            self.trial, self.moved = self._restored(found), True
        if self.trial is not None:
            assert found is not None
            self._compare_champion(self.trial)
            self._ask_guards(self.trial, max(self._size, found.idx), size)
        self.columns = self._columns()
        self._size = size

    def observe(
        self, served: Served, outcome: Callable[[], Outcome], is_first: Callable[[str], bool]
    ) -> None:
        """Take one outcome into account, if it belongs to this experiment.

        ``is_first`` says whether something is new of its key. One client that asks wrongly again
        and again must not end an experiment, so a refusal counts once for each key.
        """
        trial = self.trial
        if trial is None or served.assignment.experiment != trial.experiment.id:
            return
        if served.refused and not is_first(f"{served.arm}, refused"):
            return
        trial.observe(served.arm, outcome(), first=is_first(served.arm))
        self.moved = True

    def vote(self, row: Row, score: float) -> bool:
        """Count the first feedback of a user in this experiment; say whether it counted.

        What users say of the champion's answers beside a shadow compares nobody.
        """
        trial = self.trial
        if trial is None or row.experiment != trial.experiment.id:
            return False
        if trial.experiment.mode == "shadow" or self.store.voted(row.experiment, row.user):
            return False
        trial.monitor.vote("challenger" if row.arm == "challenger" else "champion", score)
        self.moved = True
        return True

    def due(self) -> Climb | End | None:
        """Return what has to happen next, if anything."""
        if self.trial is None:
            return None
        if self._superseded and not self.trial.monitor.taken_back:
            return self.trial.stopped(self._superseded)
        return self.trial.due()

    def route(self) -> Route | None:
        """Return how requests are shared out; None where the champion answers all of them."""
        trial, due = self.trial, self.due()
        if trial is None or (isinstance(due, End) and due.verdict != "safe"):
            return None
        name, known = trial.experiment.id, self._configurations
        challenger = known[trial.experiment.challenger]
        if trial.experiment.mode == "shadow":
            taken = Assignment(name, "champion", None, challenger)
        else:
            taken = Assignment(name, "challenger", challenger)
        # Once the challenger is the champion of the pointer, the former one has to be named.
        left = Assignment(
            name, "champion", known[trial.experiment.champion] if trial.promoted else None
        )
        return Route(name, trial.fraction, {"champion": left, "challenger": taken})

    def state(self, *, serving: bool) -> tuple[str, dict[str, Any], bool] | None:
        """Return what has to be written down of the experiment."""
        trial, self.moved = self.trial, False
        return None if trial is None else (trial.experiment.id, trial.export_state(), serving)

    def act(self) -> None:
        """Do what is due, and write it into the ledger; what cannot be written is not done.

        Raises:
            StateError, LedgerInvalid: the ledger cannot be written.
        """
        trial, due = self.trial, self.due()
        if trial is None or due is None:
            return
        if isinstance(due, Climb):
            seen = {"challenger_requests": trial.monitor.challenger, **due._asdict()}
            body = {**trial.experiment.about(), **seen, **self.league.stamp}
            self.league.ledger.record_event("CANARY_START", body)
            trial.climbed(due.step)
            self.moved = True
        else:
            self._finish(trial, due)

    def _finish(self, trial: Trial, end: End) -> None:
        proved = end.verdict == "safe" and trial.proved
        entries = ending(trial, end, self.league.stamp, proved=proved)
        if end.verdict == "harmful":
            self._take_back(trial.experiment, f"live traffic: {end.reason}", entries)
        elif proved and not trial.promoted:
            if not self._promote(trial, end):
                return
        else:
            self.league.ledger.record_many(entries)
        log.warning("experiment %s: %s, %s", trial.experiment.id, end.verdict, end.reason)
        self.trial, self.waiting = None, ""

    def _take_back(self, experiment: Experiment, reason: str, entries: Entries) -> None:
        """Write the end of a harmful challenger; where it is the champion, roll that back, too.

        Whom somebody else promoted meanwhile did nothing: the champion is asked for under the lock.
        Where no earlier champion is good, the one that the challenger did worse than is better.
        """
        ledger = self.league.ledger
        with ledger.lock:
            *earlier, champion = champions(ledger)
            former = [c.run_id for c in earlier if c.config_digest == experiment.champion]
            to = LAST_GOOD if last_good(ledger) else former[-1] if former else None
            if champion.config_digest == experiment.challenger and to is not None:
                self.league.rollback(to, reason=reason, beside=entries)
            else:
                ledger.record_many(entries)

    def _promote(self, trial: Trial, end: End) -> bool:
        """Make the challenger champion, if every gate agrees; False while a cycle runs."""
        experiment, monitor = trial.experiment, trial.monitor
        assert experiment.t is not None
        log_e, votes = monitor.favours["gain"].log_e, dict(monitor.votes)
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(self.league.state))
            except StateError as error:
                self.waiting = f"the promotion waits: {error}"
                return False
            try:
                self.league.promote(
                    experiment.run_id,
                    reason=f"better by the feedback of {sum(votes.values())} users",
                    feedback=Feedback(experiment.id, experiment.t, log_e, votes),
                    beside=ending(trial, end, self.league.stamp, proved=True),
                )
            except PromotionRefused as error:
                refused = End(end.verdict, f"{end.reason}; {error}")
                stamp = self.league.stamp
                self.league.ledger.record_many(ending(trial, refused, stamp, proved=True))
        return True

    def _known(self, experiment: Experiment) -> dict[str, Configuration]:
        """Return both configurations by their hashes."""
        ledger = self.league.ledger
        challenger = self.league.configuration(ledger.run(experiment.run_id))
        found = {challenger.hash: challenger}
        for champion in champions(ledger):
            if champion.config_digest == experiment.champion:
                found[champion.config_digest] = Configuration.model_validate(champion.config)
        missing = {experiment.champion, experiment.challenger} - found.keys()
        if missing:
            raise StateError(
                f"experiment {experiment.id}: configuration {min(missing)[:12]} is not there",
                hint="penin canary stop ends it; penin ledger verify looks for the cause",
            )
        return found

    def _columns(self) -> frozenset[str]:
        configs = [*self._configurations.values()] if self.trial is not None else []
        if (champion := current_champion(self.league.ledger)) is not None:
            configs.append(Configuration.model_validate(champion.config))
        return frozenset(name for c in configs for name in columns(f"{c.system} {c.prompt}"))

    def _restored(self, found: Running) -> Trial:
        """Return the trial as it was left; a server that ended without a word counts against it."""
        stored = self.store.trial(found.experiment.id)
        if stored is None:
            return Trial(found.experiment, step=found.step)
        trial = Trial.from_state(found.experiment, stored[0])
        trial.climbed(found.step)
        if stored[1]:
            trial.died()
        return trial

    def _ask_guards(self, trial: Trial, start: int, stop: int) -> None:
        """Look whether a run among these entries measured the challenger, and Σ-Guard failed it."""
        for run in self.league.ledger.runs(stop - start):
            same = run["candidate_cfg_hash"] == trial.experiment.challenger
            if same and run["sigma_guard_ok"] is False and run["idx"] >= start:
                trial.monitor.fail(f"Σ-Guard did not pass in run {run['id']}")

    def _compare_champion(self, trial: Trial) -> None:
        """Find out what a move of the champion means for the experiment."""
        now = self.league.require_champion().config_digest
        if now == trial.experiment.challenger:
            trial.became_champion()
        elif now != trial.experiment.champion:
            self._superseded = "another champion was promoted meanwhile"
        elif trial.promoted:
            self._superseded = "the challenger was promoted, and rolled back again"
