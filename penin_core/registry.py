"""What plugins have registered: each is in it whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import pluggy

from . import hookspecs
from .checks import check_api, check_component, check_hooks
from .contracts import CONTRACTS, Component
from .errors import PluginConflict, PluginInvalid

REGISTERS = "penin_register_"
#: Most classes that one hook of one plugin may return.
MOST = 1000


class Origin(NamedTuple):
    """Which plugin something comes from; a plain file is its own distribution."""

    plugin: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        where = " ".join(filter(None, self[1:]))
        return f"{self.plugin} ({where})" if where else self.plugin


class Registered(NamedTuple):
    """One component and where it comes from."""

    component: type[Component]
    origin: Origin


#: (kind, name of the component) -> the component.
Found = dict[tuple[str, str], Registered]


class Registry:
    """Components by kind and name, plugins by name."""

    def __init__(self) -> None:
        self.components: Found = {}
        self.origins: dict[str, Origin] = {}
        self._manager = pluggy.PluginManager("penin")
        self._manager.add_hookspecs(hookspecs)

    def inspect(self, plugin: object, origin: Origin) -> Found:
        """Return what ``plugin`` brings, checked; nothing is registered yet.

        Raises:
            PluginInvalid: it breaks a rule of ``hookspecs`` or of ``contracts``.
            PluginConflict: it or its name is registered already, or it brings a name twice.
        """
        if owner := self.origins.get(origin.plugin):
            raise PluginConflict(f"the plugin name {owner.plugin!r} is taken by {owner}")
        if self._manager.is_registered(plugin):
            raise PluginConflict(f"it is loaded already, as {self._manager.get_name(plugin)!r}")
        check_api(plugin)
        hooks = check_hooks(plugin)
        found: Found = {}
        for kind in CONTRACTS:
            for component in _collected(hooks.get(f"{REGISTERS}{kind}")):
                check_component(kind, component)
                if (kind, component.name) in found:
                    raise PluginConflict(f"it brings two {kind} named {component.name!r}")
                found[kind, component.name] = Registered(component, origin)
        return found

    def enter(self, plugin: object, origin: Origin, found: Found) -> None:
        """Register what :meth:`inspect` found.

        Raises:
            PluginConflict: the name of a component is taken.
        """
        for kind, name in found:
            if taken := self.components.get((kind, name)):
                raise PluginConflict(
                    f"{one(kind)} {name!r} comes from plugin {taken.origin} already",
                    hint="uninstall one of the two, or rename the component",
                )
        self._manager.register(plugin, origin.plugin)
        self.components.update(found)
        self.origins[origin.plugin] = origin

    def plugin(self, name: str) -> object:
        """Return what was registered under ``name``, None where nothing was."""
        return self._manager.get_plugin(name)

    def names(self, kind: str) -> list[str]:
        """Return the names of the components of ``kind``, sorted."""
        return sorted(name for of_kind, name in self.components if of_kind == kind)

    def watchers(self, hook: str) -> Iterator[tuple[Origin, Callable[[Mapping[str, Any]], object]]]:
        """Yield each plugin that implements ``hook``, and how to tell it of an event."""
        for impl in getattr(self._manager.hook, hook).get_hookimpls():

            def tell(event: Mapping[str, Any], impl: pluggy.HookImpl = impl) -> object:
                return impl.function(*(event[name] for name in impl.argnames))

            yield self.origins[impl.plugin_name], tell

    def describe(self, origin: Origin) -> dict[str, Any]:
        """Return the plugin API, the components and the watching hooks of a plugin."""
        plugin = self._manager.get_plugin(origin.plugin)
        hooks = [caller.name for caller in self._manager.get_hookcallers(plugin) or ()]
        return {
            "api": check_api(plugin),
            "components": [
                {"kind": kind, "name": name, "summary": _summary(component)}
                for (kind, name), (component, of) in sorted(self.components.items())
                if of == origin
            ],
            "watches": sorted(hook for hook in hooks if not hook.startswith(REGISTERS)),
        }


def one(kind: str) -> str:
    """Return the word for one component of ``kind``."""
    return kind.removesuffix("s")


def _collected(hook: Callable[..., Any] | None) -> list[Any]:
    """Call a registration hook; a hook that forgot its return must not pass for an empty one."""
    if hook is None:
        return []
    components = hook()
    if not isinstance(components, Iterable):
        raise PluginInvalid(
            f"{hook.__name__} returned {components!r}", hint="return a list of classes"
        )
    # An iterator that never ends would fill the memory, and nothing could interrupt it.
    found = list(islice(components, MOST + 1))
    if len(found) > MOST:
        raise PluginInvalid(f"{hook.__name__} returned more than {MOST} classes")
    return found


def _summary(component: type[Component]) -> str:
    return (component.__doc__ or "").strip().partition("\n")[0]
