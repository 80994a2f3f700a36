"""Trained models that want to compete: those that no cycle has measured, and saw no proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from penin_core.errors import PeninError, StateError
from penin_core.ledger.store import WORMLedger
from penin_core.ledger.trained import trained_folder
from penin_core.records import Candidate, Task
from penin_core.trainings import Job, jobs


def tuned_candidates(
    state: Path, ledger: WORMLedger, confirm: Sequence[Task], barred: frozenset[str]
) -> Iterator[tuple[Job, Candidate | PeninError]]:
    """Yield each trained model that no cycle has measured yet, or why it cannot compete.

    ``barred`` are hashes of configurations that may not compete, ``confirm`` the tasks that are
    kept for proof: a model that has seen one of them proves nothing on it.
    """
    tried = {
        run["candidate_cfg_hash"]
        for run in ledger.runs()
        if run["verdict"] != "fail" and not run["dry_run"]
    }
    for job in jobs(state, ledger):
        if job.status != "succeeded" or job.config.hash in tried | barred:
            continue
        try:
            leaks = job.leaks(confirm)
            if job.config.adapter is not None:
                trained_folder(state, job.config.adapter)
        except PeninError as error:
            yield job, error
            continue
        if leaks:
            shown = ", ".join(str(leak) for leak in leaks[:3])
            yield job, StateError(f"it was trained on confirm tasks: {shown}")
        else:
            note = f"{job.about['model']} trained on {job.about['train']} examples"
            yield job, Candidate(config=job.config, origin="finetune", note=note)
