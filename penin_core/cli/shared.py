"""What commands share: where a project lies, which run is meant, what is refused early."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .output import config_option

if TYPE_CHECKING:
    from penin_core.league.campaign import Campaign
    from penin_core.ledger.store import WORMLedger
    from penin_core.project import Project
    from penin_core.records import Configuration, Task
    from penin_core.settings import Settings
    from penin_core.suites import Suite

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

LEDGER = "ledger.db"
#: Fewer characters than this abbreviate no run id.
LEAST_CHARACTERS = 4
SHOWN = 5


@dataclass(frozen=True)
class Place:
    """The settings of a project, and the state directory that they lead to."""

    settings: Settings
    state: Path

    def check(self) -> None:
        """Raise StateError where the state directory is, or would lie in, a file."""
        from penin_core.errors import StateError

        nearest = next(path for path in (self.state, *self.state.parents) if path.exists())
        if not nearest.is_dir():
            place = "is" if nearest == self.state else f"lies in {str(nearest)!r}, which is"
            raise StateError(
                f"state directory {str(self.state)!r} {place} a file",
                hint="name another with --state-dir",
            )

    @property
    def has_ledger(self) -> bool:
        """Whether anything was recorded yet."""
        from penin_core.ledger.files import is_file

        self.check()
        return is_file(self.state / LEDGER)


class Duration(click.ParamType[float]):
    """A time with its unit, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds; raise SettingsError that names the option."""
        from penin_core.errors import SettingsError
        from penin_core.settings import parse_duration

        try:
            return value if isinstance(value, float) else parse_duration(value)
        except SettingsError as error:
            raise SettingsError(f"{_option(param)}: {error}", hint=error.hint) from None


class Money(click.ParamType[float]):
    """An amount of US dollars above zero."""

    name = "usd"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the amount; raise SettingsError that names the option."""
        from penin_core.errors import SettingsError

        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if not 0.0 < amount <= 1e9:
            raise SettingsError(
                f"{_option(param)}: {value!r} is no amount of money above 0",
                hint="write US dollars, such as 2.50; without it, the limit of the day counts",
            )
        return amount


class Folder(click.Path):
    """A directory. An empty text names none; a path made of it would be the present one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raise SettingsError that names the option."""
        from penin_core.errors import SettingsError

        if not str(value):
            raise SettingsError(f"{_option(param)}: no directory is named", hint="write one, or .")
        return super().convert(value, param, ctx)


def _option(param: click.Parameter | None) -> str:
    return param.opts[-1] if param is not None else "value"


def place_options(function: Decorated) -> Decorated:
    """Add ``--config`` and ``--state-dir``; the command gets ``config`` and ``state_dir``."""
    option = click.option(
        "--state-dir",
        type=Folder(path_type=Path),
        metavar="DIR",
        help="State directory, instead of .penin beside penin.toml.",
    )
    return config_option(option(function))


def limit_options(function: Decorated) -> Decorated:
    """Add ``--budget`` and ``--max-usd``; the command gets ``budget`` and ``max_usd``, or None."""
    time = click.option(
        "--budget",
        type=Duration(),
        metavar="TIME",
        help="Most time to take, with a unit: 90s, 30m, 1h30m.  [default: that of penin.toml]",
    )
    money = click.option(
        "--max-usd", type=Money(), metavar="USD", help="Most money to spend, in US dollars."
    )
    return time(money(function))


def suite_option(function: Decorated) -> Decorated:
    """Add ``--suite``; the command gets ``suite``, or None."""
    option = click.option(
        "--suite", metavar="NAME|FILE", help="A shipped suite or a .toml file, for this command."
    )
    return option(function)


def locate(config: Path | None, state: Path | None) -> Place:
    """Find settings and state directory; nothing is created and no plugin is loaded."""
    from penin_core.settings import load_settings, state_dir

    settings = load_settings(config)
    return Place(settings, state_dir(state, settings.folder))


def recorded(place: Place) -> Place:
    """Return ``place``; raise StateError where nothing was recorded yet."""
    from penin_core.errors import StateError

    if not place.has_ledger:
        from penin_core.doctor import lost_ledger

        lost = lost_ledger(place.state)
        begin = "penin evolve begins one; --state-dir names another directory"
        raise StateError(
            f"there is no ledger in {str(place.state)!r}",
            hint=f"restore it from a copy: {lost}" if lost else begin,
        )
    return place


def open_ledger(place: Place) -> WORMLedger:
    """Open the ledger of a place where there is one; reading it changes nothing."""
    from penin_core.ledger.store import WORMLedger

    return WORMLedger(recorded(place).state / LEDGER)


def find_run(ledger: WORMLedger, text: str) -> dict[str, Any]:
    """Return the run whose id is ``text``, or begins or ends with it.

    Raises:
        StateError: no run fits, or several do.
    """
    from penin_core.errors import StateError

    fits = ledger.run_ids(text) if len(text) >= LEAST_CHARACTERS else []
    if not fits or text in fits:
        return ledger.run(text)
    if len(fits) > 1:
        raise StateError(
            f"{text!r} fits {len(fits)} runs: {', '.join(fits[:SHOWN])}"
            f"{', ...' if len(fits) > SHOWN else ''}",
            hint="write more of the id; its last eight characters are enough",
        )
    return ledger.run(fits[0])


def running(place: Place) -> Configuration:
    """Return the configuration that runs: the champion's, else that of the settings."""
    from penin_core.ledger.champion import current_champion
    from penin_core.records import Configuration

    if place.has_ledger:
        with open_ledger(place) as ledger:
            champion = current_champion(ledger)
        if champion is not None:
            return Configuration.model_validate(champion.config)
    return place.settings.champion


def fresh_confirm_tasks(place: Place, suite: Suite) -> tuple[list[Task], int]:
    """Return the confirm tasks that can still prove something, and the confirmations so far."""
    from penin_core.league.campaign import fresh_tasks

    campaign = campaign_at(place)
    return fresh_tasks(suite, campaign), campaign.earlier


def campaign_at(place: Place) -> Campaign:
    """Return the campaign of a ledger; an empty one where there is none yet."""
    from penin_core.league.campaign import Campaign, campaign_of

    if not place.has_ledger:
        return Campaign()
    with open_ledger(place) as ledger:
        return campaign_of(ledger)


@contextmanager
def checked_project(
    config: Path | None,
    state: Path | None,
    suite: str | None = None,
    *,
    settings: Settings | None = None,
    asked: Callable[[Configuration], Configuration] | None = None,
) -> Iterator[tuple[Project, Configuration]]:
    """Give a project that can ask a model, and the configuration that will be asked.

    ``settings`` stand for a file that is not written yet; ``asked`` may replace the configuration
    that runs. Settings, plugins, components, suite and model are checked; nothing is written, and
    whoever needs the state directory makes it. On the way out, every component is closed.

    Raises:
        SettingsError, SuiteError, PluginError: something is wrong, in words that name it.
        StateError: the state directory is none.
    """
    from penin_core.project import open_project

    project = open_project(
        config=config, state=state, suite=suite, settings=settings, create_state=False
    )
    try:
        place = Place(project.settings, project.state)
        now = project.settings.champion if settings is not None else running(place)
        chosen = now if asked is None else asked(now)
        check_model(project, chosen)
        for made in (project.evaluators, project.guards, project.mutators):
            made()
        yield project, chosen
    finally:
        project.close()


def check_model(project: Project, config: Configuration) -> None:
    """Refuse a provider or a model that is not there, and a prompt that a task cannot fill."""
    from penin_core.errors import ProviderRefused, SettingsError
    from penin_core.rendering import render

    provider = project.provider(config.provider)
    try:
        provider.capabilities(config.model)
    except ProviderRefused as error:
        raise SettingsError(str(error), hint=error.hint) from error
    for task in {frozenset(task.fields): task for task in project.suite.tasks}.values():
        render(config, task, 0)


def on_provider(name: str | None) -> Callable[[Configuration], Configuration] | None:
    """Return what moves a configuration to the provider ``name``; None moves nothing."""
    if name is None:
        return None
    return lambda config: config.model_copy(update={"provider": name})


def named_values(given: Sequence[str], example: str) -> dict[str, Any]:
    """Return the NAME=VALUE pairs of ``--set``; a value is JSON, or else a text.

    Raises:
        SettingsError: a pair has no name or no "=", or a name is given twice.
    """
    from penin_core.errors import SettingsError

    found: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not (name and equals) or name in found:
            problem = "is given twice" if name in found else "is not NAME=VALUE"
            raise SettingsError(f"--set {pair!r} {problem}", hint=f"such as --set {example}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def seconds_of(settings: Settings) -> float:
    """Return the time that the settings give a cycle; raise SettingsError that names the file."""
    from penin_core.errors import SettingsError
    from penin_core.settings import parse_duration

    try:
        return parse_duration(settings.budget.time)
    except SettingsError as error:
        place = f"{settings.source}: budget.time" if settings.source else "budget.time"
        raise SettingsError(f"{place}: {error}", hint=error.hint) from None
