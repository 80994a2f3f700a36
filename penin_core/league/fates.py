"""What becomes of champions, and what the tuner makes of it: its own state, in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from penin_core.ledger.champion import Champion
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import OnlineTuner

Fate = Literal["promoted", "rolled_back"]


def restored(ledger: WORMLedger, params: Mapping[str, float]) -> OnlineTuner:
    """Return the tuner as the last TUNE entry left it, or a new one that starts at ``params``."""
    entries = ledger.events("TUNE")
    return OnlineTuner.from_state(entries[-1].body["state"]) if entries else OnlineTuner(params)


def fate_entries(
    ledger: WORMLedger, champion: Champion | None, fate: Fate
) -> list[tuple[str, dict[str, Any]]]:
    """Return the TUNE entry that says what the fate of ``champion`` teaches the tuner, if anything.

    ``promoted`` is one that stood until the next was promoted, ``rolled_back`` one that was taken
    back. The parameters under which it was promoted answer for it; those that answer for three
    rollbacks in a row are frozen. Who was forced into office says nothing about them, and who
    stands again after a rollback has been counted already.
    """
    if champion is None or champion.run_id is None or not (steps := ledger.events("TUNE")):
        return []
    version = ledger.run(champion.run_id)["param_version"]
    if version is None:
        # Nobody knows which parameters answer for it.
        return []
    again = fate == "promoted" and ledger.entry(champion.idx).kind == "ROLLBACK"
    forced = any(e.body["run_id"] == champion.run_id for e in ledger.events("OVERRIDE"))
    tuner = restored(ledger, {})
    before = tuner.export_state()
    frozen = tuner.note_outcome(fate, min(version, tuner.version))
    if again or forced or tuner.export_state() == before:
        return []
    body = {
        "param_version": steps[-1].body["param_version"],
        "params": tuner.get_params(),
        "outcome": {"run_id": champion.run_id, "fate": fate, "param_version": version},
        "frozen": list(frozen),
        "state": tuner.export_state(),
    }
    return [("TUNE", body)]
