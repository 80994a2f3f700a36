"""The distribution: what is declared, and what importing it costs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import penin_tiny
from penin_tiny.provider import TinyProvider

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def loaded_after(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after ``statement``."""
    path = [str(Path(penin_tiny.__file__).parents[1]), *sys.path]
    code = f"import sys; sys.path[:0] = {path!r}; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_plugin_loads_neither_numpy_nor_the_provider() -> None:
    loaded = loaded_after("import penin_tiny")
    assert "penin_tiny" in loaded
    assert not loaded & {"numpy", "pydantic", "threadpoolctl", "penin_tiny.provider"}


def test_listing_the_providers_loads_no_numpy() -> None:
    loaded = loaded_after("import penin_tiny; penin_tiny.penin_register_providers()")
    assert "penin_tiny.provider" in loaded
    assert not loaded & {"numpy", "threadpoolctl", "penin_tiny.model"}


def test_the_entry_point_is_the_module() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert project["entry-points"]["penin"] == {"tiny": penin_tiny.__name__}
    assert project["version"] == penin_tiny.__version__
    assert any(need.startswith("penin-core>=") for need in project["dependencies"])


def test_the_hook_returns_the_provider() -> None:
    assert penin_tiny.penin_api == 1
    assert penin_tiny.penin_register_providers() == [TinyProvider]
    assert TinyProvider.name == "tiny"
