"""Hostile clients beside good ones, and memory over many requests.

``python bench/gateway_hostile.py [--requests 4000] [--memory 200000]``: a good client's p99 alone,
then beside 200 clients that send their heads byte by byte, or their bodies, or bodies or heads that
are too large. Goal: at most twice the p99 of the same run without them. With ``--memory``, so many
requests are sent, and how much memory they leave behind is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import gateway_parts as parts

#: So many hostile connections at a time.
CROWD = 200
ROUNDS = 3
Hostile = Callable[[int], Awaitable[None]]


def main() -> None:
    """Measure a good client alone and beside each kind of hostile ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one")
    parser.add_argument("--crowd", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.crowd:
        asyncio.run(gather(KINDS[asked.crowd], asked.port))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, port = parts.free_port(), parts.free_port()
        stack.enter_context(parts.running(parts.part("upstream", upstream), upstream))
        settings = parts.project(folder, upstream, price=1.0)
        command = parts.penin("serve", "--config", settings, "--port", port)
        pid = stack.enter_context(parts.running(command, port))
        content = parts.request(port, json.dumps(parts.QUESTION).encode())
        asyncio.run(parts.load(port, content, 1000, 4))
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for name in asked.kind or KINDS:
            beside(name, port, pid, content, asked.requests)
        if asked.memory:
            memory(port, pid, content, asked.memory)


def beside(name: str, port: int, pid: int, content: bytes, count: int) -> None:
    """Print the good client's figures alone, and beside a crowd in a process of its own."""
    before, failed = parts.resident_mib(pid), 0
    rounds: list[tuple[parts.Load, parts.Load]] = []
    for _ in range(ROUNDS):
        alone = asyncio.run(parts.load(port, content, count, 1))
        crowd = subprocess.Popen([sys.executable, __file__, "--crowd", name, "--port", str(port)])
        try:
            time.sleep(2)
            among = asyncio.run(parts.load(port, content, count, 1))
        finally:
            crowd.kill()
            crowd.wait()
        rounds.append((alone, among))
        failed += len(alone.failures) + len(among.failures)
    told = []
    for share in (0.5, 0.99):
        quiet = statistics.median(alone.at(share) for alone, _ in rounds)
        loud = statistics.median(among.at(share) for _, among in rounds)
        told.append(f"p{100 * share:.0f} {quiet:.2f} -> {loud:.2f} ms ({loud / quiet:.2f} x)")
    grown = parts.resident_mib(pid) - before
    print(f"{name:13} {', '.join(told)}, {failed} failed, {grown:+.1f} MiB", flush=True)


async def gather(hostile: Hostile, port: int) -> None:
    """Be a crowd, for ever."""
    await asyncio.gather(*(_again(hostile, port) for _ in range(CROWD)))


async def _again(hostile: Hostile, port: int) -> None:
    while True:
        with suppress(OSError):
            await hostile(port)
        await asyncio.sleep(1)


async def slow_head(port: int) -> None:
    """Send a head byte by byte."""
    await _drip(port, b"POST /v1/chat/completions HTTP/1.1\r\n", b"x")


async def slow_body(port: int) -> None:
    """Send a body byte by byte."""
    body = parts.request(port, b"x" * 1000)
    await _drip(port, body[:-1000], b"x")


async def _drip(port: int, start: bytes, more: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(start)
        for _ in range(900):
            await asyncio.sleep(0.5)
            writer.write(more)
            if reader.at_eof() or writer.is_closing():
                return
    finally:
        writer.close()


async def large_body(port: int) -> None:
    """Send a body that is too large."""
    await _all(port, parts.request(port, b" " * 3_000_000)[:200_000])


async def heavy_body(port: int) -> None:
    """Send a body of the allowed size that takes as long as possible to be parsed."""
    await _all(port, parts.request(port, b'{"tools":[' + b"{}," * 349_000 + b"{}]}"))


async def large_head(port: int) -> None:
    """Send a head that is too large."""
    await _all(port, b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 200_000)


async def _all(port: int, content: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(reader.read(500), 5)
    finally:
        writer.close()


KINDS: dict[str, Hostile] = {
    "slow heads": slow_head,
    "slow bodies": slow_body,
    "large bodies": large_body,
    "heavy bodies": heavy_body,
    "large heads": large_head,
}


def memory(port: int, pid: int, content: bytes, count: int) -> None:
    """Print how much memory so many requests leave behind."""
    sizes = []
    for _ in range(10):
        found = asyncio.run(parts.load(port, content, count // 10, 16))
        if found.failures:
            raise SystemExit(f"{len(found.failures)} failed, such as {found.failures[0]}")
        sizes.append(parts.resident_mib(pid))
    shown = " ".join(f"{size:.1f}" for size in sizes)
    print(f"{count} requests: {shown} MiB, {sizes[-1] - sizes[0]:+.1f} MiB after the first tenth")


if __name__ == "__main__":
    main()
