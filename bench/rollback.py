"""How soon readers in another process see that the champion was rolled back.

    python bench/rollback.py [--rounds 200] [--runs 50]

Promotes and rolls back in turn, by the calls that ``penin promote`` and ``penin rollback`` make, in
a ledger of ``--runs`` runs. Another process reads ``champion.json`` all the time and notes when
each champion was there for the first time. Beside it stands the raw limit of the same disk: one
durable replacement of a file of that size. Exit code 1 where the median is above 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from multiprocessing import Event, Process, Queue, Value
from pathlib import Path
from statistics import median
from typing import Any

from penin_core.league.promotion import LeagueOrchestrator, promotion_body
from penin_core.ledger.artifacts import write_run
from penin_core.ledger.champion import POINTER, read_pointer
from penin_core.ledger.files import sync_folder
from penin_core.ledger.store import WORMLedger
from penin_core.records import Configuration

GOAL_MS = 50.0


def watch(state: Path, stop: Any, last: Any, seen: Any) -> None:
    """Read the pointer until told to stop; say when every champion was first there."""
    first: dict[int, int] = {}
    reads = torn = 0
    while not stop.is_set():
        found, now = read_pointer(state), time.monotonic_ns()
        reads, torn = reads + 1, torn + (found is None)
        if found is not None:
            first.setdefault(found.idx, now)
            last.value = found.idx
    seen.put((first, reads, torn))


def prepare(state: Path, ledger: WORMLedger, runs: int) -> str:
    """Fill a ledger, make the first champion, and return the run of a challenger."""
    config = Configuration(provider="p", model="first").model_dump(mode="json")
    for n in range(runs):
        add_run(state, ledger, f"run-{n}", Configuration(provider="p", model=f"m{n}"))
    ledger.record_event("BOOTSTRAP", promotion_body(config, None, None))
    return f"run-{runs - 1}"


def add_run(state: Path, ledger: WORMLedger, run_id: str, config: Configuration) -> None:
    files = {"config.json": json.dumps(config.model_dump(mode="json")).encode()}
    manifest = write_run(state, run_id, files)
    ledger.record_run(
        {
            "id": run_id,
            "cycle_id": "bench",
            "kind": "challenger",
            "candidate_cfg_hash": config.hash,
            "verdict": "promote",
            "dry_run": False,
            "n_tasks": 0,
            "artifacts_path": f"runs/{run_id}",
            "manifest_sha256": manifest,
        }
    )


def raw(folder: Path, data: bytes, rounds: int) -> list[float]:
    """Return the milliseconds of durable replacements of a file."""
    took = []
    for _ in range(rounds):
        started = time.monotonic_ns()
        aside = folder / ".aside"
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(folder / "raw.json")
        sync_folder(folder)
        took.append((time.monotonic_ns() - started) / 1e6)
    return took


def shown(what: str, found: list[float]) -> str:
    ranked = sorted(found)
    late = ranked[min(len(ranked) - 1, round(0.99 * len(ranked)))]
    return f"{what:<52} median {median(ranked):6.2f}, 99 % {late:6.2f}, most {ranked[-1]:6.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    calls: list[tuple[int, int, int]] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        state = Path(folder)
        with WORMLedger(state / "ledger.db") as ledger:
            league, challenger = (
                LeagueOrchestrator(state, ledger),
                prepare(state, ledger, options.runs),
            )
            league.champion()
            stop, last, seen = Event(), Value("q", -1, lock=False), Queue()
            reader = Process(target=watch, args=(state, stop, last, seen))
            reader.start()
            for _ in range(options.rounds):
                league.promote(challenger, force=True, reason="bench")
                started = time.monotonic_ns()
                champion = league.rollback(reason="bench")
                calls.append((champion.idx, started, time.monotonic_ns()))
                while last.value < champion.idx:
                    time.sleep(0.001)
            stop.set()
            first, reads, torn = seen.get()
            reader.join()
        limit = raw(state, (state / POINTER).read_bytes(), options.rounds)
    until = [(first[idx] - started) / 1e6 for idx, started, _ in calls]
    whole = [(ended - started) / 1e6 for _, started, ended in calls]
    print(shown("from the call until another process reads it", until))
    print(shown("the whole call, checkpoint included", whole))
    print(shown("raw: write, fsync, replace, fsync of the folder", limit))
    print(f"ratio of the medians {median(until) / median(limit):.1f}")
    print(f"{len(until)} rollbacks, {reads:,} reads of the pointer, {torn} of them torn")
    raise SystemExit(median(until) > GOAL_MS or torn > 0)


if __name__ == "__main__":
    main()
