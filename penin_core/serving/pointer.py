"""Which configuration is the champion: the pointer, believed only as far as the ledger says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from penin_core.errors import LedgerInvalid
from penin_core.ledger.champion import (
    POINTER,
    Champion,
    champions,
    find_conflict,
    read_pointer,
)
from penin_core.ledger.store import WORMLedger

Mark: TypeAlias = tuple[int, int, int]


def mark_of(state: Path) -> Mark | None:
    """Return what changes whenever the pointer is replaced; None where there is none."""
    try:
        found = os.stat(state / POINTER)  # noqa: PTH116 - called two hundred times a second
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def present_champion(state: Path, ledger: WORMLedger) -> Champion | None:
    """Return the champion that the pointer names, if the ledger says the same.

    Raises:
        LedgerInvalid: pointer and ledger contradict each other.
        StateError: the ledger cannot be read.
    """
    pointer = read_pointer(state)
    if pointer is None:
        return None
    if conflict := find_conflict(pointer, champions(ledger), ledger.size):
        hint = "restore the ledger from a copy, or remove the pointer"
        raise LedgerInvalid(conflict[1], hint=hint)
    return pointer
