"""Measure the ledger against the disk that it stands on: python bench/ledger.py --help.

Appends are durable (synchronous=FULL), so their rate is judged against the rate of plain
fdatasync calls, measured in turns in the same run and in the same folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from penin_core.ledger import champion
from penin_core.ledger.grouping import GroupCommit
from penin_core.ledger.store import WORMLedger

BATCH, CLIENTS, PROCESSES = 64, (1, 16, 64), 4
KINDS = ("TUNE", "RUN")
BLOCK, BLOCKS = b"x" * 4096, 1024
EVENT = {"beta_min": 0.02, "lambda_c": 0.5, "step": 0.01, "note": "x" * 300}


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


def rate(action: Callable[[], object], slice_s: float) -> float:
    """Return how often per second ``action`` runs, over one slice."""
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < slice_s:
        action()
        done += 1
    return done / elapsed


def shared_rate(writer: GroupCommit, clients: int, slice_s: float) -> float:
    """Return the durable appends per second of so many threads that share one writer."""
    start, done = time.perf_counter(), [0] * clients

    def work(client: int) -> None:
        while time.perf_counter() - start < slice_s:
            writer.record_event("TUNE", EVENT)
            done[client] += 1

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - start)


@contextmanager
def raw_sync(folder: Path) -> Iterator[Callable[[], object]]:
    """Give a function that overwrites one 4 KiB block of a file and calls fdatasync."""
    file = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, BLOCK * BLOCKS, 0)
    os.fsync(file)
    blocks = count()

    def write() -> None:
        os.pwrite(file, BLOCK, next(blocks) % BLOCKS * len(BLOCK))
        os.fdatasync(file)

    try:
        yield write
    finally:
        os.close(file)


def swap_cost(folder: Path, swaps: int) -> float:
    """Return what replacing the pointer costs, in pairs of a plain fsync of file and folder."""
    data, handle = b"x" * 2000, os.open(folder, os.O_RDONLY)
    raw, swap = [], []
    for _ in range(swaps):
        begin = time.perf_counter()
        with open(folder / "plain", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(data)
            os.fsync(file)
        os.fsync(handle)
        middle = time.perf_counter()
        champion._replace(folder / champion.POINTER, data)
        raw.append(middle - begin)
        swap.append(time.perf_counter() - middle)
    os.close(handle)
    return statistics.median(swap) / statistics.median(raw)


def append_rates(folder: Path, rounds: int, slice_s: float) -> dict[str, list[float]]:
    """Return rates per second, one per interleaved slice."""
    numbers = count()
    with (
        raw_sync(folder) as raw,
        WORMLedger(folder / "ledger.db") as ledger,
        GroupCommit(ledger) as writer,
    ):
        actions: dict[str, Callable[[], object]] = {
            "raw": raw,
            "one event": lambda: ledger.record_event("TUNE", EVENT),
            "one run": lambda: ledger.record_run(run_body(next(numbers))),
            f"{BATCH} events": lambda: ledger.record_many([("TUNE", EVENT)] * BATCH),
            f"{BATCH} runs": lambda: ledger.record_many(
                [("RUN", run_body(next(numbers))) for _ in range(BATCH)]
            ),
        }
        measures = {name: partial(rate, action) for name, action in actions.items()}
        measures |= {f"{n} clients": partial(shared_rate, writer, n) for n in CLIENTS}
        slices = [
            {name: measure(slice_s=slice_s) for name, measure in measures.items()}
            for _ in range(rounds)
        ]
    return {name: [one[name] for one in slices] for name in measures}


SATURATING = """
import sys, time
from penin_core.ledger.store import WORMLedger
waits, until = [], time.monotonic() + float(sys.argv[2])
with WORMLedger(sys.argv[1]) as ledger:
    ledger.record_event("TUNE", {})
    while (begin := time.monotonic()) < until:
        ledger.record_event("TUNE", {})
        waits.append(time.monotonic() - begin)
print(len(waits), sorted(waits)[len(waits) * 99 // 100])
"""


def shares(folder: Path, seconds: float) -> tuple[list[int], float]:
    """Return what each of several saturating processes appended, and the worst p99 in seconds."""
    command = [sys.executable, "-c", SATURATING, str(folder / "shared.db"), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    found = [process.communicate()[0].split() for process in processes]
    return [int(appended) for appended, _ in found], max(float(p99) for _, p99 in found)


def verify_seconds(folder: Path, kind: str, entries: int) -> tuple[float, float]:
    """Return the seconds that verifying so many entries takes: by the clock, and of CPU."""
    with WORMLedger(folder / f"verified-{kind}.db") as ledger:
        for start in range(0, entries, 1000):
            numbers = range(start, start + 1000)
            ledger.record_many([(kind, run_body(n) if kind == "RUN" else EVENT) for n in numbers])
        begin, cpu = time.perf_counter(), time.process_time()
        if not ledger.verify().valid:
            raise SystemExit("the ledger that was just written does not verify")
        return time.perf_counter() - begin, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where to measure, by default the temporary folder")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--slice", type=float, default=0.5, help="seconds of one slice")
    parser.add_argument("--verify", type=int, default=20_000, help="entries to verify, of a kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".bench-") as name:
        rates = append_rates(Path(name), options.rounds, options.slice)
        appended, p99 = shares(Path(name), options.rounds * options.slice)
        verified = {kind: verify_seconds(Path(name), kind, options.verify) for kind in KINDS}
        swap = swap_cost(Path(name), 100)
    raw = rates.pop("raw")
    alone = statistics.median(rates["1 clients"])
    print(f"raw fdatasync of 4 KiB  {statistics.median(raw):10,.0f} /s")
    for kind, found in rates.items():
        size = BATCH if kind.startswith(f"{BATCH} ") and "clients" not in kind else 1
        middle = statistics.median(found)
        ratio = statistics.median(one / base for one, base in zip(found, raw, strict=True))
        more = f"  {middle / alone:.1f} x one client" if "clients" in kind else ""
        print(f"durable, {kind:14} {middle * size:10,.0f} entries/s  {ratio:.2f} x raw{more}")
    print(
        f"{PROCESSES} saturating processes  {appended}, max/min {max(appended) / min(appended):.2f}"
    )
    print(f"  their worst p99       {p99 * 1000:10.1f} ms")
    for kind, (seconds, cpu) in verified.items():
        print(f"verify {options.verify:,} x {kind:5}  {seconds:10.2f} s, {cpu:.2f} s of CPU")
    print(f"swap of the pointer     {swap:10.2f} x a pair of fsyncs")
    print(f"load average            {os.getloadavg()[0]:10.1f}")


if __name__ == "__main__":
    main()
