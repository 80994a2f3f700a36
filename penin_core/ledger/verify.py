"""Verify a state directory: ledger, checkpoints, champion pointer and run directories together."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from penin_core.errors import LedgerInvalid, StateError

from .artifacts import MANIFEST, orphans, read_run
from .audit import Verification
from .champion import POINTER, Champion, champions, find_conflict, read_pointer
from .checkpoints import CHECKPOINT, HISTORY, POLICY, Kept, read_kept
from .notes import Checkpoint, Note
from .policy import Policy
from .store import WORMLedger

LEDGER = "ledger.db"


@dataclass(frozen=True, slots=True)
class Signed:
    """What vouches for a ledger: entries covered, the keys that signed, the witnesses."""

    size: int
    origin: str
    keys: tuple[str, ...]
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateVerification(Verification):
    """What the verification of a state directory found.

    ``signed`` is ``None`` when nobody signed: then a rewrite of everything goes unnoticed.
    ``since`` is the size of an older checkpoint that the ledger was found to extend.
    """

    signed: Signed | None = None
    since: int | None = None


def verify(
    state_dir: Path, since: str | Path | None = None, *, policy: Policy | None = None
) -> StateVerification:
    """Check all that a state directory can prove about itself; name what fails first.

    It is invalid when anything was changed: an entry, a row, a file of a run, a pointer that is
    ahead of the ledger or differs from its entry, or a checkpoint that the ledger does not extend.
    What is missing and can be made again, or was never finished, is a warning.

    ``since`` is a checkpoint that was kept elsewhere, as text or as the path of its file: only that
    finds a rewrite by somebody who has the key. ``policy`` replaces ``ledger/policy.txt``, and its
    quorum must be met.

    Raises:
        LedgerInvalid: ``ledger.db`` cannot be opened, for it is damaged or not a ledger.
        StateError: the state directory, or the file ``since``, cannot be read, or ``since`` is not
            a checkpoint.
    """
    old = None if since is None else _old_checkpoint(since)
    # A pointer or a checkpoint is written after its entry, a run directory before it: read in that
    # order, a cycle that runs meanwhile never looks like a fault.
    has_pointer = (state_dir / POINTER).exists()
    pointer = read_pointer(state_dir)
    kept = read_kept(state_dir)
    with WORMLedger(state_dir / LEDGER) as ledger:
        checkpoints = [*kept.notes, *([old] if old else [])]
        sizes = {Checkpoint.parse(note.text).size for note in checkpoints}
        audited, roots = ledger.audit(sizes)
        found = StateVerification(**asdict(audited))
        if not found.valid:
            return found
        history = champions(ledger)
        if pointer and (conflict := find_conflict(pointer, history, ledger.size)):
            return replace(found, valid=False, first_bad=conflict[0], reason=conflict[1])
        warnings = list(_pointer_warnings(pointer, has_pointer, history))
        found = _with_checkpoints(found, roots, kept, old, policy)
        return _with_runs(found, state_dir, ledger, warnings) if found.valid else found


def _old_checkpoint(since: str | Path) -> Note:
    """Return a checkpoint that was kept; one that nobody signed has no signatures."""
    name = "the checkpoint" if isinstance(since, str) else str(since)
    try:
        data = since.encode() if isinstance(since, str) else since.read_bytes()
        unsigned = b"\n\n" not in data
        note = Note(data.decode(), ()) if unsigned else Note.parse(data)
        Checkpoint.parse(note.text)
    except OSError as error:
        raise StateError(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StateError(
            f"{name} is not a checkpoint: {error}",
            hint=f"Keep copies of {CHECKPOINT} in a place that others control.",
        ) from error
    return note


def _with_checkpoints(
    found: StateVerification,
    roots: dict[int, bytes],
    kept: Kept,
    old: Note | None,
    strict: Policy | None,
) -> StateVerification:
    """Check that the ledger extends every checkpoint that is kept, and who signed them."""
    policy = strict or kept.policy
    notes = [*kept.notes, *([old] if old else [])]
    fault = kept.faults[0] if kept.faults else ""
    signed = since = None
    try:
        for note in [] if fault else notes:
            _check_signatures(note, policy, is_old=note is old)
        if strict and kept.last is None:
            raise ValueError("there is no checkpoint, so nothing satisfies the policy")
        if not fault and kept.last and policy:
            signed = _signed(kept.last, policy, strict=strict is not None)
    except ValueError as error:
        fault = str(error)
    if fault:
        return replace(found, valid=False, reason=fault)
    if bad := _first_departure(found.size, roots, notes):
        return replace(found, valid=False, first_bad=bad[0], reason=bad[1])
    if old:
        since = Checkpoint.parse(old.text).size
    warnings = tuple(_signature_warnings(found.size, kept, policy, signed, old))
    return replace(found, signed=signed, since=since, warnings=warnings)


def _check_signatures(note: Note, policy: Policy | None, *, is_old: bool) -> None:
    where = "the older checkpoint" if is_old else HISTORY
    # Whoever kept an older checkpoint vouches for it; what is signed must be signed rightly.
    if policy is not None and (note.signatures or not is_old):
        try:
            policy.endorsed(note)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def _signed(note: Note, policy: Policy, *, strict: bool) -> Signed:
    found = policy.check(note) if strict else policy.endorsed(note)
    return Signed(found.checkpoint.size, found.checkpoint.origin, found.logs, found.witnesses)


def _first_departure(
    size: int, roots: dict[int, bytes], notes: list[Note]
) -> tuple[int | None, str] | None:
    """Return where the ledger leaves the smallest checkpoint that it does not extend, in words."""
    checkpoints = sorted((Checkpoint.parse(note.text) for note in notes), key=lambda c: c.size)
    good = 0
    for checkpoint in checkpoints:
        if checkpoint.size not in roots:
            return size, f"a checkpoint covers {checkpoint.size} entries, but there are only {size}"
        if roots[checkpoint.size] != checkpoint.root:
            last = checkpoint.size - 1
            between = f"entry {good}" if last == good else f"an entry from {good} to {last}"
            where = good if last == good else None
            return where, f"{between} is not what the checkpoint of size {last + 1} covers"
        good = checkpoint.size
    return None


def _signature_warnings(
    size: int, kept: Kept, policy: Policy | None, signed: Signed | None, old: Note | None
) -> Iterator[str]:
    if signed is None and kept.notes:
        yield f"{POLICY} is missing: whose signatures count is not known"
    elif signed and signed.size < size:
        last = size - 1
        which = (
            f"entry {last} is" if signed.size == last else f"entries {signed.size} to {last} are"
        )
        yield f"{which} not signed yet"
    if signed and policy and not policy.is_met(signed.witnesses):
        yield f"quorum {policy.quorum!r} has not cosigned the last checkpoint"
    if old and not (old.signatures and policy):
        yield "nobody's signature on the older checkpoint was checked; its root was"


def _pointer_warnings(
    pointer: Champion | None, has_pointer: bool, history: list[Champion]
) -> Iterator[str]:
    if pointer is None and has_pointer:
        yield f"{POINTER} cannot be read; it is made again from the ledger at the next start"
    elif pointer is None and history:
        yield f"{POINTER} is missing; it is made again from the ledger at the next start"
    elif pointer and pointer.idx < history[-1].idx:
        yield f"{POINTER} is behind the ledger; it follows at the next start"


def _with_runs(
    found: StateVerification, state_dir: Path, ledger: WORMLedger, warnings: list[str]
) -> StateVerification:
    for idx, run_id, manifest in ledger.manifests():
        try:
            files = read_run(state_dir, run_id, manifest)
            warnings += _strangers(state_dir / "runs" / run_id, files)
        except LedgerInvalid as error:
            return replace(found, valid=False, first_bad=idx, reason=str(error))
        except StateError as error:
            warnings.append(f"entry {idx}: {error}")
    unfinished = orphans(state_dir, ledger)
    warnings += [f"runs/{name}: {reason}" for name, reason in unfinished.items()]
    return replace(found, warnings=(*found.warnings, *warnings))


def _strangers(folder: Path, files: Collection[str]) -> Iterator[str]:
    for name in sorted({path.name for path in folder.iterdir()} - {MANIFEST, *files}):
        yield f"runs/{folder.name}: its manifest does not name {name!r}"
