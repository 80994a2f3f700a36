"""Move the champion by hand, and say from what to what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import emit, printable

if TYPE_CHECKING:
    from penin_core.league.promotion import LeagueOrchestrator
    from penin_core.ledger.champion import Champion
    from penin_core.ledger.store import WORMLedger

    from .shared import Place


def moved(
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
    move: Callable[[LeagueOrchestrator], Champion],
) -> None:
    """Carry out ``move`` while no cycle runs, and print the champion before and after it.

    Raises:
        StateError: nothing was recorded yet, or a cycle uses the state directory.
        PromotionRefused: see ``LeagueOrchestrator.promote``.
    """
    from penin_core.ledger.champion import current_champion
    from penin_core.state import exclusive

    from .shared import locate, open_ledger, recorded

    place = recorded(locate(config, state_dir))
    with exclusive(place.state), open_ledger(place) as ledger:
        before = current_champion(ledger)
        after = move(league_of(place, ledger))
    data = {
        "before": None if before is None else before.model_dump(mode="json"),
        "champion": after.model_dump(mode="json"),
    }
    emit(data, as_json, _in_words)


def league_of(place: Place, ledger: WORMLedger) -> LeagueOrchestrator:
    """Return the orchestrator of a place; it says in the ledger that no plugin was loaded.

    To take a champion back needs no plugin, so a broken one cannot prevent it.
    """
    from contextlib import suppress

    from penin_core import __version__
    from penin_core.errors import PeninError
    from penin_core.league.promotion import LeagueOrchestrator
    from penin_core.locking import read_lock

    loaded: dict[str, Any] = {"core": __version__, "plugins": [], "lock": None}
    with suppress(PeninError):
        lock = read_lock(place.settings.folder)
        loaded["lock"] = None if lock is None else lock.digest()
    owner = place.settings.ledger.owner
    return LeagueOrchestrator(place.state, ledger, owner=owner, loaded=loaded)


def _in_words(data: dict[str, Any]) -> str:
    from penin_core.records import Configuration

    from . import wording
    from .wording import line, lines

    old, new = (Configuration.model_validate(data[name]["config"]) for name in data)
    ids = [printable(data[name]["run_id"] or "none") for name in data]
    return "\n".join(
        [
            line("before", f"{wording.model_name(old)}, run {ids[0]}"),
            line("now", f"{wording.model_name(new)}, run {ids[1]}"),
            *lines("", wording.difference(old, new) or ["the same configuration"]),
            line("recorded", f"entry {data['champion']['idx']} of the ledger"),
        ]
    )
