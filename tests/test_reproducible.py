"""The same seed and the same answers give the same report, byte for byte, on every Python."""

import asyncio
import json
import math
from types import SimpleNamespace

import pytest

from penin_core import Capabilities, Completion, Configuration, LocalProvider, Task, hookimpl
from penin_core import evolve_one_cycle as evolve
from penin_core.canonical import digest
from penin_core.engine import local
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.settings import Baseline, EvolveSettings, Settings, SuiteDefinition
from penin_core.state import prepare
from penin_core.suites import Suite

#: The digest of the report. It changes when a report says something else, on every Python alike.
GOLDEN = "09f27a25773bea106d3b3a720cd278dde43e19938601961be062c1196243e541"
#: What tells two runs of the same cycle apart.
OF_ONE_RUN = ("cycle_id", "elapsed_s", "calls")


class Speller(LocalProvider):
    """Spells words backwards; the hotter it is sampled, the more often it is wrong."""

    name = "speller"
    asked = 0

    def capabilities(self, model):
        return Capabilities(logprobs=True, seed=True, batch=16)

    def generate(self, requests):
        type(self).asked += len(requests)
        return [self.answer(request) for request in requests]

    def answer(self, request):
        word = request.messages[-1].content.split()[-1]
        skill = 0.95 - 0.6 * request.temperature
        luck = int(digest([word, request.seed])[:8], 16) / 2**32
        text = word[::-1] if luck < skill else word
        return Completion(
            text=text,
            model=request.model,
            tokens_in=5 + len(request.system.split()),
            tokens_out=len(word),
            logprobs=(math.log(0.4 + luck / 2),),
        )


@hookimpl
def penin_register_providers():
    return [Speller]


def tasks():
    made = []
    for split, count in (("select", 60), ("confirm", 260), ("composed", 8), ("ood", 8)):
        for n in range(count):
            word = digest([split, n])[: 4 + n % 5]
            made.append(
                Task(
                    id=f"{split}-{n}",
                    input=f"Spell backwards: {word}",
                    expected=word[::-1],
                    split=split,
                    consent=True,
                    group=("a", "b")[n % 2],
                )
            )
    return tuple(made)


def evolved(state, monkeypatch):
    """Run a cycle with a clock that stands still, so that no answer has a latency of its own."""
    monkeypatch.setattr(local, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    settings = Settings(
        champion=Configuration(provider="speller", model="m", system="Do it.", max_tokens=8),
        suite=SuiteDefinition(
            gate_tasks=20,
            baseline=Baseline(tokens=12.0),
            calibration="not_applicable",
            reasons={"calibration": "its probabilities are made up"},
        ),
        evolve=EvolveSettings(race_tasks=20, confirm_min=100, confirm_max=150),
    )
    plugins = Plugins.load(discover=False)
    module = SimpleNamespace(penin_api=1, penin_register_providers=penin_register_providers)
    plugins.add(module, "spelling", "penin-spelling", "1.0")
    project = Project(settings, prepare(state), plugins, Suite(settings.suite, tasks()))
    return asyncio.run(evolve(6, project=project, seed=3))


def as_bytes(report):
    """Return the report as JSON, without what is one run's own."""
    found = report.model_dump(mode="json", exclude=set(OF_ONE_RUN))
    names = {run["run_id"]: f"run-{n}" for n, run in enumerate(found["runs"])}
    text = json.dumps(found, sort_keys=True, ensure_ascii=False)
    for run_id, name in names.items():
        text = text.replace(run_id, name)
    return text.encode()


@pytest.fixture
def report(tmp_path, monkeypatch):
    return evolved(tmp_path / "one", monkeypatch)


def test_a_cycle_of_a_seed_is_the_same_to_the_last_byte_on_every_python(report):
    assert report.confirmation is not None
    assert {run.decision.verdict for run in report.runs} >= {"rollback"}
    text = as_bytes(report)
    assert digest(text.decode()) == GOLDEN, text.decode()[:3000]


def test_the_same_cached_answers_give_the_same_report_and_ask_nothing(
    tmp_path, monkeypatch, report
):
    for part in ("responses.db", "responses.db-wal"):
        found = tmp_path / "one" / "cache" / part
        if found.exists():
            there = prepare(tmp_path / "two") / "cache"
            there.mkdir(exist_ok=True)
            (there / part).write_bytes(found.read_bytes())
    before = Speller.asked
    again = evolved(tmp_path / "two", monkeypatch)
    assert as_bytes(again) == as_bytes(report)
    assert (Speller.asked, again.calls, again.cycle_id != report.cycle_id) == (before, 0, True)
