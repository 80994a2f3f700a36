"""What a sample costs: python bench/engine.py [speed|wave|flat] --help.

A loopback service in another process, on another core where there is one, answers chat completions
after a fixed time. Each client runs in a process of its own; the clients take turns, so that noise
meets all of them. The floor is a bare asyncio protocol that reads the same task file, asks the same
questions, compares and writes a line for each answer. Peers run where they are installed.

    speed   marginal CPU of a sample at 0 ms, as a multiple of the floor
    wave    500 samples at 50 ms with 64 in flight, start of the process included, against the ideal
    flat    the marginal CPU of penin with 64, 128, 256 and 512 in flight, and the rate at 256

Marginal is the slope between two numbers of samples in one process that has run before: the start
of a process costs as much as a thousand samples and varies by a tenth, which would be most of what
is found. Both numbers are so large that every connection is open: opening one costs as much as two
samples of the floor. A ratio is taken within a round, where one client runs after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
PEERS = [name for name in ("aiohttp", "httpx2", "httpx") if find_spec(name)]
CLIENTS = ["floor", "wire", "penin", *PEERS]
#: Seconds of CPU, wall seconds, peak MiB.
Taken = tuple[float, float, float]


@contextmanager
def service(latency_ms: float) -> Iterator[str]:
    """Run the service in another process; give its URL."""
    command = [sys.executable, str(HERE / "engine_server.py"), "--latency-ms", str(latency_ms)]
    if len(os.sched_getaffinity(0)) > 1:
        command += ["--core", str(min(os.sched_getaffinity(0)))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.stdin.close()


def run(client: str, url: str, samples: list[int], in_flight: int, folder: str) -> list[Taken]:
    """Run one client in a process, once for each number of samples; every answer must be right."""
    numbers = ",".join(map(str, samples))
    arguments = [client, url, numbers, str(in_flight), folder]
    if len(os.sched_getaffinity(0)) > 1:
        arguments.append(str(max(os.sched_getaffinity(0))))
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(HERE / "engine_clients.py"), *arguments],
        env={**kept, "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(done.stdout)
    if any(right != 1.0 for *_, right in found):
        raise SystemExit(f"{client}: only {min(each[3] for each in found):.1%} are right")
    return [(cpu, wall, peak) for cpu, wall, peak, _ in found]


def marginal(
    clients: list[str], url: str, samples: int, in_flight: int, runs: int
) -> list[list[float]]:
    """Return the CPU milliseconds of one more sample, for each client in each round."""
    found: list[list[float]] = [[] for _ in clients]
    opened = 2 * in_flight
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for place, client in enumerate(clients):
                sizes = [opened, opened, opened + samples]
                _, few, many = run(client, url, sizes, in_flight, folder)
                found[place].append(1000 * (many[0] - few[0]) / samples)
    return found


def shown(costs: list[float], floor: list[float]) -> str:
    """Return the median cost of a sample, and the median, least and largest ratio to the floor."""
    ratios = [cost / least for cost, least in zip(costs, floor, strict=True)]
    middle = statistics.median(ratios)
    spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
    return f"{statistics.median(costs):7.3f} ms {middle:6.1f} x floor ({spread})"


def speed(runs: int, samples: int) -> None:
    """Print the marginal CPU of a sample, with a quarter of the samples and with all of them."""
    with service(0) as url:
        for count in (samples // 4, samples):
            costs = marginal(CLIENTS, url, count, 64, runs)
            print(f"marginal CPU of a sample, {count} samples, 64 in flight, median of {runs}")
            for client, cost in zip(CLIENTS, costs, strict=True):
                print(f"{client:8} {shown(cost, costs[0])}")


def wave(runs: int, samples: int) -> None:
    """Print how long a whole evaluation takes, and its memory."""
    ideal = math.ceil(samples / 64) * 0.05
    with service(50) as url, tempfile.TemporaryDirectory() as folder:
        taken = {
            client: [run(client, url, [samples], 64, folder)[0] for _ in range(runs)]
            for client in CLIENTS
        }
        numpy = int(
            subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "import numpy, resource as r; print(r.getrusage(0).ru_maxrss)",
                ],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout
        )
    print(f"{samples} samples at 50 ms, 64 in flight, process included; ideal {ideal:.2f} s")
    for client, all_of in taken.items():
        wall = statistics.median(each[1] for each in all_of)
        peak = statistics.median(each[2] for each in all_of)
        beyond = peak - numpy / 1024
        print(f"{client:8} {wall:6.2f} s {wall / ideal:5.1f} x ideal {beyond:+6.1f} MiB over NumPy")


def flat(runs: int, samples: int) -> None:
    """Print the marginal CPU at several numbers in flight, and the rate at 256 and 50 ms."""
    with service(0) as url:
        for in_flight in (64, 128, 256, 512):
            floor, penin = marginal(["floor", "penin"], url, samples, in_flight, runs)
            print(f"{in_flight:4} in flight: {shown(penin, floor)}")
    ceiling = 256 / 0.05
    with service(50) as url, tempfile.TemporaryDirectory() as folder:
        for client in CLIENTS:
            rates = []
            for _ in range(runs):
                one = run(client, url, [1], 256, folder)[0][1]
                many = run(client, url, [samples], 256, folder)[0][1]
                rates.append(samples / (many - one))
            rate = statistics.median(rates)
            share = rate / ceiling
            print(f"{client:8} {rate:6.0f} a second at 256 x 50 ms: {share:.0%} of the ceiling")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["speed", "wave", "flat", []], default=[])
    parser.add_argument("--runs", type=int, default=5, help="runs of each client")
    parser.add_argument("--samples", type=int, help="samples of a run")
    chosen = parser.parse_args()
    for name, function, samples in (
        ("speed", speed, 2000),
        ("wave", wave, 500),
        ("flat", flat, 4000),
    ):
        if not chosen.what or name in chosen.what:
            function(chosen.runs, chosen.samples or samples)


if __name__ == "__main__":
    main()
