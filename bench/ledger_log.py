"""Measure the Merkle log over the ledger: python bench/ledger_log.py --help.

Prints the rate of frontier hashing, the time to re-verify a whole ledger, the time to sign it the
first time and after one more entry, the time to prove one entry, and the time to export 100,000
entries and to verify that: by the clock, and of CPU.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penin_core.ledger.checkpoints import read_kept, seal
from penin_core.ledger.export import export_log, prove_entry, verify_export
from penin_core.ledger.merkle import Frontier, leaf_hash
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.verify import verify

EXPORTED, HASHED, BATCH = 100_000, 300_000, 2_000


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    """Print how long the block took, and the rate over ``count`` things."""
    start, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    rate = f"{count / seconds:,.0f} per second"
    print(f"{what}: {seconds:.3f} s, {cpu:.3f} s of CPU, {rate}", flush=True)


def body(number: int) -> dict[str, Any]:
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
        **dict.fromkeys(("u_score", "s_score", "c_score", "linf", "score", "sr"), unit),
    }


def fill(state: Path, count: int) -> WORMLedger:
    """Return a new ledger with ``count`` runs."""
    state.mkdir(parents=True)
    ledger = WORMLedger(state / "ledger.db")
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        ledger.record_many([("RUN", body(number)) for number in numbers])
    return ledger


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entries", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder for the large ledger, used again")
    options = parser.parse_args()
    frontier, leaf = Frontier(), b"x" * 600
    with timed(f"hash {HASHED:,} leaves of 600 bytes into a frontier", HASHED):
        for _ in range(HASHED):
            frontier.add(leaf_hash(leaf))
    with tempfile.TemporaryDirectory() as folder:
        measure_export(Path(folder))
        large = (options.keep or Path(folder)) / f"{options.entries}-entries"
        measure_ledger(large, options.entries)
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")
    print(f"load average: {os.getloadavg()[0]:.1f}")


def measure_export(folder: Path) -> None:
    """Export a ledger of 100,000 entries and verify the export."""
    with fill(folder / "small", EXPORTED) as ledger:
        seal(folder / "small", ledger)
        with timed(f"export {EXPORTED:,} entries without attestations", EXPORTED):
            export_log(folder / "small", ledger, folder / "out", attest=False)
        policy = read_kept(folder / "small").policy
        assert policy is not None
        with timed("verify that export", EXPORTED):
            verify_export(folder / "out", policy)
        with timed(f"export it again with {EXPORTED:,} attestations", EXPORTED):
            export_log(folder / "small", ledger, folder / "out")
        with timed("verify that export", EXPORTED):
            verify_export(folder / "out", policy)


def measure_ledger(state: Path, entries: int) -> None:
    """Sign a large ledger, unless that was done in an earlier run; prove an entry and verify."""
    if not state.exists():
        with fill(state, entries) as ledger:
            with timed(f"sign {entries:,} entries for the first time", entries):
                seal(state, ledger)
            ledger.record_many([("RUN", body(entries))])
            with timed("sign one more entry", 1):
                seal(state, ledger)
    with WORMLedger(state / "ledger.db") as ledger, timed("prove the entry in the middle", 1):
        prove_entry(state, ledger, entries // 2)
    with timed(f"re-verify {entries:,} entries, rows and checkpoints", entries):
        found = verify(state)
    assert found.valid, found.reason
    assert found.signed is not None


if __name__ == "__main__":
    main()
