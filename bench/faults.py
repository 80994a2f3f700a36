"""Let system calls of the ledger fail, one after the other: python bench/faults.py --help.

A script appends to a ledger, publishes a run and promotes it, twice. It runs under strace, which
makes one single call fail with EIO or ENOSPC, or kills the process at it: every openat, write,
pwrite64, fsync, fdatasync, rename, link, mkdir, ftruncate and unlink of the script in turn. After
each fault nothing that was acknowledged may be missing, everything must verify, and the script
must succeed when it is started again. ``--careless`` runs a script that moves the pointer before
the entry is written, and in place, to show that the harness finds what it looks for.

Idea: the fault tests of Tessera, https://github.com/transparency-dev/tessera.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from penin_core.canonical import digest
from penin_core.errors import PeninError
from penin_core.ledger.artifacts import new_run_id, write_run
from penin_core.ledger.champion import POINTER, champions, read_pointer, sync_champion
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.verify import verify

CALLS = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate"),
    *("rename", "renameat", "renameat2", "link", "linkat", "mkdir", "mkdirat"),
    *("unlink", "unlinkat", "rmdir"),
)
#: What the disk does is simulated, so none is needed.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "KILL": "signal=KILL"}
#: These cannot run out of space.
NEVER_FULL = ("unlink", "unlinkat", "rmdir", "ftruncate")
ROUNDS = 2
# prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY): let strace attach where only parents may.
PR_SET_PTRACER, ANYBODY = 0x59616D61, -1
DONE, REFUSED, BUG = 0, 1, 3


class Report:
    """The file of acknowledgements; a fault that hits it is not one of the ledger's."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, line: str) -> None:
        """Write one line at once; end the process where that fails."""
        try:
            os.write(self.file, f"{line}\n".encode())
        except OSError:
            os._exit(REFUSED)


def script(state: Path, report: Report, careless: bool) -> None:
    """Append, publish and promote; write down what was acknowledged, each as soon as it was."""
    with WORMLedger(state / "ledger.db") as ledger:
        sync_champion(state, ledger)
        for _ in range(ROUNDS):
            entry = ledger.record_event("TUNE", {"note": "x" * 200})
            report.say(f"entry {entry.idx} {entry.leaf_hash}")
            run_id, config = new_run_id(), {"model": os.urandom(4).hex()}
            manifest = write_run(state, run_id, {"config.json": json.dumps(config).encode()})
            if careless and (state / POINTER).exists():
                ahead = json.loads((state / POINTER).read_bytes()) | {"idx": entry.idx + 2}
                (state / POINTER).write_text(json.dumps(ahead))
            written = ledger.record_many(promotion(run_id, config, manifest))
            for entry in written:
                report.say(f"entry {entry.idx} {entry.leaf_hash}")
            if careless:
                (state / POINTER).unlink(missing_ok=True)
            sync_champion(state, ledger)
            report.say(f"champion {written[-1].idx}")


def promotion(run_id: str, config: dict[str, str], manifest: str) -> list[tuple[str, dict]]:
    """Return the entries of a run and of its promotion."""
    run = {
        "id": run_id,
        "kind": "challenger",
        "candidate_cfg_hash": digest(config),
        "verdict": "promote",
        "dry_run": False,
        "artifacts_path": f"runs/{run_id}",
        "manifest_sha256": manifest,
    }
    body = {"config": config, "config_hash": digest(config), "run_id": run_id}
    return [("RUN", run), ("PROMOTE", body)]


def judge(state: Path, acks: Path) -> str:
    """Return what is wrong with a state directory after a fault; nothing if all is well."""
    lines = acks.read_text().splitlines() if acks.exists() else []
    promised = [line.split() for line in lines]
    try:
        found = verify(state)
        if not found.valid:
            return f"invalid: {found.reason}"
        with WORMLedger(state / "ledger.db") as ledger:
            for _, idx, leaf_hash in (words for words in promised if words[0] == "entry"):
                if int(idx) >= found.size or ledger.entry(int(idx)).leaf_hash != leaf_hash:
                    return f"entry {idx} was acknowledged and is lost"
            made = {champion.idx for champion in champions(ledger)}
    except PeninError as error:
        return f"refused: {error}"
    pointers = [int(words[1]) for words in promised if words[0] == "champion"]
    pointer = read_pointer(state)
    if pointers and (pointer is None or pointer.idx < max(pointers) or pointer.idx not in made):
        return f"the pointer is {pointer}, entry {max(pointers)} was acknowledged"
    return ""


def start(state: Path, acks: Path, careless: bool) -> tuple[int, int]:
    """Fork a process that waits for a byte and then runs the script; return its id and a pipe."""
    wait, go = os.pipe()
    # Opened before: the trace begins at any moment after the fork, and counts the ledger's calls.
    report, silence = Report(acks), os.open(os.devnull, os.O_WRONLY)
    child = os.fork()
    if child:
        for file in (wait, report.file, silence):
            os.close(file)
        return child, go
    code = BUG
    try:
        os.close(go)
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
        os.dup2(silence, 2)
        os.read(wait, 1)
        script(state, report, careless)
        code = DONE
    except PeninError:
        code = REFUSED
    finally:
        os._exit(code)


def traced(state: Path, acks: Path, careless: bool, options: list[str]) -> int:
    """Run the script under strace; return its exit code, negative for a signal."""
    child, go = start(state, acks, careless)
    command = ["strace", "-f", "-p", str(child), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        attached = strace.stderr.readline()
        if "attached" not in attached:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise SystemExit(f"strace cannot attach: {attached.strip()}")
        os.write(go, b"x")
        os.close(go)
        strace.stderr.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def plan(folder: Path, careless: bool) -> list[tuple[str, str, int]]:
    """Return every fault that the script can meet: its name, the system call, which of them."""
    log = folder / "strace.log"
    options = ["-o", str(log), "-e", f"trace={','.join('?' + call for call in CALLS)}"]
    if traced(folder / "state", folder / "acks", careless, options) != DONE:
        raise SystemExit("the script fails without any fault")
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    return [
        (fault, call, number)
        for fault in FAULTS
        for call in CALLS
        if not (fault == "ENOSPC" and call in NEVER_FULL)
        for number in range(1, counts[call] + 1)
    ]


def inject(folder: Path, fault: str, call: str, number: int, careless: bool) -> str:
    """Run the script with one fault, then again without; return what is wrong, or nothing."""
    state, acks = folder / "state", folder / "acks"
    shutil.rmtree(folder)
    state.mkdir(parents=True)
    options = ["-o", "/dev/null", "-e", f"trace={call}"]
    options += ["-e", f"inject={call}:{FAULTS[fault]}:when={number}"]
    code = traced(state, acks, careless, options)
    if code == BUG:
        return "it fails with something else than one clear error"
    if wrong := judge(state, acks):
        return wrong
    child, go = start(state, acks, careless)
    os.write(go, b"x")
    os.close(go)
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        return f"it does not start again: exit {code}"
    wrong = judge(state, acks)
    return f"after the restart: {wrong}" if wrong else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sample", type=int, help="so many faults, chosen by the seed")
    parser.add_argument("--only", choices=FAULTS, help="one kind of fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--careless", action="store_true", help="show that the harness bites")
    options = parser.parse_args()
    if shutil.which("strace") is None:
        raise SystemExit("strace is not installed")
    begin, wrong = time.monotonic(), dict[str, str]()
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name, "work")
        (folder / "state").mkdir(parents=True)
        planned = plan(folder, options.careless)
        faults = [fault for fault in planned if options.only in {None, fault[0]}]
        if options.sample:
            faults = random.Random(options.seed).sample(faults, min(options.sample, len(faults)))
        for fault, call, number in faults:
            found = inject(folder, fault, call, number, options.careless)
            if found:
                wrong[f"{fault} at {call} {number}"] = found
    by_fault = Counter(fault for fault, _, _ in faults)
    seconds = round(time.monotonic() - begin, 1)
    print(
        json.dumps(
            {
                "planned": len(planned),
                "injected": by_fault,
                "calls": Counter(call for _, call, _ in faults),
                "violations": wrong,
                "seconds": seconds,
            }
        )
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
