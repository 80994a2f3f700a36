"""Models that go away: a service's own list of dates wins over what a plugin knew."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from penin_core import (
    Call,
    Candidate,
    Capabilities,
    ChatCompletionsProvider,
    ComponentOptions,
    Configuration,
    Price,
)
from penin_core.cli.evolve import _naming
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.runners import name_what_goes_away
from penin_core.testing.fakes import Echo
from penin_core.testing.loopback import RESET, Answer, Loopback


class Options(ComponentOptions):
    base_url: str


class Dated(ChatCompletionsProvider):
    """Lists its models with the days on which they end."""

    name = "dated"
    Options = Options

    def capabilities(self, model):
        price = Price(input_per_million=1, output_per_million=1)
        return Capabilities(price=price, shutdown_date="2027-01-14" if model == "old" else None)

    def shutdown_dates(self):
        listed = (yield Call(method="GET", path="/models")).body["data"]
        return {model["id"]: model["shutdown_date"] for model in listed}


def after_asking(folder, answer, use):
    """Return what ``use`` says of an engine that asked a service which models it shuts down."""

    async def at_once(seconds):
        return

    async def go(url):
        providers = {"dated": Dated(Options(base_url=url)), "echo": Echo()}
        budget, cache = Budget(folder / "b.db"), ResponseCache(folder / "c.db")
        engine = Engine(providers.__getitem__, budget=budget, cache=cache, sleep=at_once)
        try:
            await engine.ask_dates({"dated", "echo"})
            return await use(engine)
        finally:
            await engine.aclose()

    respond = answer if callable(answer) else lambda asked: answer
    with Loopback(respond) as server:
        return asyncio.run(go(server.url))


async def dates(engine):
    models = ("old", "new", "other")
    return [engine.capabilities("dated", model).shutdown_date for model in models]


def test_the_service_knows_better(tmp_path):
    listed = [{"id": "old", "shutdown_date": "2026-12-11"}, {"id": "new", "shutdown_date": None}]
    answer = Answer(200, {"data": listed})
    assert after_asking(tmp_path, answer, dates) == ["2026-12-11", None, None]


@pytest.mark.parametrize(
    "answer",
    [Answer(401, {}), Answer(503), RESET, Answer(200, "<html>"), Answer(200, {"data": 5})],
    ids=lambda answer: answer.status,
)
def test_a_service_that_does_not_say_stops_nothing(tmp_path, answer):
    assert after_asking(tmp_path, answer, dates) == ["2027-01-14", None, None]


def test_a_service_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("penin_core.engine.wire._DATES_S", 0.05)

    def slow(asked):
        time.sleep(0.5)
        return Answer(200, {"data": [{"id": "old", "shutdown_date": "2026-12-11"}]})

    assert after_asking(tmp_path, slow, dates) == ["2027-01-14", None, None]


def test_whoever_competes_is_named_before_anything_is_promoted(tmp_path):
    told = []

    async def named(engine):
        cycle = SimpleNamespace(engine=engine, watch=lambda *event: told.append(event))
        models = [("dated", "new"), ("dated", "other"), ("dated", "new"), ("echo", "any")]
        await name_what_goes_away(
            cycle,
            [
                Candidate(config=Configuration(provider=p, model=m), origin="settings")
                for p, m in models
            ],
        )

    listed = Answer(200, {"data": [{"id": "new", "shutdown_date": "2026-12-11"}]})
    after_asking(tmp_path, listed, named)
    assert told == [
        ("goes_away", {"provider": "dated", "model": "new", "date": "2026-12-11"}),
    ]


def test_the_command_line_says_it_once(capsys):
    passed = []
    watch = _naming(
        {"dated:old: its service shuts it down on 2026-12-11"},
        lambda event, about: passed.append(event),
    )
    for model in ("old", "new", "new"):
        watch("goes_away", {"provider": "dated", "model": model, "date": "2026-12-11"})
    assert passed == ["goes_away"] * 3
    said = capsys.readouterr().err
    assert said.count("dated:new: its service shuts it down on 2026-12-11") == 1
    assert "dated:old" not in said
