"""Who competes: proposals of the mutators, from the champion and from the free lineage."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import chain, islice, zip_longest

import numpy as np

from penin_core.contracts import Mutator
from penin_core.cycle import Cycle
from penin_core.engine.replies import capabilities_of
from penin_core.errors import PeninError, ProviderRefused
from penin_core.gating import subset
from penin_core.league.campaign import campaign_of, fresh_tasks
from penin_core.league.lineage import parent
from penin_core.project import require_recordable
from penin_core.records import Candidate, Configuration
from penin_core.rendering import columns, draw_seed, render
from penin_core.training.tuned import tuned_candidates

#: A mutator is asked for no more proposals than this, however many of them were measured before.
MOST_ASKED = 256


def propose(cycle: Cycle, champion: Candidate, count: int) -> list[Candidate]:
    """Ask the mutators, and take proposals in turn until there are ``count`` distinct ones.

    Trained models that no cycle has measured yet come first. Mutators start from the champion and,
    where earlier races left one, from a parent of the free lineage. A mutator that raises loses its
    proposals; the others fill its place. Proposals that differ only in what their model does not
    take are one. What was measured before is proposed again only where a mutator knows nothing new.
    """
    barred = cycle.league.quarantined()
    rng = np.random.default_rng(draw_seed(cycle.seed, "lineage"))
    other = parent(cycle.project.state, cycle.ledger, champion, barred, rng)
    starts = [_informed(cycle, start) for start in (champion, other) if start is not None]
    known = cycle.ledger.measured()
    asked = [
        _proposals(cycle, mutator, start, count, known)
        for mutator in cycle.project.mutators()
        for start in starts
    ]
    found = {_sent(starts[0]): champion}
    tuned = _tuned(cycle, starts[0], barred)
    for candidate in chain(tuned, chain.from_iterable(zip_longest(*asked))):
        if candidate is not None and candidate.hash not in barred:
            found.setdefault(_sent(candidate), candidate)
    return list(found.values())[1 : count + 1]


def _tuned(cycle: Cycle, champion: Candidate, barred: frozenset[str]) -> Iterator[Candidate]:
    """Yield the trained models that no cycle has measured yet; they come before all others."""
    fresh = fresh_tasks(cycle.suite, campaign_of(cycle.ledger))
    for job, tuned in tuned_candidates(cycle.project.state, cycle.ledger, fresh, barred):
        try:
            if isinstance(tuned, PeninError):
                raise tuned
            yield _checked(cycle, champion, tuned)
        except PeninError as error:
            name = job.about["provider"]
            cycle.failed("finetuners", name, error, f"job {job.short} does not compete")


def _proposals(
    cycle: Cycle, mutator: Mutator, start: Candidate, count: int, known: Set[str]
) -> list[Candidate]:
    """Return what a mutator proposes; it never sees the subset that examples would spoil."""
    fixed = {task.id for task in subset(cycle.suite)}
    purpose = ("propose", mutator.name, *([start.hash] if start.origin == "lineage" else []))
    seed = draw_seed(cycle.seed, *purpose)
    try:
        mutator.prepare([t for t in cycle.suite.split("select") if t.id not in fixed])
        proposals = _new_first(mutator, start, count, seed, known)
    except Exception as error:
        cycle.failed("mutators", mutator.name, error, "its proposals are lost")
        return []
    usable = []
    for candidate in proposals:
        try:
            usable.append(_checked(cycle, start, candidate))
        except Exception as error:
            cycle.failed("mutators", mutator.name, error, "one of its proposals is lost")
    return usable


def _new_first(
    mutator: Mutator, start: Candidate, count: int, seed: int, known: Set[str]
) -> list[Candidate]:
    """Return ``count`` proposals; more are asked for as long as too few of them are new."""
    found: dict[object, Candidate] = {}
    asked = count
    while True:
        rng = np.random.default_rng(seed)
        proposals = list(islice(mutator.propose(start, asked, rng), asked))
        found |= {getattr(each, "hash", id(each)): each for each in proposals}
        ordered = sorted(found, key=known.__contains__)
        enough = len(found.keys() - known) >= count
        if enough or len(proposals) < asked or asked >= MOST_ASKED:
            return [found[key] for key in ordered[:count]]
        asked = min(2 * asked, MOST_ASKED)


def _checked(cycle: Cycle, start: Candidate, candidate: Candidate) -> Candidate:
    """Return the candidate with what its model refuses.

    Raise where a task lacks what it asks for, where it is too long, where its provider or model is
    not known, or where it changes nothing that is sent.
    """
    candidate = _trimmed(candidate)
    require_recordable(candidate.config)
    for task in {frozenset(task.fields): task for task in cycle.suite.tasks}.values():
        render(candidate.config, task, cycle.seed)
    candidate = _informed(cycle, candidate)
    if candidate.hash != start.hash and _sent(candidate) == _sent(start):
        refused = ", ".join(candidate.refused)
        reason = f"{candidate.config.model} does not take {refused}, and nothing else changed"
        raise ProviderRefused(reason)
    return candidate


def _trimmed(candidate: Candidate) -> Candidate:
    """Return the candidate without columns of examples that its prompt does not use.

    What is recorded stays for ever, and a column can be long, or name somebody.
    """
    used, examples = set(columns(candidate.config.prompt)), candidate.config.examples
    if all(example.fields.keys() <= used for example in examples):
        return candidate
    kept = [
        each.model_copy(update={"fields": {n: v for n, v in each.fields.items() if n in used}})
        for each in examples
    ]
    config = candidate.config.model_copy(update={"examples": tuple(kept)})
    return candidate.model_copy(update={"config": config})


def _informed(cycle: Cycle, candidate: Candidate) -> Candidate:
    """Return the candidate with the parameters that its model refuses."""
    provider = cycle.project.provider(candidate.config.provider)
    refused = capabilities_of(provider, candidate.config.model).refused
    return candidate.model_copy(update={"refused": refused})


def _sent(candidate: Candidate) -> str:
    """Return the hash of the configuration without what its model refuses."""
    fields = Configuration.model_fields
    unset = {n: fields[n].default for n in candidate.refused if n in fields}
    return candidate.config.model_copy(update=unset).hash
