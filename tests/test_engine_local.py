"""Local models: micro-batches in one thread, kept as they come, with the guilty named."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from penin_core.contracts import LocalProvider
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.errors import (
    BudgetExceeded,
    ProviderBadReply,
    ProviderError,
    ProviderRefused,
    StateError,
)
from penin_core.records import Capabilities, Completion, Message, Price, Request

Answers = list[Completion | ProviderError]


def reply(request: Request) -> Completion:
    text = request.messages[0].content.upper()
    return Completion(text=text, model=request.model, tokens_in=2, tokens_out=3)


class Model(LocalProvider):
    """Shouts back, in batches of three."""

    name = "local"

    def __init__(self, act: Callable[[Sequence[Request]], Any] | None = None) -> None:
        super().__init__()
        self.act = act or (lambda requests: [reply(request) for request in requests])
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.price: Price | None = Price(input_per_million=0.0, output_per_million=0.0)

    def capabilities(self, model: str) -> Capabilities:
        if model == "unknown":
            raise ProviderRefused("no model 'unknown'")
        return Capabilities(batch=3, price=self.price, refused=("top_p",))

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        self.threads.add(threading.current_thread().name)
        self.batches.append([request.messages[0].content for request in requests])
        return self.act(requests)


def ask(*texts: str, model: str = "m", **fields: Any) -> list[Request]:
    return [
        Request(
            provider="local", model=model, messages=(Message(role="user", content=t),), **fields
        )
        for t in texts
    ]


def engine(folder: Path, model: LocalProvider, daily: float = 5.0, **options: Any) -> Engine:
    budget, cache = Budget(folder / "budget.db", daily), ResponseCache(folder / "cache.db")
    return Engine(lambda name: model, budget=budget, cache=cache, **options)


def answer(folder: Path, model: LocalProvider, requests: list[Request], **options: Any) -> Answers:
    async def go() -> Answers:
        one = engine(folder, model, **options)
        try:
            return await one.answer(requests)
        finally:
            await one.aclose()

    return asyncio.run(go())


def texts(answers: Answers) -> list[str]:
    return [a.text if isinstance(a, Completion) else type(a).__name__ for a in answers]


def test_answers_come_in_the_order_of_the_questions_from_one_thread(tmp_path: Path) -> None:
    model = Model()
    words = ["ccc", "a", "bb", "dddd", "a" * 9, "e", "ff"]
    assert texts(answer(tmp_path, model, ask(*words))) == [word.upper() for word in words]
    assert len(model.threads) == 1
    assert threading.current_thread().name not in model.threads


def test_batches_have_the_stated_size_and_questions_of_like_length(tmp_path: Path) -> None:
    model = Model()
    answer(tmp_path, model, ask("a" * 9, "b", "c" * 8, "d" * 2, "e" * 7, "f" * 3, "g" * 4))
    assert model.batches == [["b", "dd", "fff"], ["gggg", "e" * 7, "c" * 8], ["a" * 9]]


def test_models_do_not_share_a_batch(tmp_path: Path) -> None:
    model = Model()
    requests = [*ask("a", "b", model="one"), *ask("c", "d", model="two")]
    assert texts(answer(tmp_path, model, requests)) == ["A", "B", "C", "D"]
    assert model.batches == [["a", "b"], ["c", "d"]]


def test_latency_is_the_time_of_the_batch_shared_out(tmp_path: Path) -> None:
    def slow(requests: Sequence[Request]) -> Answers:
        time.sleep(0.06)
        return [reply(request) for request in requests]

    answers = answer(tmp_path, Model(slow), ask("a", "b", "c"))
    assert all(20 <= a.latency_ms < 60 for a in answers if isinstance(a, Completion))
    assert len({a.latency_ms for a in answers if isinstance(a, Completion)}) == 1


def test_a_free_model_touches_no_budget_and_names_what_it_does_not_take(tmp_path: Path) -> None:
    (found,) = answer(tmp_path, Model(), ask("a"), daily=0.0)
    assert isinstance(found, Completion)
    assert (found.cost_usd, found.dropped) == (0.0, ("top_p",))
    assert not (tmp_path / "budget.db").exists()


def test_a_local_model_without_a_price_is_free(tmp_path: Path) -> None:
    model = Model()
    model.price = None
    (found,) = answer(tmp_path, model, ask("a"), daily=0.0)
    assert isinstance(found, Completion)


def test_a_local_model_with_a_price_is_paid_like_any_other(tmp_path: Path) -> None:
    model = Model()
    model.price = Price(input_per_million=100.0, output_per_million=1000.0)
    (found,) = answer(tmp_path, model, ask("a"))
    assert isinstance(found, Completion)
    assert found.cost_usd == 0.0032
    budget = Budget(tmp_path / "budget.db")
    assert budget.spent_today() == 3200
    budget.close()
    with pytest.raises(BudgetExceeded):
        answer(tmp_path, model, ask("b"), daily=0.004)


@pytest.mark.parametrize(
    ("outcome", "kind", "words"),
    [
        (lambda requests: [reply(requests[0])], ProviderBadReply, "1 results for 3 requests"),
        (lambda requests: None, ProviderBadReply, "returned NoneType"),
        (lambda requests: "abc", ProviderBadReply, "returned str"),
        (lambda requests: ["a", "b", "c"], ProviderBadReply, "returned str, not Completion"),
        (lambda requests: iter([]), ProviderBadReply, "not a sequence"),
        (lambda requests: [][0], ProviderError, "IndexError"),
        (lambda requests: next(iter([])), ProviderError, "StopIteration"),
        (lambda requests: dict[str, int]()["weights"], ProviderError, "field 'weights' is missing"),
    ],
)
def test_a_model_that_fails_is_named_in_the_place_of_its_batch_and_no_other(
    tmp_path: Path, outcome: Callable[[Any], Any], kind: type[ProviderError], words: str
) -> None:
    def act(requests: Sequence[Request]) -> Any:
        if requests[0].messages[0].content == "a":
            return outcome(requests)
        return [reply(request) for request in requests]

    answers = answer(tmp_path, Model(act), ask("a", "b", "c", "long question"))
    assert texts(answers) == [kind.__name__] * 3 + ["LONG QUESTION"]
    assert "'local'" in str(answers[0])
    assert words in str(answers[0])


def test_an_error_in_the_place_of_an_answer_takes_no_other_with_it(tmp_path: Path) -> None:
    def act(requests: Sequence[Request]) -> Answers:
        return [ProviderRefused("too long"), *map(reply, requests[1:])]

    model = Model(act)
    assert texts(answer(tmp_path, model, ask("a", "b"))) == ["ProviderRefused", "B"]
    assert texts(answer(tmp_path, model, ask("a", "b"))) == ["ProviderRefused", "B"]
    assert model.batches == [["a", "b"], ["a"]]


def test_a_model_that_does_not_exist_is_refused_in_its_place(tmp_path: Path) -> None:
    requests = [*ask("a", model="unknown"), *ask("b")]
    assert texts(answer(tmp_path, Model(), requests)) == ["ProviderRefused", "B"]


def test_the_deadline_is_kept_between_batches_and_nothing_done_is_lost(tmp_path: Path) -> None:
    def slow(requests: Sequence[Request]) -> Answers:
        now[0] += 0.1
        return [reply(request) for request in requests]

    now = [0.0]
    first, second = Model(slow), Model()
    words = [f"{n:02}" for n in range(9)]
    with pytest.raises(BudgetExceeded, match="time of this run"):
        answer(tmp_path, first, ask(*words), deadline_s=0.15, clock=lambda: now[0])
    assert first.batches == [["00", "01", "02"], ["03", "04", "05"]]
    assert texts(answer(tmp_path, second, ask(*words))) == words
    assert second.batches == [["06", "07", "08"]]


def test_a_cancelled_run_goes_on_without_asking_twice(tmp_path: Path) -> None:
    inside, release = threading.Event(), threading.Event()

    def act(requests: Sequence[Request]) -> Answers:
        if requests[0].messages[0].content == "03":
            inside.set()
            release.wait(5)
        return [reply(request) for request in requests]

    words = [f"{n:02}" for n in range(6)]

    async def interrupted() -> None:
        one = engine(tmp_path, Model(act))
        task = asyncio.ensure_future(one.answer(ask(*words)))
        await asyncio.to_thread(inside.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await one.aclose()

    asyncio.run(interrupted())
    second = Model()
    assert texts(answer(tmp_path, second, ask(*words))) == words
    assert second.batches == [["03", "04", "05"]]


def test_a_cache_that_cannot_be_written_stops_the_work(tmp_path: Path) -> None:
    def act(requests: Sequence[Request]) -> Answers:
        (tmp_path / "cache.db").mkdir(exist_ok=True)
        return [reply(request) for request in requests]

    model = Model(act)
    with pytest.raises(StateError, match=r"cache\.db"):
        answer(tmp_path, model, ask("a", "b", "c", "d"))
    assert len(model.batches) == 1
