"""Cut the power at every write of a growing ledger: python bench/crash.py --help.

One real run of the ledger is recorded through a VFS that notes every write, truncation and sync,
and every acknowledged append between them. A power cut after any of these steps leaves each file
as it was at its last sync, plus any subset of the 512-byte sectors that were written since, in any
order. The ledger that such a cut leaves behind is opened by SQLite, verified, and compared with
what was acknowledged.

To show that the harness finds what it looks for, the same cuts are made with the weaker settings
``synchronous = NORMAL``, which may lose entries, and ``OFF``, which may destroy the file.

Idea: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014 (ALICE).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import apsw

from penin_core.errors import PeninError
from penin_core.ledger import opening
from penin_core.ledger.store import WORMLedger

#: What the disk does is simulated, so none is needed.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
SECTOR, VFS_NAME, NAME = 512, "penin-recording", "ledger.db"
MODES = {"FULL": 2, "NORMAL": 1, "OFF": 0}


class Step(NamedTuple):
    """What happened to one file: "write", "truncate", "sync", "delete", or "appear".

    A new ledger appears under its name when it is whole. An "ack" has the leaf hash of the
    acknowledged entry as its file, the index as its offset.
    """

    kind: str
    file: str = ""
    offset: int = 0
    data: bytes = b""


class RecordingFile(apsw.VFSFile):
    """A file that notes what is done to it."""

    def __init__(self, steps: list[Step], name: Any, flags: list[int]) -> None:
        self._steps = steps
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._steps.append(Step("write", self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._steps.append(Step("truncate", self._name, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._steps.append(Step("sync", self._name))


class RecordingVFS(apsw.VFS):
    """A file system of recording files."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        super().__init__(VFS_NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> RecordingFile:  # noqa: N802
        return RecordingFile(self._steps, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        super().xDelete(name, sync)
        self._steps.append(Step("delete", Path(name).name))


@contextmanager
def recorded(synchronous: int) -> Iterator[list[Step]]:
    """Let the ledger write through the recording VFS; give the list that its steps go to."""
    steps: list[Step] = []
    vfs = RecordingVFS(steps)

    def connect(path: Path, mode: str) -> apsw.Connection:
        connection = apsw.Connection(str(path), vfs=VFS_NAME)
        # Recording files share no memory, so there is one connection and it owns the file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        for name, value in opening.PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        connection.execute("PRAGMA wal_autocheckpoint = 12")
        return connection

    make = opening._make

    def made(path: Path) -> None:
        make(path)
        steps.append(Step("appear", f".{NAME}-new"))

    try:
        with (
            mock.patch.object(opening, "_connect", connect),
            mock.patch.object(opening, "_make", made),
            mock.patch.dict(opening.PRAGMAS, {"synchronous": synchronous}),
        ):
            yield steps
    finally:
        vfs.unregister()


def record(folder: Path, synchronous: int, appends: int, chance: random.Random) -> list[Step]:
    """Return the steps of a ledger that grows, with an "ack" after each append that returned."""
    with recorded(synchronous) as steps:
        ledger = WORMLedger(folder / NAME)
        for number in range(appends):
            text = chance.randbytes(chance.randrange(20, 1500)).hex()
            items = [("TUNE", {"n": number, "text": text}), ("RUN", run_body(number))]
            for entry in ledger.record_many(items[: 1 + number % 2]):
                steps.append(Step("ack", entry.leaf_hash, entry.idx))
        ledger.close()
    return steps


def run_body(number: int) -> dict[str, Any]:
    """Return a run that sets only what it must."""
    return {
        "id": f"r{number}",
        "kind": "challenger",
        "candidate_cfg_hash": "ab",
        "verdict": "fail",
        "dry_run": False,
    }


def cut(steps: list[Step], chance: random.Random) -> dict[str, bytes]:
    """Return the files that a power cut after ``steps`` may leave behind."""
    durable: dict[str, bytes] = {}
    pending: dict[str, list[Step]] = {}
    for step in steps:
        if step.kind == "sync":
            durable[step.file] = applied(durable.get(step.file, b""), pending.pop(step.file, []))
        elif step.kind == "appear":
            durable[NAME] = durable.pop(step.file, b"")
            pending[NAME] = pending.pop(step.file, [])
        elif step.kind == "delete":
            durable.pop(step.file, None)
            pending.pop(step.file, None)
        elif step.kind != "ack":
            pending.setdefault(step.file, []).append(step)
    for name, late in pending.items():
        survivors = [part for step in late for part in sectors(step) if chance.random() < 0.5]
        durable[name] = applied(durable.get(name, b""), survivors)
    return durable


def sectors(step: Step) -> Iterator[Step]:
    """Split a write into sectors, each of which reaches the disk or does not."""
    if step.kind != "write":
        yield step
    for at in range(0, len(step.data), SECTOR):
        yield step._replace(offset=step.offset + at, data=step.data[at : at + SECTOR])


def applied(image: bytes, steps: list[Step]) -> bytes:
    """Return a file after writes and truncations."""
    result = bytearray(image)
    for step in steps:
        if step.kind == "truncate":
            del result[step.offset :]
        result.extend(bytes(max(0, step.offset - len(result))))
        result[step.offset : step.offset + len(step.data)] = step.data
    return bytes(result)


def judge(folder: Path, files: dict[str, bytes], acked: dict[int, str]) -> str:
    """Open what a power cut left: "whole", "lost" (an acknowledged entry) or "corrupt"."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(data)
    try:
        with WORMLedger(folder / NAME) as ledger:
            found = ledger.verify()
            if not found.valid:
                return "corrupt"
            if found.size <= max(acked, default=-1):
                return "lost"
            same = all(ledger.entry(idx).leaf_hash == leaf_hash for idx, leaf_hash in acked.items())
            return "whole" if same and ledger.record_event("TUNE", {}).idx == found.size else "lost"
    except PeninError:
        return "corrupt"


def simulate(mode: str, cuts: int, appends: int, seed: int) -> dict[str, int]:
    """Return how many of ``cuts`` power cuts, spread over one run, ended how."""
    chance, results = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        grown, left = Path(name, "grown"), Path(name, "left")
        grown.mkdir()
        left.mkdir()
        steps = record(grown, MODES[mode], appends, chance)
        for number in range(cuts):
            until = 1 + number * (len(steps) - 1) // max(1, cuts - 1)
            before = steps[:until]
            acked = {step.offset: step.file for step in before if step.kind == "ack"}
            results[judge(left, cut(before, chance), acked)] += 1
    return {"steps": len(steps), **results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cuts", type=int, default=300, help="power cuts with FULL")
    parser.add_argument("--weaker", type=int, default=120, help="power cuts with NORMAL and OFF")
    parser.add_argument("--appends", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.monotonic()
    found = {
        mode: simulate(
            mode, options.cuts if mode == "FULL" else options.weaker, options.appends, seed
        )
        for mode, seed in zip(MODES, range(options.seed, options.seed + 3), strict=True)
    }
    print(json.dumps({**found, "seconds": round(time.monotonic() - begin, 1)}))
    lost = found["FULL"].get("lost", 0) + found["FULL"].get("corrupt", 0)
    bites = found["NORMAL"].get("lost", 0) > 0 and found["OFF"].get("corrupt", 0) > 0
    sys.exit(0 if lost == 0 and bites else 1)


if __name__ == "__main__":
    main()
