"""Run the code of plugins so that its failures stay its own.

Importing a plugin is bounded in time and in effect. It happens in a thread that is left behind
when it takes too long; what it prints goes to stderr; what it changes in penin, in the built-ins,
in the working directory or, if it fails, in the environment is put back.

One process cannot contain everything: not code that ends the process (``os._exit``, a crash in
native code), not native code that never lets go of the interpreter, and not what a plugin does on
purpose once it runs. ``penin --debug`` says which plugin is loaded before it is.
"""

from __future__ import annotations

import builtins
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar

from .errors import PluginError, PluginInvalid, SettingsError
from .installed import Entry, plain

T = TypeVar("T")

#: Seconds in which a plugin must be imported and registered, and what sets them.
LIMIT = 30.0
LIMIT_VARIABLE = "PENIN_IMPORT_SECONDS"

#: What Python and pydantic keep in classes, and change on their own.
_BOOKKEEPING = ("__pydantic_", "__abstractmethods__", "_abc_", "__annotations", "__doc__")

_MISSING = object()
_BUILTINS = vars(builtins)


def load(entry: Entry) -> object:
    """Import the object that ``entry`` names.

    Raises:
        PluginInvalid: whatever went wrong; the reason does not repeat the plugin's name.
    """
    return bounded(lambda: _import(entry.value))


def _import(value: str) -> object:
    module, _, attributes = value.partition("[")[0].strip().partition(":")
    found: object = import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def load_file(path: str | os.PathLike[str]) -> object:
    """Import a plain file, under a module name that belongs to its path.

    Raises:
        PluginInvalid: whatever went wrong.
    """
    return bounded(lambda: _run_file(os.path.realpath(path)))


def _run_file(place: str) -> object:
    from importlib.util import module_from_spec, spec_from_file_location

    name = f"penin_file_{zlib.crc32(os.fsencode(place)):08x}_{os.path.basename(place)[:-3]}"  # noqa: PTH119
    spec = spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise PluginInvalid("it is not a Python file", hint="name it with .py at the end")
    # Pickle, dataclasses and pydantic look a class up in the module that it says it is from.
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def bounded(function: Callable[[], T]) -> T:
    """Return what ``function``, a plugin's code, returns in time and without side effects.

    Raises:
        PluginInvalid: it raised, took too long, or changed what is not its own.
    """
    seconds = time_limit()
    outcome: list[tuple[T | None, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:
            outcome.append((None, error))

    # A daemon's threads are daemons, too: none of them keeps the process from ending.
    thread = Thread(target=work, name="penin-plugin", daemon=True)
    with contained(), unchanged(), _stdout_is_stderr():
        thread.start()
        thread.join(seconds)
        if not outcome:
            raise PluginInvalid(
                f"it is not imported after {seconds:g} s",
                hint=f"import less when it loads, or set {LIMIT_VARIABLE} to more seconds",
            )
        found, error = outcome[0]
        if isinstance(error, KeyboardInterrupt):  # nobody can press Ctrl-C in that thread
            raise PluginInvalid(reason_of(error)) from error
        if error is not None:
            raise error
    return found  # type: ignore[return-value]


def time_limit() -> float:
    """Return the seconds that an import may take.

    Raises:
        SettingsError: the environment variable is not a positive number.
    """
    given = os.environ.get(LIMIT_VARIABLE) or LIMIT
    with suppress(ValueError):
        if 0.0 < float(given) < float("inf"):
            return float(given)
    raise SettingsError(f"{LIMIT_VARIABLE} = {given!r}", hint="give a number of seconds above 0")


@contextmanager
def contained(
    lead: str = "", passing: type[BaseException] | tuple[type[BaseException], ...] = PluginError
) -> Iterator[None]:
    """Run a plugin's code: what it prints goes to stderr, what it raises becomes PluginInvalid.

    Both streams are afterwards what they were. ``lead`` begins the message; ``passing`` are the
    errors that stay what they are. Ctrl-C always does.
    """
    try:
        with redirect_stderr(sys.stderr), redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit must not end penin either
        if isinstance(error, passing):
            raise
        raise PluginInvalid(lead + reason_of(error)) from error


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Keep stdout for data: what plugins print meanwhile, from any thread, goes to stderr."""
    with redirect_stdout(sys.stderr), _stdout_is_stderr():
        yield


@contextmanager
def _stdout_is_stderr() -> Iterator[None]:
    """Send to stderr what children and native code write to stdout, too."""
    try:
        sys.__stdout__.flush()  # type: ignore[union-attr]
        kept = os.dup(1)
    except (OSError, ValueError, AttributeError):
        yield
        return
    try:
        with suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        with suppress(OSError, ValueError, AttributeError):
            sys.__stdout__.flush()  # type: ignore[union-attr]
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def unchanged() -> Iterator[None]:
    """Refuse code that replaces or removes a part of penin or a built-in; put back what it did.

    New names are nobody's business. Where the code fails, the environment is put back, too.

    Raises:
        PluginInvalid: something was changed; the message names it.
    """
    modules, before = _modules(), _parts()
    folder, environment = _folder(), dict(os.environ)
    kept, failed = dict(_BUILTINS), True
    try:
        yield
        failed = False
    finally:
        # These come first, and with operators alone: everything else is written with them.
        changed = [f"builtins.{name}" for name in kept if _BUILTINS.get(name) is not kept[name]]
        _BUILTINS.update(kept)
        changed += _restore(modules, before, folder)
        if failed and dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
    if changed:
        raise PluginInvalid(
            f"it changes {', '.join(changed[:3])}", hint="a plugin adds to penin, and replaces none"
        )


def _parts() -> list[tuple[Any, str, object]]:
    """Return (module or class, name, value) for all that belongs to penin."""
    found: list[tuple[Any, str, object]] = []
    for title, module in _modules().items():
        for name, value in list(vars(module).items()):
            found.append((module, name, value))
            if isinstance(value, type) and value.__module__ == title:
                members = list(vars(value).items())
                found += [(value, n, v) for n, v in members if not n.startswith(_BOOKKEEPING)]
    return found


def _modules() -> dict[str, ModuleType]:
    return {n: m for n, m in list(sys.modules.items()) if n.partition(".")[0] == "penin_core"}


def _restore(
    modules: dict[str, ModuleType], before: list[tuple[Any, str, object]], folder: str | None
) -> list[str]:
    """Put back what is no longer as it was; return what that is."""
    changed = [name for name, module in modules.items() if sys.modules.get(name) is not module]
    sys.modules.update(modules)
    for owner, name, value in before:
        if vars(owner).get(name, _MISSING) is not value:
            with suppress(AttributeError, TypeError):
                setattr(owner, name, value)
            where = owner.__name__ if not isinstance(owner, type) else owner.__module__
            inner = f".{owner.__qualname__}" if isinstance(owner, type) else ""
            changed.append(f"{where}{inner}.{name}")
    if folder is not None and folder != _folder():
        os.chdir(folder)
        changed.append("the working directory")
    return changed


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return None


def reason_of(error: BaseException) -> str:
    """Return the type of ``error`` and the first line of its message."""
    try:
        lines = str(error).strip().splitlines()
    except BaseException:  # the message is a plugin's code, too
        lines = []
    name = type(error).__name__
    return plain(f"{name}: {lines[0]}" if lines else name, 300)
