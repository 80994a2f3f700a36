"""evolve_one_cycle: propose, measure, race, confirm, decide, record, tune."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from penin_core.cycle import Cycle
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.errors import (
    BudgetExceeded,
    EvaluationFailed,
    LedgerInvalid,
    ProviderError,
    SettingsError,
)
from penin_core.gating import FIRST_TASKS, first_tasks
from penin_core.league.decision import gate
from penin_core.ledger.artifacts import new_run_id
from penin_core.ledger.audit import Verification
from penin_core.ledger.checkpoints import seal
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.trained import trained_folder
from penin_core.omega.tuner import DEFAULTS
from penin_core.project import Project, open_project, require_recordable, with_baseline
from penin_core.proposing import propose
from penin_core.recording import record_cycle, record_first
from penin_core.records import Axis, Candidate, Configuration, CycleReport, Measurement
from penin_core.resuming import Asked, forget, interrupted, keep
from penin_core.settings import Baseline, Settings
from penin_core.state import exclusive
from penin_core.tuning import tune

Watch = Callable[[str, Mapping[str, object]], None]


async def evolve_one_cycle(
    n_challengers: int = 8,
    budget_minutes: float = 30,
    provider_id: str | None = None,
    dry_run: bool = False,
    *,
    max_usd: float | None = None,
    seed: int | None = None,
    profile: str | None = None,
    settings: Settings | None = None,
    state_dir: Path | None = None,
    project: Project | None = None,
    watch: Watch | None = None,
    resume: bool = False,
) -> CycleReport:
    """Run one cycle of evolution and return what it did.

    ``n_challengers`` proposals are raced on the ``select`` tasks; the winner is confirmed against
    the champion on fresh tasks, and becomes champion only if the rule on point values, every guard
    and the evidence agree. ``budget_minutes`` and ``max_usd`` bound time and money; what they cut
    off is recorded as failed, never promoted. A ``dry_run`` measures and records, but neither makes
    or moves a champion nor tunes. ``seed`` makes the cycle repeatable; it defaults to the number of
    cycles in the ledger. A cycle that was killed is not among them, one whose time or money ended
    is: after that one, another seed asks anew. ``resume`` takes number, seed, profile, provider and
    ``dry_run`` from the cycle that either way was interrupted: no call is paid twice, and a
    confirmation that stands open goes on at its own level.

    Raises:
        SettingsError, SuiteError, PluginError, StateError: before anything is spent.
        EvaluationFailed: the champion could not be measured.
    """
    with opened(project, settings, state_dir) as project:
        project.require_provable()
        asked = Asked(n_challengers, -1 if seed is None else seed, dry_run, profile, provider_id)
        if resume:
            asked = interrupted(project.state)
        async with open_cycle(
            project,
            seconds=60.0 * budget_minutes,
            max_usd=max_usd,
            seed=None if asked.seed < 0 else asked.seed,
            dry_run=asked.dry_run,
            profile=asked.profile,
            watch=watch or _ignore,
        ) as cycle:
            cycle.require_fresh()
            keep(project.state, replace(asked, seed=cycle.seed))
            return await _evolve(cycle, asked)


async def _evolve(cycle: Cycle, asked: Asked) -> CycleReport:
    """Take a cycle through its steps; where time or money ends, what is there is decided on."""
    challengers: list[Candidate] = []
    champion = await champion_of(cycle, asked.provider_id)
    try:
        challengers = propose(cycle, champion, asked.challengers)
        await name_what_goes_away(cycle, (champion, *challengers))
        cycle.announce(champion, challengers)
        await cycle.race(champion, challengers)
        await cycle.confirm(champion)
    except BudgetExceeded as error:
        cycle.exhausted = str(error)
    decisions = cycle.decide(champion, challengers)
    report = record_cycle(cycle, champion, challengers, decisions)
    project = cycle.project
    if not cycle.exhausted:
        forget(project.state)
    tune(cycle)
    seal(project.state, cycle.ledger, owner=project.settings.ledger.owner)
    cycle.finish(report)
    return report


@contextmanager
def opened(
    project: Project | None, settings: Settings | None, state: Path | None
) -> Iterator[Project]:
    """Yield the caller's project, or one of our own that is closed again."""
    if project is not None:
        yield project
        return
    with closing(open_project(settings=settings, state=state)) as own:
        yield own


async def name_what_goes_away(cycle: Cycle, candidates: Sequence[Candidate]) -> None:
    """Ask services which models they will shut down, and tell the watchers those that compete."""
    models = sorted({(each.config.provider, each.config.model) for each in candidates})
    await cycle.engine.ask_dates({provider for provider, _ in models})
    for provider, model in models:
        with suppress(ProviderError):
            date = cycle.engine.capabilities(provider, model).shutdown_date
            if date is not None:
                cycle.watch("goes_away", {"provider": provider, "model": model, "date": date})


async def champion_of(cycle: Cycle, provider_id: str | None) -> Candidate:
    """Return the champion; on the first cycle, measure what runs today and make it champion."""
    current = cycle.league.champion()
    if current is None:
        return await _first_champion(cycle, provider_id)
    config = Configuration.model_validate(current.config)
    if provider_id is not None and provider_id != config.provider:
        cycle.project.plugins.get("providers", provider_id)
        raise SettingsError(
            f"the champion runs on {config.provider!r}, not on {provider_id!r}",
            hint="start a champion on that provider in another --state-dir",
        )
    cycle.suite = with_baseline(cycle.suite, cycle.baseline())
    return Candidate(config=config, origin="champion")


async def _first_champion(cycle: Cycle, provider_id: str | None) -> Candidate:
    start = await appraise(cycle, provider_id)
    cycle.assumed = {**DEFAULTS, "tau": start.tau}
    if not cycle.dry_run:
        record_first(cycle, start.champion, start.measured, cycle.assumed)
    return start.champion


@dataclass(frozen=True)
class Appraisal:
    """What runs today, measured; ``tau`` is its score, cut to [0.50, 0.70]."""

    champion: Candidate
    measured: Measurement
    tau: float
    baseline: Baseline


async def appraise(cycle: Cycle, provider_id: str | None = None) -> Appraisal:
    """Measure the configuration of the settings and freeze its costs as the baseline.

    Raises:
        EvaluationFailed: an axis of the suite could not be measured.
    """
    settings = cycle.project.settings
    config = settings.champion
    if provider_id is not None:
        config = config.model_copy(update={"provider": provider_id})
    require_recordable(config)
    champion = Candidate(config=config, origin="settings")
    if cycle.suite.baseline is None:
        found = (await measure(cycle, champion)).raw["C"]
        cycle.suite = with_baseline(cycle.suite, {n: found[n] for n in Baseline.model_fields})
    measured = await measure(cycle, champion)
    axes = cycle.suite.definition.axes
    if missing := [_unmeasured(axis, measured) for axis in axes if getattr(measured, axis) is None]:
        hint = "declare in the suite what it cannot measure, with a reason"
        if "logprobs" in measured.not_applied:
            hint = 'the model gives no log-probabilities: set calibration = "stated" in the suite'
        raise EvaluationFailed(
            f"the champion could not be measured on {', '.join(missing)}", hint=hint
        )
    tau = settings.evolve.tau
    if tau is None:
        tau = min(0.70, max(0.50, gate(measured, axes, DEFAULTS).score))
    return Appraisal(champion, measured, tau, cycle.suite.baseline or Baseline())


def _unmeasured(axis: Axis, measured: Measurement) -> str:
    """Name an axis, and which of its parts have no value."""
    parts = [name for name, value in measured.raw.get(axis, {}).items() if value is None]
    return f"{axis} ({', '.join(parts)})" if parts else axis


async def measure(cycle: Cycle, candidate: Candidate, count: int = FIRST_TASKS) -> Measurement:
    """Measure all axes of a candidate on ``count`` fixed ``select`` tasks."""
    return await cycle.measure_whole(cycle.battery(), candidate, first_tasks(cycle.suite, count))


async def evaluate(
    project: Project,
    config: Configuration,
    *,
    count: int = FIRST_TASKS,
    seconds: float = 1800.0,
    max_usd: float | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Measurement:
    """Measure one configuration on ``select`` tasks; nothing is recorded or moved.

    C needs a baseline: the suite's, or the one that the first champion froze; else it is None.
    """
    async with open_cycle(
        project,
        seconds=seconds,
        max_usd=max_usd,
        seed=seed,
        dry_run=True,
        profile=None,
        watch=watch or _ignore,
    ) as cycle:
        if cycle.league.champion() is not None:
            cycle.suite = with_baseline(cycle.suite, cycle.baseline())
        return await measure(cycle, Candidate(config=config, origin="evaluate"), count)


@asynccontextmanager
async def open_cycle(
    project: Project,
    *,
    seconds: float,
    max_usd: float | None,
    seed: int | None,
    dry_run: bool,
    profile: str | None,
    watch: Watch,
) -> AsyncIterator[Cycle]:
    """Open ledger, engine and lock for one cycle, and close them again."""
    with exclusive(project.state), project.ledger() as ledger:
        require_valid(ledger.verify())
        league = project.league(ledger)
        league.champion()
        budget = Budget(project.state / "budget.db", project.settings.budget.daily_usd, max_usd)
        cache = ResponseCache(project.state / "cache" / "responses.db")
        chosen = completed_cycles(ledger) if seed is None else seed
        engine = Engine(
            project.provider,
            budget=budget,
            cache=cache,
            deadline_s=seconds,
            on_answer=lambda done, total: watch("answered", answered(engine, done, total)),
            adapters=lambda name: trained_folder(project.state, name),
            private_hosts=project.settings.network.private_hosts,
            prices=project.settings.prices,
        )
        try:
            yield Cycle(
                project=project,
                ledger=ledger,
                league=league,
                engine=engine,
                suite=project.suite,
                seed=chosen,
                dry_run=dry_run,
                profile=profile or project.settings.guards.profile,
                id=f"cycle-{new_run_id()}",
                watch=watch,
            )
        finally:
            await engine.aclose()
            budget.close()
            cache.close()


def answered(engine: Engine, done: int, total: int) -> dict[str, object]:
    """Return what a watcher learns after an answer: how many are there, and what all has cost."""
    return {"done": done, "total": total, "calls": engine.spend.calls, "usd": engine.spend.usd}


def require_valid(found: Verification) -> None:
    """Raise LedgerInvalid where the ledger does not verify: nothing is built on it."""
    if not found.valid:
        raise LedgerInvalid(
            f"the ledger does not verify: {found.reason}", hint="penin ledger verify says more"
        )


def completed_cycles(ledger: WORMLedger) -> int:
    """Return how many cycles the ledger holds: the seed of the next one.

    So a cycle that was interrupted asks the same questions again, and finds its answers stored.
    """
    return len(ledger.cycles())


def _ignore(event: str, about: Mapping[str, object]) -> None:
    return
