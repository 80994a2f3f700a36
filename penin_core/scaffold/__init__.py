"""Write the package of a new plugin: its tests pass as it stands, and its wheel builds.

The templates beside this module are the files of a small plugin that does real work; only names
are filled in. What they show is the shape of a plugin, not more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Literal, get_args

import penin_core
from penin_core.contracts import CONTRACTS
from penin_core.errors import PluginConflict, PluginInvalid
from penin_core.hookspecs import PLUGIN_API
from penin_core.plugins import Plugins

Kind = Literal["provider", "mutator", "evaluator", "guard", "finetuner", "command"]
KINDS: tuple[Kind, ...] = get_args(Kind)

TEMPLATES = Path(__file__).parent / "templates"

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_GROUPS = {"command": ("penin.commands", ":command", ', "click>=8.2"')}
#: What templates import from elsewhere.
_IMPORTED = {"Any", "Counter", "Field", "Iterable", "Mapping", "Path", "Sequence"}
_PLUGIN = ("penin", "", "")


def write_package(name: str, kind: Kind, into: Path) -> list[Path]:
    """Write the folder ``into/penin-NAME``; return its files.

    Raises:
        PluginInvalid: ``name`` cannot name a plugin.
        PluginConflict: the folder exists, or penin has a component or plugin of this name.
        OSError: the folder cannot be written.
    """
    _check_name(name, kind)
    folder = into / f"penin-{name.replace('_', '-')}"
    if folder.exists():
        raise PluginConflict(f"{folder} exists already", hint="choose another name or folder")
    written = []
    for path, text in _files(name, kind):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return written


def _check_name(name: str, kind: Kind) -> None:
    if len(name) > 50 or not _NAME.fullmatch(name):
        raise PluginInvalid(
            f"{name!r} cannot name a plugin",
            hint="begin with a lower-case letter; then letters, digits, single - and _; at most 50",
        )
    plugins = Plugins.load(discover=False)
    taken = {row["name"] for row in plugins.describe()}
    if f"{kind}s" in CONTRACTS:
        taken.update(plugins.names(f"{kind}s"))
    if name in taken:
        raise PluginConflict(f"penin has a {kind} or plugin named {name!r}", hint="choose another")


def _files(name: str, kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file of the package."""
    words = _words(name, kind)
    sources = {
        "pyproject.toml": "pyproject.txt",
        "README.md": "README.txt",
        f"{words['module']}.py": f"{kind}.txt",
        f"tests/test_{words['module']}.py": f"test_{kind}.txt",
    }
    for path, source in sources.items():
        yield path, Template((TEMPLATES / source).read_text(encoding="utf-8")).substitute(words)


def _words(name: str, kind: Kind) -> dict[str, str]:
    camel = "".join(part.capitalize() for part in re.split("[-_]", name))
    group, attribute, requirement = _GROUPS.get(kind, _PLUGIN)
    plain = name.replace("-", "_")
    return {
        "name": name,
        "kind": kind,
        "module": f"penin_{plain}",
        "distribution": f"penin-{name.replace('_', '-')}",
        # A class must not hide what the module imports from penin.
        "Class": f"{camel}Plugin" if camel in {*penin_core.__all__, *_IMPORTED} else camel,
        "ENV": plain.upper(),
        "group": group,
        "attribute": attribute,
        "requirement": requirement,
        "api": str(PLUGIN_API),
        "core": ".".join(penin_core.__version__.split(".")[:2]),
    }
