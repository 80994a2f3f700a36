"""How long the pages of the dashboard take with many runs, against the same pages with few.

    python bench/dashboard.py [--runs 100000] [--few 100] [--repeats 5]

Makes two ledgers in a temporary folder: cycles of eight challengers and a champion, each with a
step of the tuner, every hundredth with a promotion. Every page is made by the application that is
served, and opens the ledger anew. Prints the median wall time of a page in ms, its size, and the
ratio to the small ledger of the same run. The first view is measured while the verification of the
whole ledger runs beside it, as it does when the server was just started; all others after it.

Goals: the first view under 200 ms at 100,000 runs, every page under 300 kB.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penin_core import Configuration, Views, WORMLedger
from penin_core.ledger.checkpoints import seal
from penin_core.omega.tuner import DEFAULTS as PARAMS
from penin_core.omega.tuner import OnlineTuner
from penin_dashboard.server import application

PORT = 8790
DEFAULTS = dict(PARAMS)
CHALLENGERS = 8
REASON = "raced_out: place 3 of 8 after 60 tasks"


def main() -> None:
    """Measure both ledgers and print one line for each page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for runs in (chosen.few, chosen.runs):
            began = time.perf_counter()
            state = fill(Path(folder) / str(runs), runs)
            print(f"{runs:,} runs recorded in {time.perf_counter() - began:.1f} s")
            found[runs] = measure(state, runs, chosen.repeats)
        few, many = found.values()
        print(f"\n{'page':14} {'ms':>8} {'kB':>6}  ratio to {chosen.few:,} runs")
        for name, (took, size) in many.items():
            print(f"{name:14} {took:8.1f} {size / 1000:6.1f}  {took / few[name][0]:.2f}")


def fill(state: Path, runs: int) -> Path:
    """Record so many runs, a cycle at a time, a hundred cycles in a transaction."""
    state.mkdir()
    cycles = -(-runs // (CHALLENGERS + 1))
    with WORMLedger(state / "ledger.db") as ledger:
        ledger.record_event(
            "BOOTSTRAP", {**champion(0, None), "param_version": 0, "params": DEFAULTS}
        )
        for first in range(0, cycles, 100):
            last = min(first + 100, cycles)
            ledger.record_many(item for n in range(first, last) for item in cycle(n))
        seal(state, ledger)
    return state


def cycle(number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of one cycle."""
    for place in range(CHALLENGERS + 1):
        yield "RUN", run(number, place)
    if number % 100 == 99:
        yield "PROMOTE", {**champion(number, f"r{number:06}-8"), "reason": "better, proved"}
    tuner = {"objective": 0.4, "params": DEFAULTS, "state": OnlineTuner(DEFAULTS).export_state()}
    yield "TUNE", {"param_version": number, **tuner}


def champion(number: int, run_id: str | None) -> dict[str, Any]:
    """Return what an entry says that makes a champion."""
    config = Configuration(provider="tiny", model="tiny-5", system=f"Prompt {number}. " * 20)
    return {"config": config.model_dump(), "config_hash": config.hash, "run_id": run_id}


def run(number: int, place: int) -> dict[str, Any]:
    """Return the row of one run; place 0 is the champion."""
    axes = {f"{axis}_score": 0.5 + place / 100 for axis in "uscl"}
    return {
        "id": f"r{number:06}-{place}",
        "cycle_id": f"cycle-{number:06}",
        "kind": "challenger" if place else "baseline",
        "candidate_cfg_hash": f"{number:060}{place:04}",
        "verdict": "rollback",
        "reason": REASON,
        "dry_run": False,
        "n_tasks": 60,
        "detail": {"origin": "param_sweep", "params": DEFAULTS, "note": "x" * 400},
        **axes,
    }


def measure(state: Path, runs: int, repeats: int) -> dict[str, tuple[float, int]]:
    """Return the median milliseconds and the largest size of every page."""
    found = {}
    first = []
    for _ in range(repeats):
        views = Views(state, 5.0)
        first.append(ask(views, "/"))
        views.checker.wait()
    found["first view"] = median(first)
    last = f"r{runs // (CHALLENGERS + 1) - 1:06}-8"
    for path in ("/", "/runs", f"/run/{last}", "/lineage", "/canary", "/tuner", "/ledger"):
        name = "/run/ID" if path.startswith("/run/") else path
        found[name] = median([ask(views, path) for _ in range(repeats)])
    found["a proof"] = ask(views, "/ledger/proof/1")
    return found


def median(asked: list[tuple[float, int]]) -> tuple[float, int]:
    """Return the median time and the largest size."""
    return statistics.median(took for took, _ in asked), max(size for _, size in asked)


def ask(views: Views, path: str) -> tuple[float, int]:
    """Return the milliseconds that one request takes in the application, and its size."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", f"127.0.0.1:{PORT}".encode())],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def served() -> float:
        began = time.perf_counter()
        await application(views, PORT)(scope, receive, send)
        return 1000 * (time.perf_counter() - began)

    took = asyncio.run(served())
    assert sent[0]["status"] == 200, (path, sent[0]["status"])
    return took, sum(len(message.get("body", b"")) for message in sent[1:])


if __name__ == "__main__":
    main()
