"""Multi-step operations: replies and errors go back into the generator that asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penin_core.chat_completions import ChatCompletionsProvider
from penin_core.contracts import LocalProvider, Provider, Steps
from penin_core.engine import drive
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.replies import ReplyLost
from penin_core.engine.wire import Engine
from penin_core.errors import (
    BudgetExceeded,
    PluginInvalid,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
)
from penin_core.records import Call, Capabilities, Completion, Progress, Request, Wait


class Service(ChatCompletionsProvider):
    """A service without keys."""

    name = "service"
    base_url = "https://service.example"


class Local(LocalProvider):
    """A model without a wire."""

    name = "local"

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        return []


class Bench:
    """Drives one generator against scripted statuses, with a clock that does not wait."""

    def __init__(self, folder: Path, statuses: Sequence[int | type[Exception]] = ()) -> None:
        self.folder = folder
        self.statuses = list(statuses)
        self.calls: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.progress: list[Progress] = []

    def drive(self, steps: Steps, provider: Provider | None = None, **options: Any) -> Any:
        return asyncio.run(self._drive(steps, provider or Service(), **options))

    async def _drive(
        self, steps: Steps, provider: Provider, tape: Path | None = None, **options: Any
    ) -> Any:
        engine = Engine(
            lambda name: provider,
            budget=Budget(self.folder / "budget.db"),
            cache=ResponseCache(self.folder / "cache.db"),
            transport=httpx2.MockTransport(self._respond),
            sleep=self._sleep,
            **options,
        )
        try:
            told = self.progress.append
            return await engine.drive("service", steps, on_progress=told, tape=tape)
        finally:
            await engine.aclose()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        self.calls.append((request.method, request.url.path))
        status = self.statuses.pop(0) if self.statuses else 200
        if isinstance(status, int):
            return httpx2.Response(status, json={"id": len(self.calls)})
        raise status("scripted")


def get(path: str) -> Call:
    return Call(method="GET", path=path)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda *statuses: Bench(tmp_path, statuses)


def test_a_job_is_started_polled_and_returned(bench: Callable[..., Bench]) -> None:
    def steps() -> Steps:
        job = yield Call(path="/jobs", body={"model": "m"})
        assert job is not None
        for done in range(2):
            assert (yield Wait(seconds=30)) is None
            assert (yield Progress(message="training", done=done, total=2)) is None
            yield get(f"/jobs/{job.body['id']}")
        return f"job {job.body['id']}"

    b = bench()
    assert b.drive(steps()) == "job 1"
    assert b.calls == [("POST", "/jobs"), ("GET", "/jobs/1"), ("GET", "/jobs/1")]
    assert b.slept == [30.0, 30.0]
    assert [(p.done, p.total) for p in b.progress] == [(0, 2), (1, 2)]


def test_an_error_is_thrown_into_the_generator_so_that_it_can_clean_up(
    bench: Callable[..., Bench],
) -> None:
    def steps() -> Steps:
        yield Call(path="/files")
        try:
            yield Call(path="/jobs")
        except ProviderRefused as error:
            yield Call(method="DELETE", path="/files/1")
            return str(error)

    b = bench(200, 404)
    assert "answered 404" in b.drive(steps())
    assert b.calls[-1] == ("DELETE", "/files/1")


def test_an_error_that_is_not_handled_comes_out(bench: Callable[..., Bench]) -> None:
    closed = []

    def steps() -> Steps:
        try:
            yield Call(path="/jobs")
        finally:
            closed.append(True)

    with pytest.raises(ProviderRefused, match="404"):
        bench(404).drive(steps())
    assert closed == [True]


def test_trouble_that_passes_is_tried_again(bench: Callable[..., Bench]) -> None:
    def steps() -> Steps:
        reply = yield Call(path="/jobs")
        return None if reply is None else reply.status

    b = bench(503, 429, httpx2.ConnectError)
    assert b.drive(steps()) == 200
    assert len(b.calls) == 4
    assert len(b.slept) == 3


@pytest.mark.parametrize("trouble", [500, 502, 504, 520, httpx2.ReadError])
def test_what_may_have_been_done_is_not_done_twice(
    bench: Callable[..., Bench], trouble: int | type[Exception]
) -> None:
    def creating() -> Steps:
        yield Call(path="/jobs")

    def looking() -> Steps:
        yield get("/jobs/1")

    b = bench(trouble)
    with pytest.raises(ProviderUnavailable):
        b.drive(creating())
    assert len(b.calls) == 1
    b = bench(trouble)
    b.drive(looking())
    assert len(b.calls) == 2


@pytest.mark.parametrize(("call", "sent"), [(get("/jobs/1"), 2), (Call(path="/jobs"), 1)])
def test_a_lost_reply_is_asked_for_again_only_where_that_is_safe(
    bench: Callable[..., Bench], call: Call, sent: int
) -> None:
    def steps() -> Steps:
        try:
            yield call
        except ProviderUnavailable:
            return "lost"
        return "answered"

    b = bench(httpx2.ReadTimeout)
    assert b.drive(steps()) == ("answered" if sent == 2 else "lost")
    assert len(b.calls) == sent


def test_the_deadline_is_thrown_once_and_cleaning_up_is_allowed(
    bench: Callable[..., Bench],
) -> None:
    def steps() -> Steps:
        try:
            yield Call(path="/jobs")
        except BudgetExceeded:
            yield Call(path="/jobs/1/cancel")
            raise

    b = bench()
    with pytest.raises(BudgetExceeded, match="time of this run"):
        b.drive(steps(), deadline_s=0.0)
    assert b.calls == [("POST", "/jobs/1/cancel")]


class Hanging(Bench):
    """Never answers the first call."""

    async def _respond(self, request: httpx2.Request) -> httpx2.Response:  # type: ignore[override]
        reply = super()._respond(request)
        if len(self.calls) == 1:
            await asyncio.sleep(600)
        return reply


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_deadline_cuts_off_a_call_and_what_it_may_have_changed_is_not_repeated(
    tmp_path: Path, method: str
) -> None:
    def steps(*, tidy: bool) -> Steps:
        try:
            return (yield Call(path="/jobs", method=method)).body
        except BudgetExceeded:
            if tidy:
                yield get("/jobs/1")
            raise

    b, tape = Hanging(tmp_path), tmp_path / "tape"
    # On a clock that stands still, time is never up before the call is sent.
    limits = {"deadline_s": 0.05, "clock": lambda: 0.0}
    with pytest.raises(BudgetExceeded, match="time of this run"):
        b.drive(steps(tidy=True), **limits)
    assert b.calls == [(method, "/jobs"), ("GET", "/jobs/1")]
    b.calls.clear()
    with pytest.raises(BudgetExceeded, match="time of this run"):
        b.drive(steps(tidy=False), tape=tape, **limits)
    if method == "POST":
        with pytest.raises(ReplyLost, match="its reply is lost"):
            b.drive(steps(tidy=False), tape=tape)
        assert len(b.calls) == 1
    else:
        assert b.drive(steps(tidy=False), tape=tape) == {"id": 2}


def test_cleaning_up_after_the_deadline_takes_one_try_and_no_long_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps() -> Steps:
        try:
            yield Call(path="/files")
        except BudgetExceeded:
            with pytest.raises(ReplyLost, match=r"DELETE /files/1 was not answered in 0\.05 s"):
                yield Call(path="/files/1", method="DELETE")
            yield Wait(seconds=500)
            raise

    monkeypatch.setattr(drive, "TIDY_S", 0.05)
    b = Hanging(tmp_path)
    with pytest.raises(BudgetExceeded, match="time of this run"):
        b.drive(steps(), deadline_s=0.0)
    assert b.calls == [("DELETE", "/files/1")]
    assert b.slept == [0.05]


def test_a_wait_ends_with_the_time(bench: Callable[..., Bench]) -> None:
    def steps() -> Steps:
        yield Wait(seconds=500)

    b = bench()
    b.drive(steps(), deadline_s=30.0, clock=lambda: 0.0)
    assert b.slept == [30.0]


def test_what_is_no_step_is_named(bench: Callable[..., Bench]) -> None:
    def steps() -> Any:
        yield "upload"

    with pytest.raises(PluginInvalid, match="'service' yielded str"):
        bench().drive(steps())


def test_a_local_provider_waits_and_reports_but_calls_nobody(bench: Callable[..., Bench]) -> None:
    def steps() -> Steps:
        yield Progress(message="training")
        yield Wait(seconds=1)
        yield Call(path="/jobs")

    b = bench()
    with pytest.raises(ProviderRefused, match="is local"):
        b.drive(steps(), Local())
    assert (b.slept, len(b.progress), b.calls) == ([1.0], 1, [])


def test_cancelling_closes_the_generator(bench: Callable[..., Bench]) -> None:
    closed = []

    def steps() -> Steps:
        try:
            yield Wait(seconds=1)
        finally:
            closed.append(True)

    b = bench()

    async def cancelled(seconds: float) -> None:
        raise asyncio.CancelledError

    b._sleep = cancelled  # type: ignore[method-assign]
    operation = steps()
    with pytest.raises(asyncio.CancelledError):
        b.drive(operation)
    assert closed == [True]
