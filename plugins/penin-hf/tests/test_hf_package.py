"""The distribution: what is declared, and what importing it costs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

penin_hf = pytest.importorskip("penin_hf")

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def loaded_after(statement):
    """Return the modules that a fresh interpreter has loaded after ``statement``."""
    path = [str(Path(penin_hf.__file__).parents[1]), *sys.path]
    code = f"import sys; sys.path[:0] = {path!r}; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_plugin_loads_nothing_heavy():
    assert not loaded_after("import penin_hf") & {"torch", "numpy", "pydantic"}


def test_listing_what_it_has_loads_neither_torch_nor_transformers():
    hooks = ("penin_register_providers()", "penin_register_finetuners()")
    loaded = loaded_after("import penin_hf as p; " + "; ".join(f"p.{hook}" for hook in hooks))
    assert {"penin_hf.provider", "penin_hf.finetuner"} <= loaded
    assert not loaded & {"torch", "transformers", "peft", "trl", "huggingface_hub"}


def test_the_entry_point_is_the_module():
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert project["entry-points"]["penin"] == {"hf": penin_hf.__name__}
    assert project["version"] == penin_hf.__version__
    assert any(need.startswith("penin-core>=") for need in project["dependencies"])


def test_provider_and_fine_tuner_share_a_name():
    (provider,), (finetuner,) = (
        penin_hf.penin_register_providers(),
        penin_hf.penin_register_finetuners(),
    )
    assert penin_hf.penin_api == 1
    assert provider.name == finetuner.name == "hf"
