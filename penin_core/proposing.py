"""Who competes: proposals of the mutators, from the champion and from the free lineage."""

from __future__ import annotations

from itertools import chain, islice, zip_longest

import numpy as np

from penin_core.contracts import Mutator
from penin_core.cycle import Cycle
from penin_core.league.lineage import parent
from penin_core.project import require_recordable
from penin_core.records import Candidate
from penin_core.rendering import draw_seed, render


def propose(cycle: Cycle, champion: Candidate, count: int) -> list[Candidate]:
    """Ask the mutators, and take proposals in turn until there are ``count`` distinct ones.

    They start from the champion and, where earlier races left one, from a parent of the free
    lineage. A mutator that raises loses its proposals; the others fill its place.
    """
    barred = cycle.league.quarantined()
    known = {champion.hash, *barred}
    rng = np.random.default_rng(draw_seed(cycle.seed, "lineage"))
    other = parent(cycle.project.state, cycle.ledger, champion, barred, rng)
    starts = [champion] if other is None else [champion, other]
    asked = [
        _proposals(cycle, mutator, start, count)
        for mutator in cycle.project.mutators()
        for start in starts
    ]
    found: dict[str, Candidate] = {}
    for candidate in chain.from_iterable(zip_longest(*asked)):
        if candidate is not None and candidate.hash not in known:
            found.setdefault(candidate.hash, candidate)
    return list(found.values())[:count]


def _proposals(cycle: Cycle, mutator: Mutator, start: Candidate, count: int) -> list[Candidate]:
    """Return what a mutator proposes; it never sees the subset that examples would spoil."""
    subset = {task.id for task in cycle.subset()}
    purpose = ("propose", mutator.name, *([start.hash] if start.origin == "lineage" else []))
    rng = np.random.default_rng(draw_seed(cycle.seed, *purpose))
    try:
        mutator.prepare([t for t in cycle.suite.split("select") if t.id not in subset])
        proposals = list(islice(mutator.propose(start, count, rng), count))
    except Exception as error:
        cycle.failed("mutators", mutator.name, error, "its proposals are lost")
        return []
    usable = []
    for candidate in proposals:
        try:
            usable.append(_checked(cycle, candidate))
        except Exception as error:
            cycle.failed("mutators", mutator.name, error, "one of its proposals is lost")
    return usable


def _checked(cycle: Cycle, candidate: Candidate) -> Candidate:
    """Return the candidate; raise where a task lacks what it asks for, or it is too long."""
    require_recordable(candidate.config)
    for task in {frozenset(task.fields): task for task in cycle.suite.tasks}.values():
        render(candidate.config, task, cycle.seed)
    cycle.project.plugins.get("providers", candidate.config.provider)
    return candidate
