"""The components that ship with penin; plugins like any other."""

from . import evaluators, guards, mutators

#: Registered before anything that is installed.
BUILTIN_PLUGINS = (mutators, evaluators, guards)
