"""Proposals with one more sentence in the system prompt."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from penin_core import Candidate, ComponentOptions, Mutator, hookimpl

penin_api = 1


class OldMutator(Mutator):
    """Adds one sentence to the system prompt."""

    name = "old-mutator"

    class Options(ComponentOptions):
        """The table [mutators.old-mutator] of penin.toml."""

        sentences: tuple[str, ...] = (
            "Answer with one word where one is enough.",
            "Check your answer before you give it.",
            "Repeat no part of the question.",
            "Write numbers as digits.",
        )

    options: Options

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return children of the champion, each with a sentence that it does not have."""
        system = champion.config.system
        new = [sentence for sentence in self.options.sentences if sentence not in system]
        for index in rng.permutation(len(new))[:count]:
            longer = f"{system} {new[index]}".strip()
            yield champion.child(self.name, f"adds {new[index]!r}", system=longer)


@hookimpl
def penin_register_mutators() -> list[type[Mutator]]:
    """Return the mutator."""
    return [OldMutator]
