"""Who answers now: what moves, what is waited for, and what changes nothing."""

import asyncio
import threading

import pytest

from penin_core import Configuration, LeagueOrchestrator, WORMLedger
from penin_core.errors import ProviderError
from penin_core.serving import following
from penin_core.serving.following import Following


@pytest.fixture
def ledger(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as made:
        yield made


def move(ledger, state, model):
    """Make a model champion, as another process does."""
    config = Configuration(provider="p", model=model)
    body = {"config": config.model_dump(mode="json"), "config_hash": config.hash}
    if ledger.size:
        more = {"run_id": f"run-{ledger.size}", "previous_run_id": None, "reason": "test"}
        ledger.record_event("PROMOTE", {**body, **more})
    else:
        more = {"run_id": None, "param_version": 0, "params": {}}
        ledger.record_event("BOOTSTRAP", {**body, **more})
    LeagueOrchestrator(state, ledger).champion()


def follow(ledger, state, ready=lambda champion: champion.config["model"]):
    told = []
    made = Following(state, ledger, ready, told.append)
    made.told = told
    return made


def name_of(serving):
    return None if serving is None else serving.backend


def test_what_begins_after_a_move_is_answered_by_the_new_champion(ledger, tmp_path):
    async def look():
        found = [name_of(await made.now())]
        for model in ("a", "b", "a", "c"):
            move(ledger, tmp_path, model)
            found.append(name_of(await made.now()))
        return found

    # Nothing looks on its own here: each request finds out itself.
    made = follow(ledger, tmp_path)
    assert asyncio.run(look()) == [None, "a", "b", "a", "c"]
    assert [line.split(",")[0] for line in made.told] == [f"now answering: p:{m}" for m in "abac"]


def test_who_does_not_listen_any_more_keeps_nobody_from_the_new_champion(ledger, tmp_path):
    def told(line):
        raise BrokenPipeError(line)

    async def look():
        made.start()
        move(ledger, tmp_path, "b")
        found = name_of(await made.now())
        await made.aclose()
        return found

    move(ledger, tmp_path, "a")
    made = Following(tmp_path, ledger, lambda champion: champion.config["model"], told)
    assert asyncio.run(look()) == "b"
    assert made.problem == ""


def test_all_that_begin_meanwhile_wait_for_one_look(ledger, tmp_path):
    asked = []

    def ready(champion):
        asked.append(champion.config["model"])
        return asked[-1]

    async def look():
        move(ledger, tmp_path, "b")
        return [name_of(one) for one in await asyncio.gather(*(made.now() for _ in range(20)))]

    move(ledger, tmp_path, "a")
    made = follow(ledger, tmp_path, ready)
    assert asyncio.run(look()) == ["b"] * 20
    assert asked == ["a", "b"]


def test_a_champion_that_takes_long_to_be_ready_keeps_nobody_waiting(ledger, tmp_path, monkeypatch):
    is_ready = threading.Event()

    def ready(champion):
        if champion.config["model"] == "b":
            is_ready.wait(30)
        return champion.config["model"]

    async def look():
        move(ledger, tmp_path, "b")
        first = name_of(await made.now())
        is_ready.set()
        await made._looking
        return first, name_of(await made.now())

    monkeypatch.setattr(following, "PATIENCE_S", 0.01)
    move(ledger, tmp_path, "a")
    made = follow(ledger, tmp_path, ready)
    assert asyncio.run(look()) == ("a", "b")


def test_a_champion_that_cannot_be_asked_is_tried_again_but_not_by_requests(
    ledger, tmp_path, monkeypatch
):
    asked, broken = [], True

    def ready(champion):
        asked.append(champion.config["model"])
        if broken and asked[-1] == "b":
            raise ProviderError("no such model")
        return asked[-1]

    async def look():
        nonlocal broken
        move(ledger, tmp_path, "b")
        found = [name_of(await made.now()) for _ in range(3)]
        problem, broken = made.problem, False
        assert asked == ["a", "b"]
        made.start()
        while made.problem:
            await asyncio.sleep(0.001)
        found.append(name_of(await made.now()))
        await made.aclose()
        return found, problem

    monkeypatch.setattr(following, "AGAIN_AFTER_S", 0.0)
    move(ledger, tmp_path, "a")
    made = follow(ledger, tmp_path, ready)
    assert asyncio.run(look()) == (["a", "a", "a", "b"], "no such model")


def test_a_pointer_that_is_taken_away_changes_nothing(ledger, tmp_path):
    async def look():
        (tmp_path / "champion.json").unlink()
        return name_of(await made.now()), made.problem

    move(ledger, tmp_path, "a")
    made = follow(ledger, tmp_path)
    assert asyncio.run(look()) == ("a", "")
