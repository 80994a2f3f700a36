"""A new plugin passes its tests as it stands, and its wheel builds, for every kind."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from penin_core import PluginConflict, PluginInvalid
from penin_core.cli.plugins import KINDS as OFFERED
from penin_core.scaffold import KINDS, write_package

ROOT = Path(__file__).parent.parent


def run_tests(package, monkeypatch):
    """Run the package's own tests as its author would, with penin from here."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_tests(tmp_path, monkeypatch, kind):
    files = write_package("my-own", kind, tmp_path)
    package = tmp_path / "penin-my-own"
    assert {path.relative_to(package).as_posix() for path in files} == {
        "README.md",
        "penin_my_own.py",
        "pyproject.toml",
        "tests/test_penin_my_own.py",
    }
    done = run_tests(package, monkeypatch)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_no_placeholder_is_left(tmp_path, kind):
    for path in write_package("acme", kind, tmp_path):
        assert "$" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_the_project_says_where_penin_finds_it(tmp_path, kind):
    write_package("acme", kind, tmp_path)
    text = (tmp_path / "penin-acme" / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    if kind == "command":
        assert project["entry-points"] == {"penin.commands": {"acme": "penin_acme:command"}}
    else:
        assert project["entry-points"] == {"penin": {"acme": "penin_acme"}}
    assert "penin-core>=0.1" in project["dependencies"]


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling not installed")
def test_the_wheel_builds_without_a_network(tmp_path):
    write_package("acme", "guard", tmp_path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(command, cwd=tmp_path / "penin-acme", capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "penin-acme" / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if "dist-info" not in name] == ["penin_acme.py"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["guard", "call", "task", "mutator", "http-provider", "any"])
def test_a_class_hides_nothing_that_the_module_imports(tmp_path, name, kind):
    write_package(name, kind, tmp_path)
    module = f"penin_{name.replace('-', '_')}.py"
    tree = ast.parse((tmp_path / f"penin-{name}" / module).read_text(encoding="utf-8"))
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in nodes for alias in node.names}
    assert {node.name for node in tree.body if isinstance(node, ast.ClassDef)} & imported == set()


@pytest.mark.parametrize(
    "name", ["", "A", "1st", "a b", "../up", "a--b", "-a", "a-", "é", "a" * 51, "a.b", "a/b", "a\n"]
)
def test_a_name_that_cannot_be_one_is_refused(tmp_path, name):
    with pytest.raises(PluginInvalid, match="cannot name a plugin"):
        write_package(name, "guard", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sigma", "guard"), ("judge", "evaluator"), ("mutators", "guard"), ("few_shot", "mutator")],
)
def test_a_name_that_penin_has_is_refused(tmp_path, name, kind):
    with pytest.raises(PluginConflict, match=repr(name)):
        write_package(name, kind, tmp_path)


def test_nothing_is_written_over(tmp_path):
    write_package("acme", "guard", tmp_path)
    with pytest.raises(PluginConflict, match="exists already"):
        write_package("acme", "mutator", tmp_path)


def test_the_command_line_offers_every_kind():
    assert OFFERED == KINDS
