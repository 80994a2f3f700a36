"""What the pages for authors say is what the code does; the part on hooks is generated from it."""

import configparser
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from penin_core import errors, hookspecs, testing
from penin_core.checks import HOOKS
from penin_core.scaffold import KINDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "examples" / "penin-brevity"
GENERATED = re.compile(r"(<!-- hooks: .*? -->\n)(.*?)(<!-- /hooks -->)", re.DOTALL)


def read(path):
    return path.read_text(encoding="utf-8")


def hook_reference():
    """The part of docs/plugins.md on hooks."""
    parts = []
    for name, hook in HOOKS.items():
        signature = inspect.signature(hook)
        said = inspect.getdoc(hook).replace("``", "`")
        returns = f"\nReturns `{signature.return_annotation}`." if "register" in name else ""
        takes = [f"`{p.name}: {p.annotation}`" for p in signature.parameters.values()]
        arguments = f"\nArguments: {', '.join(takes)}." if takes else ""
        parts.append(
            f"### {name}({', '.join(signature.parameters)})\n\n{said}\n{returns}{arguments}\n"
        )
    return "\n" + "\n".join(parts) + "\n"


def test_the_hook_reference_is_generated():
    assert GENERATED.search(read(DOCS / "plugins.md"))[2] == hook_reference()


def test_every_kit_is_documented():
    kits = {name for name in testing.__all__ if name.endswith("Conformance")} - {"Conformance"}
    assert set(re.findall(r"^\| `(\w+Conformance)`", read(DOCS / "plugins.md"), re.M)) == kits


@pytest.mark.parametrize("page", ["plugins.md", "tutorial.md"])
def test_every_kind_of_scaffold_is_named(page):
    assert all(f"`{kind}`" in read(DOCS / page) for kind in KINDS)


# The tutorial


@pytest.mark.parametrize(
    "name", ["penin_brevity.py", "tests/test_penin_brevity.py", "pyproject.toml"]
)
def test_the_tutorial_shows_the_example_as_it_is(name):
    language = "toml" if name.endswith("toml") else "py"
    block = f"```{language}\n# {name}\n{read(EXAMPLE / name)}```\n"
    assert block in read(DOCS / "tutorial.md")


def test_the_example_passes_its_tests(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


# Environments


def test_every_plugin_has_an_environment_of_its_own():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    plugins = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    (name,) = [name for name in config.sections() if name.startswith("testenv:plugin-{")]
    factors = name.partition("{")[2].rstrip("}").split(",")
    # torch for the CPU is installed in a way of its own.
    assert {f"penin-{factor}" for factor in factors} == plugins - {"penin-hf"}
    assert {name.removeprefix("testenv:"), "plugin-hf"} <= set(
        re.split(r",\s+", config["tox"]["env_list"])
    )
    assert '"./plugins/penin-hf[train]"' in config["testenv:plugin-hf"]["commands_pre"]
    assert "plugins/penin-hf/tests" in config["testenv:plugin-hf"]["commands"]
    for factor in factors:
        folder = f"plugins/penin-{factor}"
        assert f"{factor}: python -m pip install --quiet ./{folder}" in config[name]["commands_pre"]
        assert (
            f"{factor}: {{[testenv]pytest}} {{posargs:{folder}/tests}}" in config[name]["commands"]
        )
        assert f"./{folder}" in config["testenv"]["plugins"].split()


# Dependencies, errors, symbols


def test_every_dependency_is_argued_and_there_are_at_most_eleven():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    names = sorted(re.match(r"[\w-]+", line)[0] for line in project["dependencies"])
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \|$", read(DOCS / "dependencies.md"), re.M)
    assert [name for name, _, _ in rows] == names
    assert len(names) <= 11


def test_the_errors_that_plugins_raise_exist():
    named = set(re.findall(r"`(\w+)`", read(DOCS / "errors.md")))
    of_tree = {name for name in named if name.startswith(("Provider", "FineTuning", "Training"))}
    assert all(issubclass(getattr(errors, name), errors.PeninError) for name in of_tree)
    providers = {
        name
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, errors.ProviderError)
    }
    assert providers - {"ProviderError"} <= of_tree


def test_every_symbol_leads_to_a_function_that_has_it():
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| `(penin_core\S+)` \|$", read(DOCS / "symbols.md"), re.M
    )
    assert len(rows) >= 15
    for _, meaning, place in rows:
        module, _, name = place.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        for word in re.findall(r"`(\w+)`", meaning):
            text = f"{inspect.signature(found)} {name} {inspect.getdoc(found)} {module}"
            text += inspect.getsource(found)
            assert word in text, f"{place} has no {word}"


def test_every_hook_has_a_docstring_that_says_when():
    assert all(textwrap.dedent(hook.__doc__ or "").strip() for hook in HOOKS.values())
    assert hookspecs.__doc__


if __name__ == "__main__":
    page = DOCS / "plugins.md"
    text = read(page)
    page.write_text(GENERATED.sub(lambda m: m[1] + hook_reference() + m[3], text), encoding="utf-8")
