"""What may be wrong around a ledger: the machine, the file system, clocks, permissions, leftovers.

``ledger verify`` says whether anything was changed. This says whether the place is fit to keep a
ledger, and what an interrupted cycle left behind. Nothing is repaired, and nothing is written but
a probe of the locks that is removed at once.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

from penin_core.errors import LedgerInvalid, StateError
from penin_core.ledger.artifacts import MANIFEST, orphans
from penin_core.ledger.champion import POINTER, champions, find_conflict, read_pointer
from penin_core.ledger.checkpoints import CHECKPOINT
from penin_core.ledger.files import is_file
from penin_core.ledger.keys import KEY_FILE, VARIABLE
from penin_core.ledger.store import SQLITE_VERSION, WORMLedger

#: ``ok`` is as it should be, a ``note`` is good to know, ``wrong`` needs to be dealt with.
Level = Literal["ok", "note", "wrong"]

#: First versions of SQLite without the WAL-reset race: the release, and the back-ports.
RACE_FIXED = (3, 51, 3)
RACE_BACKPORTS = ((3, 44, 6), (3, 50, 7))
#: Less free space than this is a note, and less than the other is wrong, in bytes.
LITTLE_SPACE, NO_SPACE = 1 << 30, 32 << 20
#: How far clocks of one machine may differ between two entries.
TOLERANCE = timedelta(seconds=5)
#: So many of the last entries are asked for their time.
LAST_ENTRIES = 1000
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    level: Level
    message: str
    hint: str = ""


def examine(state: Path, now: datetime | None = None) -> list[Finding]:
    """Examine a state directory and the machine under it; ``now`` is the present by default.

    A directory that does not exist is no fault: only the machine is examined then.
    """
    now = datetime.now(UTC) if now is None else now
    found = [sqlite_finding()]
    if not state.is_dir():
        level: Level = "wrong" if os.path.lexists(state) else "note"
        what = "is not a directory" if level == "wrong" else "does not exist yet"
        return [*found, Finding("state", level, f"{state} {what}")]
    found += [lock_finding(state), space_finding(state), *permission_findings(state)]
    try:
        if not is_file(state / "ledger.db"):
            return [*found, absence_finding(state)]
        with WORMLedger(state / "ledger.db") as ledger:
            found.append(Finding("ledger", "ok", f"{ledger.size} entries"))
            found += [pointer_finding(state, ledger), clock_finding(ledger, now)]
            found += leftover_findings(state, ledger)
    except (LedgerInvalid, StateError) as error:
        found.append(Finding("ledger", "wrong", str(error), error.hint))
    return found


def absence_finding(state: Path) -> Finding:
    """Say whether a ledger that is not there was never begun, or got lost."""
    if lost := lost_ledger(state):
        hint = "restore it from a copy: without it nothing is proved, and no cycle goes on"
        return Finding("ledger", "wrong", lost, hint)
    return Finding("ledger", "note", "nothing was recorded yet")


def lost_ledger(state: Path) -> str:
    """Return in words that a ledger is gone which left its traces; empty where it is not.

    Directories in ``runs/`` are no such trace: a first cycle that was killed leaves them, too.
    """
    left = [name for name in (POINTER, CHECKPOINT) if (state / name).exists()]
    if not left or is_file(state / "ledger.db"):
        return ""
    return f"ledger.db is missing, though {left[0]} was written after its entries"


def sqlite_finding(version: tuple[int, int, int] = SQLITE_VERSION) -> Finding:
    """Say which SQLite is used, and whether it has the WAL-reset race.

    Source: https://sqlite.org/wal.html#walresetbug.
    """
    name = ".".join(map(str, version))
    fixed = version >= RACE_FIXED or any(
        version[:2] == back[:2] and version >= back for back in RACE_BACKPORTS
    )
    if fixed:
        return Finding("sqlite", "ok", f"SQLite {name} has no WAL-reset race")
    return Finding(
        "sqlite",
        "note",
        f"SQLite {name} has the WAL-reset race: affected, mitigated by lock",
        "penin alone may write its ledger; SQLite 3.51.3 or later needs no care",
    )


def lock_finding(state: Path) -> Finding:
    """Try whether the file system of a directory keeps two holders of a lock apart."""
    kind = _file_system(state)
    if kind in REMOTE:
        return Finding("locks", "wrong", f"{state} is on {kind}", "move it to a local file system")
    try:
        with (
            tempfile.NamedTemporaryFile(dir=state, prefix=".probe-") as one,
            open(one.name, "rb") as other,  # noqa: PTH123
        ):
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Finding("locks", "ok", f"file locks work on {kind or 'this file system'}")
    except OSError as error:
        return Finding("locks", "wrong", f"{state} cannot be locked: {error.strerror}")
    return Finding(
        "locks", "wrong", f"{kind or 'the file system'} ignores locks", "use a local file system"
    )


def space_finding(state: Path) -> Finding:
    """Say how much space is left for a state directory."""
    there = os.statvfs(state)
    free = there.f_bavail * there.f_frsize
    if there.f_files and not there.f_favail:
        return Finding("space", "wrong", "no more files can be made on this file system")
    level: Level = "wrong" if free < NO_SPACE else "note" if free < LITTLE_SPACE else "ok"
    return Finding("space", level, f"{free / (1 << 30):,.1f} GiB are free")


def permission_findings(state: Path) -> Iterator[Finding]:
    """Say who else may change the state directory, and who may read the key."""
    key, there = state / KEY_FILE, state.stat()
    if _open_to(state, stat.S_IWGRP | stat.S_IWOTH):
        yield Finding(
            "permissions",
            "wrong",
            f"{state} can be changed by others (mode {stat.S_IMODE(there.st_mode):04o})",
            f"chmod go-w {state}",
        )
    if there.st_uid != os.geteuid():
        yield Finding("permissions", "note", f"{state} belongs to user {there.st_uid}")
    loose = _open_to(key, 0o077) + _open_to(key.parent, stat.S_IWGRP | stat.S_IWOTH)
    if loose:
        names = " and ".join(map(str, loose))
        yield Finding("key", "wrong", f"{names} can be reached by others", f"chmod go= {names}")
    elif key.exists():
        yield Finding("key", "ok", f"{KEY_FILE} is readable by its owner only")
    elif os.environ.get(VARIABLE):
        yield Finding("key", "ok", f"the key comes from {VARIABLE}")
    else:
        yield Finding("key", "note", "there is no signing key yet: the ledger is unsigned")


def pointer_finding(state: Path, ledger: WORMLedger) -> Finding:
    """Compare ``champion.json`` with the ledger."""
    pointer, history = read_pointer(state), champions(ledger)
    again = "it is made again from the ledger at the next start"
    if pointer and (conflict := find_conflict(pointer, history, ledger.size)):
        return Finding("pointer", "wrong", conflict[1], "`penin ledger verify` checks the ledger")
    if pointer and pointer.idx < history[-1].idx:
        return Finding("pointer", "note", f"{POINTER} is behind the ledger; it follows")
    if pointer or not history:
        return Finding("pointer", "ok", f"{POINTER} agrees" if pointer else "no champion yet")
    if os.path.lexists(state / POINTER):
        return Finding("pointer", "note", f"{POINTER} cannot be read; {again}")
    return Finding("pointer", "note", f"{POINTER} is missing; {again}")


def clock_finding(ledger: WORMLedger, now: datetime) -> Finding:
    """Compare the clock with the last entries, and those with each other."""
    size = ledger.size
    first = max(0, size - LAST_ENTRIES)
    times = [datetime.fromisoformat(ledger.entry(idx).ts) for idx in range(first, size)]
    if times and times[-1] > now + TOLERANCE:
        return Finding(
            "clock",
            "wrong",
            f"entry {size - 1} is of {times[-1]:%Y-%m-%d %H:%M:%S} UTC, which is yet to come",
            "set the clock; entries keep the time that they were written with",
        )
    for idx, (before, after) in enumerate(pairwise(times), first + 1):
        if after < before - TOLERANCE:
            back = (before - after).total_seconds()
            return Finding("clock", "note", f"the clock went back {back:,.0f} s before entry {idx}")
    return Finding("clock", "ok", "no entry is later than the next, or than now")


def leftover_findings(state: Path, ledger: WORMLedger) -> Iterator[Finding]:
    """Name the runs without files, and the files without a run."""
    left = orphans(state, ledger)
    if left:
        yield Finding(
            "orphans",
            "note",
            f"{_some(left, 'directory', 'directories')} in runs/ without an entry",
            "an interrupted cycle leaves them, and one that runs has them; they are harmless",
        )
    else:
        yield Finding("orphans", "ok", "every directory in runs/ is of a run in the ledger")
    bare = [
        run_id
        for _, run_id, _ in ledger.manifests()
        if not (state / "runs" / run_id / MANIFEST).exists()
    ]
    if bare:
        yield Finding(
            "runs",
            "wrong",
            f"{_some(bare, 'run', 'runs')} in the ledger without files",
            "restore them from a copy: without them `penin replay` cannot check these decisions",
        )
    asides = [path.name for path in state.glob(f".{POINTER}-*")]
    if asides:
        yield Finding("leftovers", "note", f"{_some(asides, 'file', 'files')} of a broken write")


def _some(names: list[str] | dict[str, str], one: str, many: str) -> str:
    shown = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {one if len(names) == 1 else many} ({shown})"


def _open_to(path: Path, bits: int) -> list[Path]:
    """Return the path if its mode has one of these bits, nothing if not, or if it is not there."""
    try:
        return [path] if path.stat().st_mode & bits else []
    except FileNotFoundError:
        return []


def _file_system(path: Path) -> str:
    """Return the type of the file system, as far as the machine tells."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    device = os.stat(path).st_dev  # noqa: PTH116
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in reversed(mounts):
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return ""
