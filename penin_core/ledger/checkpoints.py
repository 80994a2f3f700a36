"""The checkpoints of a ledger: signed when a cycle ended or the champion moved, and kept.

Under ``ledger/`` of a state directory: ``checkpoint``, the latest one; ``checkpoints.jsonl``, all
there ever were; ``policy.txt``, whose signatures count; ``frontier``, which only saves time. A log
must never sign two states of which one does not extend the other. So a new checkpoint is made
from the subtrees under the last one and from what was appended since, and it is written down
before anybody gets to see it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from penin_core.errors import LedgerInvalid, StateError

from .files import read_regular, sync_folder, write_new
from .keys import DEFAULT_OWNER, find_key
from .leaves import encode, parse
from .merkle import EMPTY_ROOT, HASH_SIZE, Frontier, leaf_hash
from .notes import Checkpoint, Note, sign_note
from .policy import Policy, first_policy, parse_policy
from .queries import Readable
from .store import WORMLedger

FOLDER = "ledger"
CHECKPOINT = f"{FOLDER}/checkpoint"
HISTORY = f"{FOLDER}/checkpoints.jsonl"
POLICY = f"{FOLDER}/policy.txt"
FRONTIER = f"{FOLDER}/frontier"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a state directory holds of its checkpoints, oldest first; ``policy`` if it has one.

    ``faults`` says what is there and cannot be read.
    """

    notes: tuple[Note, ...] = ()
    policy: Policy | None = None
    faults: tuple[str, ...] = ()

    @property
    def last(self) -> Note | None:
        """The newest checkpoint."""
        return self.notes[-1] if self.notes else None


@dataclass(frozen=True, slots=True)
class Sealed:
    """The newest signed checkpoint, ``None`` if there never was one, and why it is not newer.

    ``reason`` is empty when the checkpoint covers the whole ledger.
    """

    note: Note | None
    reason: str = ""


def seal(state_dir: Path, ledger: WORMLedger, *, owner: str = DEFAULT_OWNER) -> Sealed:
    """Sign the ledger as it stands, unless that is done already; nobody to sign is no error.

    Call it after a cycle, and after the champion moved. The first time makes a key, with an origin
    ``penin.OWNER/ledger/ID``.

    Raises:
        LedgerInvalid: the ledger does not extend what was signed before, or what was signed
            before was changed.
    """
    with ledger.lock:
        size = ledger.size
        kept = read_kept(state_dir)
        if kept.faults:
            raise LedgerInvalid(kept.faults[0], hint="`penin ledger verify` checks all of it.")
        last = _check_last(kept, size)
        if size == 0:
            return Sealed(None, "nothing was recorded yet")
        if kept.last is not None and kept.policy is None:
            return Sealed(kept.last, f"{POLICY} is missing")
        try:
            return _sign(state_dir, ledger, kept, last, owner)
        except OSError as error:
            return Sealed(kept.last, f"{error.filename}: {error.strerror}")


def read_kept(state_dir: Path) -> Kept:
    """Return the checkpoints of a state directory and its policy; none of it is checked yet.

    Raises:
        StateError: the directory cannot be read.
    """
    faults: list[str] = []
    notes = _history(_read(state_dir / HISTORY), faults)
    if (current := _read(state_dir / CHECKPOINT)) is not None:
        try:
            note = Note.parse(current)
            Checkpoint.parse(note.text)
            # A crash may leave the history one ahead, never behind.
            notes += [] if note in notes else [note]
        except ValueError as error:
            faults.append(f"{CHECKPOINT} is damaged: {error}")
    policy = None
    if (data := _read(state_dir / POLICY)) is not None:
        try:
            policy = parse_policy(data)
        except ValueError as error:
            faults.append(f"{POLICY}: {error}")
    # Stable: of two checkpoints of one size the later one, with its cosignatures, stays last.
    notes.sort(key=lambda note: Checkpoint.parse(note.text).size)
    return Kept(tuple(notes), policy, tuple(faults))


def roots_at(ledger: Readable, sizes: Collection[int]) -> dict[int, bytes]:
    """Return the roots over the first so many entries; sizes beyond the ledger are left out."""
    wanted, frontier = set(sizes), Frontier()
    found = {0: EMPTY_ROOT} if 0 in wanted else {}
    if wanted:
        for leaf in ledger.leaves(0, min(ledger.size, max(wanted))):
            frontier.add(leaf_hash(leaf))
            if frontier.size in wanted:
                found[frontier.size] = frontier.root()
    return found


def keep(state_dir: Path, note: Note) -> None:
    """Write a checkpoint to the end of the history and make it the latest; needs the lock.

    Raises:
        OSError: it cannot be written.
    """
    path = state_dir / HISTORY
    path.parent.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "r+b") as file:  # noqa: PTH123
        # What an interrupted write left behind was shown to nobody.
        file.seek(file.read().rfind(b"\n") + 1)
        file.truncate()
        file.write(encode(str(note)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    replace_file(state_dir / CHECKPOINT, str(note).encode())


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file by a new one, atomically and to the disk; ``OSError`` on failure."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        write_new(aside, data, 0o600)
        os.replace(aside, path)  # noqa: PTH105
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _check_last(kept: Kept, size: int) -> Checkpoint | None:
    """Return the newest checkpoint after checking its signature and that it is not ahead."""
    if kept.last is None:
        return None
    last = Checkpoint.parse(kept.last.text)
    if kept.policy is not None:
        try:
            kept.policy.endorsed(kept.last)
        except ValueError as error:
            raise LedgerInvalid(f"{CHECKPOINT}: {error}") from error
    if last.size > size:
        raise LedgerInvalid(
            f"{CHECKPOINT} covers {last.size} entries, but the ledger has only {size}",
            hint="Restore the ledger from a copy: its end is missing.",
        )
    return last


def _sign(
    state_dir: Path, ledger: WORMLedger, kept: Kept, last: Checkpoint | None, owner: str
) -> Sealed:
    if kept.last is not None and last is not None and last.size == ledger.size:
        if not (state_dir / CHECKPOINT).exists():
            replace_file(state_dir / CHECKPOINT, str(kept.last).encode())
        return Sealed(kept.last)
    found = find_key(state_dir, kept.policy.logs if kept.policy else (), owner=owner)
    if found.key is None:
        return Sealed(kept.last, found.reason)
    (state_dir / FOLDER).mkdir(mode=0o700, exist_ok=True)
    if kept.policy is None:
        replace_file(state_dir / POLICY, first_policy(found.key.public))
    frontier = _resumed(state_dir, last)
    for leaf in ledger.leaves(frontier.size):
        frontier.add(leaf_hash(leaf))
        if last and frontier.size == last.size and frontier.root() != last.root:
            raise LedgerInvalid(
                f"the first {last.size} entries are not those that {CHECKPOINT} signed",
                hint="Restore the ledger from a copy: an entry was changed.",
            )
    note = sign_note(
        Checkpoint(found.key.public.name, frontier.size, frontier.root()).text, found.key
    )
    replace_file(state_dir / FRONTIER, b"".join(frontier.peaks))
    keep(state_dir, note)
    return Sealed(note)


def _resumed(state_dir: Path, last: Checkpoint | None) -> Frontier:
    """Return the subtrees under the last checkpoint if they lead to its root, else none."""
    data = _read(state_dir / FRONTIER)
    if last is not None and data is not None:
        peaks = [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]
        if len(peaks) == last.size.bit_count():
            frontier = Frontier(last.size, peaks)
            if frontier.root() == last.root:
                return frontier
    return Frontier()


def _history(data: bytes | None, faults: list[str]) -> list[Note]:
    """Return the checkpoints of the history; a last line without its end was never shown."""
    notes = []
    for number, line in enumerate((data or b"").split(b"\n")[:-1], 1):
        try:
            note = Note.parse(parse(line).encode())
            Checkpoint.parse(note.text)
            notes.append(note)
        except (ValueError, AttributeError, RecursionError) as error:
            faults.append(f"{HISTORY}: line {number} is damaged: {error}")
    return notes


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
