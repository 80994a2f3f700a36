"""penin ledger: verify it, look at its entries, and hand out evidence that others can check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, printable, table
from .shared import place_options

if TYPE_CHECKING:
    from penin_core.ledger.policy import Policy
    from penin_core.ledger.verify import StateVerification

INVALID = 5
SHOWN_WARNINGS = 5


@click.group()
def command() -> None:
    """Verify the ledger, show its entries, or hand out evidence."""


FILE = click.Path(path_type=Path, dir_okay=False)


@command.command("verify")
@click.argument("what", required=False, type=click.Path(path_type=Path))
@click.option("--since", type=FILE, metavar="FILE", help="A checkpoint that was kept elsewhere.")
@click.option("--policy", type=FILE, metavar="FILE", help="Whose signatures have to be there.")
@place_options
@json_option
@click.pass_context
def verify_ledger(
    ctx: click.Context,
    /,
    what: Path | None,
    since: Path | None,
    policy: Path | None,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Check every entry, every row, the checkpoints, the champion and the files of every run.

    WHAT is an exported folder or a .tlog-proof file, to be checked without the ledger; then
    --policy has to be there. The exit code is 5 when anything was changed; the first entry that
    fails is named.
    """
    from penin_core.errors import LedgerInvalid
    from penin_core.ledger.verify import StateVerification

    try:
        if what is None:
            found: Any = _verify_state(config, state_dir, since, policy)
        else:
            found = _verify_handed(what, since, policy)
    except LedgerInvalid as error:
        found = StateVerification(False, 0, "", reason=str(error))
    emit(asdict(found), as_json, _verdict)
    ctx.exit(0 if found.valid else INVALID)


@command.command("show")
@click.option("--last", type=click.IntRange(min=1), default=20, metavar="N", show_default=True)
@place_options
@json_option
def show(last: int, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show the last entries: index, time, kind, run, and what they say."""
    from .shared import locate, open_ledger

    with open_ledger(locate(config, state_dir)) as ledger:
        size = ledger.size
        entries = [ledger.entry(idx) for idx in range(max(0, size - last), size)]
    emit([asdict(entry) for entry in entries], as_json, _entries)


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@place_options
@json_option
def export(folder: Path, config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Sign the ledger and write it to FOLDER: checkpoint, tiles, entries, attestations.

    Static files that other people's software can check, as they are or on a web server. An earlier
    export of this ledger is brought up to date. The entries hold prompts and reasons: look at them
    before you publish them.
    """
    from penin_core.ledger.checkpoints import read_kept
    from penin_core.ledger.export import export_log

    from .shared import locate, open_ledger

    place = locate(config, state_dir)
    with open_ledger(place) as ledger:
        done = export_log(place.state, ledger, folder, owner=place.settings.ledger.owner)
    kept = read_kept(place.state).policy
    logs = [str(key) for key in kept.logs] if kept else []
    emit({**asdict(done), "folder": str(folder), "keys": logs}, as_json, _exported)


@command.command("proof")
@click.argument("which", metavar="RUN_ID|INDEX")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="A new file, instead of stdout.")
@place_options
@json_option
def proof(
    which: str, output: Path | None, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Prove that an entry is in the ledger, offline: the entry, hashes, and a signed checkpoint."""
    from penin_core.errors import StateError
    from penin_core.ledger.export import prove_entry

    from .shared import find_run, locate, open_ledger

    place = locate(config, state_dir)
    with open_ledger(place) as ledger:
        is_index = which.isdecimal() and which.isascii() and len(which) < 8
        idx = int(which) if is_index else int(find_run(ledger, which)["idx"])
        if idx >= ledger.size:
            raise StateError(
                f"the ledger has no entry {idx}: it has {ledger.size}",
                hint="penin ledger show lists the last ones; the first is 0",
            )
        text = str(prove_entry(place.state, ledger, idx, owner=place.settings.ledger.owner))
    if output is not None:
        _write_new(output, text)
    data = {"entry": idx, "file": str(output) if output else None, "proof": text}
    words = text.removesuffix("\n") if output is None else f"entry {idx}: written to {output}"
    emit(data, as_json, lambda _: words)


@command.command("witness")
@click.argument("url")
@click.option("--key", metavar="VKEY", help="The key of a witness that is not known yet.")
@place_options
@json_option
def witness(
    url: str, key: str | None, config: Path | None, state_dir: Path | None, as_json: bool
) -> None:
    """Sign the ledger and have the witness at URL cosign it.

    It gets size and root, no entry. What it has seen it never forgets: a ledger that was cut or
    rewritten is refused, exit code 5.
    """
    from penin_core.ledger.witness import ask_witness

    from .shared import locate, open_ledger

    if key is not None:
        _require_key(key)
    place = locate(config, state_dir)
    with open_ledger(place) as ledger:
        done = ask_witness(place.state, ledger, url, key, owner=place.settings.ledger.owner)
    emit(
        asdict(done),
        as_json,
        lambda data: f"cosigned: {data['size']} entries of {data['origin']} by {data['witness']}",
    )


def _require_key(text: str) -> None:
    from penin_core.errors import SettingsError
    from penin_core.ledger.notes import VerifierKey

    try:
        VerifierKey.parse(text)
    except ValueError as error:
        hint = "who runs the witness hands it out, as one text: name+id+base64"
        raise SettingsError(f"--key: {error}", hint=hint) from error


def _verify_state(
    config: Path | None, state_dir: Path | None, since: Path | None, policy: Path | None
) -> StateVerification:
    from penin_core.ledger.champion import POINTER
    from penin_core.ledger.checkpoints import FOLDER
    from penin_core.ledger.verify import verify

    from .shared import locate, recorded

    place = locate(config, state_dir)
    state = place.state
    # A ledger that is gone leaves these behind, and then it was cut to nothing.
    if not any((state / name).exists() for name in (POINTER, FOLDER)):
        recorded(place)
    return verify(state, since, policy=_policy(policy) if policy else None)


def _verify_handed(what: Path, since: Path | None, policy: Path | None) -> StateVerification:
    from penin_core.errors import StateError
    from penin_core.ledger.export import verify_export, verify_proof
    from penin_core.ledger.verify import Signed, StateVerification

    if not what.exists():
        raise StateError(
            f"{what} does not exist",
            hint="name an exported folder or a proof; without one, the ledger itself is verified",
        )
    if policy is None or since is not None:
        raise click.UsageError(f"{what} is checked with --policy FILE, and without --since")
    check = verify_export if what.is_dir() else verify_proof
    found = check(what, _policy(policy))
    size, origin = found.checkpoint.size, found.checkpoint.origin
    signed = Signed(size, origin, found.logs, found.witnesses)
    return StateVerification(True, size, found.checkpoint.root.hex(), signed=signed)


def _policy(path: Path) -> Policy:
    from penin_core.errors import StateError
    from penin_core.ledger.policy import parse_policy

    try:
        return parse_policy(path.read_bytes())
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        hint = "A policy begins as ledger/policy.txt of the state directory."
        raise StateError(f"{path}: {error}", hint=hint) from error


def _write_new(path: Path, text: str) -> None:
    from penin_core.errors import StateError
    from penin_core.ledger.files import write_new

    try:
        write_new(path, text.encode(), 0o644)
    except FileExistsError as error:
        raise StateError(f"{path} exists", hint="Nothing is overwritten.") from error
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error


def _verdict(found: dict[str, Any]) -> str:
    from .wording import amount, clipped

    if not found["valid"]:
        place = "" if found["first_bad"] is None else f" at entry {found['first_bad']}"
        return f"INVALID{place}: {clipped(found['reason'], 400)}"
    shown = [f"valid: {found['size']} entries, root {found['root']}", _vouched(found)]
    if found["since"] is not None:
        shown.append(f"extends the checkpoint of {found['since']} entries")
    shown += [f"warning: {clipped(text, 200)}" for text in found["warnings"][:SHOWN_WARNINGS]]
    more = len(found["warnings"]) - SHOWN_WARNINGS
    return "\n".join(shown + ([f"and {amount(more, 'more warning')}"] if more > 0 else []))


def _vouched(found: dict[str, Any]) -> str:
    signed = found["signed"]
    if signed is None:
        return "unsigned: keep size and root in a place that others control"
    much = "all" if signed["size"] == found["size"] else f"the first {signed['size']}"
    cosigned = "".join(f", cosigned by {printable(name)}" for name in signed["witnesses"])
    return f"signed: {much} entries, by {printable(', '.join(signed['keys']))}{cosigned}"


def _exported(done: dict[str, Any]) -> str:
    lines = [
        f"exported: {done['size']} entries of {done['origin']} to {done['folder']}",
        f"files: {done['files']}, of which {done['written']} are new; "
        f"attestations: {done['attestations']}",
    ]
    lines += [f"key, to be handed out in another way: {key}" for key in done["keys"]]
    return "\n".join(lines + ([f"warning: {done['reason']}"] if done["reason"] else []))


def _entries(entries: list[dict[str, Any]]) -> str:
    from .wording import clipped, when

    rows = []
    for entry in entries:
        body = entry["body"]
        says = body.get("reason") or body.get("claim") or ""
        run_id = body.get("id") or body.get("run_id")
        rows.append(
            (str(entry["idx"]), when(entry["ts"]), entry["kind"], run_id, clipped(says, 80))
        )
    return table(("entry", "time", "kind", "run", "what"), rows)
