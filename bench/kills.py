"""Kill writers of one ledger while they write: python bench/kills.py --help.

Four processes append and move the champion as fast as they can, one reads ``champion.json`` all
the time, and every now and then a writer is ended by SIGKILL and replaced. In the end everything
that any writer reported as appended must be there, the ledger must verify, and no read of the
pointer may have been torn: each was, byte for byte, one of the champions that the ledger knows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from penin_core.canonical import digest
from penin_core.ledger.champion import POINTER, champions, read_pointer, sync_champion
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.verify import verify


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process until it is killed; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(1)


def write(state: Path, acks: Path) -> None:
    """Append for ever; report the index and leaf hash of what is on the disk."""
    report = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with WORMLedger(state / "ledger.db") as ledger:
        for number in count():
            config = {"model": f"{os.getpid()}-{number}", "pad": "x" * 3000}
            run_id = f"p{os.getpid()}-{number}"
            body = {"config": config, "config_hash": digest(config), "run_id": run_id}
            kind, body = ("TUNE", {"n": number}) if number % 7 else ("PROMOTE", body)
            entry = ledger.record_event(kind, body)
            os.write(report, f"{entry.idx} {entry.leaf_hash}\n".encode())
            if kind == "PROMOTE":
                sync_champion(state, ledger)


def read(state: Path, seen: Path) -> None:
    """Read the pointer for ever; note every new one, each that is torn, and every 100 reads."""
    last = 0
    with seen.open("w", buffering=1) as report:
        for number in count(1):
            if (state / POINTER).exists():
                pointer = read_pointer(state)
                if pointer is None:
                    report.write("torn\n")
                elif pointer.idx != last:
                    last = pointer.idx
                    report.write(f"{pointer.idx} {pointer.leaf_hash} {digest(pointer.config)}\n")
            if number % 100 == 0:
                report.write("hundred\n")


def kill_writers(state: Path, folder: Path, kills: int, reads: int, chance: random.Random) -> None:
    """Keep four writers and a reader going; kill ``kills`` writers, then all."""
    numbers = count()
    writers: list[int] = []
    seen = folder / "seen"
    reader = in_child(lambda: read(state, seen))
    try:
        for _ in range(kills):
            while len(writers) < 4:
                acks = folder / f"acks-{next(numbers)}"
                writers.append(in_child(lambda acks=acks: write(state, acks)))
            time.sleep(chance.uniform(0, 0.25))
            end(writers.pop(chance.randrange(len(writers))))
        while hundreds(seen) * 100 < reads:
            time.sleep(0.05)
    finally:
        for process in (*writers, reader):
            end(process)


def hundreds(seen: Path) -> int:
    """Return how often the reader read a hundred times."""
    with suppress(FileNotFoundError):
        return seen.read_text().count("hundred")
    return 0


def end(process: int) -> None:
    """Kill a process that cannot do anything about it."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def whole_lines(path: Path) -> list[list[str]]:
    """Return the words of the lines that were finished."""
    text = path.read_text()
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--reads", type=int, default=100_000, help="least reads of the pointer")
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder, state = Path(name), Path(name, "state")
        kill_writers(state, folder, options.kills, options.reads, random.Random(options.seed))
        count_of_reads = hundreds(folder / "seen") * 100
        found = verify(state)
        promised = [words for path in folder.glob("acks-*") for words in whole_lines(path)]
        reads = [words for words in whole_lines(folder / "seen") if words != ["hundred"]]
        with WORMLedger(state / "ledger.db") as ledger:
            hashes = {str(i): ledger.entry(i).leaf_hash for i in range(ledger.size)}
            known = [[str(c.idx), c.leaf_hash, c.config_digest] for c in champions(ledger)]
    result = {
        "kills": options.kills,
        "entries": found.size,
        "acknowledged": len(promised),
        "lost": sum(hashes.get(idx) != leaf_hash for idx, leaf_hash in promised),
        "valid": found.valid,
        "reason": found.reason,
        "reads": count_of_reads,
        "champions_seen": len(reads),
        "torn_reads": sum(words not in known for words in reads),
        "seconds": round(time.monotonic() - begin, 1),
    }
    print(json.dumps(result))
    sys.exit(0 if found.valid and not result["lost"] and not result["torn_reads"] else 1)


if __name__ == "__main__":
    main()
