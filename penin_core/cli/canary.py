"""penin canary: try a challenger on live traffic, see how it stands, take it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option
from .shared import Place, place_options

if TYPE_CHECKING:
    from penin_core.league.promotion import LeagueOrchestrator

Shown = dict[str, Any]


@click.group()
def command() -> None:
    """Try a challenger on live traffic."""


@command.command("start")
@click.argument("run_id")
@click.option("--shadow", is_flag=True, help="Send it copies; its answers reach nobody.")
@click.option(
    "--claim", is_flag=True, help="Let users' feedback prove that it is better, and promote it."
)
@click.option(
    "--fraction",
    type=float,
    metavar="SHARE",
    help="Its share of the traffic, instead of the ramp of penin.toml.",
)
@place_options
@json_option
def start(
    run_id: str,
    shadow: bool,
    claim: bool,
    fraction: float | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Give the candidate of a run a share of the traffic, watched from the first request on.

    RUN_ID may be the beginning or the end of the id. Whoever serves takes it up at once. It loses
    its share at the first proof of harm.
    """
    from penin_core.live.start import begin
    from penin_core.live.status import described
    from penin_core.live.trial import Trial

    from .shared import find_run

    with _league(config, state_dir) as (league, place):
        run = find_run(league.ledger, run_id)["id"]
        experiment = begin(
            league,
            place.settings.live,
            run,
            mode="shadow" if shadow else "canary",
            claim=claim,
            ramp=() if fraction is None else (fraction,),
        )
    emit(described(Trial(experiment)), as_json, in_words)


@command.command("status")
@place_options
@json_option
def status(config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Say how the experiment stands: share, step, what was seen, how near each bound is."""
    from penin_core.live.standing import standing

    from .shared import locate, open_ledger

    place = locate(config, state_dir)
    with open_ledger(place) as ledger:
        emit(standing(place.state, ledger), as_json, in_words)


@command.command("stop")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the ledger.")
@place_options
@json_option
def stop(reason: str, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Take the challenger's share away. Whoever serves does so within a fraction of a second."""
    from penin_core.errors import StateError
    from penin_core.live.standing import standing_trial
    from penin_core.live.start import stop as stop_it

    with _league(config, state_dir, alone=False) as (league, place):
        trial = standing_trial(place.state, league.ledger)
        if trial is None:
            raise StateError("no experiment runs", hint="penin canary start begins one")
        end = stop_it(league, trial, reason)
    emit({**trial.experiment.about(), **end._asdict()}, as_json, _ended)


@contextmanager
def _league(
    config: Path | None, state_dir: Path | None, *, alone: bool = True
) -> Iterator[tuple[LeagueOrchestrator, Place]]:
    """Give the league of a place, where nothing is measured meanwhile if ``alone``."""
    from contextlib import nullcontext

    from penin_core.state import exclusive

    from .moving import league_of
    from .shared import locate, open_ledger, recorded

    place = recorded(locate(config, state_dir))
    with exclusive(place.state) if alone else nullcontext(), open_ledger(place) as ledger:
        yield league_of(place, ledger), place


def _ended(data: Shown) -> str:
    from .wording import clipped, line

    return "\n".join(
        [line("ended", data["experiment"]), line(data["verdict"], clipped(data["reason"], 400))]
    )


def in_words(data: Shown) -> str:
    """Return how an experiment stands, in lines."""
    from .wording import line, lines

    if not data["running"]:
        return line("live", "no experiment runs")
    return "\n".join([*lines("live", summary(data)), *lines("bounds", _bounds(data))])


def summary(data: Shown) -> list[str]:
    """Return who is tried, on which share, and what was found so far."""
    from .wording import amount, clipped, duration

    share = f"{data['fraction']:.0%} of the traffic"
    share += ", as a copy" * (data["mode"] == "shadow")
    votes = data["votes"]
    texts = [
        f"{data['mode']} of run {clipped(data['run_id'])}, {share}, step {data['step']} of "
        f"{data['steps']}, {data['in_step']:,} of {data['step_requests']:,} requests in it",
        f"{amount(data['challenger_requests'], 'request')} beside {data['champion_requests']:,} "
        f"of the champion, feedback of {votes['challenger']:,} and {votes['champion']:,} users, "
        f"served {duration(data['served_s'])} of {duration(data['duration_s'])}",
        f"so far: {clipped(data['verdict'] or 'nothing is shown')} {clipped(data['reason'])}",
    ]
    if data["claim"] is not None:
        shown = "proved" if data["proved"] else "not proved"
        texts.append(
            f"claim {data['claim']}, better by feedback: {shown} at alpha {data['alpha_claim']:.4g}"
        )
    return texts + [clipped(data["problem"], 400)] * bool(data["problem"])


def _bounds(data: Shown) -> list[str]:
    """Return how near each bound is: e-values, and those that end it."""
    from penin_core.league.canary import LEVELS

    from .wording import e_value

    return [
        f"{name:<14} e-value {e_value(log_e)}"
        + (f", {1 / LEVELS[name]:,.0f} takes it back" if name in LEVELS else "")
        for name, log_e in data["log_e"].items()
    ]
