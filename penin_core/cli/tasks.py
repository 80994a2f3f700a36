"""penin tasks: look for leaks in a file, write down how it is divided, make one of traffic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import config_option, emit, json_option, printable
from .shared import Duration, place_options

if TYPE_CHECKING:
    from penin_core.live.tasks import Harvest
    from penin_core.settings import Settings
    from penin_core.suites import Suite

    from .shared import Place

FILE = click.Path(path_type=Path, dir_okay=False)
SHOWN = 20
#: Findings because of which a cycle would refuse the suite.
REFUSED = ("leaks", "in_both", "unclustered", "ungraded")


clusters_option = click.option(
    "--clusters",
    metavar="COLUMN",
    help="The column by which tasks belong together.  [default: that of penin.toml for its tasks]",
)


@click.group()
def command() -> None:
    """Check tasks, write down their splits, or make them of traffic."""


@command.command("check")
@click.argument("file", type=FILE)
@click.option(
    "--training",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="What a model was trained on; repeatable.",
)
@clusters_option
@config_option
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    file: Path,
    training: tuple[Path, ...],
    clusters: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Count the tasks of FILE, and name the confirm tasks that were seen before.

    With clusters, those that have tasks of both splits are named too, and tasks that have none;
    where FILE holds the tasks of penin.toml, those that no metric of its suite can grade. The exit
    code is 1 if there is anything of the kind: a cycle would refuse the suite. What may be a
    mistake, such as a misspelt column, is noted and changes no exit code.
    """
    data = checked(file, training, clusters, settings_of(file, config))
    emit(data, as_json, _in_words)
    ctx.exit(1 if any(data[name] for name in REFUSED) else 0)


@command.command("split")
@click.argument("file", type=FILE)
@click.option("--output", type=FILE, required=True, metavar="NEW", help="The file to write.")
@clusters_option
@config_option
def split(file: Path, output: Path, clusters: str | None, config: Path | None) -> None:
    """Write FILE to NEW with the split of every task, so that later additions move none.

    Tasks of one cluster stay in one split.
    """
    from penin_core.projectfiles import write_whole
    from penin_core.suites import read_tasks

    own = settings_of(file, config)
    column = clusters or (own.suite.clusters if own else None)
    splits = {task.id: task.split for task in read_tasks(file, column)}
    # As read_tasks reads it: a mark of the byte order is no part of the first line.
    lines = file.read_text(encoding="utf-8-sig").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    write_whole(output, _rows({**row, "split": splits[row["id"]]} for row in rows), replace=False)


def _rows(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def settings_of(file: Path, config: Path | None) -> Settings | None:
    """Return the settings whose suite has its tasks in FILE, None where they have others."""
    from penin_core.settings import load_settings

    settings = load_settings(config)
    named = settings.suite.tasks
    if named is None or (settings.folder / named).resolve() != file.resolve():
        return None
    return settings


@command.command("from-traffic")
@click.argument("output", type=FILE)
@click.option(
    "--since", type=Duration(), metavar="TIME", help="Only the last so much time: 12h, 7d."
)
@click.option(
    "--min-feedback",
    type=float,
    default=0.5,
    show_default=True,
    metavar="SCORE",
    help="Answers that were rated lower are not what is expected.",
)
@place_options
@json_option
def from_traffic(
    output: Path,
    since: float | None,
    min_feedback: float,
    config: Path | None,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Make tasks of requests that were kept and that users rated well, and write them to OUTPUT.

    What is kept is said by [live] log in penin.toml. A user's requests stand in one split; write
    clusters = "user" into the suite.
    """
    from penin_core.errors import SettingsError
    from penin_core.live.tasks import as_row
    from penin_core.projectfiles import require_place, write_whole

    from .shared import locate

    if not 0.0 <= min_feedback <= 1.0:
        raise SettingsError(
            f"--min-feedback: {min_feedback} does not lie in [0, 1]", hint="write 0.5, say"
        )
    require_place(output, replace=False)
    found = _harvested(locate(config, state_dir), since, min_feedback)
    write_whole(output, _rows(map(as_row, found.tasks)), replace=False)
    counts = Counter(str(task.split) for task in found.tasks)
    data = {
        "written": str(output),
        "tasks": len(found.tasks),
        "splits": dict(sorted(counts.items())),
        "skipped": dict(sorted(found.skipped.items())),
    }
    emit(data, as_json, _harvest_in_words)


def _harvested(place: Place, since: float | None, min_feedback: float) -> Harvest:
    """Return the tasks of a place; raise StateError where nothing was kept."""
    import time

    from penin_core.errors import StateError
    from penin_core.ledger.files import is_file
    from penin_core.live.store import FILE, LiveReader
    from penin_core.live.tasks import harvested

    place.check()
    if is_file(place.state / FILE):
        store = LiveReader(place.state)
        try:
            first = 0.0 if since is None else time.time() - since
            found = harvested(store.traffic(first), min_feedback)
        finally:
            store.close()
        if found.tasks:
            return found
        reasons = ", ".join(f"{count} {why}" for why, count in sorted(found.skipped.items()))
        raise StateError(
            f"no request became a task: {reasons or 'none was kept'}",
            hint="POST /v1/feedback says which answers are good; [live] log keeps requests",
        )
    raise StateError(
        f"no traffic was served from {str(place.state)!r}",
        hint="penin serve serves it; log = true in [live] keeps requests that consent",
    )


def _harvest_in_words(data: dict[str, Any]) -> str:
    from .wording import amount, clipped, line, lines

    splits = ", ".join(f"{count} {name}" for name, count in data["splits"].items())
    skipped = [f"{count:,} {why}" for why, count in data["skipped"].items()]
    return "\n".join(
        [
            line(
                "written", f"{clipped(data['written'])}, {amount(data['tasks'], 'task')}: {splits}"
            ),
            *lines("skipped", skipped or ["none"]),
        ]
    )


def checked(
    file: Path,
    training: tuple[Path, ...],
    clusters: str | None = None,
    own: Settings | None = None,
) -> dict[str, Any]:
    """Return how many tasks each split has, how often questions recur, and what leaks.

    Also the clusters that have tasks ``in_both`` splits, the confirm tasks without a cluster, the
    tasks that no metric of ``own``, the settings of this very file, can grade, and notes on what
    may be a mistake.
    """
    from penin_core.leaks import question_key
    from penin_core.settings import SuiteDefinition
    from penin_core.suites import load_suite, source_of

    from .task_notes import notes

    here, clusters = Path.cwd(), clusters or (own.suite.clusters if own else None)
    definition = SuiteDefinition(
        name=file.stem,
        tasks=str(here / file),
        training=tuple(str(here / t) for t in training),
        clusters=clusters,
    )
    suite = load_suite(definition, here, {})
    questions = Counter(map(question_key, suite.tasks))
    column = clusters or ""
    sources = {
        name: {task.id: source_of(task, column) for task in suite.split(name) if clusters}
        for name in ("select", "confirm")
    }
    both = set(sources["select"].values()) & set(sources["confirm"].values()) - {None}
    return {
        "splits": dict(sorted(Counter(str(task.split) for task in suite.tasks).items())),
        "repeated": sum(count - 1 for count in questions.values()),
        "leaks": [leak._asdict() for leak in suite.leaks()],
        "in_both": sorted(both),
        "unclustered": [task for task, source in sources["confirm"].items() if source is None],
        "ungraded": [] if own is None else _ungraded(file, suite, own),
        "notes": notes(file, suite.tasks, graded=own is not None),
    }


def _ungraded(file: Path, suite: Suite, own: Settings) -> list[dict[str, Any]]:
    """Return the tasks that no metric of a project can grade, and the lines where they stand."""
    from dataclasses import replace

    from penin_core.grading import ungraded
    from penin_core.plugins import Plugins
    from penin_core.project import Project

    from .task_notes import lines_of

    project = Project(own, own.folder, Plugins.of(own), replace(suite, definition=own.suite))
    try:
        found = ungraded(project.suite, project.evaluators())
    finally:
        project.close()
    places = lines_of(file) if found else {}
    return [{"task": task, "line": places[task]} for task in found]


def _in_words(data: dict[str, Any]) -> str:
    from penin_core.grading import REMEDY
    from penin_core.leaks import Leak

    from .wording import amount, line, lines

    shown = [line("tasks", ", ".join(f"{count} {name}" for name, count in data["splits"].items()))]
    shown.append(line("repeated", f"{amount(data['repeated'], 'task')}, by an earlier question"))
    for name, label in (("in_both", "in both"), ("unclustered", "no cluster")):
        if data[name]:
            shown += lines(label, _first([printable(found) for found in data[name]]))
    if data["ungraded"]:
        texts = [f"line {found['line']}: task {found['task']!r}" for found in data["ungraded"]]
        shown += lines("no metric", [*_first([printable(text) for text in texts]), REMEDY])
    found = [printable(str(Leak(**leak))) for leak in data["leaks"]]
    noted = lines("note", _first([printable(text) for text in data["notes"]]))
    return "\n".join([*shown, *lines("leaks", _first(found) or ["none"]), *noted])


def _first(found: list[str]) -> list[str]:
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return [*found[:SHOWN], *more]
