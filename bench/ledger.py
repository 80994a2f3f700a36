"""Measure the ledger against the disk that it stands on: python bench/ledger.py [folder].

Appends are durable (synchronous=FULL), so their rate is judged against the rate of plain
fdatasync calls, measured in turns in the same run and in the same folder.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penin_core.ledger.store import WORMLedger

ROUNDS, SLICE_S, BATCH, VERIFIED = 6, 0.5, 64, 20_000
BLOCK, BLOCKS = b"x" * 4096, 1024


def run_body(number: int) -> dict[str, Any]:
    """Return a run entry of an ordinary size."""
    unit = (number % 997 + 0.5) / 1000
    return {
        "id": f"20261122t073501-{number:06d}z-{number:08x}",
        "cycle_id": f"cycle-{number // 9}",
        "kind": "challenger",
        "git_sha": "4f" * 20,
        "seed": number,
        "provider_id": "tiny",
        "candidate_cfg_hash": f"{number:064x}",
        "verdict": "rollback",
        "reason": "raced_out",
        "dry_run": False,
        "config_hash": f"{number:064x}",
        "suite_hash": f"{number % 7:064x}",
        "n_tasks": 500,
        "cost_micro_usd": number,
        "sigma_guard_ok": True,
        **dict.fromkeys(("u_score", "s_score", "c_score", "linf", "score", "sr"), unit),
    }


def rate(action: Callable[[], object]) -> float:
    """Return how often per second ``action`` runs, over one slice."""
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SLICE_S:
        action()
        count += 1
    return count / elapsed


@contextmanager
def raw_sync(folder: Path) -> Iterator[Callable[[], object]]:
    """Give a function that overwrites one 4 KiB block of a file and calls fdatasync."""
    file = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, BLOCK * BLOCKS, 0)
    os.fsync(file)
    blocks = iter(range(sys.maxsize))

    def write() -> None:
        os.pwrite(file, BLOCK, next(blocks) % BLOCKS * len(BLOCK))
        os.fdatasync(file)

    try:
        yield write
    finally:
        os.close(file)


def append_rates(folder: Path) -> dict[str, float]:
    """Return the medians over interleaved slices, in calls or entries per second."""
    numbers = iter(range(sys.maxsize))
    event = {"beta_min": 0.02, "lambda_c": 0.5, "step": 0.01, "note": "x" * 300}
    with raw_sync(folder) as raw, WORMLedger(folder / "ledger.db") as ledger:
        actions: dict[str, Callable[[], object]] = {
            "raw": raw,
            "event": lambda: ledger.record_event("TUNE", event),
            "run": lambda: ledger.record_run(run_body(next(numbers))),
            "batch_event": lambda: ledger.record_many([("TUNE", event)] * BATCH),
            "batch_run": lambda: ledger.record_many(
                [("RUN", run_body(next(numbers))) for _ in range(BATCH)]
            ),
        }
        slices = [{name: rate(action) for name, action in actions.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in slices) for name in actions}


def verify_seconds(folder: Path) -> float:
    """Return the seconds that verifying 100,000 run entries takes."""
    with WORMLedger(folder / "verified.db") as ledger:
        for start in range(0, VERIFIED, 1000):
            ledger.record_many([("RUN", run_body(start + n)) for n in range(1000)])
        begin = time.perf_counter()
        if not ledger.verify().valid:
            raise SystemExit("the ledger that was just written does not verify")
        return (time.perf_counter() - begin) * 100_000 / VERIFIED


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        rates = append_rates(Path(name))
        seconds = verify_seconds(Path(name))
    raw = rates["raw"]
    print(f"raw fdatasync of 4 KiB       {raw:10,.0f} /s")
    for kind in ("event", "run"):
        single, batch = rates[kind], rates[f"batch_{kind}"] * BATCH
        print(f"durable append, one {kind:6}   {single:10,.0f} /s  {single / raw:.2f} x raw")
        print(f"durable append, {BATCH} {kind}s    {batch:10,.0f} entries/s")
    print(f"verify 100,000 runs          {seconds:10.2f} s")
    print(f"load average                 {os.getloadavg()[0]:10.1f}")


if __name__ == "__main__":
    main()
