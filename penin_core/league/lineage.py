"""The free lineage: challengers that did well in a race become parents, without any proof.

They stand in the ledger as the rows of their runs. The search may start from them; the champion
moves on evidence only. They are ranked by what the race measured on select tasks, never by what a
confirmation showed: the search must not learn from confirm tasks.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from penin_core.errors import PeninError
from penin_core.ledger.artifacts import read_run
from penin_core.ledger.queries import Readable
from penin_core.records import Candidate, Configuration

#: How many of the best are parents, and of how many of the latest runs.
PARENTS = 4
LATEST = 200


class Chance(Protocol):
    """What is asked of the generator."""

    def integers(self, high: int) -> Any:
        """Return a whole number from 0 to below ``high``."""


def parent(
    state: Path,
    ledger: Readable,
    champion: Candidate,
    barred: Collection[str],
    rng: Chance | np.random.Generator,
) -> Candidate | None:
    """Return one of the best challengers of earlier races against this champion, or None.

    ``barred`` are hashes of configurations that are no parents. Rows of cycles that time or money
    cut short do not count, so that such a cycle proposes the same when it is taken up again.
    """
    ranked = sorted(_archive(ledger, champion, barred), key=lambda found: (-found[0], found[1]))
    if not ranked:
        return None
    _, _, run = ranked[int(rng.integers(min(PARENTS, len(ranked))))]
    try:
        files = read_run(state, run["id"], run["manifest_sha256"])
        config = Configuration.model_validate(json.loads(files["config.json"]))
    except (PeninError, ValueError, KeyError):
        return None
    return Candidate(config=config, origin="lineage", note=f"run {run['id']}")


def _archive(
    ledger: Readable, champion: Candidate, barred: Collection[str]
) -> list[tuple[float, str, dict[str, Any]]]:
    """Return gain in the race, hash and row of every challenger that may be a parent."""
    runs = [run for run in ledger.runs(LATEST) if run["kind"] == "challenger"]
    cut = {r["cycle_id"] for r in runs if (r["reason"] or "").startswith("budget_exhausted")}
    best: dict[str, tuple[float, str, dict[str, Any]]] = {}
    for run in runs:
        key = run["candidate_cfg_hash"]
        if run["cycle_id"] in cut or key in barred or key == champion.hash:
            continue
        detail = ledger.entry(run["idx"]).body.get("detail", {})
        gain = detail.get("race_gain")
        if detail.get("champion") == champion.hash and gain is not None and gain > 0:
            best.setdefault(key, (gain, key, run))
    return list(best.values())
