"""Trained models that want to compete: those that no cycle has measured, and saw no proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from penin_core.errors import PeninError, StateError
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.trained import trained_folder
from penin_core.records import Candidate, Configuration, Task
from penin_core.training.jobs import Job, jobs


def tuned_candidates(
    state: Path, ledger: WORMLedger, confirm: Sequence[Task], barred: frozenset[str]
) -> Iterator[tuple[Job, Candidate | PeninError]]:
    """Yield the trained models that no cycle has measured yet, or why one cannot compete.

    Each competes as the champion samples, and once more at temperature 0: what was trained for one
    job rarely gains from chance. ``barred`` are hashes of configurations that may not compete,
    ``confirm`` the tasks that are kept for proof: a model that has seen one proves nothing on it.
    """
    tried = ledger.measured()
    for job in jobs(state, ledger):
        if job.status != "succeeded":
            continue
        untried = [c for key, c in proposals(job).items() if key not in tried | barred]
        if untried and (objection := _objection(state, job, confirm)):
            yield job, objection
        else:
            note = f"{job.about['model']} trained on {job.about['train']} examples"
            for config in untried:
                yield job, Candidate(config=config, origin="finetune", note=note)


def proposals(job: Job) -> dict[str, Configuration]:
    """Return the configurations that a trained model competes in, by their hashes."""
    cold = job.config.model_copy(update={"temperature": 0.0})
    return {config.hash: config for config in (job.config, cold)}


def _objection(state: Path, job: Job, confirm: Sequence[Task]) -> PeninError | None:
    """Return why the model of a job may not compete."""
    try:
        leaks = job.leaks(confirm)
        if job.config.adapter is not None:
            trained_folder(state, job.config.adapter)
    except PeninError as error:
        return error
    if not leaks:
        return None
    return StateError(f"it was trained on confirm tasks: {', '.join(map(str, leaks[:3]))}")
