"""What the gates take: the tasks on which all axes are measured, and the answers of the guards."""

from __future__ import annotations

from collections.abc import Sequence

from penin_core.contracts import Guard
from penin_core.records import GuardEvidence, GuardResult, Task
from penin_core.suites import Suite

#: Tasks on which the first champion is measured.
FIRST_TASKS = 100
#: At most so many tasks of the special splits are asked of finalist and champion.
SPECIAL_TASKS = 40
#: The fixed subset for repeats, perturbations and examples does not change from cycle to cycle.
SUBSET_SEED = 0


def first_tasks(suite: Suite, count: int = FIRST_TASKS) -> list[Task]:
    """Return the fixed ``select`` tasks on which a configuration is measured on its own."""
    return suite.sample("select", count, SUBSET_SEED)


def subset(suite: Suite) -> list[Task]:
    """Return the fixed tasks for repeats, perturbations and examples."""
    return suite.sample("select", suite.definition.gate_tasks, SUBSET_SEED)


def whole(suite: Suite, tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    """Return what all axes take: ``tasks`` with the special splits, and what is asked deeply."""
    composed = suite.sample("composed", SPECIAL_TASKS, SUBSET_SEED)
    ood = suite.sample("ood", SPECIAL_TASKS, SUBSET_SEED)
    return [*tasks, *composed, *ood], [*subset(suite), *composed]


def answer_of(guard: Guard, evidence: GuardEvidence) -> tuple[GuardResult, Exception | None]:
    """Ask a guard: its answer, and what it raised; who raises or answers anything else, vetoes."""
    try:
        result = guard.check(evidence)
        if not isinstance(result, GuardResult):
            raise TypeError(f"it answered {result!r}")
        return result.model_copy(update={"guard": guard.name}), None
    except Exception as error:
        reason = f"it failed: {error!r}"
        return GuardResult(guard=guard.name, ok=False, reason=reason), error
