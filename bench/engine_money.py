"""Money under fire: python bench/engine_money.py [runs|share|resume] --help.

runs    simulated runs on a clock that jumps: 64 calls at once, retries, lost replies, answers of
        unknown length; the service writes its own bill, which must never pass the limit
share   six processes share one limit and are killed with SIGKILL; the bill must never pass the
        limit, and the processes together must be able to use nearly all of it
resume  one process answers questions and is killed at random moments; what it pays again is at
        most what was in flight, and what it had kept is never asked again
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from penin_core.engine.books import Books
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.errors import BudgetExceeded

ROOT = Path(__file__).parent.parent
#: All amounts are micro-USD.
CAP, LOW, HIGH = 1_000_000, 40, 400


class Jumping(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is due; threads run in place."""

    def __init__(self) -> None:
        self.now = 0.0
        outer = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                ready = super().select(0)
                outer.now += 0.0 if ready else timeout or 0.0
                return ready

        super().__init__(Selector())

    def time(self) -> float:
        """Return the time that it is said to be."""
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Run it here and now."""
        done = self.create_future()
        done.set_result(func(*args))
        return done


async def call(books: Books, bound: int, chance: random.Random, bill: list[int]) -> None:
    """Make one call as the engine makes it, with up to five tries."""
    for _ in range(5):
        async with books.flight(bound, "k") as reservation:
            await asyncio.sleep(chance.random())
            what = chance.random()
            if what < 0.1:
                books.release(reservation)
                continue
            cost = chance.randrange(1, bound + 1)
            bill.append(cost)
            if what < 0.2:
                # Billed, and the reply is lost: it counts with all that was reserved.
                books.settle(reservation, None)
                continue
            books.settle(reservation, cost)
            return


async def simulated(books: Books, seed: int) -> tuple[int, int]:
    """Spend until the limit refuses; return what the service billed, and what was counted."""
    chance, bill = random.Random(seed), list[int]()
    limit = books.budget.limit_today

    async def work() -> None:
        while True:
            bound = chance.randrange(limit // 80, limit // 8)
            await call(books, bound, chance, bill)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(until_refused(work())) for _ in range(64)]
    assert len(tasks) == 64
    await books.settled()
    return sum(bill), books.budget.spent_today()


async def until_refused(work: Any) -> None:
    """Run ``work`` until the budget says no."""
    try:
        await work
    except BudgetExceeded:
        return


def runs(count: int) -> None:
    """Print how often the bill passed the limit, and how much of it could be used."""
    passed, used, started = 0, [], time.perf_counter()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        day = [0]
        budget = Budget(
            Path(folder, "b.db"),
            daily_usd=0.01,
            now=lambda: datetime(2030, 1, 1, tzinfo=UTC) + timedelta(days=day[0]),
        )
        cache = ResponseCache(Path(folder, "c.db"))
        for seed in range(count):
            day[0] = seed
            loop = Jumping()
            books = Books(budget, cache, None, loop.time)
            billed, counted = loop.run_until_complete(simulated(books, seed))
            loop.close()
            passed += billed > budget.limit_today or counted > budget.limit_today
            used.append(counted / budget.limit_today)
        budget.close()
    mean = sum(used) / len(used)
    seconds = time.perf_counter() - started
    print(
        f"{count} runs of 64 calls at once: {passed} passed the limit; "
        f"{min(used):.1%} to {max(used):.1%} of it counted as used, {mean:.1%} on average; "
        f"{seconds:.0f} s"
    )


SPENDER = """
import asyncio, os, random, sys
from pathlib import Path
from penin_core.engine.books import Books
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.errors import BudgetExceeded
folder, cap, low, high = Path(sys.argv[1]), *map(int, sys.argv[2:5])
bill = os.open(folder / f"bill.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
chance = random.Random(os.getpid())
async def work(books):
    while True:
        bound = chance.randrange(low, high)
        async with books.flight(bound, "k") as reservation:
            cost = chance.randrange(bound // 2, bound + 1)
            os.write(bill, b"%d\\n" % cost)
            await asyncio.sleep(chance.random() * 0.2)
            books.settle(reservation, cost)
async def one(books):
    try:
        await work(books)
    except BudgetExceeded:
        pass
async def main():
    budget = Budget(folder / "b.db", daily_usd=cap / 1e6)
    books = Books(budget, ResponseCache(folder / "c.db"), None)
    await asyncio.gather(*(one(books) for _ in range(8)))
    await books.settled()
    await books.close()
asyncio.run(main())
"""


def share(kills: int) -> None:
    """Print what six processes under fire spent, by the bill and by the books."""
    chance, done = random.Random(1), 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SPENDER, folder, *map(str, (CAP, LOW, HIGH))]
        workers: list[subprocess.Popen[bytes]] = []
        while True:
            workers = [worker for worker in workers if worker.poll() is None]
            budget = Budget(Path(folder, "b.db"), daily_usd=CAP / 1e6)
            held = sum(each.bound_micro_usd for each in budget.open_reservations())
            spent = budget.spent_today()
            budget.close()
            if spent + held > CAP:
                raise SystemExit(f"{spent} spent and {held} reserved of {CAP}")
            if spent + held > CAP - HIGH and not workers:
                break
            if done < kills and len(workers) == 6 and spent > 0:
                victim = chance.choice(workers)
                victim.kill()
                victim.wait()
                done += 1
            elif spent + held <= CAP - HIGH:
                workers += [subprocess.Popen(command, cwd=ROOT) for _ in range(6 - len(workers))]
            time.sleep(chance.random() * 0.3)
        bill = sum(
            int(line) for file in Path(folder).glob("bill.*") for line in file.read_text().split()
        )
        counted = spent + held
    print(
        f"{done} kills: billed {bill} of {CAP} ({bill / CAP:.1%}), spent {spent}, still "
        f"reserved {held} by the dead; usable {counted / CAP:.1%} of the limit"
    )


ASKER = """
import asyncio, sys
from pathlib import Path
from penin_core import ChatCompletionsProvider
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.records import Capabilities, Message, Price, Request
folder, url, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
class Service(ChatCompletionsProvider):
    "A service that costs something."
    name, base_url = "service", url
    def capabilities(self, model):
        return Capabilities(price=Price(input_per_million=1, output_per_million=1))
async def main():
    service = Service()
    engine = Engine(lambda name: service, budget=Budget(folder / "b.db", 1000.0),
                    cache=ResponseCache(folder / "c.db"), concurrency=8)
    asked = [Request(provider="service", model="m", max_tokens=9,
                     messages=(Message(role="user", content=f"q{n}"),)) for n in range(count)]
    found = await engine.answer(asked)
    await engine.aclose()
    print(len(found), sum(each.text == f"Q{n}" for n, each in enumerate(found)), flush=True)
asyncio.run(main())
"""


class Counting:
    """A service that counts how often it was asked what."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
                self.asked[asked] += 1
                await asyncio.sleep(0.02)
                choice = {"message": {"content": asked.upper()}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 1, "completion_tokens": 1}
                body = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def resume(kills: int) -> None:
    """Print how much was asked again after each kill."""
    chance, service, worst, total = random.Random(2), Counting(), 0, 0
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    done, count = 0, 3000
    with tempfile.TemporaryDirectory() as folder:
        while True:
            before = service.asked.total() - len(service.asked)
            asker = await asyncio.create_subprocess_exec(
                sys.executable, "-c", ASKER, folder, url, str(count),
                stdout=asyncio.subprocess.PIPE, cwd=ROOT,
            )  # fmt: skip
            started = service.asked.total()
            if done < kills:
                while service.asked.total() == started and asker.returncode is None:
                    await asyncio.sleep(0.005)
                await asyncio.sleep(chance.random() * 0.4)
            if done < kills and asker.returncode is None:
                os.kill(asker.pid, signal.SIGKILL)
                done += 1
            output = (await asker.communicate())[0]
            await asyncio.sleep(0.05)
            again = service.asked.total() - len(service.asked) - before
            worst, total = max(worst, again), total + again
            if output:
                break
    server.close()
    print(
        f"{done} kills, 8 in flight: {total} of {count} questions were asked again, at most "
        f"{worst} after one kill; right at the end: {output.decode().split()[1]} of {count}"
    )
    if worst > 8:
        raise SystemExit("more was paid again than was in flight")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["runs", "share", "resume", []], default=[])
    parser.add_argument("--runs", type=int, default=10_000, help="simulated runs")
    parser.add_argument("--kills", type=int, default=50, help="kills, of share and of resume each")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    if not chosen.what or "runs" in chosen.what:
        runs(chosen.runs)
    if not chosen.what or "share" in chosen.what:
        share(chosen.kills)
    if not chosen.what or "resume" in chosen.what:
        asyncio.run(resume(chosen.kills))


if __name__ == "__main__":
    main()
