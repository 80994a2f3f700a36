"""Training data out of the ledger: the best answers that runs gave and their evaluators scored.

Only tasks that are not kept for proof are used, so that a model trained on them can still be
confirmed, and none of the special splits, which measure how it does on what nobody taught it. Every
row says from which run it comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from penin_core.errors import EvaluationFailed
from penin_core.league.campaign import campaign_of, fresh_tasks
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.store import WORMLedger
from penin_core.measuring import SPECIAL_SPLITS
from penin_core.records import Task
from penin_core.suites import Suite

_ANSWERS = "responses.jsonl"


def answered_rows(
    state: Path, ledger: WORMLedger, suite: Suite, least: float = 1.0
) -> list[dict[str, Any]]:
    """Return one row for each task that was answered well enough, as ``finetune start`` takes it.

    Of several answers the one with the highest utility counts, of equal ones that of a champion or
    of a candidate that was promoted, then the newest. Answers below ``least`` and harmful ones do
    not count, nor do tasks whose ``consent`` is false.

    Raises:
        ValueError: ``least`` does not lie in [0, 1].
        EvaluationFailed: there is none.
        LedgerInvalid, StateError: a run's files are not those that were recorded.
    """
    if not 0.0 <= least <= 1.0:
        raise ValueError(f"least = {least} does not lie in [0, 1]")
    kept = {task.id for task in fresh_tasks(suite, campaign_of(ledger))}
    kept |= {task.id for task in suite.tasks if task.split in SPECIAL_SPLITS}
    tasks = {t.id: t for t in suite.tasks if t.id not in kept and t.consent is not False}
    best: dict[str, tuple[tuple[float, bool], dict[str, Any]]] = {}
    for run in ledger.runs():
        if run["dry_run"]:
            continue
        proven = run["verdict"] == "promote" or run["kind"] == "baseline"
        for answer in _answers(state, run):
            utility = answer["utility"]
            if answer["task"] not in tasks or not answer["text"]:
                continue
            if utility is None or utility < least or answer["harmful"]:
                continue
            rank = (utility, proven)
            if answer["task"] not in best or rank > best[answer["task"]][0]:
                best[answer["task"]] = rank, _row(tasks[answer["task"]], answer, run)
    if not best:
        raise EvaluationFailed(
            f"no recorded answer has a utility of at least {least:g} on a task that is not kept "
            "for proof",
            hint="run penin evolve first, or lower --least",
        )
    return [best[task][1] for task in sorted(best)]


def _answers(state: Path, run: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    files = read_run(state, run["id"], run["manifest_sha256"])
    for line in files[_ANSWERS].decode().splitlines():
        yield json.loads(line)


def _row(task: Task, answer: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    given = {
        "system": task.system,
        "messages": [message.model_dump() for message in task.messages],
        "consent": task.consent,
        "license": task.license,
        **task.fields,
    }
    lineage = {
        "task": task.id,
        "run": run["id"],
        "config": run["candidate_cfg_hash"],
        "utility": answer["utility"],
    }
    stated = {name: value for name, value in given.items() if value not in (None, "", [])}
    row = {"id": task.id, "input": task.input, "expected": answer["text"]}
    return {**row, **stated, "lineage": lineage}
