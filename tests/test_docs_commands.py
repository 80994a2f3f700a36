"""Every command that the documentation shows is run, in its order, in a project that is there."""

import re
import shutil
from pathlib import Path

import click
import pytest

from penin_core import WORMLedger
from penin_core.cli import penin, run

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What is not run here: it asks a service or another machine, or goes on until Ctrl-C. Why, and
#: where it is tested.
ELSEWHERE = {
    r"dashboard --serve": "plugins/penin-dashboard/tests: it serves until it is interrupted",
    r"serve\b": "plugins/penin-gateway: it serves until it is interrupted",
    r"ledger witness": "tests/test_ledger_witness.py: it asks a witness",
    r"canary": "penin_core/live: it needs somebody who serves",
    r"finetune": "tests/test_cli_finetune.py: it trains",
    r"evolve --resume": "tests/test_resuming.py: it needs a cycle that was interrupted",
    r"plugins sync": "tests/test_syncing.py: it installs",
    r"plugins new": "tests/test_scaffold.py: it writes a package",
}
#: What has to be installed for a command.
NEEDS = {"init": "penin_tiny", "dashboard": "penin_dashboard"}
PUPIL = '''
import hashlib
from penin_core import LocalProvider, hookimpl
from penin_core.testing.fakes import Scripted

penin_api = 1


def answer(request):
    question = request.messages[-1].content.lower()
    right = next(name for name in ("red", "green", "blue") if name in question)
    chance = hashlib.sha256(f"{request.seed} {question}".encode()).digest()[0] / 256
    return right if chance < (0.85 if "one of" in request.system else 0.4) else "grey"


class Pupil(LocalProvider):
    """Knows colours, and more of them when it is told which there are."""

    name = "pupil"

    def __init__(self, options=None):
        super().__init__(options)
        self.script = Scripted(Scripted.Options(answer=answer))

    def capabilities(self, model):
        return self.script.capabilities(model)

    def generate(self, requests):
        return self.script.generate(requests)


@hookimpl
def penin_register_providers():
    return [Pupil]
'''
SETTINGS = """
plugins = ["./pupil.py"]

[champion]
provider = "pupil"
model = "p1"
system = "Name the colour."

[suite]
name = "colours"
tasks = "tasks.jsonl"
metrics = ["exact_match"]
evaluators = ["robustness", "cost", "reuse", "agreement", "secrets"]
axes = ["U", "S", "C", "L"]
gate_tasks = 20
calibration = "not_applicable"
groups = "not_applicable"

[suite.reasons]
calibration = "the pupil says no probabilities"
groups = "colours belong to nobody"

[evolve]
challengers = 4
race_tasks = 20
confirm_min = 100
confirm_max = 120

[evolve.margins]
C = 0.9
"""


def commands(page):
    """The lines that call penin, without what a shell makes of them."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            command = line.partition("  #")[0].strip()
            if command.startswith("penin "):
                yield command.removeprefix("penin ")


def elsewhere(command):
    return next((why for what, why in ELSEWHERE.items() if re.match(what, command)), None)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project in which one cycle ran."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "pupil.py").write_text(PUPIL)
    (folder / "penin.toml").write_text(SETTINGS)
    lines = []
    for n in range(2400):
        colour, split = ("red", "green", "blue")[n % 3], "confirm" if n % 4 else "select"
        question = (
            f"Somebody describes house {n} at length, and in passing calls it {colour} today."
        )
        lines.append(
            f'{{"id": "t{n}", "input": "{question}", "expected": "{colour}", "consent": true, '
            f'"split": "{split}"}}'
        )
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    assert run(["evolve", "--config", str(folder / "penin.toml"), "--quiet"]) == 0
    return folder


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem) for page in PAGES if any(commands(page))],
)
def test_the_commands_of_a_page_run(page, prepared, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    with WORMLedger(folder / ".penin" / "ledger.db") as ledger:
        found = ledger.runs()
    promoted = [row["id"] for row in found if row["verdict"] == "promote"]
    for command in commands(page):
        if elsewhere(command):
            continue
        words = [
            {
                "RUN_ID": promoted[0],
                "POLICY": str(folder / ".penin" / "ledger" / "policy.txt"),
            }.get(word.strip('"'), word.strip('"'))
            for word in re.findall(r'"[^"]*"|\S+', _here(command))
        ]
        if words[0] in NEEDS:
            pytest.importorskip(NEEDS[words[0]])
        code = run(words)
        assert code == 0, f"penin {command}: {capsys.readouterr().err}"


def _here(command):
    """Let a command ask the pupil, and keep ``init`` from replacing the settings that name it."""
    if command.startswith("init"):
        bare = re.sub(r"--(provider|model|set) \S+|--force", "", command)
        return f"{bare} --no-measure --config written.toml --force"
    return re.sub(r"--provider \S+", "--provider pupil", command)


SPOKEN = re.compile(r"`penin ([a-z][^`\n]*)`|^ {4}penin ([a-z].*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_that_is_spoken_of_exists_with_its_options(page):
    context = click.Context(penin)
    for match in SPOKEN.finditer(page.read_text(encoding="utf-8")):
        said = match[1] or match[2]
        words, found = said.partition("#")[0].split(), penin
        while words and isinstance(found, click.Group) and re.fullmatch(r"[a-z-]+", words[0]):
            name = words.pop(0)
            if found is penin and name not in found.list_commands(context):
                # A command of a plugin that is not installed here.
                assert name in {"serve", "dashboard"}, f"penin {said}"
                found = None
                break
            found = found.get_command(context, name)
            assert found is not None, f"penin {said}"
        given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(words)))
        if found is not None and given:
            known = {name for one in found.params for name in (*one.opts, *one.secondary_opts)}
            assert given <= known | {"--help"}, f"penin {said}"


@pytest.mark.parametrize("what", ELSEWHERE)
def test_what_is_run_elsewhere_has_tests_there(what):
    where = ELSEWHERE[what].partition(":")[0]
    assert (ROOT / where).exists()


def test_commands_are_found():
    assert sum(1 for page in PAGES for _ in commands(page)) > 20
