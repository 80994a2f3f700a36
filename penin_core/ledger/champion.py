"""The champion: the configuration that runs, as the ledger says and as ``champion.json`` repeats.

The truth is the last event of kind BOOTSTRAP, PROMOTE or ROLLBACK; its body carries the
configuration that is the champion after it. ``champion.json`` lets others read it without the
ledger. It is replaced atomically, only here, only after the entry is on the disk, and made again
from the ledger when it is behind, missing or unreadable. A pointer that says something the ledger
does not say is never repaired: either the ledger lost entries or somebody changed one of the two.
"""

from __future__ import annotations

import os
import secrets
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penin_core.errors import LedgerInvalid, StateError

from .files import read_regular, sync_folder, write_new
from .leaves import encode, parse
from .queries import StoredEntry
from .rows import CHAMPION_KINDS
from .store import WORMLedger

POINTER = "champion.json"


class Champion(BaseModel):
    """A configuration that is or was the champion, in the format of ``champion.json``.

    ``idx`` and ``leaf_hash`` name the ledger entry that made it champion, ``size`` is the size of
    the ledger with that entry, ``config_digest`` the SHA-256 of the canonical ``config``,
    ``updated_at`` the time of the entry. ``run_id`` is ``None`` if it was never measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    idx: int = Field(ge=0)
    leaf_hash: str
    config_digest: str
    run_id: str | None
    size: int = Field(ge=1)
    config: dict[str, Any]
    previous_run_id: str | None
    updated_at: str


def champions(ledger: WORMLedger) -> list[Champion]:
    """Return every champion that there was, oldest first; the last one is the present one."""
    found: list[Champion] = []
    for event in ledger.events(CHAMPION_KINDS):
        found.append(_champion(event, found[-1].run_id if found else None))
    return found


def current_champion(ledger: WORMLedger) -> Champion | None:
    """Return the champion, ``None`` before the first BOOTSTRAP."""
    found = champions(ledger)
    return found[-1] if found else None


def quarantined(ledger: WORMLedger, before: int | None = None) -> frozenset[str]:
    """Return the digests of the configurations that were rolled back from, up to ``before``."""
    events = ledger.events(CHAMPION_KINDS)
    events = [event for event in events if before is None or event.idx < before]
    return frozenset(
        before.body["config_hash"]
        for before, after in pairwise(events)
        if after.kind == "ROLLBACK" and after.body["config_hash"] != before.body["config_hash"]
    )


def last_good(ledger: WORMLedger) -> Champion | None:
    """Return the latest earlier champion that differs and was never rolled back from."""
    found, bad = champions(ledger), quarantined(ledger)
    for candidate in reversed(found[:-1]):
        if candidate.config_digest not in {found[-1].config_digest, *bad}:
            return candidate
    return None


def sync_champion(state_dir: Path, ledger: WORMLedger) -> Champion | None:
    """Return the champion, after bringing ``champion.json`` up to the ledger.

    Call it at start, and after the entry of a promotion or rollback was appended.

    Raises:
        LedgerInvalid: the pointer is ahead of the ledger, or differs from the entry it names.
        StateError: the pointer cannot be written.
    """
    # The lock keeps an older champion from replacing a newer one.
    with ledger.lock:
        pointer = read_pointer(state_dir)
        history = champions(ledger)
        if pointer and (conflict := find_conflict(pointer, history, ledger.size)):
            raise LedgerInvalid(
                conflict[1],
                hint="Restore the ledger from a copy. If you know that only the pointer is wrong, "
                f"remove {POINTER}; it is made again from the ledger.",
            )
        if history and pointer != history[-1]:
            _replace(state_dir / POINTER, encode(history[-1].model_dump()) + b"\n")
        return history[-1] if history else None


def read_pointer(state_dir: Path) -> Champion | None:
    """Return what ``champion.json`` says, ``None`` if it is missing or cannot be read."""
    try:
        data = read_regular(state_dir / POINTER)
        return Champion.model_validate(parse(data.removesuffix(b"\n")))
    except (OSError, ValueError, RecursionError):
        return None


def find_conflict(pointer: Champion, history: list[Champion], size: int) -> tuple[int, str] | None:
    """Return the entry and the words for what a pointer says and the ledger does not.

    ``None`` if the pointer repeats one of the champions in ``history``, present or former.
    """
    if pointer.idx >= size:
        return size, f"{POINTER} names entry {pointer.idx}, but the ledger has only {size} entries"
    named = next((champion for champion in history if champion.idx == pointer.idx), None)
    if named is None:
        return pointer.idx, f"{POINTER} names entry {pointer.idx}, which made nothing the champion"
    for name in Champion.model_fields:
        if getattr(pointer, name) != getattr(named, name):
            return pointer.idx, f"{POINTER} differs from entry {pointer.idx} in {name}"
    return None


def _champion(event: StoredEntry, previous_run_id: str | None) -> Champion:
    try:
        return Champion(
            idx=event.idx,
            leaf_hash=event.leaf_hash,
            config_digest=event.body["config_hash"],
            run_id=event.body.get("run_id"),
            size=event.idx + 1,
            config=event.body["config"],
            previous_run_id=previous_run_id,
            updated_at=event.ts,
        )
    except (KeyError, ValidationError) as error:
        raise LedgerInvalid(f"entry {event.idx} names no champion: {error}") from error


def _replace(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        try:
            write_new(aside, data, 0o600)
            os.replace(aside, path)  # noqa: PTH105
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        hint = "The state directory must be a writable folder with space left."
        raise StateError(f"{path} cannot be written: {error.strerror}", hint=hint) from error
