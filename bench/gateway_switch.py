"""Promotions and rollbacks under load: how soon they take effect, and how many requests they drop.

``python bench/gateway_switch.py [--requests 20000] [--switches 40] [--connections 8]``: the
champion moves back and forth, by entries of the ledger, while requests are sent over so many
connections; an answer quotes the instruction that it was given. Printed: the time from the moment
that the pointer was replaced to the begin of the last request that the old champion answers (0
where there is none), and to the end of the first one that began then and that the new one answers.
Goals: 50 ms for the former, and no request dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import gateway_parts as parts

#: Moves the champion so often, and prints when each move began and when the pointer was in place.
MOVER = """
import sys, time
from pathlib import Path
from penin_core import Configuration, LeagueOrchestrator, WORMLedger
state, moves = Path(sys.argv[1]), int(sys.argv[2])
with WORMLedger(state / "ledger.db") as ledger:
    league = LeagueOrchestrator(state, ledger)
    print("ready", flush=True)
    for move in range(moves):
        time.sleep(float(sys.argv[3]))
        kind, system = ("PROMOTE", "B") if move % 2 == 0 else ("ROLLBACK", "A")
        config = Configuration(provider="compatible", model="mock", system=system)
        body = {"config": config.model_dump(mode="json"), "config_hash": config.hash}
        body |= {"run_id": f"run-{move}", "previous_run_id": None, "reason": "bench"}
        began = time.perf_counter()
        ledger.record_event(kind, body)
        league.champion()
        print(began, time.perf_counter(), system, flush=True)
"""


def main() -> None:
    """Run the load and the moves, and print how they met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--switches", type=int, default=40)
    parser.add_argument("--connections", type=int, default=8, help="8 keep two cores busy")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, port = parts.free_port(), parts.free_port()
        stack.enter_context(parts.running(parts.part("upstream", upstream), upstream))
        settings = parts.project(folder, upstream)
        command = parts.penin("serve", "--config", settings, "--port", port)
        stack.enter_context(parts.running(command, port))
        content = parts.request(port, json.dumps(parts.QUESTION).encode())
        rate = asyncio.run(parts.load(port, content, 1000, asked.connections)).rate
        # The moves take time, too.
        pause = 0.7 * asked.requests / rate / asked.switches
        words = [sys.executable, "-c", MOVER, str(folder / ".penin")]
        words += [str(asked.switches), f"{pause:.3f}"]
        moving = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert moving.stdout is not None
        moving.stdout.readline()
        load = parts.load(port, content, asked.requests, asked.connections, b'"content":"[')
        found = asyncio.run(load)
        moves = [line.split() for line in moving.communicate()[0].splitlines()]
    times = [(float(began), float(at), system) for began, at, system in moves]
    report(found, times, asked.requests)


def report(found: parts.Load, moves: list[tuple[float, float, str]], count: int) -> None:
    """Print how soon each move took effect."""
    first, last = [], []
    ends = [began for began, _, _ in moves[1:]] + [float("inf")]
    for (_, at, system), end in zip(moves, ends, strict=True):
        # What is on its way when the next move begins may have its answer from either.
        now = [one for one in found.answers if at <= one[0] and one[1] < end]
        new = [ended - at for _, ended, text in now if text[0] == system]
        old = [began - at for began, _, text in now if text[0] != system]
        if new:
            first.append(max(0.0, 1000 * min(new)))
            last.append(1000 * max(old, default=0.0))
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {found.rate:.0f} req/s"
    )
    print(f"{count} requests, {len(found.failures)} dropped {found.failures[:1]}")
    print(f"{len(first)} of {len(moves)} moves seen under load")
    for name, values in (("last by the old", last), ("first by the new", first)):
        ordered = sorted(values)
        middle, most = ordered[len(ordered) // 2], ordered[-1]
        within = sum(value <= 50 for value in ordered) / len(ordered)
        told = f"median {middle:.1f} ms, most {most:.1f} ms, {within:.0%} within 50 ms of the move"
        print(f"{name} champion: {told}")


if __name__ == "__main__":
    main()
