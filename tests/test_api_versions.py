"""Plugins of API 1, kept as they were, run while the core speaks 1 to 3; at 4 they are refused."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penin_core import (
    Candidate,
    Completion,
    Configuration,
    GuardResult,
    Message,
    PluginNotFound,
    Reply,
    Request,
    Task,
    hookspecs,
)
from penin_core.contracts import CONTRACTS
from penin_core.plugins import Plugins
from penin_core.testing import EvaluatorConformance, GuardConformance, MutatorConformance

ROOT = Path(__file__).parent.parent
ARCHIVE = ROOT / "tests" / "data" / "api1"
FILES = sorted(ARCHIVE.glob("*.py"))
NEWEST_FOR_API_1 = 3


@pytest.fixture(params=[1, 2, NEWEST_FOR_API_1])
def plugins(request, monkeypatch):
    """The archived plugins, loaded by a core that speaks this API."""
    monkeypatch.setattr(hookspecs, "PLUGIN_API", request.param)
    return Plugins.load(files=FILES, discover=False)


def test_the_archive_has_a_plugin_of_every_kind(plugins):
    rows = [row for row in plugins.describe() if row["distribution"] != "penin-core"]
    kinds = {part["kind"] for row in rows for part in row["components"]}
    assert kinds == set(CONTRACTS)
    assert {hook for row in rows for hook in row["watches"]} == {
        name for name in vars(hookspecs) if name.startswith("penin_c")
    }


def test_archived_plugins_are_loaded(plugins):
    assert plugins.broken == {}
    assert {row["api"] for row in plugins.describe()} >= {1}


def test_archived_providers_answer(plugins):
    provider = plugins.create("providers", "old-provider")
    ask = Request(
        provider="old-provider", model="m", messages=(Message(role="user", content="hello"),)
    )
    assert provider.encode(ask).body["messages"][-1]["content"] == "hello"
    body = {
        "model": "m",
        "choices": [{"message": {"content": "yes"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    assert provider.decode(Reply(status=200, body=body)).text == "yes"
    (answer,) = plugins.create("providers", "old-watcher").generate([ask])
    assert answer.text == "yes"


def test_archived_components_meet_todays_contracts(plugins):
    for kind, name, kit in (
        ("mutators", "old-mutator", MutatorConformance),
        ("evaluators", "old-evaluator", EvaluatorConformance),
        ("guards", "old-guard", GuardConformance),
    ):
        component = plugins.get(kind, name)
        type("TestOld", (kit,), {"component": component})().test_class_follows_the_contract()


def test_archived_components_do_their_work(plugins):
    scorer = plugins.create("evaluators", "old-evaluator")
    answer = Completion(text="blue", model="m", tokens_in=1, tokens_out=1)
    assert scorer.score(Task(id="t", input="?", expected="blue"), [answer]) == 1.0
    verdict = plugins.create("guards", "old-guard").check(GuardConformance.good)
    assert isinstance(verdict, GuardResult)
    assert verdict.ok
    tuner = plugins.create("finetuners", "old-finetuner")
    assert tuner.capabilities("small").context_tokens == 8_192


def test_archived_watchers_hear_of_a_cycle(plugins):
    champion = Candidate(config=Configuration(provider="old-watcher", model="m"))
    failures = plugins.notify("penin_cycle_started", champion=champion, challengers=())
    assert failures == []
    assert inspect.getmodule(plugins.get("providers", "old-watcher")).heard == ["started on m"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_three_apis_later_a_plugin_is_refused_in_words(monkeypatch, file):
    monkeypatch.setattr(hookspecs, "PLUGIN_API", NEWEST_FOR_API_1 + 1)
    monkeypatch.setattr("penin_core.builtin.BUILTIN_PLUGINS", ())
    plugins = Plugins.load(files=[file], discover=False)
    said = plugins.broken[file.stem].reason
    assert said.startswith("it is written for plugin API 1, this penin speaks 2 to 4")
    assert "install a version of the plugin, or of penin-core, that fits" in said
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("guards", file.stem)
    assert said in caught.value.hint


def test_a_user_is_not_told_of_a_deprecated_argument():
    code = """
import sys
from pathlib import Path
from penin_core import hookspecs
from penin_core.plugins import Plugins

def penin_cycle_started(champion, challengers): pass

spec = hookspecs.hookspec(warn_on_impl_args={"champion": DeprecationWarning("champion goes away")})
hookspecs.penin_cycle_started = spec(penin_cycle_started)
plugins = Plugins.load(files=[Path(sys.argv[1])], discover=False)
print(plugins.broken)
"""
    for option, told in (((), False), (("-W", "default"), True)):
        done = subprocess.run(
            [sys.executable, *option, "-c", code, str(ARCHIVE / "old_watcher.py")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout == "{}\n", done.stderr
        assert ("champion goes away" in done.stderr) is told
        assert not told or "old_watcher.py" in done.stderr
