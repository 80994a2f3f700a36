"""Which tasks are asked in a race and for the gates, and what the guards answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penin_core.contracts import Guard
from penin_core.errors import SuiteError
from penin_core.records import Candidate, Example, GuardEvidence, GuardResult, Task
from penin_core.rendering import columns
from penin_core.suites import Suite

#: Tasks on which the first champion is measured.
FIRST_TASKS = 100
#: At most so many tasks of the special splits are asked of finalist and champion.
SPECIAL_TASKS = 40
#: The fixed subset for repeats, perturbations and examples does not change from cycle to cycle.
SUBSET_SEED = 0
#: No fewer tasks than this tell anything: in the fixed subset, and in a race.
LEAST_SUBSET, LEAST_RACE = 20, 10


def first_tasks(suite: Suite, count: int = FIRST_TASKS) -> list[Task]:
    """Return the fixed ``select`` tasks on which a configuration is measured on its own."""
    return suite.sample("select", count, SUBSET_SEED)


def subset(suite: Suite) -> list[Task]:
    """Return the fixed tasks for repeats, perturbations and examples.

    Where ``select`` is small they are half of it: the other half is what mutators may look at.
    """
    half = max(LEAST_SUBSET, len(suite.split("select")) // 2)
    return suite.sample("select", min(suite.definition.gate_tasks, half), SUBSET_SEED)


def racing(suite: Suite, candidates: Sequence[Candidate], seed: int) -> list[Task]:
    """Return the ``select`` tasks to race on, in an order by chance.

    Those that stand solved in the prompt of a candidate are left out, for all: it would know the
    answers.

    Raises:
        SuiteError: fewer than 10 are left.
    """
    shown = [(columns(c.config.prompt), e) for c in candidates for e in c.config.examples]
    inputs = {example.input for _, example in shown}

    def is_shown(task: Task) -> bool:
        return task.input in inputs and any(_is_of(e, task, names) for names, e in shown)

    tasks = suite.sample("select", len(suite.tasks), seed)
    left = [task for task in tasks if not is_shown(task)]
    if len(left) < LEAST_RACE:
        raise SuiteError(
            f"{len(left)} select tasks are left to race on: the others, {len(tasks) - len(left)}, "
            "stand solved in the prompts of the candidates",
            hint="add select tasks, or show fewer examples",
        )
    return left


def _is_of(example: Example, task: Task, names: Iterable[str]) -> bool:
    """Say whether an example is a task, as far as a prompt with these columns shows it."""
    return example.input == task.input and all(
        example.fields.get(name) == task.fields[name] for name in names if name in task.fields
    )


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
