"""How many tasks a second the registered evaluators score, beside one that does nothing.

    python bench/evaluators.py [--answers 2000] [--rounds 5]

Every evaluator scores answers as a battery lets it: ``score`` for each task, then ``aggregate``.
The last column is its time in units of an evaluator that does nothing. The best of the rounds
counts, because noise only adds. The intervals of the gated figures, for 2,000 samples, stand below.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from penin_core import Completion, Evaluator, Task
from penin_core.builtin import evaluators
from penin_core.omega.ethics_metrics import ece_interval, fairness_interval, rho_bias_interval
from penin_core.omega.evidence import betting_confidence_sequence

LABELS = ("billing", "shipping", "returns", "other")
BASELINE = {"cost_usd": 0.002, "latency_ms": 400.0, "tokens": 50.0}
LABELLED = [
    {"question": "q", "answer": f"{good} {n}", "good": good}
    for good in (True, False)
    for n in range(5)
]
OPTIONS: dict[str, dict[str, Any]] = {
    "regex": {"pattern": r"[^{]*"},
    "json_schema": {"rule": {"type": "object", "required": ["name"]}},
    "choice": {"labels": LABELS},
    "block_list": {"terms": ("forbidden", "not allowed")},
    "judge": {"provider": "p", "model": "m", "rubric": "Right.", "labelled": LABELLED},
    "energy": {"wh_per_1k": {"m": {"tokens_out": 3.0}}},
}


def case(kind: str, number: int, chance: random.Random) -> tuple[Task, list[str]]:
    """Return a task of one kind, and answers to it or to forms of it."""
    words = [f"word{chance.randrange(400)}" for _ in range(20)]
    expected: Any = " ".join(words)
    wrong = " ".join(word if chance.random() < 0.5 else "other" for word in words)
    if kind in ("json_schema", "field_f1"):
        expected = {"name": words[0], "date": words[1], "place": words[2]}
        wrong = json.dumps({**expected, "date": words[3]})
    elif kind == "choice":
        expected, wrong = chance.choice(LABELS), f"It is {chance.choice(LABELS)}."
    elif kind == "numeric":
        expected, wrong = str(number), f"So the sum is {number + chance.randrange(2):,}."
    split = "composed" if kind == "composition" and number % 2 else "select"
    task = Task(id=f"t{number}", input=f"Question {number}?", expected=expected, split=split)
    return task, [wrong] * 8 if kind != "judge" else [wrong, "PASS"]


def answer(text: str, chance: random.Random) -> Completion:
    """Return a completed, graded answer."""
    sure = chance.uniform(0.6, 1.0)
    return Completion(
        text=text,
        model="m",
        tokens_in=30,
        tokens_out=20,
        logprobs=(math.log(sure),),
        cost_usd=0.001,
        latency_ms=chance.uniform(100, 900),
        utility=float(chance.random() < sure),
    )


def cases(kind: str, count: int) -> list[tuple[Task, list[Completion]]]:
    """Return tasks and answers for one evaluator."""
    chance, made = random.Random(7), []
    for number in range(count):
        task, texts = case(kind, number, chance)
        made.append((task, [answer(text, chance) for text in texts]))
    if kind == "judge":
        verdicts = [answer("PASS" if row["good"] else "FAIL", chance) for row in LABELLED]
        made = [(task, [*answers, *verdicts]) for task, answers in made]
    return made


class Nothing(Evaluator):
    """Scores every answer with 1, the least that an evaluator can do."""

    name = "nothing"
    axis = "U"

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0."""
        return 1.0


def whole(evaluator: Evaluator, found: list[tuple[Task, list[Completion]]]) -> float | None:
    """Score and aggregate as a battery does."""
    rows = [(task, answers, evaluator.score(task, answers)) for task, answers in found]
    return evaluator.aggregate(rows)


def best(action: Callable[[], object], rounds: int) -> float:
    """Return the shortest time of an action, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def intervals(rounds: int) -> None:
    """Print how long the intervals of the gated figures take."""
    rng = np.random.default_rng(3)
    probs, groups = rng.random(2000).tolist(), rng.integers(0, 4, 2000).tolist()
    labels, predictions = rng.integers(0, 2, (2, 2000)).tolist()
    differences = rng.choice([-1.0, 0.0, 1.0], size=2000, p=[0.05, 0.5, 0.45]).tolist()
    for name, action in {
        "ece_interval": lambda: ece_interval(probs, labels),
        "rho_bias_interval": lambda: rho_bias_interval(predictions, groups),
        "fairness_interval": lambda: fairness_interval(predictions, labels, groups),
        "confidence sequence": lambda: betting_confidence_sequence(differences),
    }.items():
        print(f"{name:20} {best(action, rounds) * 1e3:8.1f} ms")


def main() -> None:
    """Measure every registered evaluator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(f"{'evaluator':20} {'tasks/s':>11} {'x nothing':>10}")
    for kind in evaluators.penin_register_evaluators():
        made = kind(kind.Options(**OPTIONS.get(kind.name, {})))
        found = cases(kind.name, asked.answers)
        made.prepare([task for task, _ in found], BASELINE)
        if kind.name != "judge":
            forms = len(made.variants(found[0][0], np.random.default_rng(0)))
            found = [(task, answers[:forms]) for task, answers in found]
        bare = best(lambda found=found: whole(Nothing(), found), asked.rounds)
        took = best(lambda made=made, found=found: whole(made, found), asked.rounds)
        print(f"{kind.name:20} {asked.answers / took:11,.0f} {took / bare:10.1f}")
    intervals(asked.rounds)


if __name__ == "__main__":
    main()
