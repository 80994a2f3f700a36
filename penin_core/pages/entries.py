"""The ledger itself: whether it verifies, what is signed, its entries, and proofs to take away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penin_core.errors import PeninError, StateError
from penin_core.ledger.checkpoints import CHECKPOINT, read_kept
from penin_core.ledger.merkle import inclusion_proof
from penin_core.ledger.notes import Checkpoint, Note
from penin_core.ledger.proofs import prove

from .checking import Checked
from .markup import Child, Markup, clipped, element, facts, folded, joined, link, note, table, when
from .needs import badge
from .overview import to_run
from .reading import Latest

#: How many entries stand on one page.
ENTRIES = 30


def signed_size(state: Path) -> int:
    """Return how many entries the last signed checkpoint covers; 0 where nothing was signed."""
    kept = read_kept(state).last
    return 0 if kept is None else Checkpoint.parse(kept.text).size


def state_of(state: Path, size: int, said: Markup, found: Checked | None) -> list[Child]:
    """Return what is known about a ledger of ``size`` entries, and its last checkpoint."""
    kept = read_kept(state).last
    covered = 0 if kept is None else Checkpoint.parse(kept.text).size
    pairs: list[tuple[str, Child]] = [
        ("entries", f"{size:,}"),
        ("under a signed checkpoint", f"{covered:,}"),
    ]
    parts: list[Child] = [said, *_sound(found), facts(pairs)]
    if found and found.found:
        parts += [note(clipped(words, 300), kind="warn") for words in found.found.warnings[:5]]
    return [*parts, _checkpoint(kept)]


def _sound(found: Checked | None) -> list[Markup]:
    """Return what still holds where the ledger does not verify."""
    if found is None or found.found is None or found.found.valid:
        return []
    bad = found.found.first_bad
    if bad is None:
        return [note("No single entry is to blame; what is stands above.")]
    at = element("a", f"entry {bad:,}", href=f"/ledger?before={bad + 1}")
    before = f" is the first that fails. The {bad:,} entries before it pass every check; "
    return [note(at, before, "what was written after it is not vouched for.")]


def _checkpoint(kept: Note | None) -> Markup:
    if kept is None:
        return note(f"There is no {CHECKPOINT}: nothing was signed yet.")
    keep = element("a", "Download the checkpoint", href="/ledger/checkpoint")
    told = (
        "Keep it in a place that others control: `penin ledger verify --since FILE` then finds "
        "every later cut or change, also by somebody who has the key."
    )
    return joined(
        [
            element("p", keep, cls="actions"),
            folded("The last signed checkpoint", element("pre", str(kept)), note(told)),
        ]
    )


def entries(ledger: Latest, before: int, covered: int, bad: int | None) -> Markup:
    """Return a table of the entries before one, newest first; what cannot be read is said."""
    rows = [
        _row(ledger, n, covered, bad) for n in range(before - 1, max(-1, before - 1 - ENTRIES), -1)
    ]
    head = ("entry", "kind", "time", "run", "proof", "hash", *(() if bad is None else ("state",)))
    older = None
    if before > ENTRIES:
        older = element(
            "p", element("a", "Older entries", href=f"/ledger?before={before - ENTRIES}")
        )
    return joined([table("Entries, newest first", head, rows, stack=True), older])


def _row(ledger: Latest, idx: int, covered: int, bad: int | None) -> Sequence[Child]:
    proof = link("tlog-proof", "ledger", "proof", str(idx)) if idx < covered else "-"
    state = () if bad is None else (_standing(idx, bad),)
    try:
        entry = ledger.entry(idx)
    except PeninError as error:
        told = note(clipped(str(error), 200), kind="bad")
        return (f"{idx:,}", told, "-", "-", proof, "-", *state)
    run_id = entry.body.get("id" if entry.kind == "RUN" else "run_id")
    shown = to_run(clipped(str(run_id)[-8:]), str(run_id)) if run_id else "-"
    code = element("code", entry.leaf_hash[:16])
    return (f"{idx:,}", entry.kind, when(entry.ts), shown, proof, code, *state)


def _standing(idx: int, bad: int) -> Markup:
    """Return whether an entry can be relied on, as far as the verification got."""
    if idx < bad:
        return badge("sound", "good")
    return badge("fails", "bad") if idx == bad else badge("not vouched for", "warn")


def proof_of(state: Path, ledger: Latest, idx: int) -> str:
    """Return the C2SP tlog-proof of an entry under the last signed checkpoint; nothing is signed.

    Raises:
        StateError: there is no such entry, or no signed checkpoint covers it.
        LedgerInvalid: the entry is not the one that was signed.
    """
    ledger.entry(idx)
    kept = read_kept(state).last
    if kept is None or idx >= (size := Checkpoint.parse(kept.text).size):
        hint = f"`penin ledger proof {idx}` signs what is new first."
        raise StateError(f"entry {idx} is under no signed checkpoint yet", hint=hint)
    path = inclusion_proof(idx, size, ledger.root_over)
    (leaf,) = ledger.leaves(idx, idx + 1)
    return str(prove(idx, leaf, path, kept))
