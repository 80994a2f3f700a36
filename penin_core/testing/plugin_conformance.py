"""The kits for a plugin as a whole and for a command; see :mod:`penin_core.testing.conformance`."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import ClassVar

import click
from click.testing import CliRunner, Result

from penin_core import Candidate, Configuration, CycleReport, Evaluation, Measurement
from penin_core.checks import check_api
from penin_core.plugins import Plugins

from .kits import Kit

#: Longest first line of a docstring that fits beside a name in a table.
SUMMARY = 100


class PluginConformance(Kit):
    """For the module that the entry point names: ``plugin`` is that module."""

    plugin: ClassVar[ModuleType]

    def module_under_test(self) -> str:
        """Return the plugin's module."""
        return self.plugin.__name__

    def registered(self) -> Plugins:
        """Return the built-in plugins and this one."""
        plugins = Plugins.load(discover=False)
        plugins.add(self.plugin, "under-test", "penin-under-test", "0")
        return plugins

    def test_it_says_which_api_it_speaks(self) -> None:
        """As ``penin_api``, a number that this penin accepts."""
        assert check_api(self.plugin) == self.plugin.penin_api

    def test_it_registers_whole(self) -> None:
        """Beside the built-in plugins, whose names it leaves alone."""
        row = next(r for r in self.registered().describe() if r["name"] == "under-test")
        assert row["components"] or row["watches"], "it brings nothing"

    def test_it_takes_no_deprecated_argument(self) -> None:
        """A hook argument that goes away is announced to authors, here; never to users."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            self.registered()

    def test_summaries_fit_on_a_line(self) -> None:
        """``penin plugins`` shows the first line of each docstring."""
        row = next(r for r in self.registered().describe() if r["name"] == "under-test")
        long = [part["name"] for part in row["components"] if len(part["summary"]) > SUMMARY]
        assert long == []

    def test_watchers_survive_a_cycle(self) -> None:
        """Each watching hook takes an event as a cycle sends it."""
        plugins, champion = self.registered(), _REPORT.champion
        evaluation = Evaluation(candidate=champion, stage="race", measurement=Measurement())
        failures = plugins.notify("penin_cycle_started", champion=champion, challengers=())
        failures += plugins.notify("penin_candidate_evaluated", evaluation=evaluation)
        failures += plugins.notify("penin_cycle_finished", report=_REPORT)
        assert [failure.error for failure in failures] == []


class CommandConformance(Kit):
    """For a command of a plugin: ``command`` is the click command behind ``penin NAME``."""

    command: ClassVar[click.Command]

    def module_under_test(self) -> str:
        """Return the module that defines the command."""
        return str(getattr(self.command.callback, "__module__", None))

    def run(self, *words: str) -> Result:
        """Run the command in this process."""
        return CliRunner().invoke(self.command, list(words))

    def test_it_is_a_click_command(self) -> None:
        """``penin`` calls nothing else."""
        assert isinstance(self.command, click.Command)

    def test_help_explains_it(self) -> None:
        """The command, and each of its options."""
        assert self.command.help
        assert self.run("--help").exit_code == 0
        options = [p for p in self.command.params if isinstance(p, click.Option)]
        assert [option.name for option in options if not option.help] == []

    def test_wrong_use_is_no_crash(self) -> None:
        """An option that does not exist is exit code 2."""
        result = self.run("--no-such-option")
        assert result.exit_code == 2
        assert "no-such-option" in result.output


_SOME = Configuration(provider="echo", model="any")
_REPORT = CycleReport(
    cycle_id="00000000T000000-000000Z-00000000",
    verdict="fail",
    reason="no mutator proposed a challenger",
    champion=Candidate(config=_SOME),
    best_challenger=None,
    metrics=dict.fromkeys("USCL"),
    runs=(),
)
