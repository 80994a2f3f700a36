"""Refuse a plugin that cannot be what it claims to be, and say why.

The messages give the reason only; whoever asks adds which plugin it is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import FunctionType
from typing import get_args

from . import hookspecs
from .contracts import (
    CONTRACTS,
    Component,
    ComponentOptions,
    Evaluator,
    FineTuner,
    HttpFineTuner,
    HttpProvider,
    LocalFineTuner,
    LocalProvider,
    Provider,
)
from .errors import PluginInvalid
from .records import Axis
from .settings import suggest

#: How many plugin APIs before the current one are still accepted.
OLDER_APIS = 2

#: Names of components: they stand in penin.toml, in file names and before the colon of a MODEL.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

#: Contracts that nobody implements directly.
_TWO_KINDS: dict[type[Component], tuple[type[Component], ...]] = {
    Provider: (HttpProvider, LocalProvider),
    FineTuner: (HttpFineTuner, LocalFineTuner),
}

HOOKS: dict[str, FunctionType] = {
    name: value
    for name, value in vars(hookspecs).items()
    if name.startswith("penin_") and isinstance(value, FunctionType)
}


def check_api(plugin: object) -> int:
    """Return the plugin API that ``plugin`` is written for.

    Raises:
        PluginInvalid: it says none, or one that this penin does not speak.
    """
    newest = hookspecs.PLUGIN_API
    oldest = max(1, newest - OLDER_APIS)
    api = getattr(plugin, "penin_api", None)
    if api is None:
        raise PluginInvalid(
            "it does not say for which plugin API it is written", hint=f"add penin_api = {newest}"
        )
    if type(api) is not int or not oldest <= api <= newest:
        spoken = str(newest) if oldest == newest else f"{oldest} to {newest}"
        raise PluginInvalid(
            f"it is written for plugin API {api!r}, this penin speaks {spoken}",
            hint="install a version of the plugin, or of penin-core, that fits",
        )
    return api


def check_hooks(plugin: object) -> dict[str, Callable[..., object]]:
    """Return the hook implementations of ``plugin`` by name.

    Raises:
        PluginInvalid: a hook is misspelt, unmarked, or not a plain function that takes some of
            the arguments in hookspecs and gives none a default.
    """
    found: dict[str, Callable[..., object]] = {}
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        marks = getattr(function, f"{hookspecs.hookimpl.project_name}_impl", None)
        if not inspect.isroutine(function) or not (marks or name.startswith("penin_")):
            continue
        if not isinstance(marks, dict):
            raise PluginInvalid(f"{name} is not marked", hint="put @hookimpl above it")
        if name not in HOOKS:
            raise PluginInvalid(f"there is no hook {name}", hint=suggest(name, HOOKS))
        if any(marks.values()):
            options = ", ".join(key for key, value in marks.items() if value)
            raise PluginInvalid(f"{name} sets {options}", hint="write @hookimpl without options")
        _check_hook_arguments(name, function)
        found[name] = function
    return found


def _check_hook_arguments(name: str, function: Callable[..., object]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginInvalid(f"{name} is async", hint="write an ordinary function")
    if inspect.isgeneratorfunction(function):
        raise PluginInvalid(f"{name} is a generator", hint="return a list instead of yielding")
    known = inspect.signature(HOOKS[name]).parameters
    for argument in inspect.signature(function).parameters.values():
        if argument.kind is not argument.POSITIONAL_OR_KEYWORD or argument.name not in known:
            takes = f"{name}({', '.join(known)})"
            raise PluginInvalid(f"{name} does not take {argument}", hint=f"the hook is {takes}")
        if argument.default is not argument.empty:
            raise PluginInvalid(
                f"{name} gives {argument.name} a default value", hint="hooks have no defaults"
            )


def check_component(kind: str, component: object) -> None:
    """Refuse a class that cannot be what the hook of ``kind`` says it is.

    Raises:
        PluginInvalid: the wrong kind of object, no usable name, no docstring, an abstract method
            left, loose options, or a method whose parameters differ from the contract's.
    """
    contract = CONTRACTS[kind]
    if not (inspect.isclass(component) and issubclass(component, contract)):
        raise PluginInvalid(f"{component!r} is not a subclass of {contract.__name__}")
    _check_identity(component)
    if missing := sorted(component.__abstractmethods__):
        raise PluginInvalid(f"{component.__name__} does not define {', '.join(missing)}")
    contract = _exact_contract(component, contract)
    for name, wanted in inspect.getmembers(contract, inspect.isfunction):
        if name == "__init__" or not name.startswith("_"):
            _check_method(component, name, wanted)


def _check_identity(component: type[Component]) -> None:
    title = component.__name__
    if not isinstance(component.name, str) or not NAME.fullmatch(component.name):
        raise PluginInvalid(
            f"{title}.name is {component.name!r}",
            hint="use lower-case letters, digits, - and _, at most 64",
        )
    if not (component.__doc__ or "").strip():
        raise PluginInvalid(f"{title} has no docstring", hint="its first line is shown to users")
    _check_options(f"{title}.Options", component.Options)
    if issubclass(component, FineTuner):
        _check_options(f"{title}.Hyperparams", component.Hyperparams)
    axis = getattr(component, "axis", None)
    if issubclass(component, Evaluator) and axis not in get_args(Axis):
        raise PluginInvalid(f"{title}.axis is {axis!r}", hint="one of U, S, C, L")


def _check_options(title: str, options: object) -> None:
    if not (inspect.isclass(options) and issubclass(options, ComponentOptions)):
        raise PluginInvalid(f"{title} is not a subclass of ComponentOptions")
    if options.model_config.get("extra") != "forbid" or not options.model_config.get("frozen"):
        raise PluginInvalid(f"{title} must be frozen and forbid unknown keys")


def _exact_contract(component: type[Component], contract: type[Component]) -> type[Component]:
    """Return the one of two kinds that ``component`` is, where its contract has two kinds."""
    kinds = _TWO_KINDS.get(contract, (contract,))
    for kind in kinds:
        if issubclass(component, kind):
            return kind
    names = " nor ".join(kind.__name__ for kind in kinds)
    raise PluginInvalid(f"{component.__name__} derives from neither {names}")


def _check_method(component: type[Component], name: str, wanted: FunctionType) -> None:
    given = inspect.getattr_static(component, name)
    title = f"{component.__name__}.{name}"
    if not isinstance(given, FunctionType):
        raise PluginInvalid(f"{title} is not a plain method")
    if inspect.iscoroutinefunction(given) or inspect.isasyncgenfunction(given):
        raise PluginInvalid(f"{title} is async", hint="the engine does the waiting; write def")
    if _parameters(given) != _parameters(wanted):
        raise PluginInvalid(
            f"{title}({', '.join(_names(given))}) differs from the contract",
            hint=f"write {name}({', '.join(_names(wanted))})",
        )


def _parameters(function: FunctionType) -> list[tuple[str, object]]:
    return [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]


def _names(function: FunctionType) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [str(p.replace(annotation=p.empty, default=p.empty)) for p in parameters]
