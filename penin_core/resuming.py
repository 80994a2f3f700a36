"""What a cycle was asked to do, kept while it runs, so that an interrupted one can go on.

The file ``cycle.json`` of the state directory proves nothing and decides nothing: answers that were
paid for are in the response cache, and a confirmation that stands open is in the ledger. It only
says with which seed to find them again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from penin_core.errors import StateError

FILE = "cycle.json"


@dataclass(frozen=True)
class Asked:
    """The options of a cycle that decide what it asks."""

    challengers: int
    seed: int
    dry_run: bool
    profile: str | None
    provider_id: str | None


def keep(state: Path, asked: Asked) -> None:
    """Write down what a cycle that begins was asked to do."""
    aside = state / f".{FILE}-new"
    aside.write_text(json.dumps(asdict(asked)) + "\n", encoding="utf-8")
    aside.replace(state / FILE)


def forget(state: Path) -> None:
    """Say that no cycle is interrupted any more."""
    (state / FILE).unlink(missing_ok=True)


def interrupted(state: Path) -> Asked:
    """Return what the interrupted cycle was asked to do.

    Raises:
        StateError: no cycle was interrupted, or the file is not readable.
    """
    try:
        return _checked(json.loads((state / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StateError(
            "no cycle was interrupted", hint="penin evolve starts the next one"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise StateError(
            f"{state / FILE} cannot be read: {error}",
            hint="remove it; penin evolve --seed N with the seed of the cycle goes on as well",
        ) from error


def _checked(found: object) -> Asked:
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    asked = Asked(**found)
    numbers = (asked.challengers, asked.seed)
    texts = (asked.profile, asked.provider_id)
    if any(type(value) is not int or value < 0 for value in numbers):
        raise ValueError("challengers and seed must be whole numbers")
    if type(asked.dry_run) is not bool or not all(isinstance(t, str | None) for t in texts):
        raise ValueError("a value is of the wrong type")
    return asked
