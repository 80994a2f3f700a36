"""Learning: what a frozen configuration gains from examples in its prompt, and can combine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from pydantic import Field

from penin_core import Completion, ComponentOptions, Evaluator, Example, Task, example_of
from penin_core.omega import metrics

Rows = Sequence[tuple[Task, Sequence[Completion], float]]


class Reuse(Evaluator):
    """Accuracy with solved examples in the prompt: how well the model learns in context.

    Recorded beside it is the headroom gain: the share of what was wrong without the examples that
    they put right, ``headroom_gain`` in [0, 1].
    """

    name = "reuse"
    axis = "L"
    deep = True

    class Options(ComponentOptions):
        """How many examples are shown."""

        shots: int = Field(default=2, ge=1)

    options: Reuse.Options

    def prepare(self, tasks: Sequence[Task], baseline: Mapping[str, float]) -> None:
        """Keep solved tasks of the select split, by tag."""
        self.pool: dict[tuple[str, ...], list[tuple[str, Example]]] = {}
        for task in tasks:
            if (example := example_of(task)) is not None:
                self.pool.setdefault(task.tags, []).append((task.id, example))

    def applies(self, task: Task) -> bool:
        """Say whether there are examples of this kind of task."""
        return (
            task.split != "composed"
            and task.expected is not None
            and len(self.pool.get(task.tags, ())) > self.options.shots
        )

    def variants(self, task: Task, rng: np.random.Generator) -> Sequence[Task]:
        """Return the task with examples of its kind, never itself; and as it is, to compare."""
        pool = [example for task_id, example in self.pool[task.tags] if task_id != task.id]
        chosen = rng.choice(len(pool), size=self.options.shots, replace=False)
        return (task.model_copy(update={"examples": tuple(pool[i] for i in chosen)}), task)

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the utility of the answer with the examples."""
        return completions[0].utility or 0.0

    def details(self, rows: Rows) -> Mapping[str, float]:
        """Return ``headroom_gain``: (acc_k - acc_0) / (1 - acc_0), cut to [0, 1]."""
        if not rows:
            return {}
        before = fmean(completions[1].utility or 0.0 for _, completions, _ in rows)
        after = fmean(score for _, _, score in rows)
        return {"headroom_gain": metrics.learning_gain(before, after)}


class Composition(Evaluator):
    """Accuracy on composed tasks relative to the accuracy on the tasks they are made of."""

    name = "composition"
    axis = "L"
    deep = True

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return the utility of the answer."""
        return completions[0].utility or 0.0

    def aggregate(self, rows: Rows) -> float | None:
        """Return min(1, composed / atomic); None where the suite has no composed tasks."""
        composed = [score for task, _, score in rows if task.split == "composed"]
        atomic = [score for task, _, score in rows if task.split != "composed"]
        if not composed or not atomic:
            return None
        return metrics.composition_score(fmean(composed), fmean(atomic))
