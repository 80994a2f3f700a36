"""Few-shot examples, from the select split alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from penin_core import Candidate, ComponentOptions, Example, Mutator, Task, example_of


class FewShot(Mutator):
    """Solved tasks of the select split in the prompt."""

    name = "few_shot"

    class Options(ComponentOptions):
        """At most so many examples for every kind of task."""

        shots: int = Field(default=3, ge=1, le=32)

    options: FewShot.Options

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Keep the solved tasks, by tag."""
        self.pool: dict[tuple[str, ...], list[Example]] = {}
        for task in tasks:
            if (example := example_of(task)) is not None:
                self.pool.setdefault(task.tags, []).append(example)

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return children with one, two, ... examples of every kind of task."""
        for index in range(count if self.pool else 0):
            shots = 1 + index % self.options.shots
            examples: list[Example] = []
            for pool in self.pool.values():
                chosen = rng.choice(len(pool), size=min(shots, len(pool)), replace=False)
                examples.extend(pool[i] for i in chosen)
            note = f"{shots} example{'s' if shots > 1 else ''} of each kind"
            yield champion.child(self.name, note, examples=tuple(examples))
