"""The command line. Each command lives in its own module, imported when it runs.

Help, ``--version`` and completion need names and summaries only: the core's stand in ``COMMANDS``,
those of plugins in the metadata of what is installed.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from penin_core import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from penin_core.installed import Entry

#: Command -> summary. The module ``penin_core.cli.<command>`` has an attribute ``command``.
COMMANDS = {
    "init": "Set up a project: settings, tasks, a first champion.",
    "evolve": "Run cycles: propose, measure, prove, promote.",
    "evaluate": "Measure one model or configuration on a suite.",
    "promote": "Make the candidate of a run the champion.",
    "rollback": "Return to an earlier champion.",
    "canary": "Try a challenger on live traffic.",
    "champion": "Show what runs in production now.",
    "status": "Show champion, budget, and how much evidence is left.",
    "why": "Explain the decision about a run.",
    "replay": "Derive the decision about a run again.",
    "report": "Write the decision about a run as one file to send on.",
    "finetune": "Train a model on your examples, so that it competes like any other challenger.",
    "doctor": "Check the machine and the state directory.",
    "ledger": "Verify, show or export the ledger, and prove what is in it.",
    "tasks": "Check tasks, write down their splits, or make them of traffic.",
    "tune": "Show how the tuned parameters moved.",
    "selftest": "Rehearse promotions on your own suite.",
    "plugins": "List plugins, what they provide, and what is wrong with them.",
}

#: Commands of plugins that belong to penin -> what brings them.
OPTIONAL = {"serve": "penin-gateway", "dashboard": "penin-dashboard"}

#: What the name of a plugin's command looks like.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

INTERRUPTED = 130

#: So many objects are made before cycles among them are looked for.
NEW_OBJECTS = 20_000

#: Seconds that threads of plugins get to end, when a command is done.
GRACE = 3.0


class UnknownCommand(click.UsageError):
    """A command that does not exist, or not here."""

    def __init__(self, name: str, known: Sequence[str], ctx: click.Context) -> None:
        from difflib import get_close_matches

        if package := OPTIONAL.get(name):
            super().__init__(f"command {name!r} comes with {package}, which is not installed", ctx)
            self.hint = f"pip install ./plugins/{package} in the folder of penin's repository"
            return
        super().__init__(f"no such command: {name!r}", ctx)
        near = get_close_matches(name, [*known, *OPTIONAL], 1)
        self.hint = f"did you mean {near[0]!r}?" if near else ""


class LazyGroup(click.Group):
    """Knows every command's name and summary without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the core's commands in their order, then those of plugins."""
        return [*COMMANDS, *_of_plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, and nothing of any other."""
        if cmd_name in COMMANDS:
            command: click.Command = import_module(f"{__name__}.{cmd_name}").command
            return command
        entries = _of_plugins().get(cmd_name)
        return _load(entries) if entries else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with, or say which one is near."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            known = self.list_commands(ctx)
            if name not in known:
                raise UnknownCommand(name, known, ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists of commands from names and summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if others := _of_plugins():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, _summary(entries)) for name, entries in others.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without importing them."""
        from click.shell_completion import CompletionItem

        summaries = COMMANDS | {name: _summary(of) for name, of in _of_plugins().items()}
        names = [name for name in summaries if name.startswith(incomplete)]
        items = [CompletionItem(name, help=summaries[name]) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)


def _of_plugins() -> dict[str, list[Entry]]:
    """Return who brings which command. A name of the core's cannot be taken."""
    from penin_core.installed import COMMANDS as GROUP
    from penin_core.installed import installed

    found: dict[str, list[Entry]] = {}
    for entry in installed(GROUP):
        if entry.name not in COMMANDS and NAME.fullmatch(entry.name):
            found.setdefault(entry.name, []).append(entry)
    return found


def _summary(entries: list[Entry]) -> str:
    return "from " + " and ".join(f"{entry.distribution} {entry.version}" for entry in entries)


def _load(entries: list[Entry]) -> click.Command:
    """Import the command of a plugin; its failures name it, and no other command has them."""
    from penin_core.errors import PluginConflict, PluginError, PluginInvalid
    from penin_core.loading import load
    from penin_core.locking import lock_in_force

    entry = entries[0]
    if len(entries) > 1:
        raise PluginConflict(
            f"command {entry.name!r} comes {_summary(entries)}", hint="uninstall one of them"
        )
    lock = lock_in_force()
    try:
        if lock is not None:
            lock.check(entry)
        command = load(entry)
    except PluginError as error:
        raise PluginInvalid(
            f"command {entry} cannot be loaded: {error}",
            hint=f"update or uninstall {entry.distribution}; every other command works",
        ) from error
    if not isinstance(command, click.Command):
        raise PluginInvalid(
            f"command {entry} is {type(command).__name__}, not a click command",
            hint=f"update or uninstall {entry.distribution}; every other command works",
        )
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penin")
@click.option("--debug", is_flag=True, help="Show tracebacks and what is logged.")
@click.pass_context
def penin(ctx: click.Context, debug: bool) -> None:
    """Evolve a production LLM configuration: propose, measure, prove, promote, roll back."""
    ctx.ensure_object(dict)["debug"] = debug
    if debug:
        import logging

        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("penin_core").setLevel(logging.DEBUG)


def main() -> None:
    """Run penin and end the process with one of the documented exit codes."""
    # Commands make many objects that stay, and few cycles: looking for those as often as is usual
    # would take a tenth of the time.
    gc.set_threshold(NEW_OBJECTS)
    code = run(sys.argv[1:])
    if _left_behind():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _left_behind() -> list[str]:
    """Return the threads that would keep the process from ending, after they had time to."""
    threading = sys.modules.get("threading")
    if threading is None:
        return []
    threads = [t for t in threading.enumerate() if not t.daemon]
    others = [t for t in threads if t is not threading.main_thread()]
    for thread in others:
        thread.join(GRACE / len(others))
    return [thread.name for thread in others if thread.is_alive()]


def run(args: Sequence[str]) -> int:
    """Run penin with ``args``; return the exit code.

    An expected error becomes two lines on stderr. Anything else is a bug and is raised.
    """
    from penin_core.errors import PeninError

    shared: dict[str, Any] = {"debug": False}
    try:
        code = penin.main(args, prog_name="penin", standalone_mode=False, obj=shared)
        return code if isinstance(code, int) else 0
    except PeninError as error:
        if shared["debug"]:
            raise
        return _fail(str(error), error.hint, error.exit_code)
    except click.Abort as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            click.echo(
                "interrupted: all that was recorded is valid; run the same command to go on",
                err=True,
            )
            return INTERRUPTED
        return _fail("aborted, nothing was changed", "", 1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), _usage_hint(error), error.exit_code)


def _usage_hint(error: click.ClickException) -> str:
    hint: str = getattr(error, "hint", "")
    ctx = getattr(error, "ctx", None)
    return hint or (f"see {ctx.command_path} --help" if ctx else "")


def _fail(message: str, hint: str, code: int) -> int:
    click.echo("error: " + " ".join(message.splitlines()), err=True)
    if hint:
        click.echo("hint: " + " ".join(hint.splitlines()), err=True)
    return code
