"""penin tasks: look for leaks in a file of tasks, and write down how it is divided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .output import emit, json_option, printable

FILE = click.Path(path_type=Path, dir_okay=False)
SHOWN = 20


@click.group()
def command() -> None:
    """Check a file of tasks, or write down its splits."""


@command.command("check")
@click.argument("file", type=FILE)
@click.option(
    "--training",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="What a model was trained on; repeatable.",
)
@json_option
@click.pass_context
def check(ctx: click.Context, file: Path, training: tuple[Path, ...], as_json: bool) -> None:
    """Count the tasks of FILE, and name the confirm tasks that were seen before.

    The exit code is 1 if there are any: a cycle would refuse the suite.
    """
    data = checked(file, training)
    emit(data, as_json, _in_words)
    ctx.exit(1 if data["leaks"] else 0)


@command.command("split")
@click.argument("file", type=FILE)
@click.option("--output", type=FILE, required=True, metavar="NEW", help="The file to write.")
def split(file: Path, output: Path) -> None:
    """Write FILE to NEW with the split of every task, so that later additions move none."""
    from penin_core.projectfiles import write_whole
    from penin_core.suites import read_tasks

    splits = {task.id: task.split for task in read_tasks(file)}
    lines = file.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    text = "".join(
        json.dumps({**row, "split": splits[row["id"]]}, ensure_ascii=False) + "\n" for row in rows
    )
    write_whole(output, text, replace=False)


def checked(file: Path, training: tuple[Path, ...]) -> dict[str, Any]:
    """Return how many tasks each split has, how often questions recur, and what leaks."""
    from collections import Counter

    from penin_core.leaks import question_key
    from penin_core.settings import SuiteDefinition
    from penin_core.suites import load_suite

    here = Path.cwd()
    definition = SuiteDefinition(
        name=file.stem, tasks=str(here / file), training=tuple(str(here / t) for t in training)
    )
    suite = load_suite(definition, here, {})
    questions = Counter(map(question_key, suite.tasks))
    return {
        "splits": dict(sorted(Counter(str(task.split) for task in suite.tasks).items())),
        "repeated": sum(count - 1 for count in questions.values()),
        "leaks": [leak._asdict() for leak in suite.leaks()],
    }


def _in_words(data: dict[str, Any]) -> str:
    from .wording import amount, line, lines

    shown = [line("tasks", ", ".join(f"{count} {name}" for name, count in data["splits"].items()))]
    shown.append(line("repeated", f"{amount(data['repeated'], 'task')}, by an earlier question"))
    found = [
        f"{printable(leak['task'])} ~ {printable(leak['seen'])}, {leak['overlap']:.0%} of 5-grams"
        for leak in data["leaks"]
    ]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join([*shown, *lines("leaks", [*found[:SHOWN], *more] or ["none"])])
