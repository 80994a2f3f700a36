"""Write the signed log as static files for others, and check such files without the ledger.

A folder holds ``checkpoint``, ``tile/...`` and ``attestations.intoto.jsonl``. It can be served as
it is, and readers need no software of ours. Whose signatures count is not in it: they have to
get the policy in another way.
"""

from __future__ import annotations

import filecmp
import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from penin_core.errors import LedgerInvalid, StateError

from .checkpoints import Kept, read_kept, roots_at, seal
from .files import open_regular, read_regular
from .keys import DEFAULT_OWNER, SigningKey, find_key
from .merkle import HASH_SIZE, Frontier, inclusion_proof
from .notes import Checkpoint, Note
from .policy import Endorsed, Policy
from .proofs import TlogProof, prove
from .statements import read_statement, sign_statement, statements
from .store import WORMLedger
from .tiles import (
    ENTRIES,
    WIDTH,
    bundles,
    entry_hashes,
    pack,
    parse_tile_path,
    tile_path,
    tiles,
    unpack,
)

CHECKPOINT, ATTESTATIONS = "checkpoint", "attestations.intoto.jsonl"
#: What may lie at the top of a folder that is written to.
NAMES = frozenset({CHECKPOINT, ATTESTATIONS, "tile"})
#: Longest line of attestations that is read; ours are far shorter.
LINE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: entries covered, files, how many of those were new, attestations."""

    origin: str
    size: int
    files: int
    written: int
    attestations: int
    reason: str = ""


def export_log(
    state_dir: Path,
    ledger: WORMLedger,
    folder: Path,
    *,
    attest: bool = True,
    owner: str = DEFAULT_OWNER,
) -> Exported:
    """Sign the ledger if it can be, as ``seal`` does, and write its signed part to ``folder``.

    A folder that holds an earlier part of this log is brought up to date; of files that are the
    same nothing is written. ``reason`` says why a newer part could not be signed. Without
    ``attest``, or without the key, there are no attestations, of which each is a signature.

    Raises:
        StateError: nothing was ever signed, or the folder holds something else or cannot be
            written.
        LedgerInvalid: the ledger is not the one that was signed.
    """
    sealed = seal(state_dir, ledger, owner=owner)
    kept = read_kept(state_dir)
    if sealed.note is None or kept.policy is None:
        raise StateError(
            f"the ledger is unsigned: {sealed.reason}",
            hint="An export shows nothing without a signature.",
        )
    checkpoint = Checkpoint.parse(sealed.note.text)
    key = find_key(state_dir, kept.policy.logs).key
    try:
        _check_target(folder, ledger, kept, checkpoint)
        target = _Folder(folder)
        for path, data in _tree(ledger.leaves(0, checkpoint.size), checkpoint):
            target.put(path, data)
        signed = _envelopes(ledger, checkpoint, key) if key and attest else iter(())
        attestations = target.put_lines(ATTESTATIONS, signed)
        # Last: it says that all the others are there.
        target.put(CHECKPOINT, str(sealed.note).encode())
    except OSError as error:
        name = error.filename or folder
        raise StateError(f"{name} cannot be written: {error.strerror}") from error
    except ValueError as error:
        hint = "`penin ledger verify` names the entry."
        raise LedgerInvalid(f"an entry cannot be exported: {error}", hint=hint) from error
    return Exported(
        checkpoint.origin,
        checkpoint.size,
        target.files,
        target.written,
        attestations,
        sealed.reason,
    )


def prove_entry(
    state_dir: Path, ledger: WORMLedger, idx: int, *, owner: str = DEFAULT_OWNER
) -> TlogProof:
    """Sign the ledger if it can be, as ``seal`` does, and return the proof of one entry.

    Raises:
        StateError: there is no such entry, or no signed checkpoint covers it.
        LedgerInvalid: the ledger is not the one that was signed.
    """
    ledger.entry(idx)
    sealed = seal(state_dir, ledger, owner=owner)
    if sealed.note is None or idx >= Checkpoint.parse(sealed.note.text).size:
        raise StateError(f"entry {idx} is unsigned: {sealed.reason}")
    size = Checkpoint.parse(sealed.note.text).size
    path = inclusion_proof(idx, size, ledger.root_over)
    (leaf,) = ledger.leaves(idx, idx + 1)
    try:
        return prove(idx, leaf, path, sealed.note)
    except ValueError as error:
        raise LedgerInvalid(str(error)) from error


def verify_export(folder: Path, policy: Policy) -> Endorsed:
    """Check every file of an exported log; return who vouches for it.

    The checkpoint has to satisfy the policy, the entries to lead to its root, every tile to hold
    the hashes over them, and every attestation to say what its entry says.

    Raises:
        LedgerInvalid: anything differs, is missing, or does not belong there.
        StateError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise StateError(f"{folder} is not a folder")
    try:
        found = policy.check(Note.parse(read_regular(folder / CHECKPOINT)))
        paths = {path.relative_to(folder).as_posix() for path in _walk(folder)}
        seen = {CHECKPOINT, ATTESTATIONS}
        for path, data in _tree(_entries(folder, found.checkpoint.size), found.checkpoint):
            if read_regular(folder / path) != data:
                raise ValueError(f"{path} does not hold what the entries say")
            seen.add(path)
        for path in sorted(paths - seen):
            _check_older(folder, path, found.checkpoint.size)
        if ATTESTATIONS in paths:
            _check_attestations(folder, found.checkpoint, policy)
    except FileNotFoundError as error:
        raise LedgerInvalid(f"{error.filename} is missing") from error
    except OSError as error:
        raise StateError(f"{error.filename} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise LedgerInvalid(f"{folder}: {error}") from error
    return found


def verify_proof(path: Path, policy: Policy) -> Endorsed:
    """Check a proof file that carries its entry; return who vouches for it.

    Raises:
        LedgerInvalid: it is not a proof, has no entry in it, or does not prove it.
        StateError: the file cannot be read.
    """
    try:
        proof = TlogProof.parse(read_regular(path))
        if proof.extra is None:
            raise ValueError("the entry is not in it, and has to be checked by itself")
        return proof.verify(proof.extra, policy)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise LedgerInvalid(f"{path}: {error}") from error


class _Folder:
    """Writes files that are whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = self.written = 0
        self._made: set[Path] = set()

    def put(self, name: str, data: bytes) -> None:
        path = self.path / name
        self.files += 1
        if path.exists() and read_regular(path) == data:
            return
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        try:
            aside.write_bytes(data)
            os.replace(aside, path)  # noqa: PTH105
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        self.written += 1

    def put_lines(self, name: str, lines: Iterator[bytes]) -> int:
        """Write lines, or no file where there are none; return how many there are."""
        path, count = self.path / name, 0
        aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        try:
            with aside.open("xb") as file:
                for line in lines:
                    file.write(line + b"\n")
                    count += 1
            if not count:
                path.unlink(missing_ok=True)
                return 0
            self.files += 1
            if not path.exists() or not filecmp.cmp(aside, path, shallow=False):
                aside.replace(path)
                self.written += 1
        finally:
            aside.unlink(missing_ok=True)
        return count


def _check_target(folder: Path, ledger: WORMLedger, kept: Kept, now: Checkpoint) -> None:
    """Refuse a folder that holds anything but an earlier part of this log."""
    if folder.exists() and not folder.is_dir():
        raise StateError(f"{folder} is not a folder", hint="Choose another place.")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if others := sorted(names - NAMES):
        raise StateError(f"{folder} holds {others[0]!r}", hint="Choose an empty folder.")
    if CHECKPOINT not in names:
        return
    try:
        old = Checkpoint.parse(Note.parse(read_regular(folder / CHECKPOINT)).text)
    except ValueError as error:
        raise StateError(
            f"{folder / CHECKPOINT}: {error}", hint="Choose another folder."
        ) from error
    same = old.origin == now.origin and old.size <= now.size
    if not same or roots_at(ledger, {old.size})[old.size] != old.root:
        raise StateError(
            f"{folder} holds {old.size} entries of {old.origin}, which is no part of this log",
            hint="Choose another folder.",
        )


def _tree(leaves: Iterable[bytes], checkpoint: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """Yield bundles and tiles over leaves; at the end they must have led to the checkpoint."""
    ready: deque[tuple[str, bytes]] = deque()
    frontier = Frontier()

    def hashes() -> Iterator[bytes]:
        for path, entries in bundles(leaves):
            ready.append((path, pack(entries)))
            for leaf in entry_hashes(entries):
                frontier.add(leaf)
                yield leaf

    for tile in tiles(hashes()):
        while ready:
            yield ready.popleft()
        yield tile
    yield from ready
    if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
        raise LedgerInvalid(
            f"the entries do not lead to the root of the checkpoint of {checkpoint.origin}"
        )


def _envelopes(ledger: WORMLedger, checkpoint: Checkpoint, key: SigningKey) -> Iterator[bytes]:
    for statement in statements(checkpoint.origin, ledger.leaves(0, checkpoint.size)):
        yield sign_statement(statement, key)


def _entries(folder: Path, size: int) -> Iterator[bytes]:
    """Yield the entries of all bundles; a bundle of another width is refused."""
    for index in range((size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, size - index * WIDTH)
        path = tile_path(ENTRIES, index, width)
        entries = unpack(read_regular(folder / path))
        if len(entries) != width:
            raise ValueError(f"{path} holds {len(entries)} entries")
        yield from entries


def _check_older(folder: Path, path: str, size: int) -> None:
    """Check a partial tile of an earlier size: it begins the tile that took its place."""
    level, index, width = parse_tile_path(path)
    span = 1 if level == ENTRIES else WIDTH**level
    whole = min(WIDTH, size // span - index * WIDTH)
    if not width < whole:
        raise ValueError(f"{path} does not belong there")
    data = read_regular(folder / tile_path(level, index, whole))
    start = pack(unpack(data)[:width]) if level == ENTRIES else data[: width * HASH_SIZE]
    if read_regular(folder / path) != start:
        raise ValueError(f"{path} does not hold what the entries say")


def _check_attestations(folder: Path, checkpoint: Checkpoint, policy: Policy) -> None:
    number = 0
    with open_regular(folder / ATTESTATIONS) as file:
        for statement in statements(checkpoint.origin, _entries(folder, checkpoint.size)):
            number += 1
            line = file.readline(LINE_LIMIT)
            said = read_statement(line[:-1], policy.logs) if line.endswith(b"\n") else None
            if said != statement:
                raise ValueError(f"{ATTESTATIONS}: line {number} does not say what its entry says")
        if file.read(1):
            raise ValueError(f"{ATTESTATIONS} goes on after line {number}")


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in names)
