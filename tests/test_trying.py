"""A canary on traffic that was stored or made, through a real engine and into a real ledger."""

import asyncio
from itertools import count

import pytest

from penin_core import (
    Completion,
    Configuration,
    LeagueOrchestrator,
    ProviderRefused,
    Task,
    WORMLedger,
)
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.league.canary import arm_of
from penin_core.testing import Echo

GOOD = Configuration(provider="echo", model="good")
BAD = Configuration(provider="echo", model="bad")
BROKEN = Configuration(provider="echo", model="broken")


class Answers(Echo):
    """Answers right, wrong, or not at all, by the name of the model."""

    def generate(self, requests):
        return [
            ProviderRefused("out of order")
            if request.model == "broken"
            else echoed.model_copy(update={"text": "yes" if request.model == "good" else "no"})
            for request, echoed in zip(requests, super().generate(requests), strict=True)
        ]


class SteadyEngine(Engine):
    """Says of every answer that it took one millisecond: no test may hang on a busy machine."""

    async def answer(self, requests):
        answers = await super().answer(requests)
        return [
            answer.model_copy(update={"latency_ms": 1.0})
            if isinstance(answer, Completion)
            else answer
            for answer in answers
        ]


def exact(task, completion):
    return float(completion.text == task.expected)


def requests(number=None):
    keys = count() if number is None else range(number)
    return (Task(id=f"r{key}", input=f"Question {key}?", expected="yes") for key in keys)


@pytest.fixture
def tried(tmp_path):
    """Return a function that runs a canary, and what the ledger says about it."""

    def run(challenger, **options):
        provider = Answers()

        async def run_it(ledger):
            engine = SteadyEngine(
                lambda name: provider,
                budget=Budget(tmp_path / "budget.db", 1.0),
                cache=ResponseCache(tmp_path / "cache.db"),
            )
            try:
                given = {"fraction": 0.2, "traffic": requests(2000), "score": exact, **options}
                league = LeagueOrchestrator(tmp_path, ledger)
                return await league.canary_test(engine, GOOD, challenger, **given)
            finally:
                await engine.aclose()

        with WORMLedger(tmp_path / "ledger.db") as ledger:
            try:
                return asyncio.run(run_it(ledger)), ledger.events(("CANARY_START", "CANARY_STOP"))
            finally:
                assert ledger.verify().valid

    return run


def test_a_challenger_that_answers_wrong_is_taken_back_early(tried):
    report, (start, stop) = tried(BAD)
    assert report.verdict == "harmful"
    assert report.reason.startswith("utility")
    assert report.champion_requests + report.challenger_requests < 500
    assert (start.kind, stop.kind) == ("CANARY_START", "CANARY_STOP")
    assert (start.body["champion"], start.body["challenger"]) == (GOOD.hash, BAD.hash)
    assert start.body["fraction"] == 0.2
    assert (stop.body["verdict"], stop.body["experiment"]) == ("harmful", report.experiment)


def test_a_challenger_that_fails_is_taken_back_after_five_failures(tried):
    report, _ = tried(BROKEN)
    assert report.reason == "5 requests in a row failed or were vetoed"
    assert report.challenger_requests == 5


def test_an_equal_challenger_is_safe(tried):
    report, (_, stop) = tried(GOOD, fraction=0.5, traffic=requests(6000))
    assert report.verdict == "safe"
    assert report.champion_requests + report.challenger_requests == 6000
    assert stop.body["log_e"] == report.log_e


def test_without_scores_silence_is_inconclusive(tried):
    report, _ = tried(BAD, score=None)
    assert report.verdict == "inconclusive"


def test_the_share_is_that_of_the_split(tried):
    report, _ = tried(GOOD, traffic=requests(300))
    keys = (f"r{key}" for key in range(300))
    drawn = sum(arm_of(key, report.experiment, 0.2) == "challenger" for key in keys)
    assert report.challenger_requests == drawn


def test_time_ends_endless_traffic(tried):
    report, _ = tried(GOOD, traffic=requests(), duration_s=0.2, score=None)
    assert report.verdict == "inconclusive"


def test_traffic_that_breaks_off_leaves_an_entry(tried, tmp_path):
    def broken():
        yield from requests(40)
        raise OSError("the log is gone")

    with pytest.raises(OSError, match="the log is gone"):
        tried(GOOD, traffic=broken())
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        assert ledger.events("CANARY_STOP")[0].body["verdict"] == "inconclusive"


@pytest.mark.parametrize("options", [{"fraction": 0.0}, {"fraction": 1.0}, {"duration_s": 0}])
def test_nothing_is_written_where_the_settings_are_wrong(tried, tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        tried(GOOD, **options)
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        assert ledger.events() == []


def test_a_task_that_comes_again_is_compared_once(tried):
    again = [task for _ in range(10) for task in requests(40)]
    report, _ = tried(BAD, traffic=again)
    assert (report.verdict, report.champion_requests + report.challenger_requests) == (
        "inconclusive",
        400,
    )
