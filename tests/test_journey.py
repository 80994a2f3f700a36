"""A third party's whole way: write, build, install offline, evolve, lock, lose, restore, remove."""

import base64
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from penin_core.scaffold import write_package

ROOT = Path(__file__).parent.parent
TINY = ROOT / "plugins" / "penin-tiny"
NEEDED = [name for name in ("hatchling", "pip", "venv") if importlib.util.find_spec(name) is None]

pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"not installed: {', '.join(NEEDED)}")

SETTINGS = """
[suite]
tasks = "tasks.jsonl"
axes = ["U", "C"]

[evolve]
mutators = ["journey"]
"""


def needed_by(*projects):
    """The installed distributions that ``projects`` depend on, as their pyproject.toml says."""
    found, lines = {}, []
    for project in projects:
        table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        lines += table["project"]["dependencies"]
    while lines:
        requirement = Requirement(lines.pop())
        marker, known = requirement.marker, {*found, "penin-core"}
        wanted = marker is None or marker.evaluate({"extra": ""})
        if wanted and requirement.name not in known:
            found[requirement.name] = importlib.metadata.distribution(requirement.name)
            lines += found[requirement.name].requires or ()
    return found.values()


def pack(distribution, folder):
    """Make a wheel again of what is installed; what does not lie in site-packages is left out."""
    name = re.sub(r"[-_.]+", "_", distribution.metadata["Name"])
    # It is for this interpreter on this machine, whatever its first wheel said.
    wheel = folder / f"{name}-{distribution.version}-py3-none-any.whl"
    info, record = "", []
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in distribution.files:
            compiled = path.suffix == ".pyc" or "__pycache__" in path.parts
            if compiled or path.parts[0] == ".." or path.name == "RECORD":
                info = str(path) if path.name == "RECORD" and not info else info
                continue
            content = path.locate().read_bytes()
            digest = base64.urlsafe_b64encode(sha256(content).digest()).decode().rstrip("=")
            record.append(f"{path},sha256={digest},{len(content)}\n")
            archive.writestr(str(path), content)
        archive.writestr(info, "".join(record) + f"{info},,\n")


def run(*command, code=0, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
    return done


def build(project, wheels):
    """Build the wheel of a project with what is installed; nothing is downloaded."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=project)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder of wheels: penin, the embedded model, a new plugin, and what they depend on."""
    folder = tmp_path_factory.mktemp("wheels")
    for distribution in needed_by(ROOT, TINY):
        pack(distribution, folder)
    pack(importlib.metadata.distribution("pip"), folder)
    build(ROOT, folder)
    build(TINY, folder)
    write_package("journey", "mutator", folder)
    build(folder / "penin-journey", folder)
    return folder


class Place:
    """An empty environment, and a project beside it."""

    def __init__(self, folder, wheels):
        self.python = folder / "env" / "bin" / "python"
        self.project = folder / "project"
        self.project.mkdir()
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PENIN", "PYTHON"))
        }
        self.env = kept | {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        run(sys.executable, "-m", "venv", "--without-pip", folder / "env", env=self.env)
        self.pip("install", "pip", "penin-core", "penin-tiny")
        (self.project / "penin.toml").write_text(SETTINGS)
        splits = ["select"] * 20 + ["confirm"] * 100
        rows = [
            {"id": f"t{n}", "input": f"Copy: a{n}", "expected": f"a{n}", "split": split}
            for n, split in enumerate(splits)
        ]
        tasks = "".join(json.dumps(row) + "\n" for row in rows)
        (self.project / "tasks.jsonl").write_text(tasks)

    def pip(self, *words):
        return run(sys.executable, "-m", "pip", "--python", self.python, *words, env=self.env)

    def penin(self, *words, code=0):
        command = self.python.with_name("penin")
        return run(command, *words, code=code, cwd=self.project, env=self.env)

    def states(self):
        rows = json.loads(self.penin("plugins", "--json").stdout)
        return {row["name"]: row["state"] for row in rows}


@pytest.fixture
def place(tmp_path, wheels):
    return Place(tmp_path, wheels)


def test_a_third_party_plugin_from_wheel_to_removal(place, wheels):
    # Without it, what names it is an error in words.
    assert "journey" not in place.states()
    assert "no mutator named 'journey'" in place.penin("evolve", "--dry-run", code=2).stderr

    # Installed, it is found, explained, and takes part in a cycle whose entries say so.
    place.pip("install", "penin-journey")
    assert place.states()["journey"] == "loaded"
    assert "evolve.mutators names journey" in place.penin("plugins", "why", "journey").stdout
    place.penin("evolve", "--n", "2", "--seed", "1")
    runs = json.loads(place.penin("ledger", "show", "--json").stdout)
    assert "journey (penin-journey 0.1.0)" in json.dumps(runs)
    place.penin("ledger", "verify")

    # Locked and lost, it is restored to the byte.
    place.penin("plugins", "lock")
    place.pip("uninstall", "--yes", "penin-journey")
    assert "installed 1, as locked 1" in place.penin("plugins", "sync").stderr
    assert place.states()["journey"] == "loaded"

    # A wheel of the same version with other content is refused before it is installed.
    (wheel,) = wheels.glob("penin_journey-*.whl")
    sound = wheel.read_bytes()
    try:
        poison(wheel)
        place.pip("uninstall", "--yes", "penin-journey")
        refused = place.penin("plugins", "sync", code=2).stderr
        assert "is not what was locked: evil.pth is new" in refused
        assert "journey" not in place.states()
        # Installed past penin, it is not loaded.
        place.pip("install", "penin-journey")
        assert place.states()["journey"] == "broken"
        assert "evil.pth" in place.penin("evolve", "--dry-run", code=2).stderr
        place.pip("uninstall", "--yes", "penin-journey")
    finally:
        wheel.write_bytes(sound)

    # Removed for good, everything else works as before.
    (place.project / "penin.lock").unlink()
    (place.project / "penin.toml").write_text(SETTINGS.replace("journey", "param_sweep"))
    assert "journey" not in place.states()
    place.penin("status")
    place.penin("ledger", "verify")
    place.penin("evolve", "--n", "1", "--seed", "2")


def poison(wheel):
    """Add a file to a wheel that Python runs at every start, and name it in its RECORD."""
    draft = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(draft, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("/RECORD"):
                content += b"evil.pth,,\n"
            new.writestr(name, content)
        new.writestr("evil.pth", "import sys\n")
    draft.replace(wheel)
