"""penin status: the champion, the last verdicts, the budget, and how much evidence is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, json_option, printable, table
from .shared import Place, place_options

if TYPE_CHECKING:
    from penin_core.ledger.champion import Champion
    from penin_core.ledger.store import WORMLedger

LAST_CYCLES = 5
_STRENGTH = ("promote", "canary", "rollback", "fail")


@click.command()
@place_options
@json_option
def command(config: Path | None, state_dir: Path | None, as_json: bool) -> None:
    """Show champion, budget, and how much evidence is left.

    Nothing is written, and neither a plugin nor a key is needed.
    """
    from .shared import locate

    emit(gathered(locate(config, state_dir)), as_json, _in_words)


def gathered(place: Place) -> dict[str, Any]:
    """Return all that the state directory and the suite say."""
    from penin_core.ledger.champion import read_pointer
    from penin_core.ledger.store import WORMLedger
    from penin_core.live.standing import standing
    from penin_core.pages.money import spent
    from penin_core.project import parameters

    from .champion import champion_history
    from .shared import LEDGER

    place.check()
    # It is written after its entry: read before, one that moves meanwhile looks like no fault.
    pointer = read_pointer(place.state)
    with WORMLedger(place.state / LEDGER) as ledger:
        history = champion_history(ledger)
        version, values = parameters(ledger)
        return {
            "state_dir": str(place.state),
            "champion": history[-1] if history else None,
            "cycles": _cycles(ledger),
            "budget": spent(place.state, place.settings.budget.daily_usd),
            "evidence": _evidence(place),
            "interrupted": _interrupted(place.state, ledger),
            "live": standing(place.state, ledger),
            "parameters": {"version": version, "values": values},
            "ledger": _verified(place.state, ledger, pointer),
        }


def _verified(state: Path, ledger: WORMLedger, pointer: Champion | None) -> dict[str, Any]:
    """Return whether entries and pointer hold; the files of the runs take long to read."""
    from penin_core.doctor import lost_ledger
    from penin_core.ledger.champion import champions, find_conflict

    found = asdict(ledger.verify())
    lost = lost_ledger(state)
    if found["valid"] and pointer and not lost:
        _, lost = find_conflict(pointer, champions(ledger), ledger.size) or (None, "")
    return found | ({"valid": False, "reason": lost} if lost else {})


def _cycles(ledger: WORMLedger) -> dict[str, Any]:
    """Return how many cycles there were, and the best run of each of the last ones."""
    found = ledger.cycles()
    last = []
    for cycle_id in found[:LAST_CYCLES]:
        runs = ledger.runs(cycle_id=cycle_id)
        best = min((run for run in runs if run["kind"] == "challenger"), key=_order)
        names = ("verdict", "reason", "delta_linf", "dry_run")
        shown = {name: best[name] for name in names}
        met = (run["u_score"] for run in runs if run["kind"] == "baseline")
        shown |= {"utility": best["u_score"], "champion_utility": next(met, None)}
        ts = ledger.entry(best["idx"]).ts
        last.append({"cycle_id": cycle_id, "run_id": best["id"], "at": ts, **shown})
    return {"count": len(found), "last": last}


def _order(run: Mapping[str, Any]) -> tuple[int, int, float]:
    # Among equals, who was asked the most tasks went the furthest.
    return (_STRENGTH.index(run["verdict"]), -(run["n_tasks"] or 0), -(run["linf"] or 0.0))


def _evidence(place: Place) -> dict[str, Any]:
    """Return what is left to prove something with; the reason, where the suite cannot be read."""
    from penin_core.errors import SettingsError
    from penin_core.omega.evidence import campaign_alpha
    from penin_core.plugins import shipped_suites
    from penin_core.suites import MIN_CONFIRM, load_suite

    from .shared import fresh_confirm_tasks

    try:
        found = load_suite(place.settings.suite, place.settings.folder, shipped_suites())
    except SettingsError as error:
        return {"problem": str(error)}
    fresh, earlier = fresh_confirm_tasks(place, found)
    return {
        "suite": found.definition.name,
        "select": len(found.split("select")),
        "confirm": len(found.split("confirm")),
        "fresh": len(fresh),
        "needed": MIN_CONFIRM,
        "per_confirmation": place.settings.evolve.confirm_max,
        "confirmations": earlier,
        "next_alpha": campaign_alpha(earlier + 1),
    }


def _interrupted(state: Path, ledger: WORMLedger) -> dict[str, Any] | None:
    """Return what was begun and not ended: a cycle, and the confirmation that stands open."""
    from penin_core.errors import StateError
    from penin_core.league.campaign import campaign_of
    from penin_core.resuming import interrupted

    standing = campaign_of(ledger).open
    try:
        seed, resumes = interrupted(state).seed, True
    except StateError:
        if standing is None:
            return None
        seed, resumes = standing["answer_seed"], False
    names = ("t", "alpha", "claim", "n_tasks", "finalist")
    shown = None if standing is None else {name: standing[name] for name in names}
    return {"seed": seed, "resumes": resumes, "confirmation": shown}


def _interrupted_in_words(found: Mapping[str, Any] | None) -> Sequence[str]:
    from .wording import lines

    if found is None:
        return []
    command = "--resume" if found["resumes"] else f"--seed {found['seed']}"
    texts = [f"penin evolve {command} goes on with the cycle of seed {found['seed']}"]
    if (standing := found["confirmation"]) is not None:
        texts.insert(
            0,
            f"confirmation {standing['t']} stands open (claim {standing['claim']}, alpha "
            f"{standing['alpha']:.4g}): if it is left behind, its share of the error is lost",
        )
    return lines("open", texts)


def _in_words(data: dict[str, Any]) -> str:
    from penin_core.records import Configuration

    from . import wording
    from .canary import summary
    from .wording import line, lines

    shown = []
    if (now := data["champion"]) is None:
        shown.append(line("champion", "none yet: penin evolve makes the first one"))
    else:
        name = wording.model_name(Configuration.model_validate(now["config"]))
        since = f"since {wording.when(now['since'])} ({now['by']})"
        shown.append(line("champion", f"{name}, run {printable(now['run_id'] or 'none')}, {since}"))
    shown += _evidence_in_words(data["evidence"])
    shown += _interrupted_in_words(data["interrupted"])
    if data["live"]["running"]:
        shown += lines("live", summary(data["live"]))
    shown.append(line("spent", _budget_in_words(data["budget"])))
    values = (f"{name} {value:.4g}" for name, value in sorted(data["parameters"]["values"].items()))
    shown.append(
        line("parameters", f"version {data['parameters']['version']}: {', '.join(values)}")
    )
    shown.append(line("ledger", _ledger_in_words(data["ledger"])))
    return "\n".join([*shown, *_cycles_in_words(data["cycles"])])


def _budget_in_words(found: Mapping[str, Any]) -> str:
    from .wording import usd

    spent, limit, reserved = found["spent_today_usd"], found["daily_usd"], found["reserved_usd"]
    more = f", {usd(reserved)} reserved" if reserved else ""
    text = f"{usd(spent)} today (UTC) of {usd(limit)}{more}"
    return _with_bar(text, (spent + reserved) / limit if limit else None)


def _with_bar(text: str, share: float | None) -> str:
    """Return a line with a bar behind it, where there is room for one."""
    from .charts import bar, room

    return f"{text}  {bar(share, min(20, room(len(text) + 13)))}".rstrip()


def _evidence_in_words(found: Mapping[str, Any]) -> Sequence[str]:
    from .wording import clipped, line, lines

    if "problem" in found:
        return [line("suite", clipped(found["problem"]))]
    texts = [
        _with_bar(
            f"{clipped(found['suite'], 40)}: {found['select']:,} tasks to search on, "
            f"{found['fresh']:,} of {found['confirm']:,} left to confirm on",
            found["fresh"] / found["confirm"] if found["confirm"] else None,
        ),
        f"confirmations so far {found['confirmations']}, the next is held to "
        f"alpha {found['next_alpha']:.4g}",
    ]
    if found["fresh"] < found["needed"]:
        texts.append(f"NOTHING CAN BE PROMOTED below {found['needed']} fresh tasks: add tasks")
    elif found["fresh"] - found["per_confirmation"] < found["needed"]:
        texts.append("the next promotion may use up what is left: add tasks soon")
    return lines("suite", texts)


def _ledger_in_words(found: Mapping[str, Any]) -> str:
    from .wording import clipped

    if not found["valid"]:
        return f"INVALID: {clipped(found['reason'])}; see penin ledger verify"
    if not found["size"]:
        return "nothing was recorded yet"
    return (
        f"{found['size']:,} entries and the pointer are valid, root {found['root'][:16]}...; "
        "penin ledger verify checks the files of the runs, too"
    )


def _cycles_in_words(found: Mapping[str, Any]) -> Sequence[str]:
    from .wording import number, reason, when

    if not found["last"]:
        return []
    rows = [
        (
            when(cycle["at"]),
            cycle["verdict"] + (" (dry run)" if cycle["dry_run"] else ""),
            number(cycle["delta_linf"], sign=True),
            cycle["run_id"],
            reason(cycle["reason"]),
        )
        for cycle in found["last"]
    ]
    head = ("best run of a cycle", "verdict", "ΔL∞", "run", "why")
    count = found["count"]
    title = "one cycle:" if count == 1 else f"{count} cycles, the last ones first:"
    listed = ["", title, table(head, rows)]
    return [*_trend(found["last"]), *listed]


def _trend(last: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the utility of the champion and of the best challenger, cycle by cycle."""
    from .charts import WIDEST, sparkline
    from .wording import lines, number

    names = {"champion_utility": "champion", "utility": "best challenger"}
    paths = {
        words: [found[name] for found in reversed(last) if found[name] is not None]
        for name, words in names.items()
    }
    texts = []
    for words, path in paths.items():
        if len(path) > 1:
            ends = f"from {number(path[0])} to {number(path[-1])}"
            texts.append(f"{sparkline(path, WIDEST, (0.0, 1.0))} {words}, {ends}")
    return lines("utility", texts)
