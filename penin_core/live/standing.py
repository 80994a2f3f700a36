"""How an experiment stands, as the files say: for who does not serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penin_core.ledger.files import is_file
from penin_core.ledger.store import WORMLedger

from .experiment import running
from .status import described
from .store import FILE, LiveReader
from .trial import Trial


def standing_trial(state: Path, ledger: WORMLedger) -> Trial | None:
    """Return the experiment that runs, as far as it was written down; None without one.

    Raises:
        StateError, LedgerInvalid: the files cannot be read.
    """
    found = running(ledger)
    if found is None:
        return None
    trial = Trial(found.experiment, step=found.step)
    if not is_file(state / FILE):
        return trial
    store = LiveReader(state)
    try:
        stored = store.trial(found.experiment.id)
    finally:
        store.close()
    return trial if stored is None else Trial.from_state(found.experiment, stored[0])


def standing(state: Path, ledger: WORMLedger) -> dict[str, Any]:
    """Return how the experiment stands; ``running`` is False without one.

    Raises: as ``standing_trial``.
    """
    return described(standing_trial(state, ledger))
