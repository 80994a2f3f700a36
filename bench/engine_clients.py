"""The clients that ``bench/engine.py`` compares, each in a process of its own.

    python bench/engine_clients.py CLIENT URL SAMPLES[,SAMPLES...] IN_FLIGHT FOLDER [CORE]

``floor`` is a bare asyncio protocol that reads a task file, asks, compares and writes a line for
each answer; ``penin`` is the battery on the engine, with cache, budget and ledger on disk;
``wire`` is penin's transport alone. The others are HTTP libraries in a loop like that of the
floor. Several numbers of samples are run one after the other. Prints for each the CPU and wall
seconds, those of the start of the process with the first, the peak MiB, and the share right.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Ask = Callable[[str], Awaitable[str]]


def question(number: int) -> str:
    """Return a prompt of an ordinary size."""
    return f"sample {number}: " + "name the capital of the country and say why " * 6


def body(text: str) -> bytes:
    """Return the body that all clients send."""
    return json.dumps(
        {
            "model": "bench-1",
            "messages": [{"role": "user", "content": text}],
            "temperature": 1.0,
            "top_p": 1.0,
            "max_tokens": 256,
        }
    ).encode()


def text_of(reply: bytes) -> str:
    """Return the text of a reply."""
    return str(json.loads(reply)["choices"][0]["message"]["content"])


def write_tasks(folder: Path, samples: int) -> Path:
    """Write a task file, once, and return its path."""
    path = folder / f"tasks-{samples}.jsonl"
    if not path.exists():
        rows = (
            {"id": f"t{n}", "input": question(n), "expected": question(n).upper()}
            for n in range(samples)
        )
        path.write_text("".join(json.dumps({**row, "split": "select"}) + "\n" for row in rows))
    return path


async def loop(ask: Ask, tasks: Path, in_flight: int, out: Path) -> float:
    """Ask every task and write one line for each answer; return the share that is right."""
    rows = [json.loads(line) for line in tasks.read_text().splitlines()]
    queue, right = iter(rows), 0
    with out.open("w") as file:

        async def work() -> None:
            nonlocal right
            for row in queue:
                text = await ask(row["input"])
                right += text.strip() == row["expected"].strip()
                file.write(json.dumps({"id": row["id"], "text": text}) + "\n")

        await asyncio.gather(*(work() for _ in range(in_flight)))
    return right / len(rows)


class Bare(asyncio.Protocol):
    """The least that a keep-alive client can do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        self.transport: Any = transport
        self.pending = b""
        self.waiter: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        """Hand over a reply when it is complete."""
        self.pending += data
        end = self.pending.find(b"\r\n\r\n")
        at = self.pending.find(b"content-length: ")
        if end < 0 or at < 0:
            return
        length = int(self.pending[at + 16 : self.pending.index(b"\r\n", at)])
        if len(self.pending) >= end + 4 + length and self.waiter is not None:
            content, self.pending = self.pending[end + 4 :], b""
            self.waiter.set_result(content)


async def floor(url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    """Run the loop on bare protocols."""
    running = asyncio.get_running_loop()
    port = int(url.rpartition(":")[2])
    free: list[Bare] = []

    async def ask(text: str) -> str:
        made = free.pop() if free else None
        if made is None:
            _, made = await running.create_connection(Bare, "127.0.0.1", port)
        content = body(text)
        made.waiter = running.create_future()
        made.transport.write(
            b"POST /chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content) + content
        )
        reply = await made.waiter
        free.append(made)
        return text_of(reply)

    return await loop(ask, tasks, in_flight, folder / "floor.jsonl")


async def httpx2(url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    """Run the loop on a stock httpx2 client."""
    return await _library("httpx2", url, tasks, in_flight, folder)


async def httpx(url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    """Run the loop on a stock httpx client."""
    return await _library("httpx", url, tasks, in_flight, folder)


async def _library(name: str, url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    library = __import__(name)
    limits = library.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with library.AsyncClient(limits=limits, timeout=60) as client:
        head = {"content-type": "application/json"}

        async def ask(text: str) -> str:
            reply = await client.post(f"{url}/chat/completions", content=body(text), headers=head)
            return text_of(reply.content)

        return await loop(ask, tasks, in_flight, folder / f"{name}.jsonl")


async def aiohttp(url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    """Run the loop on aiohttp."""
    import aiohttp as library

    limits = library.TCPConnector(limit=in_flight)
    async with library.ClientSession(connector=limits) as client:

        async def ask(text: str) -> str:
            async with client.post(f"{url}/chat/completions", data=body(text)) as reply:
                return text_of(await reply.read())

        return await loop(ask, tasks, in_flight, folder / "aiohttp.jsonl")


async def wire(url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    """Run the loop on penin's transport."""
    from penin_core.engine.transport import HttpTransport
    from penin_core.records import Call

    transport = HttpTransport(_service(url), connections=in_flight)

    async def ask(text: str) -> str:
        call = Call(path="/chat/completions", body=json.loads(body(text)))
        reply = await transport.send(transport.prepare(call))
        return str(reply.body["choices"][0]["message"]["content"])

    try:
        return await loop(ask, tasks, in_flight, folder / "wire.jsonl")
    finally:
        await transport.aclose()


async def penin(url: str, tasks: Path, in_flight: int, folder: Path) -> float:
    """Measure a configuration on all tasks: cache, budget, run directory and ledger on disk."""
    from tempfile import mkdtemp

    from ledger import run_body

    from penin_core.battery import TaskBattery
    from penin_core.builtin.evaluators.utility import ExactMatch
    from penin_core.engine.budget import Budget
    from penin_core.engine.cache import ResponseCache
    from penin_core.engine.wire import Engine
    from penin_core.ledger.artifacts import new_run_id, write_run
    from penin_core.ledger.store import WORMLedger
    from penin_core.records import Candidate, Configuration
    from penin_core.settings import SuiteDefinition
    from penin_core.suites import load_suite

    state = Path(mkdtemp(dir=folder))
    definition = SuiteDefinition(
        tasks=str(tasks), axes=("U",), metrics=("exact_match",), evaluators=()
    )
    suite = load_suite(definition, folder, {})
    service = _service(url)
    engine = Engine(
        lambda name: service,
        budget=Budget(state / "budget.db", daily_usd=1000.0),
        cache=ResponseCache(state / "responses.db"),
        concurrency=in_flight,
    )
    config = Configuration(provider="bench", model="bench-1")
    battery = TaskBattery(engine, suite, [ExactMatch()], seed=0)
    try:
        found = await battery.measure(Candidate(config=config), suite.split("select"), axes=("U",))
    finally:
        await engine.aclose()
    run_id = new_run_id()
    manifest = write_run(state, run_id, {"evaluation.json": found.model_dump_json().encode()})
    with WORMLedger(state / "ledger.db") as ledger:
        place = {"artifacts_path": f"runs/{run_id}", "manifest_sha256": manifest}
        ledger.record_many([("RUN", {**run_body(0), "id": run_id, **place})])
    return found.U or 0.0


def _service(url: str) -> Any:
    from penin_core import ChatCompletionsProvider
    from penin_core.records import Capabilities, Price

    price = Price(input_per_million=1.0, output_per_million=2.0)
    able = Capabilities(price=price, logprobs=True, seed=True)

    class Bench(ChatCompletionsProvider):
        """The loopback service, with a price, so that every call is reserved and settled."""

        name = "bench"
        base_url = url

        def capabilities(self, model: str) -> Capabilities:
            return able

    return Bench()


CLIENTS = {each.__name__: each for each in (floor, wire, penin, aiohttp, httpx2, httpx)}


def main() -> None:
    """Run one client and print what it took."""
    # As the command ``penin`` does; here for all clients alike.
    gc.set_threshold(20_000)
    name, url, samples, in_flight, folder = sys.argv[1:6]
    if len(sys.argv) > 6:
        os.sched_setaffinity(0, {int(sys.argv[6])})
    taken: list[tuple[float, float, float, float]] = []
    started, cpu = time.perf_counter(), 0.0
    for count in samples.split(","):
        tasks = write_tasks(Path(folder), int(count))
        if taken:
            # What an earlier run left behind is not work of the next one.
            gc.collect()
            started, cpu = time.perf_counter(), time.process_time()
        right = asyncio.run(CLIENTS[name](url, tasks, int(in_flight), Path(folder)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        wall = time.perf_counter() - started
        taken.append((time.process_time() - cpu, wall, peak, right))
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
