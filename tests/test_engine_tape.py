"""Tapes: what a multi-step operation did in a process that was killed is not done again."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penin_core import ChatCompletionsProvider
from penin_core.contracts import Steps
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.tape import Tape
from penin_core.engine.wire import Engine
from penin_core.errors import (
    BudgetExceeded,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    StateError,
)
from penin_core.records import Call, Capabilities, FilePart, Message, Price, Reply, Request, Wait

ASKED = Request(
    provider="service", model="m", max_tokens=10, messages=(Message(role="user", content="q"),)
)


class Service(ChatCompletionsProvider):
    """A service without keys."""

    name = "service"
    base_url = "https://service.example"

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(price=Price(input_per_million=5, output_per_million=10))


class Killed(BaseException):
    """The process is gone."""


class World:
    """A service that starts jobs and remembers which; the process dies at a call it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.slept: list[float] = []

    def run(
        self, steps: Steps, *, die_before: int = 99, die_after: int = 99, daily: float = 5.0
    ) -> Any:
        def respond(request: httpx2.Request) -> httpx2.Response:
            if len(self.calls) == die_before:
                raise Killed
            self.calls.append(f"{request.method} {request.url.path}")
            if len(self.calls) == die_after:
                raise Killed
            if request.url.path == "/nonsense":
                return httpx2.Response(200, content=b"<html>")
            status = {"/missing": 404, "/broken": 500}.get(request.url.path, 200)
            return httpx2.Response(status, json={"number": len(self.calls)})

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        async def go() -> Any:
            engine = Engine(
                lambda name: Service(),
                budget=Budget(self.folder / "b", daily),
                cache=ResponseCache(self.folder / "c"),
                transport=httpx2.MockTransport(respond),
                sleep=sleep,
            )
            try:
                return await engine.drive("service", steps, tape=self.folder / "job.tape")
            finally:
                await engine.aclose()

        return asyncio.run(go())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def job(name: str = "job") -> Steps:
    part = FilePart(name="file", filename="a", content=b"\x00\xff")
    file = yield Call(path="/files", files=(part,))
    with contextlib.suppress(ProviderRefused):
        yield Call(method="GET", path="/missing")
    assert file is not None
    made = yield Call(path="/jobs", body={"file": file.body["number"], "name": name})
    assert made is not None
    yield Wait(seconds=30)
    state = yield Call(method="GET", path="/jobs/1")
    assert state is not None
    return made.body["number"], state.body["number"]


ALL = ["POST /files", "GET /missing", "POST /jobs", "GET /jobs/1"]


def test_a_finished_operation_is_not_carried_out_again(world: World) -> None:
    first = world.run(job())
    assert world.run(job()) == first == (3, 4)
    assert (world.calls, world.slept) == (ALL, [30.0])


@pytest.mark.parametrize("before", [0, 2, 3])
def test_a_process_killed_before_a_call_goes_on_there(world: World, before: int) -> None:
    with pytest.raises(Killed):
        world.run(job(), die_before=before)
    if before in (0, 2):
        # Nobody can know that the call was never sent, so it is not sent twice.
        with pytest.raises(ProviderUnavailable, match="before this process started"):
            world.run(job())
    else:
        assert world.run(job()) == (3, 4)
    assert world.calls == ALL[:before] if before in (0, 2) else ALL
    assert len(world.slept) <= 1


def test_a_lost_reply_to_a_question_is_asked_for_again(world: World) -> None:
    with pytest.raises(Killed):
        world.run(job(), die_after=4)
    assert world.run(job()) == (3, 5)
    assert world.calls == [*ALL, "GET /jobs/1"]


def test_the_operation_learns_that_a_change_may_have_happened_and_can_look(world: World) -> None:
    def careful() -> Steps:
        try:
            made = yield Call(path="/jobs", body={})
        except ProviderUnavailable:
            made = yield Call(method="GET", path="/jobs")
        return None if made is None else made.body["number"]

    with pytest.raises(Killed):
        world.run(careful(), die_after=1)
    assert world.run(careful()) == 2
    assert world.run(careful()) == 2
    assert world.calls == ["POST /jobs", "GET /jobs"]


def test_another_way_than_the_recorded_one_is_new_from_there_on(world: World) -> None:
    world.run(job())
    assert world.run(job("other")) == world.run(job("other")) == (5, 6)
    assert world.calls == [*ALL, "POST /jobs", "GET /jobs/1"]


def test_what_was_refused_for_money_was_not_sent(world: World) -> None:
    def asking() -> Steps:
        yield Call(method="GET", path="/jobs/1")
        reply = yield Call(path="/ask", asks=ASKED)
        assert reply is not None
        return reply.body["number"]

    def run(daily: float) -> Any:
        return world.run(asking(), daily=daily)

    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            run(0.0)
    assert world.calls == ["GET /jobs/1"]
    assert run(5.0) == run(5.0) == 2
    assert world.calls == ["GET /jobs/1", "POST /ask"]


def test_an_operation_that_went_another_way_after_a_refusal_goes_it_again(world: World) -> None:
    def thrifty() -> Steps:
        try:
            reply = yield Call(path="/ask", asks=ASKED)
        except BudgetExceeded:
            reply = yield Call(path="/free")
        assert reply is not None
        return reply.body["number"]

    assert world.run(thrifty(), daily=0.0) == 1
    assert world.run(thrifty(), daily=0.0) == 1
    assert world.run(thrifty(), daily=5.0) == 1
    assert world.calls == ["POST /free"]


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (Call(path="/missing"), 2),
        (Call(method="GET", path="/broken"), 2),
        (Call(path="/broken"), 1),
        (Call(path="/nonsense"), 1),
    ],
    ids=lambda value: getattr(value, "path", value),
)
def test_a_failure_at_the_end_is_tried_again_where_nothing_can_have_been_done(
    world: World, call: Call, sent: int
) -> None:
    def failing() -> Steps:
        yield call

    with pytest.raises(ProviderError) as first:
        world.run(failing())
    once = len(world.calls)
    with pytest.raises(ProviderError) as second:
        world.run(failing())
    assert (type(second.value), str(second.value)) == (type(first.value), str(first.value))
    assert len(world.calls) == once * sent


def test_a_line_that_is_written_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    tape, step = Tape(tmp_path / "tape"), Call(path="/jobs")
    tape.intend(step)
    tape.note(step, None)
    assert Tape(tmp_path / "tape").recall(step) == (True, None)


def test_a_line_that_does_not_fit_leaves_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, tape, step = os.write, Tape(tmp_path / "tape"), Call(path="/jobs")
    tape.intend(step)
    left = [b"half of it"]

    def full(file: int, data: bytes) -> int:
        if left:
            return write(file, left.pop())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StateError, match="tape cannot be written: No space left"):
            tape.note(step, None)
    tape.note(step, None)
    assert Tape(tmp_path / "tape").recall(step) == (True, None)


def test_a_look_that_was_cut_off_forgets_what_came_after_it_and_nothing_else(
    tmp_path: Path,
) -> None:
    look, tidy, create = (
        Call(path="/jobs/1", method="GET"),
        Call(path="/files/1", method="GET"),
        Call(path="/jobs"),
    )

    def carry_out(step: Call, tape: Tape) -> None:
        assert tape.recall(step) == (False, None)
        tape.intend(step)
        tape.note(step, Reply(status=200))

    first = Tape(tmp_path / "tape")
    assert first.recall(look) == (False, None)
    first.intend(look)
    carry_out(tidy, first)
    second = Tape(tmp_path / "tape")
    carry_out(look, second)
    carry_out(create, second)
    third = Tape(tmp_path / "tape")
    assert [third.recall(step)[0] for step in (look, create)] == [True, True]


def test_half_a_line_is_dropped_and_damage_is_named(world: World) -> None:
    world.run(job())
    path = world.folder / "job.tape"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": "')
    assert world.run(job()) == (3, 4)
    assert path.read_bytes() == whole
    path.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(StateError, match=r"job\.tape is damaged"):
        world.run(job())
