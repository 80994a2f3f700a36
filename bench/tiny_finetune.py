"""What fine-tuning the embedded model gains and costs, on real messages of restaurant guests.

FILE holds one JSON object a line, made from the training part of RESTAURANTS-8K (Coope et al. 2020,
arXiv 2005.08866; CC BY 4.0): ``input`` the message, ``expected`` its slots, ``requested`` the slots
that the asker had named. For every number of rows (512 and 2,049 unless said otherwise) a model is
trained with the defaults on that many rows, those held back for validation included, and measured
at T = 0 and T = 1 on rows that it never saw: micro F1 of slots, spans compared strictly. Goals at
T = 0: F1 .82 after 512 rows within 3 minutes, .87 after 2,049 within 10, more than the base after
any other number, the tasks of the suite ``basic`` worse by at most 3 points, and at most 200 MB for
the process that trains, which does nothing else. Run::

    python bench/tiny_finetune.py FILE SEED [ROWS ...]
"""

from __future__ import annotations

import json
import math
import random
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from penin_core import Completion, Message, Request, TrainingExample, TrainingJob
from penin_core.builtin.suites import SHIPPED
from penin_core.omega.ethics_metrics import expected_calibration_error
from penin_tiny.finetuner import TinyFineTuner, TinyHyperparams
from penin_tiny.provider import TinyProvider

SLOTS = ("people", "time", "date", "first_name", "last_name")
INSTRUCTION = (
    f"Extract {', '.join(SLOTS[:-1])} and {SLOTS[-1]} from the message as JSON. "
    "Only the slots that occur."
)
#: Rows to train on -> (least F1, most seconds).
GOALS = {512: (0.82, 180.0), 2049: (0.87, 600.0)}
FORGOTTEN = 0.03
MEMORY = 200
#: Rows and tasks that are measured on.
UNSEEN, BASIC = 1500, 560


def text_of(row: dict[str, Any]) -> str:
    """Return the message, with what the guest had been asked for."""
    asked = ", ".join(dict.fromkeys(row["requested"]))
    return f"(asked: {asked}) {row['input']}" if asked else str(row["input"])


def answer_of(expected: dict[str, str]) -> str:
    """Return the slots as the model writes them."""
    return json.dumps({k: expected[k] for k in SLOTS if k in expected}, ensure_ascii=False)


def answers(
    system_and_text: Sequence[tuple[str, str]], adapter: str | None, temperature: float = 0.0
) -> list[Completion]:
    """Ask the base or a tuned model; the same draws every time."""
    requests = [
        Request(
            provider="tiny",
            model="tiny-5",
            system=system,
            messages=(Message(role="user", content=text),),
            temperature=temperature,
            seed=1,
            max_tokens=96,
            logprobs=True,
            adapter=adapter,
        )
        for system, text in system_and_text
    ]
    found = TinyProvider().generate(requests)
    return [item for item in found if isinstance(item, Completion)]


def slots(text: str) -> dict[str, str]:
    """Read an answer; nothing where it is not a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def slot_f1(
    rows: Sequence[dict[str, Any]], adapter: str | None, temperature: float = 0.0
) -> tuple[float, float]:
    """Return micro F1 and the expected calibration error of whole answers."""
    found = answers([(INSTRUCTION, text_of(row)) for row in rows], adapter, temperature)
    wanted = [row["expected"] for row in rows]
    pairs = [(slots(item.text), other) for item, other in zip(found, wanted, strict=True)]
    right = sum(len(one.items() & other.items()) for one, other in pairs)
    total = sum(len(one) + len(other) for one, other in pairs)
    sure = [math.exp(math.fsum(item.logprobs or ())) for item in found]
    hits = [one == other for one, other in pairs]
    return 2 * right / total, expected_calibration_error(sure, hits).ece


def basic_accuracy(adapter: str | None) -> float:
    """Return the exact match on tasks of a seed that neither suite nor replay uses."""
    tasks = SHIPPED["basic"](4711, BASIC, 0, 0, 0)
    found = answers([(task["system"], task["input"]) for task in tasks], adapter)
    wanted = [
        task["expected"] if isinstance(task["expected"], str) else answer_of_task(task["expected"])
        for task in tasks
    ]
    return sum(a.text == b for a, b in zip(found, wanted, strict=True)) / len(tasks)


def answer_of_task(expected: dict[str, Any]) -> str:
    """Return the object as the model writes it."""
    return json.dumps(expected, ensure_ascii=False)


def measure(
    rows: Sequence[dict[str, Any]],
    unseen: Sequence[dict[str, Any]],
    base: tuple[float, float],
    seed: int,
) -> bool:
    """Train on ``rows``, print what came of it, and say whether the goals are met.

    ``base`` is what the base reaches: F1 at T = 0 and the accuracy on ``basic``.
    """
    examples = tuple(
        TrainingExample(
            system=INSTRUCTION,
            messages=(Message(role="user", content=text_of(row)),),
            answer=answer_of(row["expected"]),
        )
        for row in rows
    )
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            figures, wall, cpu, peak = alone.submit(train, examples, folder, seed).result()
        f1, ece = slot_f1(unseen, folder)
        sampled, _ = slot_f1(unseen, folder, 1.0)
        basic = basic_accuracy(folder)
    least, most = GOALS.get(len(rows), (base[0], math.inf))
    print(
        f"{len(rows):5} rows: F1 {f1:.3f} (goal {least:.3f}), at T = 1 {sampled:.3f}, "
        f"ECE {ece:.3f}, basic {basic:.3f}; {wall:.0f} s (goal {most:.0f}), "
        f"{cpu:.0f} s of processor time, {figures['epochs']:.0f} epochs, "
        f"temperature {figures['temperature']:.2f}, {peak:.0f} MB (goal {MEMORY})",
        flush=True,
    )
    kept = base[1] - basic <= FORGOTTEN
    return f1 >= least and wall <= most and kept and peak <= MEMORY


def train(
    examples: tuple[TrainingExample, ...], folder: str, seed: int
) -> tuple[Mapping[str, float], float, float, float]:
    """Train with the defaults; return figures, seconds, processor seconds and most megabytes."""
    job = TrainingJob(
        model="tiny-5",
        train=examples,
        hyperparams=TinyHyperparams().model_dump(),
        folder=Path(folder),
        seed=seed,
    )
    began, busy = time.perf_counter(), time.process_time()
    figures = TinyFineTuner().train(job, lambda _: None).figures
    wall, cpu = time.perf_counter() - began, time.process_time() - busy
    return figures, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(path: str, seed: str = "0", *counts: str) -> int:
    """Measure; exit code 1 where a goal is missed."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    random.Random(123).shuffle(rows)
    unseen, pool = rows[:UNSEEN], rows[4500:]
    basic = basic_accuracy(None)
    f1, ece = slot_f1(unseen, None)
    sampled, _ = slot_f1(unseen, None, 1.0)
    print(
        f"    0 rows: F1 {f1:.3f}, at T = 1 {sampled:.3f}, ECE {ece:.3f}, basic {basic:.3f}",
        flush=True,
    )
    sizes = [int(count) for count in counts] or list(GOALS)
    met = [measure(pool[:size], unseen, (f1, basic), int(seed)) for size in sizes]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
