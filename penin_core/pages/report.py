"""One run as one file: no other file, nothing to load, nothing that runs."""

from __future__ import annotations

from pathlib import Path

from penin_core.ledger.checkpoints import read_kept
from penin_core.ledger.store import WORMLedger

from .checking import checked
from .markup import Child, element, section
from .reading import read, rival
from .run import sections
from .shell import alone


def report(state: Path, ledger: WORMLedger, run_id: str) -> str:
    """Return the page of a run, complete in itself, with the state of the ledger below it.

    Raises:
        StateError: there is no such run.
        LedgerInvalid: an entry that it rests on cannot be read.
    """
    run = read(state, ledger, ledger.run(run_id))
    shown: list[Child] = [*sections(run, rival(state, ledger, run), lambda label, run_id: run_id)]
    kept = read_kept(state).last
    signed = element("p", "Nothing was signed yet.") if kept is None else element("pre", str(kept))
    shown.append(section("The ledger when this was written", checked(state).said(), signed))
    return alone(f"Run {run.id}", *shown)
