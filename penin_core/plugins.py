"""Find plugins, load what is needed, and keep their failures theirs.

Built-in plugins and plain files are loaded at once. An installed plugin is imported when

- ``penin.toml`` lists it by name (``plugins = ["acme"]``),
- a component is asked for that has the plugin's own name, or
- a component is asked for that nothing loaded so far provides: then all are imported, by name.

A plugin's watchers (``penin_cycle_started`` and its like) hear of a cycle when the plugin is
active: built in, a plain file, listed by name, registered by :meth:`Plugins.add`, or the origin of
a component that was created. Being installed is not enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from . import __version__
from .checks import NAME
from .contracts import Component
from .errors import PeninError, PluginError, PluginNotFound, SettingsError
from .installed import PLUGINS, Entry, installed
from .loading import bounded, contained, load, load_file
from .locking import Lock, read_lock
from .records import PluginFailure
from .registry import Found, Origin, Registered, Registry, one
from .settings import Settings, suggest, validated

log = logging.getLogger(__name__)

CORE = "penin-core"


class Broken(NamedTuple):
    """A plugin that is there and cannot be used. ``cause`` keeps its traceback."""

    reason: str
    distribution: str
    version: str
    cause: BaseException | None = None


class Plugins:
    """The plugins of one run, the components that they registered, and those that broke."""

    def __init__(self) -> None:
        #: Plugin name -> why it cannot be used.
        self.broken: dict[str, Broken] = {}
        self._registry = Registry()
        self._waiting: dict[str, Entry] = {}
        self._disabled: dict[str, Entry] = {}
        self._active: set[str] = set()
        self._lock: Lock | None = None

    @classmethod
    def load(
        cls,
        names: Iterable[str] | None = None,
        *,
        files: Sequence[Path] = (),
        discover: bool = True,
        disabled: Iterable[str] = (),
        lock: Lock | None = None,
    ) -> Plugins:
        """Load the built-ins and ``files``, and find what is installed and not ``disabled``.

        ``names`` are the plugins that penin.toml lists: they are imported now and are active. With
        a ``lock``, what is installed is compared with it before it is imported.

        Raises:
            SettingsError: one of ``files`` does not exist.
            PluginNotFound: one of ``names`` is not installed, or cannot be used.
        """
        from .builtin import BUILTIN_PLUGINS

        plugins = cls()
        plugins._lock = lock
        for module in BUILTIN_PLUGINS:
            plugins.add(module, module.__name__.rpartition(".")[2], CORE, __version__)
        for path in files:
            plugins._load_file(path)
        if discover:
            plugins._expect(installed(PLUGINS), frozenset(disabled))
        for name in names or ():
            plugins._activate(name)
        return plugins

    @classmethod
    def of(cls, settings: Settings) -> Plugins:
        """Load what ``settings`` lists: names of plugins, and files beside penin.toml.

        Raises: as :meth:`load`; SettingsError also for a penin.lock that cannot be read.
        """
        names, files = listed(settings)
        return cls.load(names, files=files, lock=read_lock(settings.folder))

    def add(self, plugin: object, name: str, distribution: str = "", version: str = "") -> None:
        """Register one plugin whole, or not at all; it is active.

        Raises:
            PluginInvalid: it breaks a contract; the message names the plugin.
            PluginConflict: its name, or the name of a component, is taken.
        """
        origin = Origin(name, distribution, version)
        try:
            with contained():
                self._enter(plugin, origin, self._registry.inspect(plugin, origin))
        except PluginError as error:
            raise type(error)(f"plugin {origin}: {error}", hint=error.hint) from error
        self._active.add(name)

    def get(self, kind: str, name: str) -> type[Component]:
        """Return the component class ``name`` of ``kind`` ("providers", "guards", ...).

        Raises:
            PluginNotFound: nothing usable has that name; the hint says what is near, or why not.
        """
        return self._find(kind, name).component

    def origin(self, kind: str, name: str) -> Origin:
        """Return the plugin, distribution and version that component ``name`` comes from."""
        return self._find(kind, name).origin

    def create(self, kind: str, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Build component ``name`` from its table in penin.toml. Whoever calls this closes it.

        Raises:
            PluginNotFound: see :meth:`get`.
            SettingsError: ``options`` do not fit; the message names the table and the key.
            PluginInvalid: its ``__init__`` raised something that is not a PeninError.
        """
        component, origin = self._find(kind, name)
        chosen = validated(component.Options, options or {}, f"[{kind}.{name}]")
        with contained(f"{one(kind)} {name!r} of plugin {origin}: ", passing=PeninError):
            instance = component(chosen)
        self._active.add(origin.plugin)
        return instance

    def module(self, name: str) -> object:
        """Return what plugin ``name`` registered: its module, if it is an installed one.

        Raises:
            PluginNotFound: it is not installed, or cannot be used; the hint says why.
        """
        self._load(name)
        if name not in self._registry.origins:
            raise self._not_found("plugin", name, [*self._registry.origins, *self._waiting])
        return self._registry.plugin(name)

    def loaded(self) -> dict[str, Any]:
        """Return what stands behind a result: penin's version, the plugins whose code is loaded.

        ``plugins`` is sorted; ``lock`` is the SHA-256 of the penin.lock in force, or None.
        """
        origins = self._registry.origins.values()
        return {
            "core": __version__,
            "plugins": sorted(str(origin) for origin in origins if origin.distribution != CORE),
            "lock": None if self._lock is None else self._lock.digest(),
        }

    def names(self, kind: str) -> list[str]:
        """Return the names of all components of ``kind``, sorted; imports every plugin."""
        self._load_all()
        return self._registry.names(kind)

    def notify(self, hook: str, **event: Any) -> list[PluginFailure]:
        """Tell the watchers of active plugins; one that raises is logged, and the next is told."""
        failures = []
        for origin, tell in self._registry.watchers(hook):
            if origin.plugin not in self._active:
                continue
            try:
                with contained():
                    tell(event)
            except PluginError as error:
                log.warning("plugin %s failed in %s: %s", origin, hook, error)
                log.debug("where it failed", exc_info=True)
                failure = {"component": hook, "plugin": str(origin), "error": str(error)}
                failures.append(PluginFailure(**failure, consequence="nothing: it only watches"))
        return failures

    def describe(self) -> list[dict[str, Any]]:
        """Return one row per plugin, the built-in ones first; imports every plugin.

        Keys: name, distribution, version, api (None if it is not known), components (kind, name
        and summary of each), watches, state ("loaded", "broken" or "disabled"), reason.
        """
        self._load_all()
        rows = [
            {**_row(origin, "loaded"), **self._registry.describe(origin)}
            for origin in self._registry.origins.values()
        ]
        rows += [
            _row(Origin(name, broken.distribution, broken.version), "broken", broken.reason)
            for name, broken in self.broken.items()
        ]
        rows += [_row(_origin(entry), "disabled") for entry in self._disabled.values()]
        return sorted(rows, key=lambda row: (row["distribution"] != CORE, row["name"]))

    def _enter(self, plugin: object, origin: Origin, found: Found) -> None:
        for _, name in found:
            # A plugin named like the component comes first, in whatever order they load.
            self._load(name)
        with contained():
            self._registry.enter(plugin, origin, found)

    def _expect(self, entries: Iterable[Entry], disabled: frozenset[str]) -> None:
        for name, group in groupby(entries, key=lambda entry: entry.name):
            entry, *others = group
            if name in disabled:
                self._disabled[name] = entry
            elif others:
                claims = " and ".join(f"{e.distribution} {e.version}" for e in (entry, *others))
                self.broken[name] = Broken(f"{claims} both bring a plugin of this name", "", "")
            elif why := _unfit(entry):
                self.broken[name] = Broken(why, entry.distribution, entry.version)
            else:
                self._waiting[name] = entry

    def _load_all(self) -> None:
        for name in sorted(self._waiting):
            self._load(name)

    def _load(self, name: str) -> None:
        entry = self._waiting.pop(name, None)
        if entry is not None:
            self._attempt(_origin(entry), lambda: self._import(entry))

    def _import(self, entry: Entry) -> object:
        if self._lock is not None:
            self._lock.check(entry)
        return load(entry)

    def _load_file(self, path: Path) -> None:
        try:
            version = f"sha256:{sha256(path.read_bytes()).hexdigest()[:16]}"
        except OSError as error:
            raise SettingsError(
                f"plugin file {str(path)!r} cannot be read ({error.strerror})",
                hint="correct plugins in penin.toml; paths start where that file lies",
            ) from error
        if self._attempt(Origin(path.stem, str(path), version), lambda: load_file(path)):
            self._active.add(path.stem)

    def _attempt(self, origin: Origin, find: Callable[[], object]) -> bool:
        """Register what ``find`` returns; if that fails, remember why and go on."""
        log.debug("loading plugin %s", origin)
        try:
            plugin = find()
            self._enter(plugin, origin, bounded(lambda: self._registry.inspect(plugin, origin)))
        except PluginError as error:
            why = f"{error} ({error.hint})" if error.hint else str(error)
            known = origin.plugin in self.broken or origin.plugin in self._registry.origins
            key = str(origin) if known else origin.plugin
            self.broken[key] = Broken(why, origin.distribution, origin.version, error)
            log.debug("plugin %s is broken", origin, exc_info=True)
            return False
        return True

    def _activate(self, name: str) -> None:
        self.module(name)
        self._active.add(name)

    def _find(self, kind: str, name: str) -> Registered:
        components = self._registry.components
        if (kind, name) not in components:
            self._load(name)
        if (kind, name) not in components and name not in self.broken:
            self._load_all()
        if (kind, name) not in components:
            raise self._not_found(one(kind), name, self._registry.names(kind))
        return components[kind, name]

    def _not_found(self, what: str, name: str, known: Iterable[str]) -> PluginNotFound:
        hint = suggest(name, known)
        broken = self.broken.get(name)
        if broken:
            where = " ".join(filter(None, (broken.distribution, broken.version)))
            hint = f"plugin {name} ({where}) is installed but broken: {broken.reason}"
        elif name in self._disabled:
            hint = f"plugin {name} is installed but disabled"
        elif self.broken:
            hint += f"; broken plugins: {', '.join(sorted(self.broken))} (see: penin plugins)"
        error = PluginNotFound(f"no {what} named {name!r}", hint=hint)
        error.__cause__ = broken.cause if broken else None
        return error


def listed(settings: Settings) -> tuple[list[str], list[Path]]:
    """Split ``plugins`` of penin.toml into names and files; paths start where that file lies."""
    files = [item for item in settings.plugins if item.endswith(".py") or "/" in item]
    names = [item for item in settings.plugins if item not in files]
    return names, [settings.folder / Path(file).expanduser() for file in files]


def options_of(settings: Settings, kind: str, name: str) -> dict[str, Any]:
    """Return the table that penin.toml has for component ``name`` of ``kind``."""
    tables = {
        "providers": settings.providers,
        "mutators": settings.mutators,
        "evaluators": settings.evaluators,
    }
    return tables.get(kind, {}).get(name, {})


def _unfit(entry: Entry) -> str:
    """Say why an entry point cannot be a plugin, whatever it leads to; "" where it may be one."""
    if not NAME.fullmatch(entry.name):
        return f"{entry.name!r} is no name of a plugin: lower-case letters, digits, - and _"
    if not entry.version:
        return "the metadata of its distribution are damaged: install it again"
    return ""


def _origin(entry: Entry) -> Origin:
    return Origin(entry.name, entry.distribution, entry.version)


def _row(origin: Origin, state: str, reason: str = "") -> dict[str, Any]:
    row = {"name": origin.plugin, "distribution": origin.distribution, "version": origin.version}
    return {**row, "api": None, "components": [], "watches": [], "state": state, "reason": reason}


def shipped_suites() -> Mapping[str, Callable[[], list[dict[str, Any]]]]:
    """Return the suites that ship with penin: name, and a function that makes the rows."""
    from .builtin.suites import SHIPPED

    return SHIPPED
