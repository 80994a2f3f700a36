"""The distribution: what is declared, and what importing it costs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import penin_tiny
from penin_tiny.finetuner import TinyFineTuner
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


def test_listing_what_it_has_loads_no_numpy() -> None:
    hooks = ("penin_register_providers()", "penin_register_finetuners()")
    loaded = loaded_after("import penin_tiny as t; " + "; ".join(f"t.{hook}" for hook in hooks))
    assert {"penin_tiny.provider", "penin_tiny.finetuner"} <= loaded
    assert not loaded & {"numpy", "threadpoolctl", "penin_tiny.model"}


def test_the_entry_point_is_the_module() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert project["entry-points"]["penin"] == {"tiny": penin_tiny.__name__}
    assert project["version"] == penin_tiny.__version__
    assert any(need.startswith("penin-core>=") for need in project["dependencies"])


def test_the_hooks_return_provider_and_fine_tuner() -> None:
    assert penin_tiny.penin_api == 1
    assert penin_tiny.penin_register_providers() == [TinyProvider]
    assert penin_tiny.penin_register_finetuners() == [TinyFineTuner]
    assert TinyProvider.name == TinyFineTuner.name == "tiny"
