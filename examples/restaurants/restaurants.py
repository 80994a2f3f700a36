"""The whole story on real messages: start, search, fine-tune, prove, promote, roll back.

    python examples/restaurants/restaurants.py restaurants8k.train.jsonl story [SIZE ...]

The first argument is a file of RESTAURANTS-8K rows (Coope et al. 2020, ACL,
DOI 10.18653/v1/2020.acl-main.11; CC BY 4.0), one JSON object a line: ``input``, ``expected`` slots,
``requested`` slots. The second is a new folder for the project. Every step is an ordinary command
of penin, printed before it runs; at the end stands a table.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penin_core import Configuration, Measurement, Task
from penin_core.leaks import find_leaks, question_key
from penin_core.project import open_project
from penin_core.runners import evaluate
from penin_core.settings import load_settings

SIZES = (64, 256, 512, 2049)
SELECT, CONFIRM, TEST = 400, 3000, 1000
SLOTS = ("people", "time", "date", "first_name", "last_name")
SYSTEM = (
    f"Extract {', '.join(SLOTS[:-1])} and {SLOTS[-1]} from the message as JSON. "
    "Only the slots that occur."
)
RIGHTS = ("--consent", "published for research by its authors", "--license", "CC BY 4.0")
TEST_SUITE = """name = "untouched"
tasks = "test.jsonl"
axes = ["U"]
metrics = ["exact_match", "field_f1"]
evaluators = []
groups = "not_applicable"
consent = "not_applicable"
calibration = "not_applicable"

[reasons]
groups = "the data have none"
consent = "published by its authors"
calibration = "only utility is measured here"
"""

Row = dict[str, Any]


def main(rows_file: str, folder: str, *sizes: str) -> None:
    """Walk the story in ``folder`` and print its table."""
    chosen = [int(size) for size in sizes] or list(SIZES)
    place = Path(folder)
    rows = read_rows(Path(rows_file))
    place.mkdir(parents=True)
    write_files(place, rows, chosen)
    os.chdir(place)
    start = ("--provider", "tiny", "--model", "tiny-5", "--temperature", "1")
    penin("init", "--tasks", "tasks.jsonl", "--system", SYSTEM, *start, "--max-tokens", "80")
    table = [line("as it starts", None, None)]
    report = penin("evolve")
    table.append(line("after a search", None, report))
    for size in chosen:
        begun = time.monotonic()
        job = penin("finetune", "start", "--train", f"train-{size}.jsonl", *RIGHTS)
        seconds = time.monotonic() - begun
        report = penin("evolve", "--n", "4")
        table.append(line(f"{size:,} rows, {seconds:.0f} s", job, report))
    penin("rollback")
    table.append(line("rolled back", None, None))
    penin("ledger", "verify")
    penin("finetune", "list")
    print("\n" + "\n".join(table))


def read_rows(path: Path) -> list[Row]:
    """Return the rows in a seeded order, their slots in the order of the instruction.

    What the guest had been asked for stands before the message: "6 a.m." alone says little.
    """
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        asked = ", ".join(dict.fromkeys(row.get("requested", ())))
        row["input"] = f"(asked: {asked}) {row['input']}" if asked else row["input"]
        row["expected"] = {name: row["expected"][name] for name in SLOTS if name in row["expected"]}
    random.Random(0).shuffle(rows)
    return rows


def write_files(place: Path, rows: Sequence[Row], sizes: Sequence[int]) -> None:
    """Write what is trained on, what is searched and proved on, and what stays untouched.

    The untouched rows are the first, as they come. Of the others, those are left out that answer
    the same message in two ways. The smaller training files are the beginnings of the larger ones.
    No row that proves something is equal or nearly equal to one that was seen.
    """
    test, rest = rows[:TEST], consistent(rows[TEST:])
    train, rest = rest[: max(sizes)], rest[max(sizes) :]
    select, rest = rest[:SELECT], rest[SELECT:]
    confirm = unseen(rest, [*train, *select])[:CONFIRM]
    for size in sizes:
        write(place / f"train-{size}.jsonl", train[:size])
    write(place / "tasks.jsonl", [*split(select, "select"), *split(confirm, "confirm")])
    write(place / "test.jsonl", split(test, "select"))
    (place / "test.toml").write_text(TEST_SUITE, encoding="utf-8")


def consistent(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose message has the same slots wherever it occurs."""
    answers: dict[str, Any] = {}
    disputed = {
        row["input"]
        for row in rows
        if answers.setdefault(row["input"], row["expected"]) != row["expected"]
    }
    return [row for row in rows if row["input"] not in disputed]


def unseen(rows: Sequence[Row], seen: Iterable[Row]) -> list[Row]:
    """Return the rows that do not stand among ``seen``, nor nearly so."""
    tasks = [Task(id=row["id"], input=row["input"]) for row in rows]
    texts = [(row["id"], question_key(Task(id=row["id"], input=row["input"]))) for row in seen]
    leaking = {leak.task for leak in find_leaks(tasks, texts)}
    return [row for row in rows if row["id"] not in leaking]


def split(rows: Sequence[Row], name: str) -> list[Row]:
    """Return tasks of one split."""
    return [
        {"id": r["id"], "input": r["input"], "expected": r["expected"], "split": name} for r in rows
    ]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write JSON Lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def penin(*args: str) -> Any:
    """Run one command of penin, show it, and return its data."""
    print("\n$ penin " + " ".join(f'"{a}"' if " " in a else a for a in args), flush=True)
    command = [sys.executable, "-c", "from penin_core.cli import main; main()", *args, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"penin {args[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def line(what: str, job: Mapping[str, Any] | None, report: Mapping[str, Any] | None) -> str:
    """Return one line of the table: a configuration, measured on the untouched rows."""
    config = running()
    if job is not None:
        config = config.model_copy(update={"adapter": job["tuned"]})
    hot, cold = measure(config), measure(config.model_copy(update={"temperature": 0.0}))
    verdict = "" if report is None else f"{report['verdict']}: {report['reason']}"
    figures = f"slot F1 {slot_f1(hot):.3f}, at temperature 0 {slot_f1(cold):.3f}"
    text = f"{what:<22} {figures}, exact {exact(hot):.3f} and {exact(cold):.3f}  {verdict}"
    print(text, flush=True)
    return text


def running() -> Configuration:
    """Return what runs: the champion, before the first cycle what penin.toml says."""
    if Path(".penin/ledger.db").exists():
        return Configuration.model_validate(penin("champion")["champion"]["config"])
    return load_settings().champion


def measure(config: Configuration) -> Measurement:
    """Ask the untouched rows, with the project's own engine and cache."""
    project = open_project(suite="test.toml")
    try:
        return asyncio.run(evaluate(project, config, count=TEST))
    finally:
        project.close()


def exact(measured: Measurement) -> float:
    """Return the share of rows with all slots right."""
    return sum(row.utility == 1.0 for row in measured.rows) / len(measured.rows)


def slot_f1(measured: Measurement) -> float:
    """Return the micro F1 of single slots: slot and span must be equal."""
    rows = map(json.loads, Path("test.jsonl").read_text(encoding="utf-8").splitlines())
    expected = {row["id"]: row["expected"] for row in rows}
    right = found = wanted = 0
    for row in measured.rows:
        slots, truth = read(row.text or ""), expected[row.task]
        right += len(slots.items() & truth.items())
        found, wanted = found + len(slots), wanted + len(truth)
    return 2 * right / (found + wanted) if found + wanted else 1.0


def read(text: str) -> dict[str, str]:
    """Return the slots of an answer; none where it is no JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else {}


if __name__ == "__main__":
    main(*sys.argv[1:])
