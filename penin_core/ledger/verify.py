"""Verify a state directory: the ledger, the champion pointer and the run directories together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from penin_core.errors import LedgerInvalid, StateError

from .artifacts import orphans, read_run
from .audit import Verification
from .champion import POINTER, Champion, champions, find_conflict, read_pointer
from .store import WORMLedger

LEDGER = "ledger.db"


def verify(state_dir: Path) -> Verification:
    """Check all that a state directory can prove about itself; name what fails first.

    It is invalid when anything was changed: an entry, a row, a file of a run, or a pointer that is
    ahead of the ledger or differs from its entry. What is missing and can be made again, or was
    never finished, is a warning.

    Raises:
        LedgerInvalid: ``ledger.db`` cannot be opened, for it is damaged or not a ledger.
        StateError: the state directory cannot be read.
    """
    # A pointer is written after its entry, a run directory before it: read in that order, a cycle
    # that runs meanwhile never looks like a fault.
    has_pointer = (state_dir / POINTER).exists()
    pointer = read_pointer(state_dir)
    with WORMLedger(state_dir / LEDGER) as ledger:
        found = ledger.verify()
        if not found.valid:
            return found
        history = champions(ledger)
        if pointer and (conflict := find_conflict(pointer, history, ledger.size)):
            return replace(found, valid=False, first_bad=conflict[0], reason=conflict[1])
        warnings = list(_pointer_warnings(pointer, has_pointer, history))
        return _with_runs(found, state_dir, ledger, warnings)


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
    found: Verification, state_dir: Path, ledger: WORMLedger, warnings: list[str]
) -> Verification:
    known = set()
    for run in reversed(ledger.runs()):
        known.add(run["id"])
        if run["manifest_sha256"] is None:
            continue
        try:
            read_run(state_dir, run["id"], run["manifest_sha256"])
        except LedgerInvalid as error:
            return replace(found, valid=False, first_bad=run["idx"], reason=str(error))
        except StateError as error:
            warnings.append(f"entry {run['idx']}: {error}")
    unfinished = orphans(state_dir, known)
    warnings += [f"runs/{name}: {reason}" for name, reason in unfinished.items()]
    return replace(found, warnings=tuple(warnings))
