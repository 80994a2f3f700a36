"""What the gateway's benches share: an upstream that costs nothing, a pass-through, a load.

``python bench/gateway_parts.py upstream|passthrough PORT [UPSTREAM_PORT]`` runs one of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve()
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Vienna is the capital of Austria. " * 6},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": 48, "total_tokens": 108},
}
QUESTION = {
    "model": "champion",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. " * 8},
        {"role": "user", "content": "What is the capital of Austria? Explain in a few words. " * 4},
    ],
}


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def request(port: int, body: bytes, path: str = "/v1/chat/completions", token: str = "") -> bytes:
    """Return one request, whole."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        *([f"authorization: Bearer {token}"] if token else []),
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Load:
    """What became of requests: seconds of each, by when it began, and how many failed."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    elapsed: float = 0.0

    def at(self, share: float) -> float:
        """Return a percentile, in milliseconds."""
        ordered = sorted(self.seconds)
        return 1000.0 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return len(self.seconds) / self.elapsed if self.elapsed else 0.0


class Client(asyncio.Protocol):
    """A keep-alive connection that sends one request after the other."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.waiter: asyncio.Future[bytes] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(ConnectionError(f"closed: {error}"))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) >= length and self.waiter is not None and not self.waiter.done():
            self.buffer.clear()
            self.waiter.set_result(head + found + rest)

    async def ask(self, content: bytes) -> bytes:
        """Send a request; return the answer."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionError("closed")
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(content)
        return await self.waiter


async def load(port: int, content: bytes, count: int, connections: int, mark: bytes = b"") -> Load:
    """Send ``count`` requests over ``connections``; note the ones whose answer holds ``mark``."""
    found, left = Load(), iter(range(count))
    loop = asyncio.get_running_loop()

    async def one() -> None:
        client = (await loop.create_connection(Client, "127.0.0.1", port))[1]
        for _ in left:
            began = time.perf_counter()
            try:
                answer = await asyncio.wait_for(client.ask(content), 60)
            except (OSError, TimeoutError) as error:
                found.failures.append(repr(error))
                client = (await loop.create_connection(Client, "127.0.0.1", port))[1]
                continue
            ended = time.perf_counter()
            found.seconds.append(ended - began)
            if not answer.startswith(b"HTTP/1.1 200"):
                found.failures.append(answer[:200].decode("latin-1"))
            elif mark:
                seen = answer.partition(mark)[2][:12].decode("latin-1")
                found.answers.append((began, ended, seen))
        if client.transport is not None:
            client.transport.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    found.elapsed = time.perf_counter() - started
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, threads included, in seconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def resident_mib(pid: int) -> float:
    """Return the memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def running(command: list[str], port: int, patience_s: float = 60.0, **env: str) -> Iterator[int]:
    """Run a server until the block ends; yield its process id when its port is open."""
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + patience_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command[:4]} does not listen on {port}") from None
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def part(*words: object) -> list[str]:
    """Return the command that runs a part of this file."""
    return [sys.executable, str(HERE), *map(str, words)]


def penin(*words: object) -> list[str]:
    """Return the command ``penin`` with ``words``."""
    code = "import sys; sys.argv[0] = 'penin'; from penin_core.cli import main; main()"
    return [sys.executable, "-c", code, *map(str, words)]


def project(folder: Path, upstream: int, price: float = 0.0, system: str = "A") -> Path:
    """Make a project whose champion is a model of the upstream; return its settings."""
    settings = folder / "penin.toml"
    settings.write_text(
        f"""[budget]
daily_usd = 1000.0
[providers.compatible]
base_url = "http://127.0.0.1:{upstream}/v1"
[prices."compatible:mock"]
input_per_million = {price}
output_per_million = {price}
"""
    )
    make_champion(folder / ".penin", system)
    return settings


def make_champion(state: Path, system: str) -> None:
    """Record a first champion that answers with ``system`` as its instruction."""
    from penin_core import Configuration, LeagueOrchestrator, WORMLedger

    state.mkdir(parents=True, exist_ok=True)
    config = Configuration(provider="compatible", model="mock", system=system)
    body = {"config": config.model_dump(mode="json"), "config_hash": config.hash, "run_id": None}
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_event("BOOTSTRAP", {**body, "param_version": 0, "params": {}})
        LeagueOrchestrator(state, ledger).champion()


class Upstream(asyncio.Protocol):
    """Answers at once; the answer quotes the beginning of the instruction that it was given."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            del self.buffer[: len(head) + 4 + length]
            told = rest[:length].partition(b'"role":"system","content":"')[2].partition(b'"')[0]
            body = BODY.replace(b"Vienna", b"[" + told[:10] + b"] Vienna", 1)
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (len(body), body)
            )


BODY = json.dumps(ANSWER).encode()


async def _serve_upstream(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


def _serve_passthrough(port: int, upstream: int) -> None:
    import uvicorn

    from penin_core.engine.pool import Pool, Prepared

    origin = f"http://127.0.0.1:{upstream}"
    headers = {"accept": "application/json", "content-type": "application/json"}
    pools: list[Pool] = []

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        if not pools:
            waits = {"connect_s": 10.0, "idle_s": 60.0, "total_s": 600.0}
            pools.append(Pool("127.0.0.1", upstream, None, keep=100, **waits))
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        sent = Prepared("POST", origin, "/v1/chat/completions", headers, body)
        status, _, content = await pools[0].exchange(sent)
        length = (b"content-length", b"%d" % len(content))
        kind = (b"content-type", b"application/json")
        await send({"type": "http.response.start", "status": status, "headers": [kind, length]})
        await send({"type": "http.response.body", "body": content})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="none")


if __name__ == "__main__":
    if sys.argv[1] == "upstream":
        asyncio.run(_serve_upstream(int(sys.argv[2])))
    else:
        _serve_passthrough(int(sys.argv[2]), int(sys.argv[3]))
