"""penin evolve --plan: what a cycle can prove and what it will take, without a single call."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .output import emit

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.records import Configuration


def show_plan(project: Project, champion: Configuration, challengers: int, as_json: bool) -> None:
    """Print the forecast of the next cycle; nothing is asked and nothing is written."""
    emit(planned(project, champion, challengers), as_json, _in_words)


def planned(project: Project, champion: Configuration, challengers: int) -> dict[str, Any]:
    """Return the forecast of the next cycle, with what it was made for."""
    from penin_core.forecast import forecast
    from penin_core.league.campaign import Campaign, campaign_of
    from penin_core.loading import prints_on_stderr
    from penin_core.settings import Baseline

    from .shared import Place, open_ledger, seconds_of

    # What the cycle would refuse, its plan refuses, too.
    seconds_of(project.settings)
    place = Place(project.settings, project.state)
    campaign, has_champion, baseline = Campaign(), False, project.suite.baseline
    if place.has_ledger:
        with open_ledger(place) as ledger:
            campaign = campaign_of(ledger)
            if started := ledger.events("BOOTSTRAP"):
                has_champion = True
                baseline = Baseline.model_validate(started[-1].body["baseline"])
    with prints_on_stderr():
        found = forecast(
            project, champion, challengers, campaign, baseline, has_champion=has_champion
        )
    return {
        "suite": project.suite.definition.name,
        "challengers": challengers,
        **asdict(found),
        "calls": found.calls,
    }


def _in_words(found: dict[str, Any]) -> str:
    from penin_core.suites import MIN_CONFIRM

    from .wording import clipped, duration, line, lines, sources, usd

    least, most = found["calls"]
    early, late = found["confirm_calls"]
    number = f"{found['t']}{', which stands open' if found['stands_open'] else ''}"
    few = "" if found["fresh"] >= MIN_CONFIRM else f"; a promotion needs {MIN_CONFIRM}"
    unit = "tasks" if found["clusters"] is None else f"different {clipped(found['clusters'], 40)!r}"
    more = f", up to {found['overtime_calls']:,} more for a close one"
    more = more if found["overtime_calls"] else ""
    shown = [
        line(
            "suite", f"{clipped(found['suite'], 40)}: {found['fresh']:,} fresh confirm tasks{few}"
        ),
        line(
            "proof",
            f"confirmation {number}, alpha {found['alpha']:.4g}, {found['mode']}: "
            f"on {found['tasks']:,} tasks it can prove {_gain(found['gain'])}"
            f"{sources(found['units'], found['clusters'])}",
        ),
        *lines("", (f"with {count:,} {unit} {_gain(gain)}" for count, gain in found["more"])),
        line("calls", f"{found['race_calls']:,} to race {found['challengers']} challengers{more}"),
        line("", f"{early:,} to confirm where the proof comes early, {late:,} where none comes"),
    ]
    if found["first_calls"]:
        shown.append(line("", f"{found['first_calls']:,} to measure the first champion"))
    shown.append(line("", f"{least:,} to {most:,} in all; what was answered before is not asked"))
    money, time = found["usd"], found["seconds"]
    unknown = "not known before the first champion was measured"
    shown.append(line("money", f"{usd(money[0])} to {usd(money[1])}" if money else unknown))
    one_by_one = "if answers came one by one, at the latency of the first champion"
    told = f"{duration(time[0])} to {duration(time[1])}, {one_by_one}" if time else unknown
    return "\n".join([*shown, line("time", told), "nothing was asked and nothing was spent"])


def _gain(gain: float | None) -> str:
    return "nothing" if gain is None else f"a gain of {100 * gain:.1f} points"
