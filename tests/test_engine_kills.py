"""A process that is killed and started again pays at most for what was in flight, once more."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path

import penin_core
from penin_core.engine.budget import Budget

ROOT = Path(penin_core.__file__).parent.parent
QUESTIONS, IN_FLIGHT, KILLS = 300, 4, 3
ASKER = """
import asyncio, sys
from pathlib import Path
from penin_core import ChatCompletionsProvider
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.records import Capabilities, Message, Price, Request
folder, url, count, in_flight = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
class Service(ChatCompletionsProvider):
    "A service that costs something."
    name, base_url = "service", url
    def capabilities(self, model):
        return Capabilities(price=Price(input_per_million=1, output_per_million=1))
async def main():
    service = Service()
    budget, cache = Budget(folder / "b.db", 1000.0), ResponseCache(folder / "c.db")
    engine = Engine(lambda name: service, budget=budget, cache=cache, concurrency=in_flight)
    asked = [Request(provider="service", model="m", max_tokens=9,
                     messages=(Message(role="user", content=f"q{n}"),)) for n in range(count)]
    found = await engine.answer(asked)
    await engine.aclose()
    print(sum(each.text == f"Q{n}" for n, each in enumerate(found)), flush=True)
asyncio.run(main())
"""


class Service:
    """Counts how often it was asked what, and writes its own bill."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
                self.asked[asked] += 1
                await asyncio.sleep(0.01)
                choice = {"message": {"content": asked.upper()}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 1, "completion_tokens": 1}
                body = json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def until_done(folder: Path) -> tuple[Service, list[int], int]:
    """Run the asker, killing it a few times; return what each start asked again."""
    chance, service, again = random.Random(3), Service(), list[int]()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    while True:
        asker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ASKER, str(folder), url, str(QUESTIONS), str(IN_FLIGHT)),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        before = service.asked.total(), len(service.asked)
        if len(again) < KILLS:
            # Somewhere among the next questions, wherever that is in the life of a call.
            aim = before[0] + chance.randrange(5, QUESTIONS // 5)
            while service.asked.total() < aim:
                await asyncio.sleep(0.001)
            asker.kill()
        output = (await asker.communicate())[0]
        await asyncio.sleep(0.05)
        fresh = len(service.asked) - before[1]
        again.append(service.asked.total() - before[0] - fresh)
        if output:
            server.close()
            return service, again, int(output)


def test_after_kills_only_what_was_in_flight_is_asked_and_paid_again(tmp_path: Path) -> None:
    service, again, right = asyncio.run(until_done(tmp_path))
    assert right == len(service.asked) == QUESTIONS
    assert len(again) == KILLS + 1
    assert again[0] == 0
    assert all(each <= IN_FLIGHT for each in again)
    budget = Budget(tmp_path / "b.db", 1000.0)
    left = budget.open_reservations()
    assert len(left) <= KILLS * 2 * IN_FLIGHT
    # Every question that the service billed is counted: settled, or still reserved.
    assert budget.spent_today() + len(left) * 2 >= 2 * service.asked.total()
    budget.close()
