"""What penin evolve says before its first call: what can be proved, and what that may use up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording

if TYPE_CHECKING:
    from penin_core.league.plans import Plan
    from penin_core.project import Project
    from penin_core.records import Configuration

DRY_RUN = (
    "dry run: it asks, pays and uses up confirm tasks like any cycle, but no champion is made or "
    "moved; penin evolve --plan forecasts and asks nothing"
)


def announcement(
    project: Project,
    champion: Configuration,
    challengers: int,
    seconds: float,
    max_usd: float | None,
    *,
    dry_run: bool = False,
    profile: str | None = None,
) -> tuple[str, ...]:
    """Return what is said before the first call; refuse where nothing could be promoted.

    Raises:
        SettingsError: no guard is in use.
        SuiteError: the suite has too few tasks, or too few that are fresh.
    """
    from penin_core.league.campaign import require_fresh
    from penin_core.league.plans import plan_confirmation

    from .shared import Place, campaign_at

    _require_ready(project)
    suite, evolve, budget = project.suite, project.settings.evolve, project.settings.budget
    campaign = campaign_at(Place(project.settings, project.state))
    fresh = len(require_fresh(suite, campaign))
    plan = plan_confirmation(
        suite, claim="better", campaign=campaign, at_most=evolve.confirm_max, mode=evolve.evidence
    )
    able = project.provider(champion.provider).capabilities(champion.model)
    return (
        f"suite {wording.clipped(suite.definition.name, 40)}: {len(suite.split('select')):,} tasks "
        f"to search on, {fresh:,} of {len(suite.split('confirm')):,} left to confirm on",
        power(plan),
        *_of_guard(project, plan, profile),
        f"{wording.amount(challengers, 'challenger')} to {wording.model_name(champion)}, at most "
        f"{wording.duration(seconds)} and {_money(max_usd, budget.daily_usd)}",
        *going_away(champion.provider, champion.model, able.shutdown_date),
        *(_of_dry_run(plan, fresh) if dry_run else ()),
    )


def _require_ready(project: Project) -> None:
    """Raise SettingsError or SuiteError where nothing could be promoted, whatever is fresh."""
    from penin_core.errors import SettingsError

    if not project.settings.guards.use:
        raise SettingsError(
            "[guards] use names no guard, and nothing is promoted without one",
            hint='set use = ["sigma", "contractive"], or leave it out',
        )
    project.require_provable()


def _of_dry_run(plan: Plan, fresh: int) -> list[str]:
    """Say what a dry run does, and where its proof would leave too few tasks for a promotion."""
    from penin_core.suites import MIN_CONFIRM

    most = len(plan.tasks) + len(plan.reserve)
    if fresh - most >= MIN_CONFIRM:
        return [DRY_RUN]
    return [
        DRY_RUN,
        f"if this dry run proves a gain, up to {most:,} of the {fresh:,} fresh confirm tasks are "
        f"used up: what it found can then be promoted only after new ones are added, "
        f"{MIN_CONFIRM} are needed",
    ]


def _of_guard(project: Project, plan: Plan, profile: str | None) -> list[str]:
    """Say where hardly an answer of a proof may lack what Σ-Guard measures it by."""
    from penin_core.measuring import MAX_ERRORS
    from penin_core.omega.guards import PROFILES

    definition, settings = project.suite.definition, project.settings
    parts = {"a confidence": definition.calibration, "a group": definition.groups}
    measured = [what for what, how in parts.items() if how != "not_applicable"]
    needed = int(PROFILES[profile or settings.guards.profile]["min_samples"])
    least = min(len(plan.tasks), settings.evolve.confirm_min)
    if not measured or "sigma" not in settings.guards.use:
        return []
    if least - needed >= MAX_ERRORS * least:
        return []
    room = wording.amount(least - needed, "answer") if least > needed else "no answer"
    return [
        f"Σ-Guard vetoes below {needed} answers with {' and '.join(measured)}, and a proof may "
        f"have {least}: {room} may fail or go without; more confirm tasks, and confirm_min, help"
    ]


def going_away(provider: str, model: str, date: str | None) -> list[str]:
    """Name a model whose service will shut it down: what is proved on it will not last."""
    name = wording.clipped(f"{provider}:{model}")
    return [f"{name}: {text}" for text in wording.going_away(date)]


def _money(of_run: float | None, of_day: float) -> str:
    if of_run is None:
        return f"{wording.usd(of_day)} a day"
    return wording.usd(most_usd(of_run, of_day))


def most_usd(of_run: float | None, of_day: float) -> float:
    """Return what a cycle may cost at most: the lesser of its own limit and the day's."""
    return of_day if of_run is None else min(of_run, of_day)


def power(plan: Plan) -> str:
    """Say what a confirmation can prove, where that is known quickly."""
    from penin_core.league.worth import MOST_FOR_POWER
    from penin_core.omega.evidence import smallest_provable_gain

    tasks, units = len(plan.tasks), len(plan.ends)
    if units > MOST_FOR_POWER:
        return f"a confirmation uses at most {tasks:,} of them"
    least = smallest_provable_gain(units, plan.alpha)
    proves = "nothing" if least is None else f"a gain of about {100 * least:.0f} points"
    told = wording.sources(units, plan.cluster)
    return f"a confirmation on {tasks:,} of them can prove {proves}{told}"
