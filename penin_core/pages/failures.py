"""What is shown where something cannot be: what is wrong, and what to do; the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penin_core.errors import LedgerInvalid, PeninError, StateError
from penin_core.ledger.champion import read_pointer
from penin_core.records import Configuration

from . import difference
from .markup import Markup, clipped, element, joined, link, note, section

#: What reading an entry raises that another version wrote, or nobody's.
_ODD = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
FAILURES = (PeninError, OSError, *_ODD)


def explained(error: Exception) -> PeninError:
    """Return one of ``FAILURES`` as an error that says what happened and what to do."""
    if isinstance(error, PeninError):
        return error
    if isinstance(error, OSError):
        told = f"{error.filename or 'a file'} cannot be read: {error.strerror}"
        return StateError(told, hint="Who serves the pages must be allowed to read it.")
    what = f"{type(error).__name__}: {error}"
    told = f"An entry or a file is not what this version writes ({what})"
    return LedgerInvalid(told, hint="`penin ledger verify` checks all of it.")


def sound(title: str, make: Callable[[], Markup]) -> Markup:
    """Return a section, or the section that says why it cannot be shown."""
    try:
        return make()
    except FAILURES as error:
        return failed(title, explained(error))


def failed(title: str, error: PeninError) -> Markup:
    """Return a section that says what is wrong."""
    hint = element("p", clipped(error.hint)) if error.hint else None
    return section(title, note(clipped(str(error)), kind="bad"), hint)


def instead(title: str, error: PeninError, *more: Markup) -> Markup:
    """Return a page that says what is wrong, and leads on."""
    on = element("p", link("All runs", "runs"))
    return joined([element("h1", title), failed("This cannot be shown", error), *more, on])


def by_pointer(state: Path) -> Markup:
    """Return what the pointer beside a ledger that cannot be read says of the champion."""

    def made() -> Markup:
        found = read_pointer(state)
        if found is None:
            return section("Champion", note("champion.json cannot be read either.", kind="warn"))
        config = Configuration.model_validate(found.config)
        warning = note("Not from the ledger: this is what champion.json says.", kind="warn")
        shown = difference.configurations(None, config, ("", "what runs now"))
        return section("Champion", warning, shown)

    return sound("Champion", made)
